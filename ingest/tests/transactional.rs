//! A connector whose producer writes in transactions: partitions end in records of the broker's own.
//!
//! Runs when `LOCUM_TEST_KAFKA` (bootstrap servers) is set.
#![allow(missing_docs)]

#[path = "../../sql/tests/support/given.rs"]
mod given;
mod support;

use std::sync::Arc;
use std::time::Duration;

use ingest::{FeedOptions, KafkaOptions, NoJournal, Options};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use read_model::*;
use serde_json::{Value as Json, json};
use sql::Db;
use support::{account_row, mapping, now_ms, posting_row, wait_for};
use tokio::sync::watch;

const ASK_MAX: Duration = Duration::from_secs(30);

struct Connector {
    prefix: String,
    plain: FutureProducer,
    transactional: FutureProducer,
}

impl Connector {
    async fn open(bootstrap: &str) -> Self {
        let prefix = format!("tx{}", now_ms());
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let tables = ["accounts", "customers", "postings"].map(|table| format!("{prefix}.corebank.{table}"));
        let topics = tables.into_iter().chain([format!("__debezium-heartbeat.{prefix}")]).collect::<Vec<_>>();
        let new = topics.iter().map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1))).collect::<Vec<_>>();
        let made = admin.create_topics(&new, &AdminOptions::new().operation_timeout(Some(ASK_MAX))).await.unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let plain = config.create().unwrap();
        let transactional: FutureProducer = config.set("transactional.id", &prefix).create().unwrap();
        transactional.init_transactions(ASK_MAX).unwrap();
        Self { prefix, plain, transactional }
    }

    /// One transaction with one row, which is committed or aborted; a marker of the broker's stands behind it.
    async fn transaction(&self, table: &str, key: Json, row: Json, place: i64, commit: bool) {
        let value = json!({"before": null, "after": row, "op": "c", "ts_ms": now_ms(), "source": {"connector": "mariadb",
            "name": self.prefix, "ts_ms": now_ms(), "snapshot": "false", "db": "corebank", "table": table, "server_id": 1,
            "gtid": null, "file": "bin.000001", "pos": place, "row": 0}});
        let (topic, key, value) = (format!("{}.corebank.{table}", self.prefix), key.to_string(), value.to_string());
        self.transactional.begin_transaction().unwrap();
        self.transactional.send(FutureRecord::to(&topic).key(&key).payload(&value), ASK_MAX).await.unwrap();
        if commit {
            self.transactional.commit_transaction(ASK_MAX).unwrap();
        } else {
            self.transactional.abort_transaction(ASK_MAX).unwrap();
        }
    }

    async fn heartbeat(&self) -> i64 {
        let (topic, now) = (format!("__debezium-heartbeat.{}", self.prefix), now_ms());
        let (key, value) = (r#"{"serverName":"core"}"#, json!({ "ts_ms": now }).to_string());
        self.plain.send(FutureRecord::to(&topic).key(key).payload(&value), ASK_MAX).await.unwrap();
        now
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_partitions_that_end_in_markers_are_loaded_and_their_age_is_attested() {
    let Some(kafka) = given::address("LOCUM_TEST_KAFKA") else { return };
    let connector = Connector::open(&kafka).await;
    connector
        .transaction("customers", json!({"customer_no": "C1"}), json!({"customer_no": "C1", "name": "Zoë"}), 1, true)
        .await;
    connector.transaction("accounts", json!({"account_no": "A1"}), account_row("A1", 100, 0), 2, true).await;
    let posting = json!({"account_no": "A1", "posting_no": 1});
    connector.transaction("postings", posting, posting_row("A1", 1, "D", 5, ""), 3, false).await;

    let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
    migrate(&db).await.unwrap();
    let tiers = Tiers { memory: None, redis: None };
    let reader = Reader::new(db.clone(), tiers.clone(), ReaderOptions::default());
    let feed = FeedOptions::Kafka(KafkaOptions::new(&kafka, &connector.prefix));
    let (shutdown, stop) = watch::channel(false);
    let service = Options::new("one", mapping(), feed).build(db.clone(), tiers, Arc::new(NoJournal));
    let task = tokio::spawn(service.run(stop));

    wait_for("the load", async || {
        connector.heartbeat().await;
        let loaded = reader.sources().await.unwrap().first().map(|status| (status.loaded, status.events_behind));
        (loaded == Some((true, Some(0))), loaded)
    })
    .await;
    let read = reader.account(&Grant::Any, "A1", &Floor::none()).await.unwrap();
    assert_eq!(read.value.balance.as_ref().unwrap().row.booked_minor, 100);
    let postings = reader.transactions(&Grant::Any, "A1", &TransactionFilter::default(), &Floor::none()).await.unwrap();
    assert!(postings.value.transactions.is_empty(), "its transaction was aborted");

    // Nothing more comes but heartbeats: the time goes on.
    let beat = connector.heartbeat().await;
    wait_for("an age attested after the load", async || {
        connector.heartbeat().await;
        let as_of_ms = reader.sources().await.unwrap()[0].as_of_ms;
        (as_of_ms >= Some(beat), as_of_ms)
    })
    .await;
    shutdown.send(true).unwrap();
    task.await.unwrap();
}
