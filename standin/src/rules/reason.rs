//! Why a write is declined. Each rule has a name of its own.

use serde::{Deserialize, Serialize};

/// Why a write was declined; the code a channel sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The account to be credited is not known to the bank.
    UnknownAccount,
    /// A stranger's account cannot be credited: it is unknown, its state forbids it, or it has another currency. The
    /// principal does not learn which.
    PayeeNotAvailable,
    /// The account is frozen.
    AccountFrozen,
    /// The account is closed.
    AccountClosed,
    /// The amount's currency is not the account's.
    CurrencyMismatch,
    /// Booked + overdraft line − holds does not cover it.
    InsufficientFunds,
    /// Nothing is accepted in this currency: no limit is set for it.
    NoLimitForCurrency,
    /// Above the limit of one transfer.
    LimitExceeded,
    /// Above what stand-in accepts of this account in one day.
    DailyLimitExceeded,
    /// More writes than stand-in accepts of this account in one day.
    DailyCountExceeded,
    /// The data to decide on are too old.
    DataTooOld,
}

impl Reason {
    /// Every reason, for documentation and round trips.
    pub const ALL: [Reason; 11] = [
        Reason::UnknownAccount,
        Reason::PayeeNotAvailable,
        Reason::AccountFrozen,
        Reason::AccountClosed,
        Reason::CurrencyMismatch,
        Reason::InsufficientFunds,
        Reason::NoLimitForCurrency,
        Reason::LimitExceeded,
        Reason::DailyLimitExceeded,
        Reason::DailyCountExceeded,
        Reason::DataTooOld,
    ];

    /// The code in answers, SQL and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Reason::UnknownAccount => "unknown-account",
            Reason::PayeeNotAvailable => "payee-not-available",
            Reason::AccountFrozen => "account-frozen",
            Reason::AccountClosed => "account-closed",
            Reason::CurrencyMismatch => "currency-mismatch",
            Reason::InsufficientFunds => "insufficient-funds",
            Reason::NoLimitForCurrency => "no-limit-for-currency",
            Reason::LimitExceeded => "limit-exceeded",
            Reason::DailyLimitExceeded => "daily-limit-exceeded",
            Reason::DailyCountExceeded => "daily-count-exceeded",
            Reason::DataTooOld => "data-too-old",
        }
    }

    /// The reverse of [`Reason::code`].
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.code()), Some(reason));
        }
    }
}
