//! Watches the core and the operators' orders, and tells everyone the mode.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::{CoreConnector, Probe};
use standin::journal::{Journal, JournalError, ModeOrder};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::counts::Counts;
use crate::health::{CoreHealth, Health, Policy, Signal};
use crate::metrics::{HEALTH_CHANGES_TOTAL, STANDS_IN};
use crate::mode::{Mode, View};
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
    /// Between two counts of what waits.
    pub count_every: Duration,
    /// Change data that are complete for longer than this after a posting, and do not show it, are a break.
    pub confirmed_within: Duration,
}

impl Default for MonitorOptions {
    /// Probes every 250 ms and waits 1 s for them; looks at the journal every 500 ms, counts every 5 s; confirmed within 2 minutes.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            probe_every: Duration::from_millis(250),
            probe_timeout: Duration::from_secs(1),
            look_every: Duration::from_millis(500),
            count_every: Duration::from_secs(5),
            confirmed_within: Duration::from_secs(120),
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
        // Under the lock: of two changes the later one must be the one that stands.
        self.view.send_modify(|view| view.health = health);
        drop(guard);
        tracing::warn!(health = health.as_str(), ?signal, "the core's health changed");
        metrics::counter!(HEALTH_CHANGES_TOTAL, "to" => health.as_str()).increment(1);
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

    /// Watches until `drain` resolves. It may be run again after a panic.
    pub async fn run(&self, gateway: Gateway, drain: impl Future<Output = ()>) {
        let probes = self.probe();
        let looks = self.look(&gateway);
        let counts = self.count(&gateway);
        tokio::select! {
            () = async { tokio::join!(probes, looks, counts); } => {}
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

    async fn count(&self, gateway: &Gateway) {
        let MonitorOptions { count_every, confirmed_within, .. } = self.options;
        let instance = gateway.instance().clone();
        let mut counts = Counts::new(self.journal.clone(), instance, count_every, confirmed_within);
        let mut ticks = ticks(count_every);
        loop {
            ticks.tick().await;
            let stands_in = self.watch.view().mode() == Mode::StandIn;
            metrics::gauge!(STANDS_IN).set(if stands_in { 1 } else { 0 });
            if let Err(err) = counts.count().await {
                tracing::warn!(error = %err, "the journal's backlog cannot be counted");
            }
            if let Err(err) = gateway.follow_up_orders().await {
                tracing::warn!(error = %err, "what people ordered cannot be followed up");
            }
        }
    }

    async fn look_once(&self, gateway: &Gateway) -> Result<(), JournalError> {
        let order = self.journal.mode_order().await?;
        let any_ordered = self.journal.any_ordered().await?;
        self.watch.view.send_if_modified(|view| {
            let changed = (view.order, view.any_ordered) != (order, any_ordered);
            (view.order, view.any_ordered) = (order, any_ordered);
            changed
        });
        gateway.end_what_nobody_carries().await
    }
}

/// A look that took too long puts the next ones off, rather than having them follow at once.
fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
