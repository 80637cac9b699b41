//! The core dies under a steady load of transfers and comes back: how long until every transfer is direct again.
//!
//! When the core is back, `queued` entries wait and transfers keep coming, `arriving` a second. A core that posts `capacity` a second has
//! `capacity - arriving` a second left for the queue, and nobody works it off faster than in `queued / (capacity - arriving)` seconds.
//! Locum takes from the core's return until the last transfer was due that the core did not answer at once. Both are given as entries of
//! the queue a second, so that their ratio is the least possible time by the time that Locum took.
//!
//! The core's return is its first healthy answer; it is looked for every 50 ms, and the queue is counted right after it.

use std::time::{Duration, Instant};

use anyhow::Context;
use http::Method;
use locum_tests::world::{CHANNEL, Engine, World};
use tokio::time::sleep;

use crate::load::{Accounts, Skew};
use crate::open::{self, ONLY_WRITES, Schedule, Target};
use crate::outcome::carried;
use crate::replay;
use crate::report::Better::Higher;
use crate::report::Row;
use crate::rounds::{Pairs, measured};
use crate::window::{WARM_UP, held};

/// Accounts of the bank.
const ACCOUNTS: u64 = 2_000;
/// The share of the core's capacity that keeps coming.
const LOAD: f64 = 0.7;
/// From the end of the warm-up to the core's death.
const BEFORE: Duration = Duration::from_secs(3);
/// For so long at the end of the load every transfer must be direct.
const SETTLED: Duration = Duration::from_secs(3);
/// The load goes on for so many times the least time that the queue needs.
const TIMES: f64 = 3.0;
/// Postings by which the core's capacity is measured, at each number of clients four times fewer.
const POSTINGS: usize = 2_000;

/// Measures everything about this engine; `away` = seconds without the core.
pub async fn measure(engine: Engine, rounds: usize, away: u64) -> anyhow::Result<Vec<Row>> {
    let mut world = World::start(measured(engine, ACCOUNTS)).await;
    let name = format!("recovery {engine:?}, {away} s away").to_lowercase();
    let (mut pairs, mut errors) = (Pairs::default(), Pairs::default());
    let (mut before, mut never, mut rate) = (1.0_f64, 0, 0);
    for round in 0..rounds {
        let (_, capacity) = replay::plain(&world, POSTINGS).await.with_context(|| format!("{name}: the capacity"))?;
        rate = arriving(capacity);
        let seen = outage(&mut world, rate, capacity, Duration::from_secs(away)).await;
        let seen = seen.with_context(|| format!("{name}, round {round}, {rate} transfers a second"))?;
        let by_end = if seen.settled { "" } else { ", and not by the end of the load" };
        println!(
            "{name}, round {round}: {rate} of {capacity:.0}/s, {} queued, direct after {:.1} s{by_end}, least {:.1} s, {} errors{}",
            seen.queued,
            seen.took.as_secs_f64(),
            least(seen.queued, capacity, rate).as_secs_f64(),
            seen.errors,
            seen.why.as_deref().map(|why| format!(", first error: {why}")).unwrap_or_default(),
        );
        pairs.push(seen.queued as f64 / seen.took.as_secs_f64(), capacity - f64::from(rate));
        errors.push(seen.errors as f64, f64::NAN);
        before = before.min(seen.direct_before);
        never += usize::from(!seen.settled);
    }
    world.end().await;
    let not_direct = if never == 0 { String::new() } else { format!(", {never} rounds not direct by the end") };
    let arm = format!("{name}, {}{not_direct}", carried(rate, before));
    let row = Row::new(&arm, "queue gone, entries/s", "what the load leaves of the core", &pairs, (Higher, 0.95));
    let met = row.met && held(before) && never == 0;
    Ok(vec![Row { met, ..row }, Row::none(arm, "errors", "-", &errors)])
}

/// What one outage came to.
struct Outage {
    /// Entries without an outcome when the core was back.
    queued: usize,
    /// From the core's return until everything was direct; or, if it was not, until the end of the load.
    took: Duration,
    settled: bool,
    /// The share of the transfers before the outage that were direct.
    direct_before: f64,
    errors: usize,
    why: Option<String>,
}

async fn outage(world: &mut World, rate: u32, capacity: f64, away: Duration) -> anyhow::Result<Outage> {
    world.serves_direct().await;
    let lasts = WARM_UP + BEFORE + away + recovery_lasts(rate, capacity, away);
    let target = Target {
        name: "Locum",
        address: world.locums[0].address(),
        token: Some(CHANNEL),
        read: ("/v1/accounts/", "/balances"),
        writes: true,
    };
    let accounts = Accounts::new(&world.accounts(), Skew::Uniform);
    let begun = Instant::now();
    // A task of its own: what is done to the core must not keep the sender waiting.
    let load = tokio::spawn(open::run(Schedule { rate, lasts, write_every: ONLY_WRITES }, target, accounts));
    sleep(WARM_UP + BEFORE).await;
    world.core.kill();
    sleep(away).await;
    world.core.restart().await;
    let returned = begun.elapsed();
    let replay = world.operate(0, Method::GET, "/admin/v1/replay", None).await;
    let queued = replay["open"].as_u64().with_context(|| format!("no count of what is open: {replay}"))?;
    let window = load.await??;
    world.serves_direct().await;
    anyhow::ensure!(queued > 0, "nothing was queued while the core was away");
    let direct_from = window.direct_from(SETTLED);
    Ok(Outage {
        queued: usize::try_from(queued)?,
        took: took(direct_from, returned, lasts),
        settled: direct_from.is_some(),
        direct_before: window.share_direct(WARM_UP + BEFORE),
        errors: window.errors(),
        why: window.why.clone(),
    })
}

/// Transfers a second that keep coming.
fn arriving(capacity: f64) -> u32 {
    ((capacity * LOAD) as u32).max(1)
}

/// The least time that so many queued entries need beside the load.
fn least(queued: usize, capacity: f64, rate: u32) -> Duration {
    Duration::from_secs_f64(queued as f64 / (capacity - f64::from(rate)))
}

/// How long the load goes on when the core is due back: several times what the queue of the outage needs.
fn recovery_lasts(rate: u32, capacity: f64, away: Duration) -> Duration {
    let queued = (f64::from(rate) * away.as_secs_f64()).ceil() as usize;
    least(queued, capacity, rate).mul_f64(TIMES) + SETTLED
}

/// From the core's return until everything was direct; at least a millisecond, so that it can be divided by.
fn took(direct_from: Option<Duration>, returned: Duration, lasts: Duration) -> Duration {
    direct_from.unwrap_or(lasts).saturating_sub(returned).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_needs_what_the_load_leaves_of_the_core() {
        assert_eq!(arriving(200.0), 140);
        assert_eq!(least(1_400, 200.0, 140).as_secs_f64().round(), 23.0);
        assert_eq!(recovery_lasts(140, 200.0, Duration::from_secs(10)).as_secs_f64().round(), 73.0);
    }

    #[test]
    fn what_is_never_direct_took_until_the_end_of_the_load() {
        let seconds = Duration::from_secs;
        assert_eq!(took(Some(seconds(40)), seconds(15), seconds(90)), seconds(25));
        assert_eq!(took(None, seconds(15), seconds(90)), seconds(75));
        assert_eq!(took(Some(seconds(14)), seconds(15), seconds(90)), Duration::from_millis(1));
    }
}
