//! The core dies or hangs under an open loop of reads and writes: Locum in front of it, then the proxies in front of it and a
//! second core over the same database.

use std::time::Duration;

use locum_tests::bank::Core;
use locum_tests::process::Process;
use locum_tests::world::{CHANNEL, Engine, World};
use tokio::time::sleep;

use crate::calm;
use crate::load::{Accounts, Skew};
use crate::open::{self, MOSTLY_READS, Schedule, Target};
use crate::outcome::Outcome;
use crate::proxy::Proxy;
use crate::report::Row;
use crate::rounds::{locum_first, measured};
use crate::window::{Kind, WARM_UP, Window};

/// Accounts of the bank.
const ACCOUNTS: u64 = 2_000;
/// From the end of the warm-up to the fault, and from the fault's end to the end of the load.
const AROUND: Duration = Duration::from_secs(1);
/// The proxies that Locum stands beside.
const PROXIES: [Proxy; 2] = [Proxy::Nginx, Proxy::HaProxy];

/// What happens to the core in the middle of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the control.
    None,
    /// It is killed, and started again.
    Kill,
    /// It is stopped: connections are taken and nothing is answered. Then it goes on.
    Stop,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Rounds.
    pub rounds: usize,
    /// Seconds that the core is away.
    pub seconds: u64,
    /// Requests a second.
    pub rate: u32,
    /// Minutes without a fault beside burning CPUs.
    pub calm_minutes: u64,
}

/// Measures everything about this engine.
pub async fn measure(engine: Engine, extent: Extent) -> anyhow::Result<Vec<Row>> {
    let mut world = World::start(measured(engine, ACCOUNTS)).await;
    let standby = world.core.standby().await;
    let (sides, _processes) = sides(&world, &standby).await?;
    let name = format!("failover {engine:?}").to_lowercase();
    let mut outcome = Outcome::new(&name, extent.rate);
    for round in 0..extent.rounds {
        let mut seen = [const { None }; 3];
        let order = if locum_first(round) { [0, 1, 2] } else { [2, 1, 0] };
        for at in order {
            seen[at] = Some(faults(&mut world, &sides[at], extent).await?);
        }
        let [Some(locum), Some(nginx), Some(haproxy)] = seen else { anyhow::bail!("a side was not measured") };
        outcome.push(&locum, [&nginx, &haproxy]);
    }
    let mut rows = outcome.rows(PROXIES.map(Proxy::as_str));
    world.serves_direct().await;
    rows.push(calm::measure(&world, &sides[0], &name, extent).await?);
    world.end().await;
    drop(standby);
    Ok(rows)
}

/// Locum, then the proxies, and the processes of these.
async fn sides(world: &World, standby: &Core) -> anyhow::Result<([Target; 3], [Process; 2])> {
    let (first, second) = (world.core.address(), standby.address());
    let path = format!("/api/accounts/{}", world.accounts()[0]);
    let folder = std::env::temp_dir().join("locum-bench").join(&world.name);
    let (nginx, to_nginx) = PROXIES[0].start(&folder, [&first, &second], &path).await?;
    let (haproxy, to_haproxy) = PROXIES[1].start(&folder, [&first, &second], &path).await?;
    let locum = Target {
        name: "Locum",
        address: world.locums[0].address(),
        token: Some(CHANNEL),
        read: ("/v1/accounts/", "/balances"),
        writes: true,
    };
    Ok(([locum, to_nginx, to_haproxy], [nginx, haproxy]))
}

/// One side without a fault and with each: control, killed, stopped.
async fn faults(world: &mut World, side: &Target, extent: Extent) -> anyhow::Result<[Window; 3]> {
    let mut windows = [const { None }; 3];
    for (at, fault) in [Fault::None, Fault::Kill, Fault::Stop].into_iter().enumerate() {
        windows[at] = Some(under_load(world, side, fault, extent).await?);
    }
    let [Some(control), Some(killed), Some(stopped)] = windows else { anyhow::bail!("a fault was not measured") };
    Ok([control, killed, stopped])
}

async fn under_load(world: &mut World, side: &Target, fault: Fault, extent: Extent) -> anyhow::Result<Window> {
    direct(world, side).await;
    let away = Duration::from_secs(extent.seconds);
    let schedule = Schedule { rate: extent.rate, lasts: WARM_UP + AROUND + away + AROUND, write_every: MOSTLY_READS };
    let accounts = Accounts::new(&world.accounts(), Skew::Uniform);
    // A task of its own: what is done to the core must not keep the sender waiting.
    let load = tokio::spawn(open::run(schedule, side.clone(), accounts));
    sleep(WARM_UP + AROUND).await;
    let core = &mut world.core;
    match fault {
        Fault::None => {}
        Fault::Kill => core.kill(),
        Fault::Stop => core.freeze(),
    }
    sleep(away).await;
    match fault {
        Fault::None => {}
        Fault::Kill => core.restart().await,
        Fault::Stop => core.thaw(),
    }
    let window = load.await??;
    core.ready().await;
    let ms = |kind| window.worst(kind).as_secs_f64() * 1_000.0;
    println!(
        "{} {fault:?}: {:.1} % done in time, {} errors, worst read {:.1} ms, worst write {:.1} ms{}",
        side.name,
        100.0 * window.share_done(),
        window.errors(),
        ms(Kind::Read),
        ms(Kind::Write),
        window.why.as_deref().map(|why| format!(", first error: {why}")).unwrap_or_default(),
    );
    direct(world, side).await;
    Ok(window)
}

/// Locum begins with a core that it trusts, and leaves no queue to whoever is measured next.
async fn direct(world: &World, side: &Target) {
    if side.writes {
        world.serves_direct().await;
    }
}
