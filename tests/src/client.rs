//! Clients that write down what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use edge::client::{Http, HttpAnswer};
use http::Method;
use serde_json::Value as Json;
use tokio::time::interval;

use crate::history::{Answer, Ask, Away, End, Exchange, History, Nanos, Read, Slow, Transfer};

/// Longest wait for one answer: several times Locum's write deadline.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Between two attempts with the same key.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// One history and its clock, shared by all clients of a run.
pub struct Recorder {
    start: Instant,
    history: Mutex<History>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { start: Instant::now(), history: Mutex::default() }
    }
}

impl Recorder {
    /// The time on the history's clock.
    pub fn now(&self) -> Nanos {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes that the test made an instance absent since `from`, and that it is ready again now.
    pub fn was_away(&self, instance: usize, from: Nanos) {
        let until = self.now();
        self.lock().away.push(Away { instance, from, until });
    }

    /// Notes that the store has kept everybody waiting since `from`.
    pub(crate) fn store_was_slow(&self, from: Nanos) {
        let until = self.now();
        self.lock().slow.push(Slow { from, until });
    }

    /// Everything seen so far.
    pub fn history(&self) -> History {
        self.lock().clone()
    }

    /// How many submissions and look-ups have ended.
    pub fn exchanges(&self) -> usize {
        self.lock().exchanges.len()
    }

    /// How many submissions after the first `from` exchanges were answered like this.
    pub fn answers(&self, from: usize, like: impl Fn(&Answer) -> bool) -> usize {
        let history = self.lock();
        let submitted = history.exchanges.iter().skip(from).filter(|exchange| exchange.ask == Ask::Submit);
        submitted.filter_map(Exchange::answer).filter(|answer| like(answer)).count()
    }

    /// The accounts to be debited by submissions after the first `from` exchanges that were answered like this.
    pub fn debited(&self, from: usize, like: impl Fn(&Answer) -> bool) -> BTreeSet<String> {
        let history = self.lock();
        let submitted = history.exchanges.iter().skip(from).filter(|exchange| exchange.ask == Ask::Submit);
        let answered = submitted.filter(|exchange| exchange.answer().is_some_and(&like));
        answered.map(|exchange| exchange.transfer.from.clone()).collect()
    }

    /// How many reads were sent to `instance` after `from` and answered.
    pub fn reads_answered(&self, instance: usize, from: Nanos) -> usize {
        let history = self.lock();
        let later = history.reads.iter().rev().take_while(|read| read.ended >= from);
        later.filter(|r| r.instance == instance && r.sent >= from && matches!(r.end, End::Answered(_))).count()
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of `host:port` that shows `token`.
pub fn http(address: impl Into<String>, token: Option<&str>) -> Http {
    Http::new(address, token, ANSWER_MAX)
}

/// One client of the channels' API. It prefers one instance and turns to the next when that one does not answer.
pub struct Client {
    id: usize,
    recorder: Arc<Recorder>,
    instances: Vec<Http>,
    at: usize,
    reads: u64,
    /// Of the last positioned read of each account.
    positions: BTreeMap<String, String>,
}

impl Client {
    /// Client `id` of these instances.
    pub fn new(id: usize, recorder: Arc<Recorder>, addresses: &[String], token: &str) -> Self {
        let instances = addresses.iter().map(|address| http(address, Some(token))).collect();
        Self { id, recorder, instances, at: id % addresses.len(), reads: 0, positions: BTreeMap::new() }
    }

    /// Submits a transfer and retries it with the same key until it is answered, up to `limit`.
    /// `None` when it was not: what became of it shows at the end.
    pub async fn submit(&mut self, key: &str, transfer: &Transfer, limit: Duration) -> Option<Answer> {
        let mut attempts = interval(AGAIN_AFTER);
        let until = Instant::now() + limit;
        loop {
            attempts.tick().await;
            match self.submit_once(key, transfer).await {
                End::Answered(answer) if answer.status < 500 || answer.body["retryable"] != true => {
                    return Some(answer);
                }
                _ if Instant::now() >= until => return None,
                _ => self.at = (self.at + 1) % self.instances.len(),
            }
        }
    }

    /// One attempt.
    pub async fn submit_once(&mut self, key: &str, transfer: &Transfer) -> End {
        let headers = [("idempotency-key", key)];
        self.ask(Ask::Submit, key, transfer, Method::POST, "/v1/transfers", &headers, Some(&transfer.body())).await
    }

    /// One look-up by key.
    pub async fn look(&mut self, key: &str, transfer: &Transfer) -> End {
        let path = format!("/v1/transfers?idempotency_key={key}");
        self.ask(Ask::Look, key, transfer, Method::GET, &path, &[], None).await
    }

    /// One read of an account's balances at the preferred instance, recorded; every second one goes on from the position of
    /// the last such read of the account.
    pub async fn read(&mut self, account: &str) -> End {
        let path = format!("/v1/accounts/{account}/balances");
        self.reads += 1;
        let positioned = self.reads.is_multiple_of(2);
        let position = self.positions.get(account).filter(|_| positioned).cloned();
        let headers: Vec<_> = position.iter().map(|position| ("min-position", position.as_str())).collect();
        let (instance, sent) = (self.at, self.recorder.now());
        let answer = self.instances[instance].request(Method::GET, &path, &headers, None).await;
        if let (true, Ok(answer)) = (positioned, &answer)
            && answer.status == 200
        {
            self.positions.insert(account.to_owned(), answer.header("data-position").to_owned());
        }
        let end = end_of(answer);
        let (account, ended) = (account.to_owned(), self.recorder.now());
        self.recorder.lock().reads.push(Read { instance, account, positioned, sent, ended, end: end.clone() });
        end
    }

    #[allow(clippy::too_many_arguments)]
    async fn ask(
        &mut self,
        ask: Ask,
        key: &str,
        transfer: &Transfer,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> End {
        let (client, instance, sent) = (self.id, self.at, self.recorder.now());
        let end = end_of(self.instances[instance].request(method, path, headers, body).await);
        let (key, transfer, ended) = (key.to_owned(), transfer.clone(), self.recorder.now());
        let exchange = Exchange { client, instance, key, ask, transfer, sent, ended, end: end.clone() };
        self.recorder.lock().exchanges.push(exchange);
        end
    }
}

fn end_of(answer: Result<HttpAnswer, String>) -> End {
    match answer {
        Ok(HttpAnswer { status, body, .. }) => End::Answered(Answer { status: status.as_u16(), body }),
        Err(why) => End::Broken(why),
    }
}
