//! A read model of its own per test, on every engine at hand: SQLite always, each server of `LOCUM_TEST_SQL_URLS`.

#[path = "../../../sql/tests/support/given.rs"]
mod given;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use read_model::*;
use schemas::model::{
    Account, AccountState, Balance, CanonicalChange, CanonicalRow, Customer, Entity, Personal, RowChange, Transaction,
};
use schemas::money::Currency;
use schemas::position::Version;
use sql::Db;

static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct World {
    pub db: Db,
    pub source: String,
    pub writer: Writer,
    pub lease: Lease,
    pub tiers: Tiers,
    pub sequence: i64,
    pub next: i64,
    url: String,
    folder: PathBuf,
}

pub fn engines() -> Vec<String> {
    ["memory".to_owned(), "file".to_owned()].into_iter().chain(given::servers()).collect()
}

pub fn redis_url() -> Option<String> {
    given::address("LOCUM_TEST_REDIS_URL")
}

pub const TOPIC: &str = "core.bank.accounts";

impl World {
    pub async fn open(engine: &str) -> World {
        let mut world = World::bare(engine).await;
        migrate(&world.db).await.unwrap();
        migrate(&world.db).await.unwrap();
        world.new_source("bank").await;
        world
    }

    /// A database without tables.
    pub async fn bare(engine: &str) -> World {
        let name = format!("locum_rm_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        let url = match engine {
            "memory" => "sqlite::memory:".to_owned(),
            "file" => {
                std::fs::create_dir_all(&folder).unwrap();
                format!("sqlite:{}", folder.join("db").display())
            }
            server => format!("{server}/{name}"),
        };
        let options = sql::Options {
            record_statements_to: std::env::var_os("LOCUM_TEST_RECORD_TO").map(PathBuf::from),
            ..sql::Options::default()
        };
        let db = Db::open(&url, options).await.unwrap();
        World {
            db,
            source: String::new(),
            writer: Writer::new("", 1),
            lease: Lease { source: String::new(), owner: String::new(), token: 0 },
            tiers: Tiers::none(),
            sequence: 0,
            next: 0,
            url,
            folder,
        }
    }

    /// A fresh source in the same database.
    pub async fn new_source(&mut self, source: &str) {
        self.source = source.to_owned();
        self.writer = Writer::new(source, 1);
        self.lease = take(&self.db, source, "test", Duration::from_secs(60)).await.unwrap().unwrap();
        self.writer.add_partitions(&self.db, &self.lease, vec![(partition(), 0)]).await.unwrap();
        (self.sequence, self.next) = (0, 0);
    }

    pub fn reader(&self) -> Reader {
        Reader::new(self.db.clone(), self.tiers.clone(), ReaderOptions::default())
    }

    /// The advance of a batch of `events` records.
    pub fn advance(&self, events: i64) -> Advance {
        Advance {
            sequence: self.sequence,
            offsets: vec![OffsetStep {
                partition: partition(),
                from: self.next,
                to: self.next + events,
                marks: Marks::default(),
            }],
            watermark: version(self.next as u64 + 1),
            as_of_ms: Some(now_ms()),
            loaded: true,
            identity: None,
            snapshot_begun: false,
            events,
            events_behind: Some(0),
        }
    }

    pub async fn try_apply(
        &self,
        changes: Vec<CanonicalChange>,
        parked: Vec<ParkedEvent>,
        token: i64,
        advance: Advance,
        crash: bool,
    ) -> Result<Applied, WriteError> {
        let writer = self.writer.clone();
        self.db
            .transaction(move |tx| {
                Box::pin(async move {
                    writer.park(tx, &parked).await?;
                    let applied = writer.apply(tx, &changes).await?;
                    writer.advance(tx, token, &advance).await?;
                    // A crash before the commit is a rollback.
                    if crash { Err(sql::Error::Unavailable("crash".into()).into()) } else { Ok(applied) }
                })
            })
            .await
    }

    /// Applies and publishes one batch.
    pub async fn apply(&mut self, changes: Vec<CanonicalChange>) -> Applied {
        self.apply_with(changes, Vec::new()).await
    }

    pub async fn apply_with(&mut self, changes: Vec<CanonicalChange>, parked: Vec<ParkedEvent>) -> Applied {
        let events = changes.len() as i64;
        let touched: Vec<String> = parked.iter().flat_map(|p| &p.touches).map(|(_, key)| key.clone()).collect();
        let reset = parked.iter().any(|p| p.touches.is_empty());
        let applied = self.try_apply(changes, parked, self.lease.token, self.advance(events), false).await.unwrap();
        self.sequence += 1;
        self.next += events;
        let status = status_of(&self.db, &self.source).await.unwrap().unwrap();
        assert_eq!(status.applied_seq, self.sequence);
        let publication = Publication {
            status: Arc::new(status),
            previous_seq: self.sequence - 1,
            documents: applied.documents.clone(),
            gone: applied.gone.iter().cloned().chain(touched).collect(),
            reset,
        };
        self.tiers.publish(&publication).await;
        applied
    }

    pub async fn remove(self) {
        if self.url.starts_with("mysql:") {
            let name = self.url.rsplit('/').next().unwrap().to_owned();
            let _ = self.db.exec(&format!("DROP DATABASE {name}"), vec![]).await;
        }
        self.db.close().await;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn partition() -> Partition {
    Partition { topic: TOPIC.into(), partition: 0 }
}

pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Generation 1, this position.
pub fn version(position: u64) -> Version {
    let mut bytes = [0; Version::LEN];
    bytes[3] = 1;
    bytes[12..20].copy_from_slice(&position.to_be_bytes());
    bytes[20] = 1;
    bytes[25] = 1;
    Version::from_bytes(&bytes).unwrap()
}

pub fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn change(entity: Entity, key: &str, account: Option<&str>, position: u64, row: RowChange) -> CanonicalChange {
    let account_id = account.map(str::to_owned);
    CanonicalChange { entity, key: key.to_owned(), account_id, version: version(position), place: None, row }
}

pub fn account(key: &str, customer: &str, position: u64) -> CanonicalChange {
    let row = Account {
        account_id: key.to_owned(),
        customer_id: customer.to_owned(),
        currency: eur(),
        state: AccountState::Active,
        product: None,
    };
    change(Entity::Account, key, Some(key), position, RowChange::Upsert(CanonicalRow::Account(row)))
}

pub fn customer(key: &str, position: u64) -> CanonicalChange {
    let row = Customer { customer_id: key.to_owned(), name: None };
    change(Entity::Customer, key, None, position, RowChange::Upsert(CanonicalRow::Customer(row)))
}

pub fn balance(key: &str, booked_minor: i64, position: u64) -> CanonicalChange {
    let row = Balance {
        account_id: key.to_owned(),
        currency: eur(),
        booked_minor,
        overdraft_line_minor: 0,
        core_holds_minor: 0,
        last_posting: Some(position as i64),
    };
    change(Entity::Balance, key, Some(key), position, RowChange::Upsert(CanonicalRow::Balance(row)))
}

pub fn posting(account: &str, n: i64, at_s: i64, amount_minor: i64, text: &str, position: u64) -> CanonicalChange {
    let booked_at = jiff::Timestamp::from_second(at_s).unwrap();
    let transaction_id = format!("{account}-{n:06}");
    let row = Transaction {
        transaction_id: transaction_id.clone(),
        account_id: account.to_owned(),
        posting_no: Some(n),
        amount_minor,
        currency: eur(),
        booked_at,
        value_date: jiff::civil::date(2026, 11, 22),
        remittance: Some(Personal::new(text)),
        core_ref: None,
    };
    let row = RowChange::Upsert(CanonicalRow::Transaction(row));
    change(Entity::Transaction, &transaction_id, Some(account), position, row)
}

pub fn delete(entity: Entity, key: &str, position: u64) -> CanonicalChange {
    change(entity, key, None, position, RowChange::Delete)
}

pub async fn wait_for<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> (bool, T)) {
    let mut last = None;
    for _ in 0..500 {
        let (there, seen) = look().await;
        if there {
            return;
        }
        last = Some(seen);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen; last seen: {last:?}");
}

/// A test of each name that plays its case on every engine, each time in a world that is made so.
macro_rules! on_every_engine {
    ($world:path; $($name:ident => $case:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for engine in engines() {
                println!("engine {engine}");
                let mut world = $world(&engine).await;
                $case(&mut world).await;
                world.remove().await;
            }
        }
    )*};
}
pub(crate) use on_every_engine;
