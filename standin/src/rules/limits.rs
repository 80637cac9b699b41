//! How much stand-in may accept, per currency.

use std::collections::BTreeMap;

use schemas::money::Currency;
use serde::{Deserialize, Serialize};

/// What stand-in may accept. Operators change it live.
///
/// Read from SQL as well: what a newer Locum has added is passed over, so that an older one goes on with what it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Amounts by currency. Nothing is accepted in a currency that is not here.
    pub currencies: BTreeMap<Currency, CurrencyLimits>,
    /// Most debits stand-in accepts of one account in one business day.
    #[serde(default = "per_day_count")]
    pub per_day_count: i64,
    /// How much of the daily limit may be used at which age of the data; ascending, beyond the last nothing is accepted.
    #[serde(default = "age_bands")]
    pub age_bands: Vec<AgeBand>,
}

/// Limits in the minor units of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyLimits {
    /// Most that one transfer may move, asked on every path.
    pub per_transfer_minor: i64,
    /// Most that stand-in accepts of one account's debits in one business day.
    pub per_day_minor: i64,
}

/// Up to this age of the data, this share of the daily limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgeBand {
    /// Seconds since the data's source time.
    pub age_s_max: i64,
    /// Per cent of `per_day_minor`.
    pub percent: i64,
}

fn per_day_count() -> i64 {
    200
}

fn age_bands() -> Vec<AgeBand> {
    let band = |age_s_max, percent| AgeBand { age_s_max, percent };
    vec![band(3_600, 100), band(86_400, 50), band(345_600, 10)]
}

impl Default for Limits {
    /// No currency, so nothing is accepted. 200 debits a day; of the day's limit all up to an hour's age, half up to a day, a tenth
    /// up to four days.
    fn default() -> Self {
        Self { currencies: BTreeMap::new(), per_day_count: per_day_count(), age_bands: age_bands() }
    }
}

impl Limits {
    /// With these limits of one currency.
    pub fn with(mut self, currency: Currency, per_transfer_minor: i64, per_day_minor: i64) -> Self {
        self.currencies.insert(currency, CurrencyLimits { per_transfer_minor, per_day_minor });
        self
    }

    /// The limits of a currency; `None`: nothing is accepted in it.
    pub fn of(&self, currency: Currency) -> Option<CurrencyLimits> {
        self.currencies.get(&currency).copied()
    }

    /// Everything that makes no sense, in one list.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut not_negative = |name: String, value: i64| {
            if value < 0 {
                problems.push(format!("{name}: {value} is negative"));
            }
        };
        for (currency, limits) in &self.currencies {
            not_negative(format!("currencies.{currency}.per_transfer_minor"), limits.per_transfer_minor);
            not_negative(format!("currencies.{currency}.per_day_minor"), limits.per_day_minor);
        }
        not_negative("per_day_count".to_owned(), self.per_day_count);
        if self.currencies.is_empty() {
            problems.push("currencies: is empty, so nothing could be accepted; name each currency".to_owned());
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

    /// The share of a day's limit that may be used at this age of the data; `None` = too old for anything.
    pub fn share_at(&self, per_day_minor: i64, age_s: i64) -> Option<i64> {
        let band = self.age_bands.iter().find(|band| age_s <= band.age_s_max)?;
        let share = i128::from(per_day_minor) * i128::from(band.percent) / 100;
        i64::try_from(share).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn stale_data_tightens_the_daily_limit() {
        let share = |age_s| Limits::default().share_at(2_000_000, age_s);
        assert_eq!(share(0), Some(2_000_000));
        assert_eq!(share(3_600), Some(2_000_000));
        assert_eq!(share(3_601), Some(1_000_000));
        assert_eq!(share(345_600), Some(200_000));
        assert_eq!(share(345_601), None);
    }

    #[test]
    fn each_currency_has_limits_of_its_own_and_others_have_none() {
        let limits = Limits::default().with(currency("EUR"), 1_000_000, 2_000_000).with(currency("JPY"), 5, 6);
        assert_eq!(limits.of(currency("JPY")), Some(CurrencyLimits { per_transfer_minor: 5, per_day_minor: 6 }));
        assert_eq!(limits.of(currency("USD")), None);
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let band = |age_s_max, percent| AgeBand { age_s_max, percent };
        let good = Limits::default().with(currency("EUR"), 1, 1);
        assert_eq!(good.problems(), [""; 0]);
        let bad = Limits {
            per_day_count: -1,
            age_bands: vec![band(10, 101), band(10, 5)],
            ..Limits::default().with(currency("KWD"), -1, -1)
        };
        assert_eq!(bad.problems().len(), 5, "{:#?}", bad.problems());
        assert_eq!(Limits::default().problems().len(), 1, "no currency at all");
    }

    #[test]
    fn what_a_newer_version_added_is_passed_over_and_the_form_before_currencies_is_not_taken_for_one() {
        let newer =
            r#"{"currencies":{"EUR":{"per_transfer_minor":1,"per_day_minor":2,"per_month_minor":3}},"per_year":1}"#;
        let read: Limits = serde_json::from_str(newer).unwrap();
        assert_eq!(read, Limits::default().with(currency("EUR"), 1, 2));
        let older = r#"{"per_transfer_minor":1,"per_day_minor":2,"per_day_count":3,"age_bands":[]}"#;
        assert!(serde_json::from_str::<Limits>(older).is_err());
    }
}
