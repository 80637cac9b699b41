//! A closed loop of transfers: each connection sends its next one when the last was answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use locum_tests::client::{Http, http};
use locum_tests::world::CHANNEL;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::task::JoinSet;

/// Which accounts are debited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// Each as often as any other.
    Uniform,
    /// By rank, as 1 / rank^0.99.
    Zipf,
}

impl Skew {
    /// For names of arms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf 0.99",
        }
    }
}

/// Draws pairs of different accounts.
#[derive(Clone)]
pub struct Accounts {
    numbers: Arc<[String]>,
    /// Up to which share of all draws each account is meant.
    bounds: Arc<[f64]>,
}

impl Accounts {
    /// Of these numbers; there are at least two.
    pub fn new(numbers: &[String], skew: Skew) -> Self {
        let weight = |rank: usize| match skew {
            Skew::Uniform => 1.0,
            Skew::Zipf => (rank as f64 + 1.0).powf(-0.99),
        };
        let all: f64 = (0..numbers.len()).map(weight).sum();
        let mut sum = 0.0;
        let bounds = (0..numbers.len()).map(|rank| {
            sum += weight(rank) / all;
            sum
        });
        Self { bounds: bounds.collect(), numbers: numbers.into() }
    }

    fn draw(&self, rng: &mut StdRng) -> usize {
        let point: f64 = rng.random();
        self.bounds.partition_point(|bound| *bound < point).min(self.numbers.len() - 1)
    }

    /// Two different ones.
    pub fn pair(&self, rng: &mut StdRng) -> (&str, &str) {
        let from = self.draw(rng);
        let to = loop {
            let to = self.draw(rng);
            if to != from {
                break to;
            }
        };
        (&self.numbers[from], &self.numbers[to])
    }
}

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub struct Came {
    /// Answers as expected.
    pub answered: usize,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Microseconds of each answer, sorted.
    pub latencies_us: Vec<u32>,
}

impl Came {
    /// Answers a second.
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// The median answer in milliseconds.
    pub fn p50_ms(&self) -> f64 {
        self.latencies_us.get(self.latencies_us.len() / 2).map_or(f64::NAN, |us| f64::from(*us) / 1_000.0)
    }
}

/// Until when a load goes on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// For so long.
    For(Duration),
    /// This many answers.
    Answers(usize),
}

/// Transfers over this many connections; every answer must have this status.
pub async fn transfers(
    address: &str,
    accounts: &Accounts,
    connections: usize,
    until: Until,
    status: u16,
) -> anyhow::Result<Came> {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..connections {
        let (http, accounts) = (http(address, Some(CHANNEL)), accounts.clone());
        let until = match until {
            Until::For(duration) => Until::For(duration),
            Until::Answers(all) => Until::Answers(all / connections + usize::from(client < all % connections)),
        };
        clients.spawn(client_loop(http, accounts, begun, until, status));
    }
    let mut came = Came::default();
    while let Some(part) = clients.join_next().await {
        came.latencies_us.extend(part??);
    }
    came.took = begun.elapsed();
    came.answered = came.latencies_us.len();
    came.latencies_us.sort_unstable();
    Ok(came)
}

async fn client_loop(
    mut http: Http,
    accounts: Accounts,
    begun: Instant,
    until: Until,
    status: u16,
) -> anyhow::Result<Vec<u32>> {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let mut latencies = Vec::new();
    while match until {
        Until::For(duration) => begun.elapsed() < duration,
        Until::Answers(n) => latencies.len() < n,
    } {
        let (from, to) = accounts.pair(&mut rng);
        let body = json!({"from_account": from, "to_account": to, "amount": "0.01", "currency": "EUR"});
        let key = uuid::Uuid::now_v7().simple().to_string();
        let sent = Instant::now();
        let answer = http.request(Method::POST, "/v1/transfers", &[("idempotency-key", &key)], Some(&body)).await;
        let answer = answer.map_err(|err| anyhow::anyhow!("no answer: {err}"))?;
        anyhow::ensure!(answer.status == status, "{} instead of {status}: {}", answer.status, answer.body);
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(skew: Skew) -> Vec<usize> {
        let numbers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let (accounts, mut rng) = (Accounts::new(&numbers, skew), StdRng::seed_from_u64(7));
        let mut counts = vec![0; 100];
        (0..100_000).for_each(|_| counts[accounts.draw(&mut rng)] += 1);
        counts
    }

    #[test]
    fn a_skewed_load_has_a_hot_account_and_a_uniform_one_has_none() {
        let (uniform, zipf) = (drawn(Skew::Uniform), drawn(Skew::Zipf));
        assert!(uniform.iter().all(|n| (800..1_200).contains(n)), "{uniform:?}");
        assert!((17_000..21_000).contains(&zipf[0]) && zipf[99] < 400, "{zipf:?}");
    }
}
