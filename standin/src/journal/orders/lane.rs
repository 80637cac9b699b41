//! What a person orders about a lane: that it goes on after a contradiction stopped it, and that its day is today again.

use sql::{Tx, params};

use super::Carrying;
use super::Done;
use super::Order;
use crate::journal::audit;
use crate::journal::error::JournalError;
use crate::journal::moment::Moment;
use crate::journal::objection::Objection;

/// Clears the stop. An account without a lane is [`JournalError::NoSuchEntry`].
pub(super) async fn clear(
    tx: &mut Tx,
    carrying: &Carrying<'_>,
    order: &Order,
    account: &str,
) -> Result<Done, JournalError> {
    let lock = "SELECT version FROM lanes WHERE account = ? FOR UPDATE";
    if tx.query_opt(lock, params![account]).await?.is_none() {
        return Err(JournalError::NoSuchEntry);
    }
    if audit::is_done(tx, carrying.id).await? {
        return Ok(Done::LaneCleared);
    }
    if carrying.basis.is_some() {
        carrying.unchanged(&basis(tx, account).await?)?;
    }
    tx.exec("UPDATE lanes SET stopped = 0, version = version + 1 WHERE account = ?", params![account]).await?;
    carrying.audit(tx, order).await?;
    Ok(Done::LaneCleared)
}

/// Whether the lane is stopped, and what its contradicted entries are. Its version would not do: a stopped lane goes on taking
/// new writes, and nobody could ever approve in time.
pub(super) async fn basis(tx: &mut Tx, account: &str) -> Result<String, JournalError> {
    let lane = tx.query_opt("SELECT stopped FROM lanes WHERE account = ?", params![account]).await?;
    let stopped: bool = lane.ok_or(JournalError::NoSuchEntry)?.get("stopped")?;
    let sql = "SELECT COUNT(*) AS n, COALESCE(MAX(e.version), 0) AS newest, COALESCE(MAX(e.id), '') AS last FROM entries e \
         JOIN legs l ON l.entry_id = e.id WHERE e.contradicted = 1 AND l.account = ?";
    let row = tx.query_one(sql, params![account]).await?;
    let (n, newest, last): (i64, i64, String) = (row.get("n")?, row.get("newest")?, row.get("last")?);
    Ok(format!("{stopped} {n} {newest} {last}"))
}

/// Makes today the day on which the lane's usage counts. A lane's day never goes back by itself, so one that a clock set far ahead
/// has moved closes the account's limits until that day.
///
/// What was used stays used, and counts today: the order frees nothing that was accepted today.
pub(super) async fn reset_day(
    tx: &mut Tx,
    carrying: &Carrying<'_>,
    order: &Order,
    account: &str,
) -> Result<Done, JournalError> {
    let lock = "SELECT used_day, {now_ms} AS now_ms FROM lanes WHERE account = ? FOR UPDATE";
    let lane = tx.query_opt(lock, params![account]).await?.ok_or(JournalError::NoSuchEntry)?;
    let (used_day, now_ms): (i64, i64) = (lane.get("used_day")?, lane.get("now_ms")?);
    if audit::is_done(tx, carrying.id).await? {
        return Ok(Done::DayReset(used_day));
    }
    carrying.unchanged(&used_day.to_string())?;
    let today = Moment::of(carrying.calendar, now_ms.saturating_mul(1_000))?.business_day;
    if used_day <= today {
        return Err(Objection::DayNotAhead.into());
    }
    tx.exec("UPDATE lanes SET used_day = ?, version = version + 1 WHERE account = ?", params![today, account]).await?;
    carrying.audit(tx, order).await?;
    Ok(Done::DayReset(today))
}

/// The lane's day: what was ordered about another day is void. New writes of today do not change it.
pub(super) async fn basis_of_day(tx: &mut Tx, account: &str) -> Result<String, JournalError> {
    let lane = tx.query_opt("SELECT used_day FROM lanes WHERE account = ?", params![account]).await?;
    Ok(lane.ok_or(JournalError::NoSuchEntry)?.get::<i64>("used_day")?.to_string())
}
