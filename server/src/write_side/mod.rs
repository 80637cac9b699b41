//! The write side put together: admissions, gateway, monitor and replayer over one core.
//!
//! Here the siblings meet: the journal learns about accounts from the read model, ingest tells the journal what the core booked.

mod confirmation;
mod facts;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use connectors::CoreConnector;
use connectors::http::HttpCore;
use gateway::{Gateway, Monitor, MonitorOptions, Watch};
use replayer::Replayer;
use standin::instance_lock::InstanceLock;
use standin::journal::{Admissions, Journal};
use tokio::task::JoinSet;

pub use confirmation::Confirmation;
pub use facts::ReadModelFacts;

use crate::config::Config;
use crate::roles::Role;
use crate::signals::Drain;

/// The running write side. Its tasks end when the gateway has no holder any more.
pub struct WriteSide {
    /// Takes writes.
    pub gateway: Gateway,
    /// Knows core health and mode.
    pub watch: Watch,
    /// Keep it until nothing of this process can be under way any more.
    pub instance_lock: InstanceLock,
}

/// Takes the lock of this instance, ends the attempts of its earlier holders, and starts the tasks of the write side's roles.
pub async fn start(
    config: &Config,
    journal: &Journal,
    drain: &Drain,
    services: &mut JoinSet<()>,
) -> anyhow::Result<WriteSide> {
    let instance_lock = InstanceLock::take(&config.state_dir)?;
    journal.seed_rules(&config.rules).await.context("seeding the rules")?;
    if !journal.seed_limits(&config.limits, config.supersede_limits).await.context("seeding the limits")? {
        tracing::info!("operators have set the limits; those of the configuration are not used");
    }
    let instance = journal.register_instance(instance_lock.id()).await.context("registering this instance")?;
    tracing::info!(%instance, "this instance holds its lock");
    let core = core(config)?;

    let (admissions, admitting) = Admissions::new(journal.clone(), instance.clone());
    services.spawn(admitting.run());
    let (monitor, watch) = Monitor::new(journal.clone(), core.clone(), MonitorOptions::default());
    let options = gateway::Options {
        write_deadline: Duration::from_millis(config.write_deadline_ms),
        calendar: config.business_day.clone(),
        ..gateway::Options::default()
    };
    let gateway = Gateway::new(journal.clone(), admissions, instance.clone(), core.clone(), watch.clone(), options);
    services.spawn(monitor.run(gateway.clone(), drain.clone().begun()));
    if config.roles.contains(&Role::Replayer) {
        let replayer = Replayer::new(journal.clone(), core, instance, config.replay.options());
        services.spawn(replayer.run(drain.clone().begun()));
    }
    Ok(WriteSide { gateway, watch, instance_lock })
}

fn core(config: &Config) -> anyhow::Result<Arc<dyn CoreConnector>> {
    let settings = config.core.config().map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let core = HttpCore::build(settings).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("core: {}", lines.join("\n"))
    })?;
    Ok(Arc::new(core))
}
