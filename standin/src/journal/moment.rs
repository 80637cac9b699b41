//! A moment of the SQL server's clock, and the bank's day then.

use crate::calendar::Calendar;
use crate::journal::error::JournalError;

/// The SQL server's now, and the bank's day then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Microseconds since 1970.
    pub(super) now_us: i64,
    /// Days since 1970-01-01.
    pub(super) business_day: i64,
}

impl Moment {
    /// This moment by this calendar.
    pub(super) fn of(calendar: &Calendar, now_us: i64) -> Result<Self, JournalError> {
        let at = jiff::Timestamp::from_microsecond(now_us);
        let at = at.map_err(|_| JournalError::Corrupt("the SQL server's clock"))?;
        Ok(Self { now_us, business_day: calendar.business_day(at) })
    }
}
