//! Watches the core and the operators' orders, and tells everyone the mode.

use std::sync::Arc;
use std::time::Duration;

use connectors::{CoreConnector, Probe};
use standin::journal::{GatewayJournal, JournalError};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::chores::Chores;
use crate::gateway::Gateway;
use crate::health::{HealthPolicy, Signal};
use crate::metrics::STANDS_IN;
use crate::watch::Watch;
use standin::mode::Mode;

/// How often the monitor looks.
#[derive(Debug, Clone, Copy)]
pub struct MonitorOptions {
    /// When the mind changes.
    pub policy: HealthPolicy,
    /// Between two probes.
    pub probe_every: Duration,
    /// Longest wait for a probe's answer.
    pub probe_timeout: Duration,
    /// Between two looks at orders, queue and orphans.
    pub look_every: Duration,
    /// Between two rounds of what one process does for all: counts of what waits, orders to be followed up.
    pub count_every: Duration,
    /// A clock that is further than this from the SQL server's takes no writes.
    pub clock_difference_max: Duration,
    /// Change data that are complete for longer than this after a posting, and do not show it, are a break.
    pub confirmed_within: Duration,
}

impl Default for MonitorOptions {
    /// Probes every 250 ms and waits 1 s for them; looks at the journal every 500 ms, counts every 5 s; clocks at most 2 s apart;
    /// confirmed within 2 minutes.
    fn default() -> Self {
        Self {
            policy: HealthPolicy::default(),
            probe_every: Duration::from_millis(250),
            probe_timeout: Duration::from_secs(1),
            look_every: Duration::from_millis(500),
            count_every: Duration::from_secs(5),
            clock_difference_max: Duration::from_secs(2),
            confirmed_within: Duration::from_secs(120),
        }
    }
}

/// The task that keeps a [`Watch`] true.
pub struct Monitor {
    watch: Watch,
    journal: GatewayJournal,
    core: Arc<dyn CoreConnector>,
    options: MonitorOptions,
}

impl Monitor {
    /// A monitor and what it keeps.
    pub fn new(journal: GatewayJournal, core: Arc<dyn CoreConnector>, options: MonitorOptions) -> (Self, Watch) {
        let watch = Watch::new(options.policy, options.clock_difference_max);
        (Self { watch: watch.clone(), journal, core, options }, watch)
    }

    /// Watches until `drain` resolves. It may be run again after a panic.
    pub async fn run(&self, gateway: Gateway, drain: impl Future<Output = ()>) {
        let probes = self.probe();
        let looks = self.look(&gateway);
        let counts = self.count(&gateway);
        let clocks = self.compare();
        tokio::select! {
            biased;
            () = async { tokio::join!(probes, looks, counts, clocks); } => {}
            () = drain => {}
        }
    }

    async fn probe(&self) {
        let mut ticks = ticks(self.options.probe_every);
        loop {
            ticks.tick().await;
            self.watch.signal(match self.core.probe(self.options.probe_timeout).await {
                Probe::Up => Signal::ProbeUp,
                Probe::ReadOnly => Signal::ProbeReadOnly,
                Probe::Down { .. } => Signal::ProbeDown,
            });
        }
    }

    async fn look(&self, gateway: &Gateway) {
        let mut ticks = ticks(self.options.look_every);
        loop {
            ticks.tick().await;
            if let Err(err) = self.look_once(gateway).await {
                tracing::warn!(error = %err, "the journal does not answer the monitor");
            }
        }
    }

    async fn compare(&self) {
        let mut ticks = ticks(self.options.look_every);
        loop {
            ticks.tick().await;
            if let Err(err) = self.compare_clocks().await {
                tracing::warn!(error = %err, "this host's clock cannot be compared with the SQL server's");
            }
        }
    }

    /// Compares this host's clock with the SQL server's. Writes are taken only after the first time.
    pub async fn compare_clocks(&self) -> Result<(), JournalError> {
        self.watch.clocks().note(self.journal.clock_ahead_ms().await?);
        Ok(())
    }

    async fn count(&self, gateway: &Gateway) {
        let MonitorOptions { count_every, confirmed_within, .. } = self.options;
        let instance = gateway.instance().clone();
        let mut chores = Chores::new(self.journal.clone(), instance, count_every, confirmed_within);
        let mut ticks = ticks(count_every);
        loop {
            ticks.tick().await;
            let stands_in = self.watch.view().mode() == Mode::StandIn;
            metrics::gauge!(STANDS_IN).set(if stands_in { 1 } else { 0 });
            if let Err(err) = chores.round().await {
                tracing::warn!(error = %err, "it cannot be told which process counts and follows up orders");
            }
        }
    }

    /// Every process looks for itself: each of its requests goes by order and queue, and only it knows which attempts its tasks carry.
    async fn look_once(&self, gateway: &Gateway) -> Result<(), JournalError> {
        let order = self.journal.mode_order().await?;
        let any_ordered = self.journal.any_ordered().await?;
        self.watch.looked(order, any_ordered);
        gateway.end_what_nobody_carries().await
    }
}

/// A look that took too long puts the next ones off, rather than having them follow at once.
fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
