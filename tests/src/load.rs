//! A seeded load: many clients, one hot account, the same key on every retry, plain reads beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Client, Recorder};
use crate::history::{Answer, Transfer};

/// How much, of what.
#[derive(Debug, Clone)]
pub struct Load {
    /// First part of every key; two loads of one world differ.
    pub name: String,
    /// Seed of accounts and amounts.
    pub seed: u64,
    /// Clients at once.
    pub clients: usize,
    /// Transfers of all clients together; more while a gate says so.
    pub transfers: usize,
    /// Most transfers begun per second.
    pub per_second: usize,
    /// Account numbers to choose from; the first one is hot.
    pub accounts: Vec<String>,
    /// How long a client retries one key.
    pub patience: Duration,
}

/// Of a hundred transfers, those that touch the hot account.
const HOT_PERCENT: u32 = 20;
/// Of a hundred transfers, those that ask for more than the account can have.
const TOO_MUCH_PERCENT: u32 = 3;
/// Of a hundred answered keys, those that are sent again.
const AGAIN_PERCENT: u32 = 5;
/// Usual amounts in minor units, and those that no account can have.
const AMOUNT_MINOR: std::ops::RangeInclusive<i64> = 1..=50_00;
const TOO_MUCH_MINOR: std::ops::RangeInclusive<i64> = 500_000_000..=600_000_000;
const READS_PER_SECOND: u64 = 20;

/// Says when a load is enough. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<AtomicBool>);

impl Default for Gate {
    /// The load's own size is enough.
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Gate {
    /// The load goes on beyond its size until it is enough: what is meant to happen under load always does.
    pub fn until_enough() -> Self {
        Self(Arc::default())
    }

    /// The load may end once it has its size.
    pub fn enough(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_enough(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Load {
    /// Sends everything, as the gate says; returns how many keys were never acknowledged.
    pub(crate) async fn run(&self, gate: &Gate, recorder: &Arc<Recorder>, addresses: &[String], token: &str) -> usize {
        println!("load {}: seed {}, {} transfers by {} clients", self.name, self.seed, self.transfers, self.clients);
        let pace = Arc::new(Semaphore::new(0));
        let mut tasks = JoinSet::new();
        for id in 0..self.clients {
            let client = Client::new(id, recorder.clone(), addresses, token);
            let share = self.transfers / self.clients + usize::from(id < self.transfers % self.clients);
            tasks.spawn(client_task(self.clone(), client, id, share, gate.clone(), pace.clone()));
        }
        let ticks = tokio::spawn(feed(pace, self.per_second));
        let unanswered = tasks.join_all().await.into_iter().sum();
        ticks.abort();
        unanswered
    }
}

async fn client_task(
    load: Load,
    mut client: Client,
    id: usize,
    share: usize,
    gate: Gate,
    pace: Arc<Semaphore>,
) -> usize {
    let mut rng = StdRng::seed_from_u64(load.seed ^ (id as u64) << 32);
    let mut unanswered = 0;
    for n in 0.. {
        if n >= share && gate.is_enough() {
            break;
        }
        pace.acquire().await.unwrap_or_else(|err| panic!("nobody sets the pace: {err}")).forget();
        let transfer = load.transfer(&mut rng, n);
        let key = format!("{}-{id}-{n}", load.name);
        let answer = client.submit(&key, &transfer, load.patience).await;
        unanswered += usize::from(!answer.as_ref().is_some_and(Answer::acknowledges));
        if rng.random_range(0..100) < AGAIN_PERCENT {
            client.submit_once(&key, &transfer).await;
        }
    }
    unanswered
}

impl Load {
    fn transfer(&self, rng: &mut StdRng, n: usize) -> Transfer {
        let count = self.accounts.len();
        let one = if rng.random_range(0..100) < HOT_PERCENT { 0 } else { rng.random_range(0..count) };
        let other = (one + rng.random_range(1..count)) % count;
        let (from, to) = if rng.random() { (one, other) } else { (other, one) };
        let amount_minor = match rng.random_range(0..100) < TOO_MUCH_PERCENT {
            true => rng.random_range(TOO_MUCH_MINOR),
            false => rng.random_range(AMOUNT_MINOR),
        };
        let remittance = rng.random::<bool>().then(|| format!("{} {n}", self.name));
        let (from, to) = (self.accounts[from].clone(), self.accounts[to].clone());
        Transfer { from, to, amount_minor, currency: "EUR".to_owned(), remittance }
    }
}

/// Lets `per_second` transfers begin, spread over the second. What no client was free to begin within a second is not made up for.
async fn feed(pace: Arc<Semaphore>, per_second: usize) {
    const TICKS: usize = 20;
    let mut ticks = interval(Duration::from_millis(1_000 / TICKS as u64));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut owed = 0;
    loop {
        ticks.tick().await;
        owed += per_second;
        let left = per_second.saturating_sub(pace.available_permits());
        pace.add_permits((owed / TICKS).min(left));
        owed %= TICKS;
    }
}

/// Reads of random accounts at one instance, every second one with the position of the one before, until dropped or stopped.
pub struct Reads {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Reads {
    /// Reads at instance `instance`, which may be killed meanwhile.
    pub fn start(
        instance: usize,
        seed: u64,
        accounts: Vec<String>,
        recorder: Arc<Recorder>,
        addresses: &[String],
        token: &str,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = Client::new(instance, recorder, addresses, token);
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed ^ instance as u64);
            let mut ticks = interval(Duration::from_millis(1_000 / READS_PER_SECOND));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                client.read(&accounts[rng.random_range(0..accounts.len())]).await;
            }
        });
        Self { stop, task }
    }

    /// Ends it after the read under way.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or_else(|err| panic!("a reader failed: {err}"));
    }
}
