//! Attempts: recorded before a byte leaves, ended once by whoever knows that it is over.
//!
//! Their stamps are the SQL server's: many processes write and compare them, and money depends on the difference.

use std::collections::BTreeSet;

use schemas::entry::{Evidence, Verdict};
use sql::{Row, Tx, params, placeholders};

use super::claim::Fence;
use super::record::EntryId;
use super::transitions::Change;
use super::{Instance, JournalError};

/// An attempt: the entry and its number.
pub(super) type Attempt = (EntryId, i64);

/// Records the next attempt of a locked entry.
pub(super) async fn begin_attempt(
    tx: &mut Tx,
    fence: &Fence,
    instance: &Instance,
    id: &EntryId,
) -> Result<i64, JournalError> {
    let row =
        tx.query_one("SELECT COALESCE(MAX(n), 0) AS n FROM attempts WHERE entry_id = ?", params![id.as_str()]).await?;
    let n = row.get::<i64>("n")? + 1;
    tx.exec(
        "INSERT INTO attempts (entry_id, n, owner, boot, token, started_us) VALUES (?, ?, ?, ?, ?, {now_ms} * 1000)",
        params![id.as_str(), n, &instance.id, instance.boot, fence.token],
    )
    .await?;
    Ok(n)
}

/// Ends an attempt once, and says whether it was this time; the sender has closed its connection, or is proven gone.
pub(super) async fn end_attempt(tx: &mut Tx, id: &EntryId, n: i64, result: &str) -> Result<bool, JournalError> {
    let ended = tx
        .exec(
            "UPDATE attempts SET ended_us = {now_ms} * 1000, result = ? WHERE entry_id = ? AND n = ? AND ended_us IS NULL",
            params![result, id.as_str(), n],
        )
        .await?;
    Ok(ended == 1)
}

/// The open attempts of earlier holders of this identity: whoever asks holds what only one process can hold.
pub(super) async fn predecessors_attempts(tx: &mut Tx, instance: &Instance) -> Result<Vec<Attempt>, JournalError> {
    let sql = "SELECT entry_id, n FROM attempts WHERE owner = ? AND ended_us IS NULL AND boot < ?";
    tx.query(sql, params![&instance.id, instance.boot]).await?.iter().map(read).collect()
}

/// Attempts of these entries that nobody has ended; read with the entries locked.
pub(super) async fn open_attempts(tx: &mut Tx, ids: &[EntryId]) -> Result<BTreeSet<Attempt>, JournalError> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let list = placeholders(ids.len());
    let sql = format!("SELECT entry_id, n FROM attempts WHERE entry_id IN ({list}) AND ended_us IS NULL");
    tx.query(&sql, ids.iter().map(|id| id.as_str().into()).collect()).await?.iter().map(read).collect()
}

/// How many attempts the entry has had; read with the entry locked.
async fn attempts_made(tx: &mut Tx, id: &EntryId) -> Result<i64, JournalError> {
    let row = tx.query_one("SELECT COUNT(*) AS n FROM attempts WHERE entry_id = ?", params![id.as_str()]).await?;
    Ok(row.get("n")?)
}

/// How long ago, by the SQL server's clock, the last of the entry's attempts ended; `None`: there was none.
pub(super) async fn ended_for_ms(tx: &mut Tx, id: &EntryId) -> Result<Option<i64>, JournalError> {
    let sql = "SELECT MAX(ended_us) AS ended_us, {now_ms} AS now_ms FROM attempts WHERE entry_id = ?";
    let row = tx.query_one(sql, params![id.as_str()]).await?;
    let now_ms: i64 = row.get("now_ms")?;
    Ok(row.get::<Option<i64>>("ended_us")?.map(|ended_us| now_ms.saturating_sub(ended_us / 1_000)))
}

fn read(row: &Row) -> Result<Attempt, JournalError> {
    Ok((EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))?, row.get("n")?))
}

/// Ends the change's attempt, and answers what the attempts say against its evidence; `None`: nothing.
///
/// What an attempt came to counts only while that attempt is open: a record may run again after its commit had landed, a dead
/// sender's last COMMIT may land, or a sweep act on what it read before, when the entry has gone on and a replayer has it under
/// way once more. That the core posted is true whoever says it. And nothing is absent while an attempt may be under way.
pub(super) async fn objection(tx: &mut Tx, change: &Change) -> Result<Option<Verdict>, JournalError> {
    if let Some(n) = change.ends_attempt {
        let ended_now = end_attempt(tx, &change.id, n, change.evidence.as_str()).await?;
        if !ended_now && change.evidence != Evidence::CorePosted {
            return Ok(Some(Verdict::Nothing));
        }
    }
    if let Some(n) = change.of_attempts
        && attempts_made(tx, &change.id).await? != n
    {
        return Ok(Some(Verdict::Nothing));
    }
    let absent = change.evidence == Evidence::Absent;
    if absent && !open_attempts(tx, std::slice::from_ref(&change.id)).await?.is_empty() {
        tracing::error!(entry = %change.id, "absence claimed while an attempt may be under way; not taken");
        return Ok(Some(Verdict::Forbidden));
    }
    Ok(None)
}
