//! The mode: who takes writes now.

/// What the whole service is doing, as one instance sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Writes go to the core.
    Normal,
    /// Writes are taken by the journal.
    StandIn,
    /// The core is back and the queue is being replayed; writes on idle lanes go to the core.
    Draining,
}

impl Mode {
    /// The value of the `Service-Mode` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Normal => "normal",
            Mode::StandIn => "stand-in",
            Mode::Draining => "draining",
        }
    }
}
