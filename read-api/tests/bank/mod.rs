//! A small bank in SQLite in memory, with the read API over it and everything around it in the test's hand.

mod rows;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use edge::{Allowance, Allowances, Audience, Authenticate, Authenticator, StoreTurns, tokens::Tokens};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use read_api::{AccountHolds, Arrivals, Asked, CursorKey, Holds, HoldsError, Options, ReadApi, Watched, routes};
use read_model::{Advance, Reader, ReaderOptions, SourceStatus, Tiers, Writer};
use schemas::model::CanonicalChange;
use serde_json::Value;
use standin::journal::Hold;
use standin::mode::Mode;
use tokio::sync::watch;
use tower::ServiceExt;

pub use rows::*;

/// Token of a principal that sees customer c-1 only.
pub const MOBILE: &str = "mobile-token-0123456789";
/// Token of another principal that sees everybody.
pub const BRANCH: &str = "branch-token-0123456789";
/// Token that may only write.
pub const WRITER: &str = "writer-token-0123456789";
/// When everything happens, milliseconds since 1970.
pub const NOW_MS: i64 = 1_800_000_000_000;

/// Holds as the test wants them. While the switch is on, nobody gets an answer.
pub struct Journal(pub Mutex<Result<HashMap<String, AccountHolds>, ()>>, pub watch::Sender<bool>);

impl Holds for Journal {
    fn of<'a>(&'a self, _: &'a [Asked]) -> BoxFuture<'a, Result<HashMap<String, AccountHolds>, HoldsError>> {
        let found = self.0.lock().unwrap().clone().map_err(|()| HoldsError("cut off".into()));
        let mut stuck = self.1.subscribe();
        async move {
            stuck.wait_for(|stuck| !stuck).await.unwrap();
            found
        }
        .boxed()
    }
}

pub struct Bank {
    pub router: Router,
    pub journal: Arc<Journal>,
    pub now_ms: Arc<AtomicI64>,
    db: sql::Db,
    sequence: Mutex<i64>,
    arrived: watch::Sender<Vec<SourceStatus>>,
    token: i64,
}

fn tokens() -> Arc<Tokens> {
    let path =
        std::env::temp_dir().join(format!("locum-bank-{}-{:?}", std::process::id(), std::thread::current().id()));
    let text = format!(
        "channels:\n- {{token: {MOBILE}, principal: mobile, customers: [c-1], scopes: [read, write]}}\n\
         - {{token: {BRANCH}, principal: branch, customers: ['*'], scopes: [read]}}\n\
         - {{token: {WRITER}, principal: writer, customers: [c-1], scopes: [write]}}\n"
    );
    std::fs::write(&path, text).unwrap();
    let tokens = Tokens::load(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    Arc::new(tokens)
}

/// A wait for positions that do not come.
const IMPATIENT_MS: u64 = 100;
/// A wait for positions that come, however slow the machine is.
const PATIENT_MS: u64 = 600_000;

fn waiting(position_wait_ms_max: u64) -> Options {
    Options { position_wait_ms_max, ..Options::default() }
}

/// How a bank is opened.
struct Setting {
    /// As in a process that must look at the sources itself.
    watching: bool,
    options: Options,
    /// Turns at the store of each principal; none = as many as it wants.
    store_reads_max: Option<usize>,
}

impl Default for Setting {
    fn default() -> Self {
        Self { watching: false, options: waiting(IMPATIENT_MS), store_reads_max: None }
    }
}

impl Bank {
    /// An empty bank whose one source is registered, and not loaded yet.
    pub async fn open() -> Self {
        Self::open_with(Setting::default()).await
    }

    async fn open_with(Setting { watching, options, store_reads_max }: Setting) -> Self {
        let db = sql::Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
        read_model::migrate(&db).await.unwrap();
        let lease = read_model::take(&db, "core", "test", Duration::from_secs(3_600)).await.unwrap().unwrap();
        let now_ms = Arc::new(AtomicI64::new(NOW_MS));
        let clock: read_api::Clock = {
            let now_ms = now_ms.clone();
            Arc::new(move || now_ms.load(Ordering::Relaxed))
        };
        let judging = ReaderOptions { now_ms: clock.clone(), ..ReaderOptions::default() };
        let reader = Reader::new(db.clone(), Tiers::none(), judging);
        let journal = Arc::new(Journal(Mutex::new(Ok(HashMap::new())), watch::Sender::new(false)));
        let (arrived, arrivals) = watch::channel(Vec::new());
        let key = CursorKey::new([1; 32]);
        let arrivals: Arc<dyn Arrivals> = match watching {
            true => {
                let (watched, looking) = Watched::new(reader.clone(), Duration::from_millis(1));
                tokio::spawn(async move { looking.run().await });
                Arc::new(watched)
            }
            false => Arc::new(arrivals),
        };
        let api = ReadApi::new(reader, journal.clone(), Arc::new(Mode::StandIn), arrivals, key, clock, options);
        let mut guard = Authenticator::tokens(tokens(), Audience::Channels);
        if let Some(store_reads_max) = store_reads_max {
            let each = Allowance { requests_per_s: NonZeroU32::MAX, concurrent_max: 1_000, store_reads_max };
            let store = Arc::new(StoreTurns::new(16));
            guard = guard.within(Arc::new(Allowances::new(each, HashMap::new(), store)));
        }
        let router = routes(api).layer(Authenticate(guard));
        Self { router, journal, now_ms, db, sequence: Mutex::new(0), arrived, token: lease.token }
    }

    /// A loaded bank: c-1 has acc-1 with 100.00, c-2 has acc-2.
    pub async fn loaded() -> Self {
        Self::fill(Self::open().await).await
    }

    /// As [`Bank::loaded`]; positions are waited for as long as it takes.
    pub async fn patient() -> Self {
        Self::fill(Self::open_with(Setting { options: waiting(PATIENT_MS), ..Setting::default() }).await).await
    }

    /// As [`Bank::loaded`], in a process that must look at the sources itself.
    pub async fn watching() -> Self {
        Self::fill(Self::open_with(Setting { watching: true, ..Setting::default() }).await).await
    }

    /// Both.
    pub async fn watching_patiently() -> Self {
        let setting = Setting { watching: true, options: waiting(PATIENT_MS), ..Setting::default() };
        Self::fill(Self::open_with(setting).await).await
    }

    /// As [`Bank::patient`], with one turn at the store for each principal, and four places to wait for positions.
    pub async fn bounded() -> Self {
        let options = Options { position_waiters_max: 4, ..waiting(PATIENT_MS) };
        let setting = Setting { options, store_reads_max: Some(1), ..Setting::default() };
        Self::fill(Self::open_with(setting).await).await
    }

    async fn fill(bank: Self) -> Self {
        let rows = [customer("c-1"), account("acc-1", "c-1"), balance("acc-1", 1, 10_000), account("acc-2", "c-2")];
        bank.apply(rows.to_vec(), NOW_MS - 1_500).await;
        bank
    }

    /// One apply transaction, as the ingester does it; the source counts as loaded.
    pub async fn apply(&self, changes: Vec<CanonicalChange>, as_of_ms: i64) {
        let sequence = *self.sequence.lock().unwrap();
        let token = self.token;
        let next = self.db.transaction(move |tx| {
            Box::pin(async move {
                let writer = Writer::new("core", 1);
                let watermark = changes.iter().map(|change| change.version).max().unwrap_or(version(1));
                writer.apply(tx, &changes).await?;
                let advance = Advance {
                    sequence,
                    offsets: Vec::new(),
                    watermark,
                    as_of_ms: Some(as_of_ms),
                    loaded: true,
                    identity: None,
                    snapshot_begun: false,
                    events: changes.len() as i64,
                    events_behind: Some(0),
                };
                writer.advance(tx, token, &advance).await
            })
        });
        *self.sequence.lock().unwrap() = next.await.unwrap();
        self.arrived.send_replace(read_model::statuses(&self.db).await.unwrap());
    }

    /// Opens a generation in the shadow and fills it; it is served after [`Bank::swap`].
    pub async fn rebuild(&self, changes: Vec<CanonicalChange>) {
        read_model::open_generation(&self.db, "core", Some("fresh")).await.unwrap();
        let lease = read_model::take(&self.db, "core", "bank", Duration::from_secs(60)).await.unwrap().unwrap();
        let sequence = *self.sequence.lock().unwrap();
        let next = self.db.transaction(move |tx| {
            Box::pin(async move {
                let writer = Writer::shadow("core", 2);
                writer.apply(tx, &changes).await?;
                let (offsets, identity, snapshot_begun) = (Vec::new(), None, true);
                let (watermark, as_of_ms) = (changes[0].version, Some(NOW_MS - 500));
                let (loaded, events, events_behind) = (true, 1, Some(0));
                let advance = Advance {
                    sequence,
                    offsets,
                    watermark,
                    as_of_ms,
                    loaded,
                    identity,
                    snapshot_begun,
                    events,
                    events_behind,
                };
                writer.advance(tx, lease.token, &advance).await
            })
        });
        *self.sequence.lock().unwrap() = next.await.unwrap();
    }

    /// Serves the generation that [`Bank::rebuild`] filled.
    pub async fn swap(&self) {
        let lease = read_model::take(&self.db, "core", "bank", Duration::from_secs(60)).await.unwrap().unwrap();
        let sequence = *self.sequence.lock().unwrap();
        let swap = self
            .db
            .transaction(move |tx| Box::pin(async move { Writer::shadow("core", 2).swap(tx, &lease, sequence).await }));
        swap.await.unwrap();
        *self.sequence.lock().unwrap() += 1;
        self.arrived.send_replace(read_model::statuses(&self.db).await.unwrap());
    }

    /// Sets the journal's holds on one account.
    pub fn hold(&self, account: &str, lane_version: i64, holds: Vec<Hold>) {
        let holds = HashMap::from([(account.to_owned(), AccountHolds { lane_version, holds })]);
        *self.journal.0.lock().unwrap() = Ok(holds);
    }

    /// Any request.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        Answer::of(response).await
    }

    /// A read by the principal `mobile`.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.get_as(MOBILE, path, headers).await
    }

    /// A read with any token.
    pub async fn get_as(&self, token: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers: Vec<_> = headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
        self.send("GET", path, &headers, "").await
    }
}

/// A response, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub json: Value,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        Self { status: parts.status.as_u16(), headers: parts.headers, json }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Asserts a problem document.
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.json);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
    }
}
