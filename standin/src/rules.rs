//! The rules of admission as data: limits, account states by path, and the names of refusals.

mod limits;
mod operations;
mod reason;

pub use limits::{AgeBand, CurrencyLimits, Limits};
pub use operations::{OperationRules, Order, Path, PayeeReasons, Rules, StateRules};
pub use reason::Reason;

/// What an admission is decided by, as read in its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rulebook {
    /// How much may be accepted.
    pub limits: Limits,
    /// Raised by each change of the limits.
    pub limits_version: i64,
    /// What each operation may do.
    pub rules: Rules,
}
