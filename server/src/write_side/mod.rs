//! The write side put together: journal, admissions, gateway, monitor and replayer over one core.
//!
//! Here the siblings meet: the journal learns about accounts from the read model, ingest tells the journal what the core booked.

mod confirmation;
mod facts;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use connectors::CoreConnector;
use gateway::{Gateway, Monitor, MonitorOptions, Watch};
use replayer::Replayer;
use replayer::identity::Identity;
use sql::Db;
use standin::journal::{Admissions, Instance, Journal};
use standin::rules::Limits;
use tokio::task::JoinSet;

pub use confirmation::Confirmation;
pub use facts::ReadModelFacts;

/// What the write side is made of.
pub struct Options {
    /// Deadlines of channels' writes.
    pub gateway: gateway::Options,
    /// Probing and hysteresis.
    pub monitor: MonitorOptions,
    /// Pace and patience of the replay.
    pub replayer: replayer::Options,
    /// Limits in force until an operator sets others.
    pub limits: Limits,
}

/// The journal of this instance, opened under its identity.
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// This life of this instance.
    pub instance: Instance,
    identity: Identity,
}

/// The running write side; keep it for as long as its parts are used.
pub struct WriteSide {
    /// Takes writes.
    pub gateway: Gateway,
    /// Knows core health and mode.
    pub watch: Watch,
    _identity: Identity,
}

/// Takes the identity of `state_dir`, opens the journal and ends the attempts of this identity's earlier holders.
pub async fn open(db: Db, core_name: &str, state_dir: &Path, limits: &Limits) -> anyhow::Result<Opened> {
    let identity = Identity::take(state_dir)?;
    let journal = Journal::open(db, Arc::new(ReadModelFacts), core_name).await.context("opening the journal")?;
    journal.seed_limits(limits).await.context("seeding the limits")?;
    let instance = journal.register_instance(identity.id()).await.context("registering this instance")?;
    tracing::info!(%instance, "this instance holds its identity");
    Ok(Opened { journal, instance, identity })
}

/// Starts the write side's tasks on `tasks`; they end some time after `drain` resolves. With `replay`, a replayer too.
pub fn start<D, F>(
    opened: Opened,
    core: Arc<dyn CoreConnector>,
    options: Options,
    replay: bool,
    tasks: &mut JoinSet<()>,
    drain: D,
) -> WriteSide
where
    D: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Opened { journal, instance, identity } = opened;
    let (admissions, admitting) = Admissions::new(journal.clone(), instance.clone());
    tasks.spawn(admitting.run());
    let (monitor, watch) = Monitor::new(journal.clone(), core.clone(), options.monitor);
    let gateway = Gateway::new(
        journal.clone(),
        admissions,
        instance.clone(),
        core.clone(),
        watch.clone(),
        options.gateway,
    );
    tasks.spawn(monitor.run(gateway.clone(), drain()));
    if replay {
        tasks.spawn(Replayer::new(journal, core, instance, options.replayer).run(drain()));
    }
    WriteSide { gateway, watch, _identity: identity }
}
