//! What is known of core and mode, kept by the monitor and read by every request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use standin::admission::CoreBelief;
use standin::journal::ModeOrder;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clocks::Clocks;
use crate::health::{CoreHealth, Health, HealthPolicy, Signal};
use crate::metrics::HEALTH_CHANGES_TOTAL;
use crate::mode::View;

/// What is known of core and mode; cloning is cheap. Requests add what they see of the core.
#[derive(Clone)]
pub struct Watch {
    health: Arc<Mutex<CoreHealth>>,
    view: Arc<watch::Sender<View>>,
    clocks: Arc<Clocks>,
    started: Instant,
}

impl Watch {
    /// Nothing was seen yet.
    pub(crate) fn new(policy: HealthPolicy, clock_difference_max: Duration) -> Self {
        let view = View { health: Health::Recovering, order: ModeOrder::Auto, any_ordered: false };
        Self {
            health: Arc::new(Mutex::new(CoreHealth::new(policy))),
            view: Arc::new(watch::Sender::new(view)),
            clocks: Arc::new(Clocks::new(clock_difference_max)),
            started: Instant::now(),
        }
    }

    /// The view now.
    pub fn view(&self) -> View {
        *self.view.borrow()
    }

    /// What a promise may rest on after a wait: a core that said nothing all the while counts as away, even if nobody has noticed yet.
    pub fn belief_after(&self, waited: Duration) -> CoreBelief {
        let view = self.view();
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = health.is_silent(millis(waited), millis(self.started.elapsed()));
        if silent && view.order == ModeOrder::Auto { CoreBelief::Away } else { view.belief() }
    }

    /// This host's clock beside the SQL server's.
    pub fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// Follows the view.
    pub fn subscribe(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Takes in what somebody saw of the core.
    pub fn signal(&self, signal: Signal) {
        let now_ms = millis(self.started.elapsed());
        let mut guard = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if !guard.step(signal, now_ms) {
            return;
        }
        let health = guard.health();
        // Still under the lock, so that of two changes the later one stays.
        self.view.send_modify(|view| view.health = health);
        drop(guard);
        tracing::warn!(health = health.as_str(), ?signal, "the core's health changed");
        metrics::counter!(HEALTH_CHANGES_TOTAL, "to" => health.as_str()).increment(1);
    }

    /// Takes in what a look at the journal found.
    pub(crate) fn looked(&self, order: ModeOrder, any_ordered: bool) {
        self.view.send_if_modified(|view| {
            let changed = (view.order, view.any_ordered) != (order, any_ordered);
            (view.order, view.any_ordered) = (order, any_ordered);
            changed
        });
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
