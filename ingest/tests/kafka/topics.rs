//! What topics of a real Kafka do that a connector writes: they end in records of the broker's own, and they are made anew.
//!
//! Runs when `LOCUM_TEST_KAFKA` (bootstrap servers) is set.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ingest::{FeedOptions, KafkaOptions, NoJournal, Options};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use read_model::*;
use serde_json::{Value as Json, json};
use sql::Db;

use crate::given;
use crate::support::{Running, account_row, mapping, now_ms, posting_row, wait_for};

const ASK_MAX: Duration = Duration::from_secs(30);

struct Connector {
    prefix: String,
    config: ClientConfig,
    admin: AdminClient<DefaultClientContext>,
    plain: FutureProducer,
    transactional: FutureProducer,
}

impl Connector {
    async fn open(bootstrap: &str) -> Self {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("topics{}{}", now_ms(), OPENED.fetch_add(1, Ordering::SeqCst));
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        let (admin, plain) = (config.create().unwrap(), config.create().unwrap());
        let transactional: FutureProducer = config.clone().set("transactional.id", &prefix).create().unwrap();
        transactional.init_transactions(ASK_MAX).unwrap();
        let connector = Self { prefix, config, admin, plain, transactional };
        for topic in ["accounts", "customers", "postings"].map(|table| connector.topic(table)) {
            connector.make(&topic).await.unwrap();
        }
        connector.make(&connector.heartbeats()).await.unwrap();
        connector
    }

    fn topic(&self, table: &str) -> String {
        format!("{}.corebank.{table}", self.prefix)
    }

    fn heartbeats(&self) -> String {
        format!("__debezium-heartbeat.{}", self.prefix)
    }

    async fn make(&self, topic: &str) -> Result<(), RDKafkaErrorCode> {
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        let made = self.admin.create_topics([&new], &AdminOptions::new().operation_timeout(Some(ASK_MAX))).await;
        made.unwrap().remove(0).map(drop).map_err(|(_, code)| code)
    }

    async fn delete(&self, table: &str) {
        let (topic, options) = (self.topic(table), AdminOptions::new().operation_timeout(Some(ASK_MAX)));
        let deleted = self.admin.delete_topics(&[&topic], &options).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// Deletes the accounts' topic, makes another one of its name, and writes these balances there.
    async fn make_anew(&self, balances: Range<i64>) {
        self.delete("accounts").await;
        wait_for("a topic made anew", async || {
            let made = self.make(&self.topic("accounts")).await;
            (made.is_ok(), made)
        })
        .await;
        self.balances(balances).await;
    }

    fn event(&self, table: &str, row: Json, place: i64) -> String {
        json!({"before": null, "after": row, "op": "c", "ts_ms": now_ms(), "source": {"connector": "mariadb",
            "name": self.prefix, "ts_ms": now_ms(), "snapshot": "false", "db": "corebank", "table": table, "server_id": 1,
            "gtid": null, "file": "bin.000001", "pos": place, "row": 0}})
        .to_string()
    }

    /// Account `A1`, once for each of the places in the core's log, which is its balance, too. They come as one batch, from a
    /// producer that knows nothing of a topic that was deleted.
    async fn balances(&self, places: Range<i64>) {
        let (topic, key) = (self.topic("accounts"), json!({"account_no": "A1"}).to_string());
        let producer: FutureProducer = self.config.create().unwrap();
        let sent = places.map(|place| {
            let event = self.event("accounts", account_row("A1", place, 0), place);
            producer.send_result(FutureRecord::to(&topic).key(&key).payload(&event)).unwrap()
        });
        for delivered in sent.collect::<Vec<_>>() {
            delivered.await.unwrap().unwrap();
        }
    }

    /// One transaction with one row, which is committed or aborted; a marker of the broker's stands behind it.
    async fn transaction(&self, table: &str, key: Json, row: Json, place: i64, commit: bool) {
        let (topic, key, value) = (self.topic(table), key.to_string(), self.event(table, row, place));
        self.transactional.begin_transaction().unwrap();
        self.transactional.send(FutureRecord::to(&topic).key(&key).payload(&value), ASK_MAX).await.unwrap();
        if commit {
            self.transactional.commit_transaction(ASK_MAX).unwrap();
        } else {
            self.transactional.abort_transaction(ASK_MAX).unwrap();
        }
    }

    async fn heartbeat(&self) -> i64 {
        let (topic, now) = (self.heartbeats(), now_ms());
        let (key, value) = (r#"{"serverName":"core"}"#, json!({ "ts_ms": now }).to_string());
        self.plain.send(FutureRecord::to(&topic).key(key).payload(&value), ASK_MAX).await.unwrap();
        now
    }
}

/// An ingester over a database of its own, and who reads there.
struct Locum {
    db: Db,
    reader: Reader,
    kafka: KafkaOptions,
}

impl Locum {
    async fn new(bootstrap: &str, prefix: &str) -> Self {
        let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
        migrate(&db).await.unwrap();
        let reader = Reader::new(db.clone(), Tiers { memory: None, redis: None }, ReaderOptions::default());
        Self { db, reader, kafka: KafkaOptions::new(bootstrap, prefix) }
    }

    fn start(&self) -> Running {
        let options = Options::new("one", mapping(), FeedOptions::Kafka(self.kafka.clone()));
        Running::start(options.build(self.db.clone(), Tiers { memory: None, redis: None }, Arc::new(NoJournal)))
    }

    async fn booked(&self) -> Result<i64, ReadError> {
        let read = self.reader.account(&Grant::Any, "A1", &Floor::none()).await?;
        Ok(read.value.balance.as_ref().unwrap().row.booked_minor)
    }

    async fn until_booked(&self, minor: i64) {
        wait_for(&format!("{minor}"), async || {
            let seen = self.booked().await;
            (seen == Ok(minor), seen)
        })
        .await;
    }

    /// The source waits for the command that reads it anew.
    async fn until_halted(&self, why: &str) {
        wait_for("a halt", async || {
            let halted = self.reader.sources().await.unwrap()[0].halted.clone();
            let told = |text: &String| text.contains(why) && ingest::needs_rebuild(text);
            (halted.as_ref().is_some_and(told), halted)
        })
        .await;
    }

    /// The next offset to be read, as SQL keeps it.
    async fn offset(&self) -> i64 {
        let offsets = read_model::offsets(&self.db, "corebank").await.unwrap();
        offsets.iter().find(|(partition, _)| partition.topic.ends_with(".accounts")).unwrap().1
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

    let locum = Locum::new(&kafka, &connector.prefix).await;
    let (reader, running) = (&locum.reader, locum.start());

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
    running.stop().await;
}

/// An ingester that has read five balances, from a topic that a connector fills.
async fn five_were_read(kafka: &str) -> (Connector, Locum, Running) {
    let connector = Connector::open(kafka).await;
    let mut locum = Locum::new(kafka, &connector.prefix).await;
    locum.kafka.gone_after = Duration::from_secs(1);
    let running = locum.start();
    connector.balances(1..6).await;
    locum.until_booked(5).await;
    (connector, locum, running)
}

/// A topic made anew with fewer records than were read, with as many, and with more.
const MADE_ANEW: [Range<i64>; 3] = [11..12, 11..16, 11..20];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_while_nobody_reads_halts_its_source() {
    let Some(kafka) = given::address("LOCUM_TEST_KAFKA") else { return };
    for places in MADE_ANEW {
        let (connector, locum, running) = five_were_read(&kafka).await;
        running.stop().await;
        connector.make_anew(places).await;
        let running = locum.start();
        locum.until_halted("topic recreated").await;
        running.stop().await;
        assert_eq!((locum.offset().await, locum.booked().await), (5, Ok(5)), "of the topic made anew nothing is read");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_while_it_is_read_halts_its_source() {
    let Some(kafka) = given::address("LOCUM_TEST_KAFKA") else { return };
    for places in MADE_ANEW {
        let (connector, locum, running) = five_were_read(&kafka).await;
        connector.make_anew(places).await;
        locum.until_halted("topic recreated").await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_while_it_is_read_halts_its_source() {
    let Some(kafka) = given::address("LOCUM_TEST_KAFKA") else { return };
    let (connector, locum, running) = five_were_read(&kafka).await;
    connector.delete("accounts").await;
    locum.until_halted("is gone").await;
    running.stop().await;
}
