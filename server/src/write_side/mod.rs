//! The write side put together: admissions, gateway, monitor and replayer over one core.
//!
//! Here the siblings meet: the journal learns about accounts from the read model, ingest tells the journal what the core booked.

mod archive;
mod confirmation;
mod facts;
mod life;
mod place;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use connectors::CoreConnector;
use gateway::{Gateway, Monitor, MonitorOptions, Watch};
use replayer::Replayer;
use standin::instance_lock::InstanceLock;
use standin::journal::{Admissions, Instance, Journal, JournalError};
use tokio::sync::Mutex;

pub use confirmation::Confirmation;
pub use facts::ReadModelFacts;

use crate::config::{Config, CoreShare};
use crate::roles::Role;
use crate::signals::Drain;
use crate::supervisor::Supervisor;

/// The running write side. Its tasks end when the gateway has no holder any more.
pub struct WriteSide {
    /// Takes writes.
    pub gateway: Gateway,
    /// Knows core health and mode.
    pub watch: Watch,
}

/// Takes the lock of this instance and its place among the others, and ends the attempts of its earlier holders.
pub async fn enter(config: &Config, journal: &Journal) -> anyhow::Result<Instance> {
    let (held, former) = hold_for_life(&config.state_dir)?;
    let instance = place::take(journal, &held, config.instances_max, place::Waiting::default()).await?;
    tracing::info!(%instance, "this instance holds its lock");
    if let Some(former) = former {
        moved(journal, &former).await.context("looking for what the former instance left open")?;
    }
    Ok(instance)
}

/// Starts the tasks of the write side's roles, for the instance that entered.
pub async fn start(
    config: &Config,
    journal: &Journal,
    instance: Instance,
    drain: &Drain,
    services: &mut Supervisor,
) -> anyhow::Result<WriteSide> {
    let (beating, alive) = (journal.clone(), instance.clone());
    services.run_to_the_last("life", move || life::keep(beating.clone(), alive.clone()));
    journal.seed_rules(&config.rules).await.context("seeding the rules")?;
    if !journal.seed_limits(&config.limits, config.supersede_limits).await.context("seeding the limits")? {
        tracing::info!("operators have set the limits; those of the configuration are not used");
    }
    let share = config.core_share().map_err(|fault| anyhow::anyhow!("{fault}"))?;
    tracing::info!(%share, "this instance's share of the connections to the core");
    let core = core(config, share)?;
    if let Some(retention) = config.retention.options() {
        let (journal, archivist) = (journal.archive(), instance.clone());
        services
            .run_until_drained("archive", move || archive::keep(journal.clone(), archivist.clone(), retention.clone()));
    }

    let (admissions, admitting) = Admissions::new(journal.clone(), instance.clone());
    let admitting = Arc::new(Mutex::new(admitting));
    services.run("admissions", move || {
        let admitting = admitting.clone();
        async move { admitting.lock().await.work().await }
    });
    let clock_difference_max = Duration::from_millis(config.clock_difference_ms_max);
    let watching = MonitorOptions { clock_difference_max, ..MonitorOptions::default() };
    let (monitor, watch) = Monitor::new(journal.gateway(), core.clone(), watching);
    // Before anything listens, so that this instance knows from its first request on whether its clock may be relied on.
    monitor.compare_clocks().await.context("comparing this host's clock with the SQL server's")?;
    let options = gateway::Options {
        write_deadline: Duration::from_millis(config.write_deadline_ms),
        four_eyes: config.operators.four_eyes(),
        ..gateway::Options::default()
    };
    let gateway = Gateway::new(journal, admissions, instance.clone(), core.clone(), watch.clone(), options);
    let monitor = Arc::new(monitor);
    let (carried, drained) = (gateway.clone(), drain.clone());
    services.run("monitor", move || {
        let (monitor, gateway, drained) = (monitor.clone(), carried.clone(), drained.clone());
        async move { monitor.run(gateway, drained.begun()).await }
    });
    if config.roles.contains(&Role::Replayer) {
        let (journal, options, drained) = (journal.replay(), config.replay.options(share), drain.clone());
        services.run("replayer", move || {
            let replayer = Replayer::new(journal.clone(), core.clone(), instance.clone(), options.clone());
            replayer.run(drained.clone().begun())
        });
    }
    Ok(WriteSide { gateway, watch })
}

/// This state directory came from another machine, where its process may still run: the lock proves nothing of that one.
async fn moved(journal: &Journal, former: &str) -> Result<(), JournalError> {
    let open_attempts = journal.operators().instance(former).await?.map_or(0, |instance| instance.open_attempts);
    if open_attempts > 0 {
        tracing::error!(
            former,
            open_attempts,
            "this state_dir was used on another machine before; what its instance left open there is not taken for ended. Once that \
             machine is off for good: `locum instance declare-gone {former} --fenced … --proof … --reason …`"
        );
    } else {
        tracing::warn!(former, "this state_dir was used on another machine before; this is a new instance");
    }
    Ok(())
}

/// Takes the instance lock for the life of this process, and returns the instance's id, and the id that the directory had on
/// another machine. No code gives the lock up, not even after a panic. Its next holder ends our attempts, so only the kernel may free
/// it, when our last thread has ended.
fn hold_for_life(state_dir: &Path) -> anyhow::Result<(String, Option<String>)> {
    let lock = InstanceLock::take(state_dir)?;
    let names = (lock.id().to_owned(), lock.former().map(str::to_owned));
    std::mem::forget(lock);
    Ok(names)
}

fn core(config: &Config, share: CoreShare) -> anyhow::Result<Arc<dyn CoreConnector>> {
    let mut settings = config.core.config().map_err(|fault| anyhow::anyhow!("{fault}"))?;
    settings.set_connections_max(share.exchanges());
    settings.build().map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("core: {}", lines.join("\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_lock_is_given_up_by_no_path_of_ours() {
        let folder = std::env::temp_dir().join(format!("locum-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let panicked = std::panic::catch_unwind(|| {
            let _held = hold_for_life(&folder).unwrap();
            panic!("an injected panic");
        });
        assert!(panicked.is_err());
        assert!(InstanceLock::take(&folder).is_err(), "a successor must wait for the end of the process");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
