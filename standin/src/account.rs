//! An account, as the rules ask about it.

use schemas::money::Currency;
use serde::{Deserialize, Serialize};

/// Where an account stands in the core's own books. The rules of an operation say what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountStatus {
    /// In use.
    Active,
    /// Stopped for a while.
    Frozen,
    /// Ended.
    Closed,
}

impl AccountStatus {
    /// Every status.
    pub const ALL: [AccountStatus; 3] = [AccountStatus::Active, AccountStatus::Frozen, AccountStatus::Closed];

    /// The word in configuration and decision records.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountStatus::Active => "active",
            AccountStatus::Frozen => "frozen",
            AccountStatus::Closed => "closed",
        }
    }
}

/// What the read model says of an account, read after its lane was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// Its currency.
    pub currency: Currency,
    /// Active, frozen, closed; accepted state changes that are still queued count already.
    pub status: AccountStatus,
    /// Minor units the core has booked.
    pub booked_minor: i64,
    /// Minor units below zero that the core allows.
    pub overdraft_line_minor: i64,
    /// Minor units the core itself holds.
    pub core_holds_minor: i64,
}
