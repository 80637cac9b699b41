//! A queue of a million entries: how soon the first is sent, what memory it takes, and whether the rate stays what it was.
//!
//! The core answers at once, so that nothing but Locum and its SQL server limits the rate. It is measured for a bounded time at the queue's
//! full length, or until the queue's end. Beside it stands the same with a short queue, and the rate's last tenth beside its first.

use std::time::{Duration, Instant};

use anyhow::Context;
use locum_tests::client::{Http, http};
use locum_tests::process::Process;
use locum_tests::world::{Engine, PATIENCE, World};

use crate::flat::Counts;
use crate::load::{Accounts, Skew, Until, transfers};
use crate::multiply::multiply;
use crate::report::Better::{Higher, Lower};
use crate::report::Row;
use crate::rounds::{Pairs, measured};
use crate::writes::peer_process;
use crate::{bytes, cpu};

/// Accounts of the bank.
const ACCOUNTS: u64 = 2_000;
/// Entries that come in by the front door: the short queue, and what the long one is multiplied from.
const TEMPLATES: usize = 5_000;
/// How often is looked for the first entry, and how often then.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// Entries of the long queue, rounded up to whole copies.
    pub queue: usize,
    /// For how long the rate is measured; `None` = until the queue's end.
    pub window: Option<Duration>,
}

/// Measures everything about this engine, once: building the queue takes minutes.
pub async fn measure(engine: Engine, length: Length) -> anyhow::Result<Vec<Row>> {
    let mut world = World::start(measured(engine, ACCOUNTS)).await;
    world.core.kill();
    world.stands_in().await;
    let core = peer_process(&["--listen", &world.core.address(), "--work", "core"]);
    world.serves_direct().await;
    let copies = length.queue.div_ceil(TEMPLATES) - 1;
    let queue = TEMPLATES * (copies + 1);
    let name = format!("million {engine:?}, {queue} queued").to_lowercase();
    let short =
        replayed(&mut world, engine, &core, 0, None).await.with_context(|| format!("{name}: the short queue"))?;
    world.serves_direct().await;
    let long = replayed(&mut world, engine, &core, copies, length.window).await;
    let long = long.with_context(|| format!("{name}: the long queue"))?;
    let tenths = long.counts.tenths().with_context(|| format!("{name}: no time between the first and the last"))?;
    let done = long.counts.last();
    println!("{name}: first sent after {:.2} s, resident peak {:.0} MB, {done} sent", long.first_s, long.peak_mb);
    println!("{name}: sent a second in each tenth of the time: {}", tenths.map(|rate| format!("{rate:.0}")).join(" "));
    println!("{name}: {}", bytes::of_a_write(&world).await.context("the size of its tables")?);
    world.end().await;
    let arm = format!("{name}, {done} of them replayed");
    let short_name = "the same with 5,000 queued";
    let row = |measure, peer_name, (ours, theirs), goal| {
        let mut pairs = Pairs::default();
        pairs.push(ours, theirs);
        Row::new(&arm, measure, peer_name, &pairs, goal)
    };
    Ok(vec![
        row("entries a second", "the first tenth of the time", (tenths[9], tenths[0]), (Higher, 0.9)),
        row("s to the first sent", short_name, (long.first_s, short.first_s), (Lower, 2.0)),
        row("resident peak MB", short_name, (long.peak_mb, short.peak_mb), (Lower, 2.0)),
    ])
}

/// What one replay came to.
struct Replayed {
    counts: Counts,
    /// From the start of Locum's process to the first posting at the core.
    first_s: f64,
    peak_mb: f64,
}

/// Queues the templates while the core hangs, multiplies them while Locum is down, then starts Locum before a core that is there.
async fn replayed(
    world: &mut World,
    engine: Engine,
    core: &Process,
    copies: usize,
    window: Option<Duration>,
) -> anyhow::Result<Replayed> {
    core.freeze();
    world.stands_in().await;
    let (address, accounts) = (world.locums[0].address(), Accounts::new(&world.accounts(), Skew::Uniform));
    transfers(&address, &accounts, 32, Until::Answers(TEMPLATES), 202).await.context("queueing by the front door")?;
    world.locums[0].kill();
    // The replayer may have sent the first of them before it saw that the core hangs. Those are not copied.
    let added = if copies > 0 { multiply(world, engine, copies).await? } else { 0 };
    core.thaw();
    let mut looks = http(world.core.address(), None);
    let before = posted(&mut looks).await?;
    let begun = Instant::now();
    let all = TEMPLATES as u64 + added;
    let ((), counts) = tokio::join!(world.start_locum(0), watch(looks, (before, all), begun, window));
    let counts = counts?;
    let first_s = counts.first().context("nothing was sent")?.as_secs_f64();
    Ok(Replayed { counts, first_s, peak_mb: cpu::resident_peak_mb(world.locums[0].pid())? })
}

/// Counts what the core has posted since `before`, until it is all or the window is over.
async fn watch(
    mut core: Http,
    (before, all): (u64, u64),
    begun: Instant,
    window: Option<Duration>,
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let mut moved = (begun, 0);
    loop {
        let done = posted(&mut core).await?.saturating_sub(before);
        counts.push(begun.elapsed(), done);
        if done > moved.1 {
            moved = (Instant::now(), done);
        }
        let measured = counts.first().map_or(Duration::ZERO, |first| begun.elapsed().saturating_sub(first));
        if done >= all || window.is_some_and(|window| measured >= window) {
            return Ok(counts);
        }
        anyhow::ensure!(moved.0.elapsed() < PATIENCE, "{done} of {all} were sent, and then none for {PATIENCE:?}");
        tokio::time::sleep(LOOK_EVERY[usize::from(done > 0)]).await;
    }
}

async fn posted(core: &mut Http) -> anyhow::Result<u64> {
    let answer = core.get("/posted").await.map_err(|err| anyhow::anyhow!("the instant core: {err}"))?;
    answer.body["posted"].as_u64().with_context(|| format!("the instant core: {} {}", answer.status, answer.body))
}
