//! Watches the core and the operators' orders, and tells everyone the mode.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::{CoreConnector, Probe};
use standin::journal::{Journal, ModeOrder};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::health::{CoreHealth, Health, Policy, Signal};
use crate::metrics::HEALTH_CHANGES_TOTAL;
use crate::mode::View;
use crate::submission::Gateway;

/// How often the monitor looks.
#[derive(Debug, Clone, Copy)]
pub struct MonitorOptions {
    /// When the mind changes.
    pub policy: Policy,
    /// Between two probes.
    pub probe_every: Duration,
    /// Longest wait for a probe's answer.
    pub probe_timeout: Duration,
    /// Between two looks at orders, queue and orphans.
    pub look_every: Duration,
}

impl Default for MonitorOptions {
    /// Probes every 250 ms and waits 1 s for them; looks at the journal every 500 ms.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            probe_every: Duration::from_millis(250),
            probe_timeout: Duration::from_secs(1),
            look_every: Duration::from_millis(500),
        }
    }
}

/// What is known of core and mode; cloning is cheap. Requests add what they see of the core.
#[derive(Clone)]
pub struct Watch {
    health: Arc<Mutex<CoreHealth>>,
    view: Arc<watch::Sender<View>>,
    started: Instant,
}

impl Watch {
    fn new(policy: Policy) -> Self {
        let view = View { health: Health::Recovering, order: ModeOrder::Auto, any_ordered: false };
        Self {
            health: Arc::new(Mutex::new(CoreHealth::new(policy))),
            view: Arc::new(watch::Sender::new(view)),
            started: Instant::now(),
        }
    }

    /// The view now.
    pub fn view(&self) -> View {
        *self.view.borrow()
    }

    /// Follows the view.
    pub fn subscribe(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Takes in what somebody saw of the core.
    pub fn signal(&self, signal: Signal) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut guard = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if !guard.step(signal, now_ms) {
            return;
        }
        let health = guard.health();
        drop(guard);
        tracing::warn!(health = health.as_str(), ?signal, "the core's health changed");
        metrics::counter!(HEALTH_CHANGES_TOTAL, "to" => health.as_str()).increment(1);
        self.view.send_modify(|view| view.health = health);
    }
}

/// The task that keeps a [`Watch`] true.
pub struct Monitor {
    watch: Watch,
    journal: Journal,
    core: Arc<dyn CoreConnector>,
    options: MonitorOptions,
}

impl Monitor {
    /// A monitor and what it keeps.
    pub fn new(journal: Journal, core: Arc<dyn CoreConnector>, options: MonitorOptions) -> (Self, Watch) {
        let watch = Watch::new(options.policy);
        (Self { watch: watch.clone(), journal, core, options }, watch)
    }

    /// Watches until `drain` resolves.
    pub async fn run(self, gateway: Gateway, drain: impl Future<Output = ()>) {
        let probes = self.probe();
        let looks = self.look(&gateway);
        tokio::select! {
            () = async { tokio::join!(probes, looks); } => {}
            () = drain => {}
        }
    }

    async fn probe(&self) {
        let mut ticks = interval(self.options.probe_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.watch.signal(match self.core.probe(self.options.probe_timeout).await {
                Probe::Up => Signal::ProbeUp,
                Probe::ReadOnly | Probe::Down { .. } => Signal::ProbeDown,
            });
        }
    }

    async fn look(&self, gateway: &Gateway) {
        let mut ticks = interval(self.options.look_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(err) = self.look_once(gateway).await {
                tracing::warn!(error = %err, "the journal does not answer the monitor");
            }
        }
    }

    async fn look_once(&self, gateway: &Gateway) -> Result<(), standin::journal::JournalError> {
        let order = self.journal.mode_order().await?;
        let any_ordered = self.journal.any_ordered().await?;
        self.watch.view.send_if_modified(|view| {
            let changed = (view.order, view.any_ordered) != (order, any_ordered);
            (view.order, view.any_ordered) = (order, any_ordered);
            changed
        });
        gateway.sweep_orphans(jiff::Timestamp::now().as_microsecond()).await?;
        Ok(())
    }
}
