//! An open loop: each request is sent when its time has come, whatever became of the ones before it.
//!
//! A request takes from its scheduled time to its answer. What the sender or a queue kept waiting counts, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use locum_tests::client::{Http, http};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::load::Accounts;
use crate::window::{Kind, Sample, Window};

/// Of a load that mostly reads, one request in so many is a write: 100 a second of 4,000, about half of what the simulated core can post.
pub const MOSTLY_READS: usize = 40;
/// Of a load of writes alone.
pub const ONLY_WRITES: usize = 1;
/// The sender looks this often for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Requests under way at once. One that is due beyond them is not sent, and counts as an error.
const UNDER_WAY_MAX: usize = 4_096;

/// What is sent when. Pure.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Requests a second, reads and writes together.
    pub rate: u32,
    /// How long it goes on.
    pub lasts: Duration,
    /// One request in so many is a write.
    pub write_every: usize,
}

impl Schedule {
    /// How many requests there are.
    pub fn len(&self) -> usize {
        (self.lasts.as_secs_f64() * f64::from(self.rate)) as usize
    }

    /// When request `n` is due.
    pub fn due(&self, n: usize) -> Duration {
        Duration::from_secs_f64(n as f64 / f64::from(self.rate))
    }

    /// What request `n` is.
    pub fn kind(&self, n: usize) -> Kind {
        if n % self.write_every == self.write_every / 2 { Kind::Write } else { Kind::Read }
    }
}

/// Where the requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// Who answers there.
    pub name: &'static str,
    /// `host:port`.
    pub address: String,
    /// What it wants to see.
    pub token: Option<&'static str>,
    /// The path of an account's read: before and after the account.
    pub read: (&'static str, &'static str),
    /// Whether it is sent the writes. Without them their times pass unused, and the reads come as often as elsewhere.
    pub writes: bool,
}

/// One request as it is drawn.
enum Ask {
    Read { path: String },
    Write { body: serde_json::Value },
}

/// Runs the whole schedule and waits for the last answer.
pub async fn run(schedule: Schedule, target: Target, accounts: Accounts) -> anyhow::Result<Window> {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let idle = Arc::new(Idle { target, connections: Mutex::default() });
    let (mut under_way, mut window) = (JoinSet::new(), Window::of(schedule.lasts));
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (begun, mut next) = (Instant::now(), 0);
    while next < schedule.len() {
        looks.tick().await;
        while next < schedule.len() && schedule.due(next) <= begun.elapsed() {
            let (due, kind) = (schedule.due(next), schedule.kind(next));
            next += 1;
            if kind == Kind::Write && !idle.target.writes {
                continue;
            }
            if under_way.len() >= UNDER_WAY_MAX {
                window.add(
                    Sample { due, kind, took: Duration::ZERO, well: false, direct: false },
                    Some("not sent: too many wait"),
                );
                continue;
            }
            let (ask, idle) = (ask(kind, &idle.target, &accounts, &mut rng), idle.clone());
            under_way.spawn(async move {
                let answer = idle.send(ask).await;
                let took = begun.elapsed().saturating_sub(due);
                let direct = answer.as_ref().is_ok_and(|status| *status == StatusCode::CREATED);
                (Sample { due, kind, took, well: answer.is_ok(), direct }, answer.err())
            });
        }
        while let Some(ended) = under_way.try_join_next() {
            let (sample, why) = ended?;
            window.add(sample, why.as_deref());
        }
    }
    while let Some(ended) = under_way.join_next().await {
        let (sample, why) = ended?;
        window.add(sample, why.as_deref());
    }
    Ok(window)
}

fn ask(kind: Kind, target: &Target, accounts: &Accounts, rng: &mut StdRng) -> Ask {
    let (from, to) = accounts.pair(rng);
    match kind {
        Kind::Read => Ask::Read { path: format!("{}{from}{}", target.read.0, target.read.1) },
        Kind::Write => {
            Ask::Write { body: json!({"from_account": from, "to_account": to, "amount": "0.01", "currency": "EUR"}) }
        }
    }
}

/// Connections that nobody uses now. As many are made as requests are under way at once.
struct Idle {
    target: Target,
    connections: Mutex<Vec<Http>>,
}

impl Idle {
    /// Sends it once, answers the status. A read must be answered 200, a write 201 or 202.
    async fn send(&self, ask: Ask) -> Result<StatusCode, String> {
        let idle = self.connections.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut http = idle.unwrap_or_else(|| http(&*self.target.address, self.target.token));
        let (answer, well): (_, &[u16]) = match ask {
            Ask::Read { path } => (http.get(&path).await, &[200]),
            Ask::Write { body } => {
                let key = uuid::Uuid::now_v7().simple().to_string();
                let headers = [("idempotency-key", &*key)];
                (http.request(Method::POST, "/v1/transfers", &headers, Some(&body)).await, &[201, 202])
            }
        };
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(http);
        let answer = answer?;
        let well = well.contains(&answer.status.as_u16());
        if well { Ok(answer.status) } else { Err(format!("{} {}", answer.status, answer.body["code"])) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_evenly_over_the_time_and_a_fortieth_are_writes() {
        let schedule = Schedule { rate: 4_000, lasts: Duration::from_secs(3), write_every: MOSTLY_READS };
        assert_eq!(schedule.len(), 12_000);
        assert_eq!([0, 1, 4_000].map(|n| schedule.due(n)), [0, 250, 1_000_000].map(Duration::from_micros));
        assert_eq!((0..schedule.len()).filter(|n| schedule.kind(*n) == Kind::Write).count(), 300);
    }

    #[test]
    fn a_load_of_writes_alone_has_no_read() {
        let schedule = Schedule { rate: 140, lasts: Duration::from_secs(2), write_every: ONLY_WRITES };
        assert!((0..schedule.len()).all(|n| schedule.kind(n) == Kind::Write));
    }
}
