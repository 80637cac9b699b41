//! Tests on the engines at hand, and their databases. Those on servers are used by one test after another: making the tables takes longer
//! than most tests do.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use sql::Db;
use tokio::runtime::Runtime;

use crate::checker::assert_consistent;
use crate::support::{Bank, engines, options};

/// Names of empty databases, by server.
static KEPT: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());
const PREFIX: &str = "locum_journal_";

pub fn run_on_every_engine<F: Future<Output = ()> + Send + 'static>(test: impl Fn(Bank) -> F) {
    run_on(engines(), test);
}

/// For what depends on no engine and needs much data.
pub fn run_on_sqlite<F: Future<Output = ()> + Send + 'static>(test: impl Fn(Bank) -> F) {
    run_on(vec!["file".to_owned()], test);
}

fn run_on<F: Future<Output = ()> + Send + 'static>(engines: Vec<String>, test: impl Fn(Bank) -> F) {
    for server in engines {
        let runtime = runtime();
        let url = runtime.block_on(run(&server, &test));
        // All that the test began ends here, before another test gets the database.
        drop(runtime);
        self::runtime().block_on(give_back(&server, &url));
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Answers the database's address. What fails leaves nothing behind.
async fn run<F: Future<Output = ()> + Send + 'static>(server: &str, test: impl Fn(Bank) -> F) -> String {
    let bank = Bank::open(server).await;
    let outcome = tokio::spawn(test(bank.clone())).await;
    if let Err(failed) = outcome {
        bank.remove().await;
        eprintln!("on {server}");
        std::panic::resume_unwind(failed.into_panic());
    }
    eprintln!("checking on {server}");
    assert_consistent(&bank.db).await;
    bank.assert_all_counted().await;
    let url = bank.url.clone();
    match bank.is_server() {
        true => bank.db.close().await,
        false => bank.remove().await,
    }
    url
}

/// A name of this process and of nobody else, nor of an earlier process of the same number.
pub fn name() -> String {
    static BEGAN_S: LazyLock<u64> = LazyLock::new(|| UNIX_EPOCH.elapsed().unwrap().as_secs());
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}_{}_{}", std::process::id(), *BEGAN_S, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The address of a database that is nobody else's: its tables are empty, or there are none.
pub async fn take(server: &str) -> String {
    let known = kept().get_mut(server).map(Vec::pop);
    let url = format!("{server}/{}", known.clone().flatten().unwrap_or_else(name));
    if known.is_none() {
        kept().entry(server.to_owned()).or_default();
        remove_those_of_the_dead(&url).await;
    }
    url
}

/// For the next test. Nothing of the last one may be running any more.
pub async fn give_back(server: &str, url: &str) {
    let Some(name) = url.strip_prefix(server).and_then(|rest| rest.strip_prefix('/')) else { return };
    let db = Db::open(url, options()).await.unwrap();
    let tables = "SELECT table_name AS name FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_name <> 'schema_versions'";
    for row in db.query(tables, vec![]).await.unwrap() {
        let table: String = row.get("name").unwrap();
        db.exec(&format!("DELETE FROM {table}"), vec![]).await.unwrap();
    }
    db.close().await;
    kept().entry(server.to_owned()).or_default().push(name.to_owned());
}

/// What test programs left that are over: those that kept it to the end, and those that failed or were killed.
async fn remove_those_of_the_dead(url: &str) {
    let db = Db::open(url, options()).await.unwrap();
    let names =
        format!("SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name LIKE '{PREFIX}%'");
    for row in db.query(&names, vec![]).await.unwrap() {
        let name: String = row.get("name").unwrap();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another test program may remove it at the same time.
            let _ = db.exec(&format!("DROP DATABASE IF EXISTS {name}"), vec![]).await;
        }
    }
    db.close().await;
}

fn kept() -> MutexGuard<'static, BTreeMap<String, Vec<String>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
