//! The mode: what channels are told, and what a new request should try first. Advice, never law.

use standin::admission::CoreBelief;
use standin::journal::ModeOrder;
use standin::mode::Mode;

use crate::health::Health;

/// What decides the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Of the core.
    pub health: Health,
    /// What an operator ordered.
    pub order: ModeOrder,
    /// The journal has queued or unknown entries.
    pub any_ordered: bool,
}

impl View {
    /// What a new request should try.
    pub fn belief(&self) -> CoreBelief {
        match (self.order, self.health) {
            (ModeOrder::Normal, _) => CoreBelief::Available,
            (ModeOrder::StandIn, _) => CoreBelief::Away,
            (ModeOrder::Auto, Health::Available | Health::Suspect) => CoreBelief::Available,
            (ModeOrder::Auto, Health::Unavailable | Health::Recovering) => CoreBelief::Away,
        }
    }

    /// What channels are told.
    pub fn mode(&self) -> Mode {
        match (self.belief(), self.any_ordered) {
            (CoreBelief::Away, _) => Mode::StandIn,
            (CoreBelief::Available, true) => Mode::Draining,
            (CoreBelief::Available, false) => Mode::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_beats_the_health() {
        let view = |health, order| View { health, order, any_ordered: false };
        assert_eq!(view(Health::Available, ModeOrder::StandIn).mode(), Mode::StandIn);
        assert_eq!(view(Health::Unavailable, ModeOrder::Normal).mode(), Mode::Normal);
        assert_eq!(view(Health::Recovering, ModeOrder::Auto).mode(), Mode::StandIn);
    }

    #[test]
    fn a_queue_behind_a_core_that_is_back_is_draining() {
        let view = View { health: Health::Available, order: ModeOrder::Auto, any_ordered: true };
        assert_eq!(view.mode(), Mode::Draining);
    }
}
