//! The queue after an outage, beside plain clients that post as many transfers to the same core.

use std::time::{Duration, Instant};

use anyhow::Context;
use http::Method;
use locum_tests::client::http;
use locum_tests::world::{Engine, PATIENCE, Plan, World};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::{Accounts, Skew, Until, transfers};
use crate::report::Better::Higher;
use crate::report::Row;
use crate::rounds::{Pairs, locum_first, measured};

/// How many accounts the queue is about.
const ACCOUNTS: [u64; 3] = [4, 200, 100_000];
/// How many of them where all transfers stand in one order.
const STRICT_ACCOUNTS: u64 = 200;
/// Between two looks at what is still queued, at least.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Clients with which the core is asked for its best rate.
const CLIENTS: [usize; 4] = [1, 4, 16, 32];

/// Measures everything about this engine.
pub async fn measure(engine: Engine, rounds: usize, entries: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for accounts in ACCOUNTS {
        let mut world = World::start(measured(engine, accounts)).await;
        let name = format!("replay {engine:?}, {accounts} accounts").to_lowercase();
        let mut pairs = Pairs::default();
        for round in 0..rounds {
            let replayed = replayed(&mut world, entries).await;
            let (took, longest_lane) = replayed.with_context(|| format!("{name}: the replay"))?;
            let (alone, best) = plain(&world, entries).await.with_context(|| name.clone())?;
            // Nobody posts a lane faster than one after the other.
            let least = (entries as f64 / best).max(longest_lane as f64 / alone);
            println!(
                "{name}, round {round}: {:.1} s, the core's rate {best:.0}/s, least {least:.1} s",
                took.as_secs_f64()
            );
            pairs.push(entries as f64 / took.as_secs_f64(), entries as f64 / least);
        }
        rows.push(Row::new(name, "entries a second", "core's best rate or longest lane", &pairs, (Higher, 0.95)));
        world.end().await;
    }
    rows.push(strict(engine, rounds, entries).await?);
    Ok(rows)
}

/// One order of all transfers, so one entry after the other, beside a bare loop of as many postings over one connection to the same core.
async fn strict(engine: Engine, rounds: usize, entries: usize) -> anyhow::Result<Row> {
    let mut world = World::start(Plan { order: "global", ..measured(engine, STRICT_ACCOUNTS) }).await;
    let name = format!("replay {engine:?} strict, {STRICT_ACCOUNTS} accounts").to_lowercase();
    let mut pairs = Pairs::default();
    for round in 0..rounds {
        let (mut ours, mut bare) = (f64::NAN, f64::NAN);
        for locum in [locum_first(round), !locum_first(round)] {
            if locum {
                let (took, _) = replayed(&mut world, entries).await.with_context(|| format!("{name}: the replay"))?;
                ours = entries as f64 / took.as_secs_f64();
            } else {
                bare = rate_of(&world, 1, entries).await.with_context(|| format!("{name}: the bare loop"))?;
            }
        }
        println!("{name}, round {round}: {ours:.0}/s beside {bare:.0}/s");
        pairs.push(ours, bare);
    }
    world.end().await;
    Ok(Row::new(name, "entries a second", "a bare sequential loop", &pairs, (Higher, 0.95)))
}

/// Queues entries while the core is away, and measures from its return until none is open. Answers the longest lane, too.
async fn replayed(world: &mut World, entries: usize) -> anyhow::Result<(Duration, usize)> {
    world.core.kill();
    let (address, accounts) = (world.locums[0].address(), Accounts::new(&world.accounts(), Skew::Uniform));
    world.stands_in().await;
    transfers(&address, &accounts, 32, Until::Answers(entries), 202).await?;
    let longest = longest_lane(world).await?;
    world.core.restart().await;
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let waits = world.operate(0, Method::GET, "/admin/v1/replay", None).await;
        let open = waits["open"].as_i64().unwrap_or(i64::MAX);
        if open == 0 {
            return Ok((begun.elapsed(), longest));
        }
        anyhow::ensure!(begun.elapsed() < 10 * PATIENCE, "the queue does not end: {waits}");
        // An answer counts all that waits: asking takes a twentieth of the time, so that what is measured is not the asking.
        sleep((asked.elapsed() * 19).max(LOOK_EVERY)).await;
    }
}

async fn longest_lane(world: &World) -> anyhow::Result<usize> {
    use mysql_async::prelude::Queryable;
    let mut connection = locum_tests::stack::connect(&world.journal_url()).await?;
    let longest: Option<i64> = connection.query_first("SELECT MAX(ordered) FROM lanes").await?;
    Ok(usize::try_from(longest.unwrap_or(0))?)
}

/// The rate of one client alone, and the best rate of several, posting to the same core.
pub async fn plain(world: &World, entries: usize) -> anyhow::Result<(f64, f64)> {
    let mut rates = Vec::new();
    for clients in CLIENTS {
        let rate = rate_of(world, clients, entries / 4).await;
        rates.push(rate.with_context(|| format!("{clients} plain clients of the core"))?);
    }
    Ok((rates[0], rates.iter().copied().fold(0.0, f64::max)))
}

/// Postings a second that so many plain clients reach together.
async fn rate_of(world: &World, clients: usize, postings: usize) -> anyhow::Result<f64> {
    let each = postings.div_ceil(clients);
    let begun = Instant::now();
    let mut posting = JoinSet::new();
    for client in 0..clients {
        posting.spawn(post(world.core.address(), world.accounts(), client, each));
    }
    while let Some(done) = posting.join_next().await {
        done??;
    }
    Ok((clients * each) as f64 / begun.elapsed().as_secs_f64())
}

async fn post(core: String, numbers: Vec<String>, client: usize, times: usize) -> anyhow::Result<()> {
    let mut core = http(core, None);
    for n in 0..times {
        let from = (client * times + n) % numbers.len();
        let to = (from + 1) % numbers.len();
        let reference = format!("BN{}", uuid::Uuid::now_v7().simple());
        let body = json!({
            "reference": reference, "amount": "0.01", "currency": "EUR",
            "debit_account": numbers[from], "credit_account": numbers[to],
        });
        let answer = core.request(Method::POST, "/api/postings", &[], Some(&body)).await;
        let answer = answer.map_err(|err| anyhow::anyhow!("no answer: {err}"))?;
        anyhow::ensure!(answer.status == 201, "{}: {}", answer.status, answer.body);
    }
    Ok(())
}
