//! Clients: they ask for transfers, again with the same key until they know, and remember every answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemas::entry::EntryState;
use schemas::grant::Grant;
use standin::journal::{EntryId, Transfer, Write};
use tokio::time::{sleep, timeout};

use crate::books::CUSTOMER;
use crate::core::{eur, short};
use crate::fault::Fault;
use crate::host::Host;
use crate::world::World;

/// Longest wait of a client for an answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often a client asks.
const TRIES_MAX: u32 = 8;
/// A usual transfer moves at most so many minor units: a few of them empty an account.
const AMOUNT_MAX: u64 = 400;

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The core posted it.
    Posted,
    /// It was taken and will be posted.
    Accepted,
    /// It will not be posted.
    Failed,
}

/// One answer that a client had.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Under which key.
    pub key: String,
    /// When the first request under the key was begun, and when this answer came.
    pub between: (Duration, Duration),
    /// What it was told.
    pub told: Told,
    /// Of which entry.
    pub entry: String,
    /// Did the entry ask for what the client asked for?
    pub as_asked: bool,
}

/// All answers that clients had.
#[derive(Default)]
pub struct History(Mutex<(Vec<Answer>, BTreeMap<String, Duration>)>);

impl History {
    /// The answers, in their order.
    pub fn answers(&self) -> Vec<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// A request under this key begins; answers when the first one did.
    fn begins(&self, key: &str, at: Duration) -> Duration {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known.1.entry(key.to_owned()).or_insert(at)
    }
}

/// A client with one transfer to make.
#[derive(Clone)]
pub struct Client {
    world: Arc<World>,
    hosts: Arc<[Arc<Host>]>,
    history: Arc<History>,
    key: String,
    command: Transfer,
}

impl Client {
    /// The client of the transfer number `n`.
    pub fn new(
        world: &Arc<World>,
        hosts: &Arc<[Arc<Host>]>,
        history: &Arc<History>,
        accounts: &[String],
        n: usize,
    ) -> Self {
        let (from, to, amount_minor) = world.draw(|chance| {
            let from = usize::try_from(chance.below(accounts.len() as u64)).unwrap_or(0);
            let other = usize::try_from(chance.between(1, accounts.len() as u64 - 1)).unwrap_or(1);
            let most = if chance.one_in(6) { 4 * AMOUNT_MAX } else { AMOUNT_MAX };
            let amount = i64::try_from(chance.between(1, most)).unwrap_or(1);
            (accounts[from].clone(), accounts[(from + other) % accounts.len()].clone(), amount)
        });
        let command = Transfer {
            from_account: from,
            to_account: to,
            amount_minor,
            currency: eur(),
            remittance: None,
            unknown: Default::default(),
        };
        let (world, hosts, history) = (world.clone(), hosts.clone(), history.clone());
        Self { world, hosts, history, key: format!("k{n}"), command }
    }

    /// Asks until it knows.
    pub async fn run(self) {
        let twice = self.world.strikes(Fault::Duplicate, 6, "client");
        let other = self.clone();
        let one = tokio::spawn(async move { self.ask_until_told().await });
        if twice {
            other.ask_until_told().await;
        }
        drop(one.await);
    }

    async fn ask_until_told(&self) {
        for _ in 0..TRIES_MAX {
            let told = self.ask().await;
            let lost = self.world.strikes(Fault::AnswerLost, 6, "client");
            if told && !lost {
                break;
            }
            sleep(Duration::from_millis(self.world.draw(|chance| chance.between(50, 2_500)))).await;
        }
        if self.world.strikes(Fault::KeyReused, 8, "client") {
            let amount_minor = self.command.amount_minor + 1;
            let other = Self { command: Transfer { amount_minor, ..self.command.clone() }, ..self.clone() };
            other.ask().await;
        }
    }

    /// One request. Answers whether it was told something for good.
    async fn ask(&self) -> bool {
        let Some(host) = self.world.draw(|chance| chance.pick(&self.hosts).cloned()) else { return false };
        let Some(running) = host.running() else { return false };
        let process = running.process.clone();
        if process.is_dead() || running.watch.clocks().check().is_err() {
            return false;
        }
        let write = self.write(running.watch.view().belief());
        self.world.note("client", &format!("asks {} for {} by {}", host.name, self.key, short(write.id.as_str())));
        let begun = self.history.begins(&self.key, self.world.elapsed());
        let gateway = running.gateway.clone();
        let answer = async {
            let answer = gateway.submit(write).await;
            process.gate().await;
            answer
        };
        let answer = match timeout(PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_) => return false,
        };
        let what = match &answer {
            Ok((entry, _)) => format!("{} {}", entry.state, short(entry.id.as_str())),
            Err(problem) => problem.code.to_owned(),
        };
        self.world.note("client", &format!("is told of {}: {what}", self.key));
        let Ok((entry, _)) = answer else {
            // These are answers for good, and nothing is kept under the key.
            return answer.is_err_and(|problem| problem.retryable == Some(false));
        };
        let told = match entry.state {
            EntryState::Posted | EntryState::Confirmed => Told::Posted,
            state if state.is_open() => Told::Accepted,
            _ => Told::Failed,
        };
        let answer = Answer {
            key: self.key.clone(),
            between: (begun, self.world.elapsed()),
            told,
            entry: entry.id.as_str().to_owned(),
            as_asked: entry.command == self.command,
        };
        self.history.0.lock().unwrap_or_else(PoisonError::into_inner).0.push(answer);
        true
    }

    fn write(&self, belief: standin::admission::CoreBelief) -> Write {
        Write {
            id: next_id(&self.world, &self.command.from_account),
            principal: CUSTOMER.into(),
            operation: gateway::TRANSFER.into(),
            idempotency_key: self.key.clone(),
            fingerprint: format!(
                "{:?}",
                (&self.command.from_account, &self.command.to_account, self.command.amount_minor)
            )
            .into_bytes(),
            command: self.command.clone(),
            grant: Grant::customers([CUSTOMER]),
            belief,
        }
    }
}

/// An id as production makes them: ordered by time behind the shard of the account.
pub fn next_id(world: &World, account: &str) -> EntryId {
    let ms = world.now_us() / 1_000;
    let (high, low) = world.draw(|chance| (chance.draw() & 0xFFFF, chance.draw()));
    let id = EntryId::parse(&format!("{ms:012x}{high:04x}{low:016x}")).expect("32 hexadecimal digits");
    id.in_shard_of(account)
}
