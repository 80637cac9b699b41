//! A core in memory: logs per partition, fed to a real ingester over a real database.
#![allow(dead_code)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use ingest::{Batch, Confirm, Feed, FeedError, FeedOptions, NoJournal, Options, Polled, RawRecord};
use read_model::*;
use schemas::mapping::Mapping;
use serde_json::{Value as Json, json};
use sql::{BoxFuture, Db};
use tokio::sync::{Notify, watch};

pub const MAPPING: &str = include_str!("../../../schemas/mappings/core-sim.yaml");

pub fn mapping() -> Arc<Mapping> {
    Arc::new(Mapping::from_yaml(MAPPING).unwrap())
}

type KeyValue = (Vec<u8>, Option<Vec<u8>>);

/// What "Kafka" holds, and how it misbehaves.
#[derive(Default)]
pub struct Log {
    pub partitions: HashMap<Partition, Vec<KeyValue>>,
    /// First offsets, where retention took what was before.
    pub lows: HashMap<Partition, i64>,
    /// Told instead of records, once.
    pub lost: Option<String>,
    /// Told instead of records, once: the feed's own thread is gone.
    pub ended: bool,
    /// Records of a batch.
    pub batch: usize,
    /// Each batch repeats this many records of the one before.
    pub repeat: usize,
    /// What feeds were told to start with.
    pub assigned: Vec<Vec<(Partition, Place)>>,
    position: u64,
}

#[derive(Clone, Default)]
pub struct Core {
    pub log: Arc<Mutex<Log>>,
    news: Arc<Notify>,
    /// Which log the core writes: its name, as a number.
    pub log_name: Arc<AtomicU32>,
    prefix: String,
}

pub fn partition(table: &str, number: i32) -> Partition {
    Partition { topic: format!("core.corebank.{table}"), partition: number }
}

pub fn decimal(minor: i64) -> String {
    base64::engine::general_purpose::STANDARD.encode(minor.to_be_bytes())
}

pub fn account_row(no: &str, balance_minor: i64, last_posting: i64) -> Json {
    json!({"account_no": no, "owner": "C1", "ccy": "EUR", "status": "A", "balance": decimal(balance_minor),
        "overdraft": decimal(0), "held": decimal(0), "last_posting": last_posting, "opened": 0, "updated": 0})
}

pub fn posting_row(no: &str, n: i64, leg: &str, minor: i64, reference: &str) -> Json {
    json!({"account_no": no, "posting_no": n, "ext_ref": reference, "leg": leg, "amount": decimal(minor), "ccy": "EUR",
        "booked_at": 1_700_000_000_000_000_i64 + n, "value_date": 19_000, "text": "t"})
}

impl Core {
    pub fn new() -> Core {
        let core = Core::default();
        core.log_name.store(1, Ordering::SeqCst);
        core.log.lock().unwrap().batch = 100;
        core.under("core")
    }

    /// The same core through a connector with another topic prefix; its topics are made.
    pub fn under(&self, prefix: &str) -> Core {
        let core = Core { prefix: prefix.to_owned(), ..self.clone() };
        let tables =
            ["accounts", "customers", "postings"].map(|table| [core.partition(table, 0), core.partition(table, 1)]);
        for partition in tables.into_iter().flatten().chain([core.beats()]) {
            core.log.lock().unwrap().partitions.insert(partition, Vec::new());
        }
        core
    }

    fn partition(&self, table: &str, number: i32) -> Partition {
        Partition { topic: format!("{}.corebank.{table}", self.prefix), partition: number }
    }

    fn beats(&self) -> Partition {
        Partition { topic: format!("__debezium-heartbeat.{}", self.prefix), partition: 0 }
    }

    fn append(&self, partition: Partition, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.log.lock().unwrap().partitions.get_mut(&partition).unwrap().push((key, value));
        self.news.notify_waiters();
    }

    pub fn event(&self, table: &str, op: &str, key: Json, before: Json, after: Json, snapshot: &str) {
        self.event_made_at(now_ms(), table, op, key, before, after, snapshot);
    }

    #[allow(clippy::too_many_arguments)]
    fn event_made_at(&self, made: i64, table: &str, op: &str, key: Json, before: Json, after: Json, snapshot: &str) {
        let position = {
            let mut log = self.log.lock().unwrap();
            log.position += 1;
            log.position
        };
        let now = now_ms();
        let file = format!("bin{}.000001", self.log_name.load(Ordering::SeqCst));
        let value = json!({"before": before, "after": after, "op": op, "ts_ms": now, "source": {"connector": "mariadb",
            "name": "core", "ts_ms": made, "snapshot": snapshot, "db": "corebank", "table": table,
            "server_id": 1, "gtid": null, "file": file, "pos": position, "row": 0}});
        let number = i32::from(key.to_string().bytes().fold(0u8, u8::wrapping_add) % 2);
        self.append(self.partition(table, number), key.to_string().into_bytes(), Some(value.to_string().into_bytes()));
    }

    pub fn account(&self, no: &str, balance_minor: i64, last_posting: i64) {
        let row = account_row(no, balance_minor, last_posting);
        self.event("accounts", "u", json!({"account_no": no}), row.clone(), row, "false");
    }

    pub fn account_made_at(&self, made_ms: i64, no: &str, balance_minor: i64, last_posting: i64) {
        let row = account_row(no, balance_minor, last_posting);
        self.event_made_at(made_ms, "accounts", "u", json!({"account_no": no}), row.clone(), row, "false");
    }

    pub fn snapshot_account(&self, no: &str, balance_minor: i64) {
        self.snapshot_row(no, balance_minor, "true");
    }

    /// A row of a snapshot at this place of it: `first`, `true`, `last`.
    pub fn snapshot_row(&self, no: &str, balance_minor: i64, place: &str) {
        self.event("accounts", "r", json!({"account_no": no}), Json::Null, account_row(no, balance_minor, 0), place);
    }

    pub fn delete_account(&self, no: &str) {
        self.event("accounts", "d", json!({"account_no": no}), account_row(no, 0, 0), Json::Null, "false");
    }

    pub fn posting(&self, no: &str, n: i64, leg: &str, minor: i64, reference: &str) {
        let key = json!({"account_no": no, "posting_no": n});
        self.event("postings", "c", key, Json::Null, posting_row(no, n, leg, minor, reference), "false");
    }

    pub fn poison(&self, no: &str) {
        self.poison_row("accounts", json!({"account_no": no}));
    }

    pub fn poison_row(&self, table: &str, key: Json) {
        let key = key.to_string();
        let number = i32::from(key.bytes().fold(0u8, u8::wrapping_add) % 2);
        self.append(self.partition(table, number), key.into_bytes(), Some(b"{\"op\":\"u\",".to_vec()));
    }

    pub fn truncate(&self) {
        self.event("accounts", "t", json!({}), Json::Null, Json::Null, "false");
    }

    pub fn heartbeat(&self) {
        self.heartbeat_at(now_ms());
    }

    pub fn heartbeat_at(&self, ts_ms: i64) {
        let value = json!({ "ts_ms": ts_ms }).to_string().into_bytes();
        self.append(self.beats(), br#"{"serverName":"core"}"#.to_vec(), Some(value));
    }

    pub fn end_feed(&self) {
        self.log.lock().unwrap().ended = true;
        self.news.notify_waiters();
    }

    pub fn lose(&self, reason: &str) {
        self.log.lock().unwrap().lost = Some(reason.to_owned());
        self.news.notify_waiters();
    }
}

pub struct FakeFeed {
    core: Core,
    prefix: String,
    next: HashMap<Partition, i64>,
    announced: bool,
}

impl FakeFeed {
    fn reads(&self, partition: &Partition) -> bool {
        let topic = partition.topic.trim_start_matches("__debezium-heartbeat.");
        topic.split('.').next() == Some(&self.prefix)
    }

    fn look(&mut self) -> Option<Result<Polled, FeedError>> {
        let mut log = self.core.log.lock().unwrap();
        if let Some(reason) = log.lost.take() {
            return Some(Err(FeedError::Lost(reason)));
        }
        if std::mem::take(&mut log.ended) {
            return Some(Err(FeedError::Ended("its thread is gone".into())));
        }
        let new: Vec<_> =
            log.partitions.keys().filter(|p| self.reads(p) && !self.next.contains_key(*p)).cloned().collect();
        if !new.is_empty() {
            if std::mem::replace(&mut self.announced, true) {
                return None;
            }
            let low = |p: &Partition| log.lows.get(p).copied().unwrap_or(0);
            let found = new.into_iter().map(|p| (p.clone(), low(&p)));
            return Some(Ok(Polled::Discovered(found.collect())));
        }
        let (mut records, mut budget) = (Vec::new(), log.batch);
        // Partitions in an order of their own: another one than the core's.
        let mut names: Vec<_> = log.partitions.keys().filter(|p| self.reads(p)).cloned().collect();
        names.sort_by(|a, b| b.cmp(a));
        for name in names {
            let all = &log.partitions[&name];
            let next = self.next.get_mut(&name).unwrap();
            let from = (*next as usize).saturating_sub(log.repeat);
            let to = (*next as usize + budget).min(all.len()).max(*next as usize);
            budget -= to - *next as usize;
            for (offset, (key, value)) in all.iter().enumerate().take(to).skip(from) {
                records.push(RawRecord {
                    topic: name.topic.as_str().into(),
                    partition: Arc::new(name.clone()),
                    offset: offset as i64,
                    timestamp_ms: Some(now_ms()),
                    key: Some(key.clone()),
                    value: value.clone(),
                });
            }
            *next = to as i64;
        }
        let read = log.partitions.iter().filter(|(p, _)| self.reads(p));
        let ends: Vec<_> = read.map(|(p, all)| (p.clone(), all.len() as i64)).collect();
        (budget < log.batch).then_some(Ok(Polled::Batch(Batch { records, ends: Some(ends.into()) })))
    }
}

impl Feed for FakeFeed {
    fn assign(&mut self, partitions: Vec<(Partition, Place)>) -> BoxFuture<'_, Result<(), FeedError>> {
        self.core.log.lock().unwrap().assigned.push(partitions.clone());
        self.next.extend(partitions.into_iter().map(|(partition, place)| (partition, place.next)));
        self.announced = false;
        Box::pin(async { Ok(()) })
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, FeedError>> {
        Box::pin(async move {
            loop {
                let news = self.core.news.clone();
                let woken = news.notified();
                if let Some(polled) = self.look() {
                    return polled;
                }
                // Repeated records come again and again; a real broker would pace them too.
                let _ = tokio::time::timeout(Duration::from_millis(20), woken).await;
            }
        })
    }
}

/// Ingesters over one database.
pub struct Site {
    pub core: Core,
    pub db: Db,
    pub tiers: Tiers,
    pub reader: Reader,
}

pub struct Running {
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub fn start(service: ingest::Service) -> Running {
        let (shutdown, stop) = watch::channel(false);
        Running { shutdown, task: tokio::spawn(service.run(stop)) }
    }

    pub async fn stop(self) {
        self.shutdown.send(true).unwrap();
        self.task.await.unwrap();
    }

    /// As a killed process: nothing is finished or given back.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Site {
    pub async fn open() -> Site {
        let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
        migrate(&db).await.unwrap();
        let tiers = Tiers { memory: Some(Arc::new(Memory::new(1_000))), redis: None };
        let reader = Reader::new(db.clone(), tiers.clone(), ReaderOptions::default());
        Site { core: Core::new(), db, tiers, reader }
    }

    pub fn start(&self, owner: &str) -> Running {
        self.start_with(owner, Arc::new(NoJournal))
    }

    pub fn start_with(&self, owner: &str, confirm: Arc<dyn Confirm>) -> Running {
        self.start_mapped(owner, confirm, MAPPING)
    }

    pub fn start_mapped(&self, owner: &str, confirm: Arc<dyn Confirm>, mapping: &str) -> Running {
        self.start_changed(owner, confirm, mapping, |_| {})
    }

    /// With options that the caller changes.
    pub fn start_changed(
        &self,
        owner: &str,
        confirm: Arc<dyn Confirm>,
        mapping: &str,
        change: impl FnOnce(&mut Options),
    ) -> Running {
        let mapping = Arc::new(Mapping::from_yaml(mapping).unwrap());
        let core = self.core.clone();
        let factory = move |prefix: Option<&str>| {
            let (core, prefix) = (core.clone(), prefix.unwrap_or("core").to_owned());
            Ok(Box::new(FakeFeed { core, prefix, next: HashMap::new(), announced: false }) as Box<dyn Feed>)
        };
        let mut options = Options::new(owner, mapping, FeedOptions::Made(Arc::new(factory)));
        options.lease = Duration::from_millis(400);
        options.retry = Duration::from_millis(20);
        change(&mut options);
        Running::start(options.build(self.db.clone(), self.tiers.clone(), confirm))
    }

    pub async fn status(&self) -> Option<SourceStatus> {
        status_of(&self.db, "corebank").await.unwrap()
    }

    pub async fn booked(&self, no: &str) -> Result<i64, ReadError> {
        let read = self.reader.account(&Grant::Any, no, &Floor::none()).await?;
        Ok(read.value.balance.as_ref().unwrap().row.booked_minor)
    }

    pub async fn until_booked(&self, no: &str, minor: i64) {
        wait_for(&format!("{no} = {minor}"), async || {
            let seen = self.booked(no).await;
            (seen == Ok(minor), seen)
        })
        .await;
    }

    pub async fn until_halted(&self) -> String {
        wait_for("halt", async || {
            let halted = self.status().await.and_then(|status| status.halted);
            (halted.is_some(), halted)
        })
        .await;
        self.status().await.unwrap().halted.unwrap()
    }
}

pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

pub async fn wait_for<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> (bool, T)) {
    let mut last = None;
    for _ in 0..1_000 {
        let (there, seen) = look().await;
        if there {
            return;
        }
        last = Some(seen);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen; last seen: {last:?}");
}
