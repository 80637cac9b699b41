//! Stamps of rows, and their ages.

use sql::{Host, Row};

use crate::clock::Ages;
use crate::journal::error::JournalError;

/// The ages of a row's stamps `sql_us` and `host_us`, by the SQL server's `now_ms` and this host's clock; `None`: there are none.
pub(super) fn ages(row: &Row, host: &Host) -> Result<Option<Ages>, JournalError> {
    let (sql_us, host_us): (Option<i64>, Option<i64>) = (row.get("sql_us")?, row.get("host_us")?);
    let now_us = (row.get::<i64>("now_ms")?.saturating_mul(1_000), host.now_us());
    Ok(sql_us.zip(host_us).map(|stamps| Ages::of(now_us, stamps)))
}

/// Milliseconds from a stamp of the SQL server's to its `now_ms`; zero where there is none.
pub(super) fn age_ms(row: &Row, stamp: &str) -> Result<i64, JournalError> {
    let (stamp_us, now_ms): (Option<i64>, i64) = (row.get(stamp)?, row.get("now_ms")?);
    Ok(stamp_us.map_or(0, |us| now_ms.saturating_sub(us / 1_000)))
}
