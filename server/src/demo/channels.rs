//! The demo's channels: clients that send transfers and read balances, and write down what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edge::client::{Http, HttpAnswer};
use http::{Method, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::CHANNEL;

/// Clients that send, and their common pace.
const SENDERS: usize = 24;
const TRANSFERS_PER_SECOND: u64 = 150;
/// Clients that read, and the pause of each between two reads.
const READERS: usize = 4;
const READ_PAUSE: Duration = Duration::from_millis(5);
/// Longest wait of a channel for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Usual amounts, in cents; and one transfer in so many asks for more than any account has.
const AMOUNT_CENTS: std::ops::RangeInclusive<u32> = 1..=20_00;
const TOO_MUCH: &str = "999999.00";
const TOO_MUCH_ONE_IN: u32 = 50;
/// Everything random in the demo comes from here.
const SEED: u64 = 20_261_122;

/// One write and what its channel was told.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its idempotency key.
    pub key: String,
    /// What was asked for.
    pub body: Json,
    /// The status of the answer; none = there was no whole answer.
    pub status: Option<StatusCode>,
    /// The body of the answer.
    pub answer: Json,
}

impl Write {
    /// Was the channel told that the money moves, now or later?
    pub fn accepted(&self) -> bool {
        let accepted = matches!(self.status, Some(StatusCode::CREATED | StatusCode::ACCEPTED));
        accepted && self.answer["status"] != "FAILED"
    }

    /// Did the channel see an error, other than a rule's or the core's no?
    pub fn is_error(&self) -> bool {
        let told = [StatusCode::CREATED, StatusCode::ACCEPTED, StatusCode::UNPROCESSABLE_ENTITY]
            .map(Some)
            .contains(&self.status);
        !told
    }
}

/// What all channels saw.
#[derive(Default)]
pub struct Seen {
    writes: Mutex<Vec<Write>>,
    /// Answered writes.
    pub written: AtomicU64,
    /// Reads.
    pub reads: AtomicU64,
    /// Reads that were not answered with a balance.
    pub read_errors: AtomicU64,
    /// How long reads took.
    read_times: Mutex<Vec<Duration>>,
}

impl Seen {
    /// Every write so far.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.writes).clone()
    }

    /// Writes with this status.
    pub fn answered(&self, status: StatusCode) -> usize {
        lock(&self.writes).iter().filter(|write| write.status == Some(status)).count()
    }

    /// The median and the 99th percentile of the reads; none without reads.
    pub fn read_times(&self) -> Option<(Duration, Duration)> {
        let mut all = lock(&self.read_times).clone();
        all.sort_unstable();
        Some((*all.get(all.len() / 2)?, *all.get(all.len() * 99 / 100)?))
    }
}

/// The channels at work.
pub struct Channels {
    /// What they saw.
    pub seen: Arc<Seen>,
    senders: JoinSet<()>,
    readers: JoinSet<()>,
    enough: Arc<AtomicBool>,
}

impl Channels {
    /// Starts readers, and senders of `transfers` transfers between `accounts`.
    pub fn start(address: &str, accounts: Arc<Vec<String>>, transfers: usize) -> Self {
        let (seen, enough) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let pace = Arc::new(Semaphore::new(0));
        let (mut senders, mut readers) = (JoinSet::new(), JoinSet::new());
        for id in 0..SENDERS {
            let share = transfers / SENDERS + usize::from(id < transfers % SENDERS);
            let sender = Channel::new(id, address, accounts.clone(), seen.clone());
            senders.spawn(sender.send(share, pace.clone()));
        }
        for id in SENDERS..SENDERS + READERS {
            let reader = Channel::new(id, address, accounts.clone(), seen.clone());
            readers.spawn(reader.read(enough.clone()));
        }
        readers.spawn(metronome(pace, enough.clone()));
        Self { seen, senders, readers, enough }
    }

    /// Waits until every transfer was answered; the reads go on.
    pub async fn all_sent(&mut self) -> anyhow::Result<()> {
        while let Some(sender) = self.senders.join_next().await {
            sender?;
        }
        Ok(())
    }

    /// Ends the reads.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.enough.store(true, Ordering::Relaxed);
        while let Some(reader) = self.readers.join_next().await {
            reader?;
        }
        Ok(())
    }
}

async fn metronome(pace: Arc<Semaphore>, enough: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / TRANSFERS_PER_SECOND));
    while !enough.load(Ordering::Relaxed) {
        ticks.tick().await;
        pace.add_permits(1);
    }
}

/// One client with its own connection.
struct Channel {
    id: usize,
    http: Http,
    rng: StdRng,
    accounts: Arc<Vec<String>>,
    seen: Arc<Seen>,
}

impl Channel {
    fn new(id: usize, address: &str, accounts: Arc<Vec<String>>, seen: Arc<Seen>) -> Self {
        let http = Http::new(address, Some(CHANNEL), ANSWER_MAX);
        Self { id, http, rng: StdRng::seed_from_u64(SEED + id as u64), accounts, seen }
    }

    async fn send(mut self, share: usize, pace: Arc<Semaphore>) {
        for n in 0..share {
            match pace.acquire().await {
                Ok(turn) => turn.forget(),
                Err(_) => return,
            }
            let (key, body) = (format!("demo-{}-{n}", self.id), self.transfer());
            let answer = submit(&mut self.http, &key, &body).await;
            let (status, answer) = answer.map_or((None, Json::Null), |answer| (Some(answer.status), answer.body));
            lock(&self.seen.writes).push(Write { key, body, status, answer });
            self.seen.written.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn transfer(&mut self) -> Json {
        let count = self.accounts.len();
        let from = self.rng.random_range(0..count);
        let to = (from + self.rng.random_range(1..count)) % count;
        let cents = self.rng.random_range(AMOUNT_CENTS);
        let amount = match self.rng.random_range(0..TOO_MUCH_ONE_IN) {
            0 => TOO_MUCH.to_owned(),
            _ => format!("{}.{:02}", cents / 100, cents % 100),
        };
        json!({
            "from_account": self.accounts[from], "to_account": self.accounts[to], "amount": amount, "currency": "EUR",
            "remittance": "demo",
        })
    }

    async fn read(mut self, enough: Arc<AtomicBool>) {
        while !enough.load(Ordering::Relaxed) {
            let account = &self.accounts[self.rng.random_range(0..self.accounts.len())];
            let begun = tokio::time::Instant::now();
            let answer = self.http.get(&format!("/v1/accounts/{account}/balances")).await;
            lock(&self.seen.read_times).push(begun.elapsed());
            self.seen.reads.fetch_add(1, Ordering::Relaxed);
            if !answer.is_ok_and(|answer| answer.status == StatusCode::OK && answer.body["booked"].is_string()) {
                self.seen.read_errors.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
    }
}

/// Sends one transfer under its key.
pub async fn submit(http: &mut Http, key: &str, body: &Json) -> Result<HttpAnswer, String> {
    http.request(Method::POST, "/v1/transfers", &[("idempotency-key", key)], Some(body)).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
