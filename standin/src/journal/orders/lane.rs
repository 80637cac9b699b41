//! A lane that a contradiction stopped, let go on by a person.

use sql::{Tx, params};

use super::Carrying;
use super::Done;
use super::Order;
use crate::journal::audit;
use crate::journal::error::JournalError;

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
