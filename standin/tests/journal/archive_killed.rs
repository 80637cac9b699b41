//! SIGKILL at each named place of the archive: a process of its own dies there, and the next one goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use failpoints::{ARCHIVE_AFTER_COMMIT, ARCHIVE_BEFORE_COMMIT};
use serde_json::{Value as Json, json};
use sql::{Db, Host};
use standin::archive::{Reader, inspect, verify};
use standin::journal::{Admitted, Entry, Journal, Write};
use standin::rules::{OperationRules, Order};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::archive::{FENCE_MS, Folder, LATER_MS, Later, confirmed, declined, retention, rows_of};
use crate::ledger::Books;
use crate::support::*;

/// What the process that dies is told: address of the database, folders, and how far off it reads the SQL server's clock.
const TOLD: &str = "LOCUM_TEST_ARCHIVIST";
/// The test that this process runs.
const ARCHIVIST: &str = "archive_killed::a_process_that_archives_as_it_is_told";
/// Longest life of one: the machine may be loaded.
const PATIENCE: Duration = Duration::from_secs(120);
const SIGKILL: i32 = 9;
/// Of each place. With the declined ones they leave in two transactions, the first one of this many entries.
const CONFIRMED: usize = 2;
const DECLINED: usize = 66;
const TOGETHER: usize = 64;

/// An entry as it ended, with the write that asked for it, and the number of its rows.
struct Ended {
    write: Write,
    entry: Entry,
    rows: i64,
}

fn places() -> impl Iterator<Item = &'static str> {
    failpoints::ALL.iter().copied().filter(|place| place.starts_with("archive."))
}

/// Some that were posted and confirmed, with a place in the order of all, and many that were declined.
async fn more_end(bank: &Bank, postings: &mut i64) -> Vec<Ended> {
    let mut made = Vec::new();
    for _ in 0..CONFIRMED {
        *postings += 1;
        made.push(confirmed(bank, *postings).await);
    }
    let mut declines = JoinSet::new();
    for _ in 0..DECLINED {
        let bank = bank.clone();
        declines.spawn(async move { declined(&bank).await });
    }
    made.extend(declines.join_all().await);
    let mut ended = Vec::new();
    for (write, entry) in made {
        let (entry, rows) = (bank.now(&entry).await, rows_of(bank, &entry).await);
        ended.push(Ended { write, entry, rows });
    }
    ended
}

/// One life of the process that archives, to its end.
async fn archivist(bank: &Bank, folder: &Folder, orders: &Folder, clock_ms: i64) -> Output {
    let told = json!({ "url": bank.url, "folder": folder.0, "orders": orders.0, "clock_ms": clock_ms });
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([ARCHIVIST, "--exact", "--nocapture"]).env(TOLD, told.to_string()).kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap()
}

fn last_words(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

/// The lines of each file that was noted, once it is what was noted.
async fn noted(bank: &Bank, folder: &Folder) -> BTreeMap<String, BTreeMap<String, Json>> {
    let mut noted = BTreeMap::new();
    for row in bank.db.query("SELECT file, sha256 FROM archives", vec![]).await.unwrap() {
        let (file, sha256): (String, String) = (row.get("file").unwrap(), row.get("sha256").unwrap());
        let path = folder.0.join(&file);
        assert_eq!(inspect(&path).unwrap().link.sha256, sha256, "{file}");
        let mut lines = BTreeMap::new();
        for line in Reader::open(&path).unwrap().next_lines(usize::MAX).unwrap() {
            lines.insert(line.id.as_str().to_owned(), serde_json::from_slice(&line.text).unwrap());
        }
        noted.insert(file, lines);
    }
    noted
}

/// Each of these entries is whole in the tables, or it has left them and is whole in a file that was noted. Answers how many have left.
async fn left_whole(bank: &Bank, folder: &Folder, entries: &[Ended]) -> usize {
    let files = noted(bank, folder).await;
    let mut left = 0;
    for Ended { entry, rows, .. } in entries {
        let slim = bank.journal.gateway().archived(&entry.id).await.unwrap();
        let in_tables = rows_of(bank, entry).await;
        let Some(slim) = slim else {
            assert_eq!(in_tables, *rows, "{} is whole in the tables", entry.id);
            assert_eq!(bank.now(entry).await, *entry);
            continue;
        };
        left += 1;
        assert_eq!(in_tables, 0, "{} has left", entry.id);
        assert_eq!((slim.state, &slim.core_ref), (entry.state, &entry.core_ref));
        let line = &files[&slim.file][entry.id.as_str()];
        let parts = ["legs", "attempts", "transitions"].map(|part| line[part].as_array().unwrap().len() as i64);
        assert_eq!(1 + parts.iter().sum::<i64>(), *rows, "{line}");
        assert_eq!(line["entry"]["state"], entry.state.as_str());
        assert_eq!(line["entry"]["core_ref"], entry.core_ref.as_str());
        assert_eq!(line["entry"]["idempotency_key"], entry.idempotency_key.as_str());
    }
    left
}

/// A repeat of the key gets what it got before.
async fn answers_as_before(bank: &Bank, Ended { write, entry, .. }: &Ended) {
    match bank.submit(write.clone()).await {
        Admitted::Known(again) => {
            let before = Entry { business_day: 0, core_id: None, ..entry.clone() };
            assert_eq!(*again, before);
        }
        other => panic!("{other:?}"),
    }
}

/// The process that dies. As a test of its own it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_archives_as_it_is_told() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let told: Json = serde_json::from_str(&told).unwrap();
    let text = |name: &str| told[name].as_str().unwrap();
    failpoints::arm(text("orders").into()).unwrap();
    let options = sql::Options { host: Host::of(Arc::new(Later)), ..options() };
    options.clock_shift.set(told["clock_ms"].as_i64().unwrap());
    let db = Db::open(text("url"), options).await.unwrap();
    let journal = Journal::open(db, Arc::new(Books::default()), CORE).await.unwrap();
    let instance = journal.register_instance("archivist").await.unwrap();
    let pass = journal.archive().pass(&instance, &retention(text("folder").into())).await.unwrap();
    assert!(pass.is_some(), "nobody else archives");
}

on_every_engine! {
    async fn killed_at_each_place_of_the_archive_every_entry_is_in_the_tables_or_in_a_verified_file(bank) {
        bank.two_accounts().await;
        bank.rule(OperationRules { order: Order::Global, ..OperationRules::default() }).await;
        let (folder, orders) = (Folder::new(), Folder::new());
        let (mut all, mut postings, mut clock_ms) = (BTreeSet::new(), 0, LATER_MS);
        for place in places() {
            let entries = more_end(&bank, &mut postings).await;
            // The first transaction of the two is over when it dies in the second one.
            let nth = if place == ARCHIVE_BEFORE_COMMIT { "2" } else { "1" };
            std::fs::write(orders.0.join(place), nth).unwrap();
            let dead = archivist(&bank, &folder, &orders, clock_ms).await;
            assert_eq!(dead.status.signal(), Some(SIGKILL), "{place}: {}", last_words(&dead));
            assert!(orders.0.join(format!("{place}.hit")).exists(), "{place}: it died of something else");
            let left = left_whole(&bank, &folder, &entries).await;
            match place {
                // A conflict may have made the first transaction run again.
                ARCHIVE_BEFORE_COMMIT => assert!([0, TOGETHER].contains(&left), "{place}: {left} have left"),
                ARCHIVE_AFTER_COMMIT => assert_eq!(left, TOGETHER, "{place}"),
                _ => assert_eq!(left, 0, "{place}"),
            }
            // Its fence runs out.
            clock_ms += FENCE_MS;
            let next = archivist(&bank, &folder, &orders, clock_ms).await;
            assert!(next.status.success(), "{place}: {}", last_words(&next));
            assert_eq!(left_whole(&bank, &folder, &entries).await, entries.len(), "{place}: all have left");
            for repeated in [entries.first(), entries.last()].into_iter().flatten() {
                answers_as_before(&bank, repeated).await;
            }
            all.extend(entries.into_iter().map(|ended| ended.entry.id.as_str().to_owned()));
        }
        let chain = verify(&folder.files()).unwrap().into_iter().map(|sealed| sealed.link.file);
        let rows = bank.db.query("SELECT file FROM archives ORDER BY seq", vec![]).await.unwrap();
        let files: Vec<String> = rows.iter().map(|row| row.get("file").unwrap()).collect();
        assert_eq!(chain.collect::<Vec<_>>(), files, "each file was noted, in the order of the chain");
        let lines = folder.entries();
        assert_eq!(lines.len(), all.len(), "each entry is in one file");
        assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), all);
        assert_eq!(bank.number("SELECT COUNT(*) FROM archives WHERE state <> 'emptied'").await, 0);
        assert_eq!(bank.number("SELECT COUNT(*) FROM legs").await, 0);
    }
}
