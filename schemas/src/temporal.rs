//! Dates and times from Debezium's cells.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::debezium::{Cell, ColumnKind};

/// How a column's times are written in events; a mapping's word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// Milliseconds since 1970 (`io.debezium.time.Timestamp`).
    Millis,
    /// Microseconds since 1970 (`io.debezium.time.MicroTimestamp`).
    Micros,
    /// Nanoseconds since 1970 (`io.debezium.time.NanoTimestamp`).
    Nanos,
    /// RFC 3339 text (`io.debezium.time.ZonedTimestamp`).
    Zoned,
}

/// Why a cell is no time. Holds no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemporalError {
    /// Not written as the format says.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The schema block says that the column is something else.
    #[error("expected {0}, and the schema block says otherwise")]
    OtherForm(&'static str),
    /// Outside the years -9999 to 9999.
    #[error("time out of range: is the column's unit as mapped?")]
    OutOfRange,
    /// Further from the change itself than the mapping believes.
    #[error(
        "more than {0} years from the change itself (source.ts_ms): a zero date, or another unit than mapped; if it is true, \
         raise `plausible_years` in the mapping"
    )]
    Implausible(u16),
}

impl TemporalError {
    /// True when the connector's settings or the core's tables differ from the mapping.
    pub fn is_contradiction(self) -> bool {
        matches!(self, Self::OtherForm(_))
    }
}

/// Refuses a time that is further from the change than `years`, either way. A zero date arrives as 1970.
pub fn plausible(at: Timestamp, change_ms: i64, years: u16) -> Result<(), TemporalError> {
    const YEAR_MS: i64 = 366 * 24 * 60 * 60 * 1_000;
    let apart = at.as_millisecond().abs_diff(change_ms);
    if apart > u64::from(years) * YEAR_MS.unsigned_abs() { Err(TemporalError::Implausible(years)) } else { Ok(()) }
}

/// Reads `io.debezium.time.Date`: days since 1970.
pub fn date(cell: Cell<'_>, block: Option<ColumnKind>) -> Result<Date, TemporalError> {
    if !matches!(block, None | Some(ColumnKind::Date)) {
        return Err(TemporalError::OtherForm("a date column"));
    }
    let days = cell.i64().ok_or(TemporalError::Expected("days since 1970 as an integer"))?;
    let span = jiff::Span::new().try_days(days).map_err(|_| TemporalError::OutOfRange)?;
    Date::constant(1970, 1, 1).checked_add(span).map_err(|_| TemporalError::OutOfRange)
}

/// Reads a point in time. The schema block's unit, where there is one, overrides the mapping's.
///
/// Columns without a zone (DATETIME) hold the core's wall clock, which Debezium counts as if it were UTC: `zone` says whose
/// clock it was. A time the clock showed twice is taken as its first occurrence, one it skipped as moved forward.
pub fn timestamp(
    cell: Cell<'_>,
    declared: TimeFormat,
    block: Option<ColumnKind>,
    zone: &TimeZone,
) -> Result<Timestamp, TemporalError> {
    let format = match block {
        None => declared,
        Some(ColumnKind::TimestampMillis) => TimeFormat::Millis,
        Some(ColumnKind::TimestampMicros) => TimeFormat::Micros,
        Some(ColumnKind::TimestampNanos) => TimeFormat::Nanos,
        Some(ColumnKind::ZonedTimestamp) => TimeFormat::Zoned,
        Some(_) => return Err(TemporalError::OtherForm("a timestamp column")),
    };
    let count = || cell.i64().ok_or(TemporalError::Expected("a count since 1970 as an integer"));
    let wall = match format {
        TimeFormat::Millis => Timestamp::from_millisecond(count()?),
        TimeFormat::Micros => Timestamp::from_microsecond(count()?),
        TimeFormat::Nanos => Timestamp::from_nanosecond(count()?.into()),
        TimeFormat::Zoned => {
            let text = cell.text().ok_or(TemporalError::Expected("an RFC 3339 time as a string"))?;
            return text.parse().map_err(|_| TemporalError::Expected("an RFC 3339 time with an offset"));
        }
    };
    let wall = wall.map_err(|_| TemporalError::OutOfRange)?;
    if *zone == TimeZone::UTC {
        return Ok(wall);
    }
    let clock: DateTime = TimeZone::UTC.to_datetime(wall);
    zone.to_timestamp(clock).map_err(|_| TemporalError::OutOfRange)
}

#[cfg(test)]
mod tests;
