//! Months of UTC, in which entries end.

use std::fmt;

use jiff::tz::TimeZone;

/// A month of UTC, counted from January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i64);

impl Month {
    /// The month of this moment, microseconds since 1970. `None` beyond the calendar.
    pub fn of_us(us: i64) -> Option<Self> {
        let date = jiff::Timestamp::from_microsecond(us).ok()?.to_zoned(TimeZone::UTC).date();
        Some(Self((i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1))
    }

    /// The moment in which it begins, microseconds since 1970. `None` beyond the calendar.
    pub fn begins_us(self) -> Option<i64> {
        let (year, month) = self.civil();
        let date = jiff::civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
    }

    /// So many months later; earlier, where negative.
    pub fn plus(self, months: i64) -> Self {
        Self(self.0.saturating_add(months))
    }

    /// As it is stored.
    pub fn number(self) -> i64 {
        self.0
    }

    fn civil(self) -> (i64, i64) {
        (self.0.div_euclid(12) + 1970, self.0.rem_euclid(12) + 1)
    }
}

/// `2026-01`
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month) = self.civil();
        write!(f, "{year:04}-{month:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn a_month_holds_its_moments_and_begins_with_the_first_one() {
        for (moment, month) in [
            ("1969-12-31T23:59:59.999999Z", "1969-12"),
            ("1970-01-01T00:00:00Z", "1970-01"),
            ("2026-01-31T23:59:59.999999Z", "2026-01"),
            ("2026-02-01T00:00:00Z", "2026-02"),
            ("2028-02-29T12:00:00Z", "2028-02"),
        ] {
            let found = Month::of_us(at(moment)).unwrap();
            assert_eq!(found.to_string(), month);
            let (begins, ends) = (found.begins_us().unwrap(), found.plus(1).begins_us().unwrap());
            assert!((begins..ends).contains(&at(moment)), "{moment}");
            assert_eq!(Month::of_us(begins), Some(found));
            assert_eq!(Month::of_us(begins - 1), Some(found.plus(-1)));
        }
        assert_eq!(Month::of_us(i64::MAX), None);
    }
}
