//! The rules of admission, in the order in which they are asked. Each refusal has a name of its own.

use serde::{Deserialize, Serialize};

/// Why a write was declined; the code a channel sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The account to be credited is not known to the bank.
    UnknownAccount,
    /// The account is frozen.
    AccountFrozen,
    /// The account is closed.
    AccountClosed,
    /// The amount's currency is not the account's.
    CurrencyMismatch,
    /// Booked + overdraft line − holds does not cover it.
    InsufficientFunds,
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
    pub const ALL: [Reason; 9] = [
        Reason::UnknownAccount,
        Reason::AccountFrozen,
        Reason::AccountClosed,
        Reason::CurrencyMismatch,
        Reason::InsufficientFunds,
        Reason::LimitExceeded,
        Reason::DailyLimitExceeded,
        Reason::DailyCountExceeded,
        Reason::DataTooOld,
    ];

    /// The code in answers, SQL and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Reason::UnknownAccount => "unknown-account",
            Reason::AccountFrozen => "account-frozen",
            Reason::AccountClosed => "account-closed",
            Reason::CurrencyMismatch => "currency-mismatch",
            Reason::InsufficientFunds => "insufficient-funds",
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

/// What stand-in may accept. Operators change it live; amounts in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most that one transfer may move, asked on every path.
    pub per_transfer_minor: i64,
    /// Most that stand-in accepts of one account's debits in one business day.
    pub per_day_minor: i64,
    /// Most debits stand-in accepts of one account in one business day.
    pub per_day_count: i64,
    /// How much of the daily limit may be used at which age of the data; ascending, beyond the last nothing is accepted.
    pub age_bands: Vec<AgeBand>,
}

/// Up to this age of the data, this share of the daily limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgeBand {
    /// Seconds since the data's source time.
    pub age_s_max: i64,
    /// Per cent of `per_day_minor`.
    pub percent: i64,
}

impl Default for Limits {
    /// 10,000.00 a transfer, 20,000.00 and 200 debits a day, all of it up to an hour's age, half up to a day, a tenth up to four days.
    fn default() -> Self {
        let band = |age_s_max, percent| AgeBand { age_s_max, percent };
        Self {
            per_transfer_minor: 1_000_000,
            per_day_minor: 2_000_000,
            per_day_count: 200,
            age_bands: vec![band(3_600, 100), band(86_400, 50), band(345_600, 10)],
        }
    }
}

impl Limits {
    /// Everything that makes no sense, in one list.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in [
            ("per_transfer_minor", self.per_transfer_minor),
            ("per_day_minor", self.per_day_minor),
            ("per_day_count", self.per_day_count),
        ] {
            if value < 0 {
                problems.push(format!("{name}: {value} is negative"));
            }
        }
        for (index, band) in self.age_bands.iter().enumerate() {
            if !(0..=100).contains(&band.percent) {
                problems.push(format!("age_bands[{index}].percent: {} is not between 0 and 100", band.percent));
            }
            if index > 0 && self.age_bands[index - 1].age_s_max >= band.age_s_max {
                problems.push(format!("age_bands[{index}].age_s_max: {} does not ascend", band.age_s_max));
            }
        }
        problems
    }

    /// Minor units of the daily limit at this age of the data; `None` = too old for anything.
    pub fn per_day_at(&self, age_s: i64) -> Option<i64> {
        let band = self.age_bands.iter().find(|band| age_s <= band.age_s_max)?;
        let share = i128::from(self.per_day_minor) * i128::from(band.percent) / 100;
        i64::try_from(share).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_data_tightens_the_daily_limit() {
        let limits = Limits::default();
        assert_eq!(limits.per_day_at(0), Some(2_000_000));
        assert_eq!(limits.per_day_at(3_600), Some(2_000_000));
        assert_eq!(limits.per_day_at(3_601), Some(1_000_000));
        assert_eq!(limits.per_day_at(345_600), Some(200_000));
        assert_eq!(limits.per_day_at(345_601), None);
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let band = |age_s_max, percent| AgeBand { age_s_max, percent };
        let limits = Limits { per_day_count: -1, age_bands: vec![band(10, 101), band(10, 5)], ..Limits::default() };
        assert_eq!(limits.problems().len(), 3);
        assert!(Limits::default().problems().is_empty());
    }

    #[test]
    fn codes_round_trip() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.code()), Some(reason));
        }
    }
}
