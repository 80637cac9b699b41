//! For real: a row changes in MariaDB, Debezium writes it to Kafka, the ingester applies it, a reader returns it.
//!
//! Runs when `LOCUM_TEST_KAFKA` (bootstrap servers) and `CORE_DB_URL` are set, as `dev/stack env` prints them, and `dev/stack`
//! of this checkout has the connector's parts up. The read model lives in the first of `LOCUM_TEST_SQL_URLS`, or SQLite.
#![allow(missing_docs)]

#[path = "../../sql/tests/support/given.rs"]
mod given;
mod support;
#[path = "kafka/topics.rs"]
mod topics;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use ingest::{FeedOptions, KafkaOptions, NoJournal, Options};
use read_model::*;
use sql::{Db, params};
use support::{mapping, now_ms, wait_for};
use tokio::sync::watch;

struct Core {
    db: Db,
    name: String,
}

impl Core {
    async fn open(url: &str) -> Core {
        let name = format!("core{}", now_ms());
        let db = Db::open(&format!("{url}/{name}"), sql::Options::default()).await.unwrap();
        for ddl in [
            "CREATE TABLE customers (customer_no VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(80) NOT NULL)",
            "CREATE TABLE accounts (account_no CHAR(12) NOT NULL PRIMARY KEY, owner VARCHAR(32) NOT NULL, ccy CHAR(3) NOT NULL, \
             status CHAR(1) NOT NULL, balance DECIMAL(15,2) NOT NULL, overdraft DECIMAL(15,2) NOT NULL, \
             held DECIMAL(15,2) NOT NULL, last_posting BIGINT NOT NULL, opened DATE NOT NULL, updated DATETIME(6) NOT NULL)",
            "CREATE TABLE postings (account_no CHAR(12) NOT NULL, posting_no BIGINT NOT NULL, ext_ref VARCHAR(35), \
             leg CHAR(1) NOT NULL, amount DECIMAL(15,2) NOT NULL, ccy CHAR(3) NOT NULL, booked_at DATETIME(6) NOT NULL, \
             value_date DATE NOT NULL, text VARCHAR(140) NOT NULL, PRIMARY KEY (account_no, posting_no))",
            "INSERT INTO customers VALUES ('C1', 'Zoë')",
            "INSERT INTO accounts VALUES ('000000000001', 'C1', 'EUR', 'A', 100.50, 0, 0, 0, '2020-01-01', NOW(6)), \
             ('000000000002', 'C1', 'EUR', 'A', -3.00, 10, 1, 0, '2020-01-01', NOW(6))",
        ] {
            db.exec(ddl, vec![]).await.unwrap();
        }
        let core = Core { db, name };
        core.stack(&["register", &core.name, "connectors/debezium/mariadb.json"]);
        core
    }

    fn stack(&self, arguments: &[&str]) {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let status =
            Command::new("dev/stack").args(arguments).current_dir(root).env("DATABASE", &self.name).status().unwrap();
        assert!(status.success(), "dev/stack {arguments:?}");
    }

    async fn set_balance(&self, no: &str, cents: i64) {
        let sql = "UPDATE accounts SET balance = ? / 100.0, last_posting = last_posting + 1 WHERE account_no = ?";
        self.db.exec(sql, params![cents, no]).await.unwrap();
    }

    async fn close(self) {
        self.stack(&["unregister", &self.name]);
        let _ = self.db.exec(&format!("DROP DATABASE {}", self.name), vec![]).await;
    }
}

async fn read_model_db(name: &str) -> Db {
    let url = match given::servers().first() {
        Some(server) => format!("{server}/rm_{name}"),
        None => "sqlite::memory:".to_owned(),
    };
    let db = Db::open(&url, sql::Options::default()).await.unwrap();
    migrate(&db).await.unwrap();
    db
}

fn start(db: &Db, tiers: &Tiers, kafka: KafkaOptions) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let options = Options::new(&format!("test-{}", now_ms()), mapping(), FeedOptions::Kafka(kafka));
    let (shutdown, stop) = watch::channel(false);
    let service = options.build(db.clone(), tiers.clone(), Arc::new(NoJournal));
    (shutdown, tokio::spawn(service.run(stop)))
}

async fn until(reader: &Reader, no: &str, cents: i64) {
    wait_for(&format!("{no} = {cents}"), async || {
        let read = reader.account(&Grant::Any, no, &Floor::none()).await;
        let seen = read.map(|read| read.value.balance.as_ref().map(|b| b.row.booked_minor));
        (seen == Ok(Some(cents)), seen)
    })
    .await;
}

async fn until_halted(reader: &Reader, why: &str) {
    wait_for(why, async || {
        let halted = reader.sources().await.unwrap()[0].halted.clone();
        let told = |reason: &String| reason.contains(why) && ingest::needs_rebuild(reason);
        (halted.as_ref().is_some_and(told), halted)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_changed_in_the_core_is_returned_by_a_reader() {
    let (Some(kafka), Some(core_url)) = (given::address("LOCUM_TEST_KAFKA"), given::address("CORE_DB_URL")) else {
        return;
    };
    let core = Core::open(&core_url).await;
    let db = read_model_db(&core.name).await;
    let tiers = Tiers { memory: Some(Arc::new(Memory::new(1_000))), redis: None };
    let reader = Reader::new(db.clone(), tiers.clone(), ReaderOptions::default());
    let kafka = KafkaOptions::new(&kafka, &core.name);
    let (shutdown, task) = start(&db, &tiers, kafka.clone());

    until(&reader, "000000000001", 10_050).await;
    wait_for("first load", async || {
        let seen = reader.account(&Grant::Any, "nobody", &Floor::none()).await.map(|read| read.tier);
        (seen == Err(ReadError::NotFound), seen)
    })
    .await;
    let mut latencies_ms = Vec::new();
    for n in 1..=20 {
        let started = Instant::now();
        core.set_balance("000000000001", n).await;
        until(&reader, "000000000001", n).await;
        latencies_ms.push(started.elapsed().as_millis());
    }
    latencies_ms.sort_unstable();
    println!("commit in the core → reader, ms: p50 {} max {}", latencies_ms[10], latencies_ms[19]);
    let insert =
        "INSERT INTO postings VALUES ('000000000001', 1, 'REF1', 'D', 7.25, 'EUR', NOW(6), '2026-11-22', 'Rent')";
    core.db.exec(insert, vec![]).await.unwrap();
    wait_for("the posting", async || {
        let page =
            reader.transactions(&Grant::Any, "000000000001", &TransactionFilter::default(), &Floor::none()).await;
        let seen: Vec<_> = page.map_or(vec![], |p| p.value.transactions.iter().map(|t| t.row.amount_minor).collect());
        (seen == [-725], seen)
    })
    .await;
    let customer = reader.customer(&Grant::customers(["C1"]), "C1", &Floor::none()).await.unwrap();
    assert_eq!(customer.value.row.name.unwrap().expose(), "Zoë");
    // Idle is not stale: the time goes on with the heartbeats.
    let as_of = async || reader.sources().await.unwrap()[0].as_of_ms;
    let first = as_of().await;
    wait_for("a newer as-of", async || {
        let now = as_of().await;
        (now > first, now)
    })
    .await;

    // Down while the core goes on, and up again from SQL's offsets.
    shutdown.send(true).unwrap();
    task.await.unwrap();
    core.set_balance("000000000002", 4_200).await;
    core.db.exec("DELETE FROM accounts WHERE account_no = '000000000001'", vec![]).await.unwrap();
    let (shutdown, task) = start(&db, &tiers, kafka.clone());
    until(&reader, "000000000002", 4_200).await;
    wait_for("the delete", async || {
        let seen = reader.account(&Grant::Any, "000000000001", &Floor::none()).await.map(|read| read.tier);
        (seen == Err(ReadError::NotFound), seen)
    })
    .await;
    let status = &reader.sources().await.unwrap()[0];
    assert_eq!((&status.halted, status.loaded), (&None, true));

    // An offset that is not there (any more, or in this topic) halts; it is never reset (C6).
    shutdown.send(true).unwrap();
    task.await.unwrap();
    let sql = "UPDATE offsets SET next_offset = next_offset + 1000 WHERE topic LIKE '%.accounts'";
    db.exec(sql, vec![]).await.unwrap();
    let (shutdown, task) = start(&db, &tiers, kafka.clone());
    wait_for("halt", async || {
        let halted = reader.sources().await.unwrap()[0].halted.clone();
        (halted.as_ref().is_some_and(|reason| reason.contains("recreated or truncated")), halted)
    })
    .await;
    shutdown.send(true).unwrap();
    task.await.unwrap();

    // A truncated table ends rows without an event for each; the connector lets it through.
    let sql = "UPDATE offsets SET next_offset = next_offset - 1000 WHERE topic LIKE '%.accounts'";
    db.exec(sql, vec![]).await.unwrap();
    assert!(resume(&db, "corebank").await.unwrap());
    let (shutdown, task) = start(&db, &tiers, kafka.clone());
    core.db.exec("TRUNCATE TABLE postings", vec![]).await.unwrap();
    until_halted(&reader, "was truncated").await;
    shutdown.send(true).unwrap();
    task.await.unwrap();

    // A topic made anew holds other records at our offsets, even when it has outgrown them.
    let sql = "UPDATE offsets SET last_digest = X'00' WHERE topic LIKE '%.accounts' AND last_digest IS NOT NULL";
    db.exec(sql, vec![]).await.unwrap();
    assert!(resume(&db, "corebank").await.unwrap());
    let (shutdown, task) = start(&db, &tiers, kafka);
    until_halted(&reader, "topic recreated").await;
    shutdown.send(true).unwrap();
    task.await.unwrap();
    core.close().await;
}
