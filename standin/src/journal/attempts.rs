//! Attempts: recorded before a byte leaves, ended once it is known that they are over.
//!
//! Each has two stamps: the SQL server's, and that of the host that sends. Money depends on their ages ([`Ages`]).

use std::collections::BTreeSet;

use schemas::entry::{Evidence, Verdict};
use sql::{Row, Tx, params, placeholders};

use crate::change::Change;
use crate::clock::Ages;
use crate::entry::EntryId;
use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::fence::Fence;
use crate::journal::stamps::{ages, now_us};
use crate::resolution::{Attempt, AttemptEnd, Refused, refusal_settles};

/// An attempt: the entry and its number.
pub(super) type AttemptKey = (EntryId, i64);

/// Why no earlier attempt can take effect any more when a new one is recorded.
#[derive(Clone, Copy)]
pub(super) enum Alone {
    /// It comes from the queue. Every way into the queue has ended all earlier attempts for good, unless a person forced
    /// the entry.
    Queued,
    /// The sender has seen that attempts up to this number are over. It is alone if there are no others.
    After(i64),
}

/// Did a person ever send it again without a proof? Then the refusal of a later attempt does not show that an earlier one
/// posted nothing.
async fn was_forced(tx: &mut Tx, id: &EntryId) -> Result<bool, JournalError> {
    let sql = "SELECT COUNT(*) AS n FROM transitions WHERE entry_id = ? AND evidence = ?";
    let row = tx.query_one(sql, params![id.as_str(), Evidence::Forced.as_str()]).await?;
    Ok(row.get::<i64>("n")? > 0)
}

/// Records the next attempt of a locked entry.
pub(super) async fn begin_attempt(
    tx: &mut Tx,
    fence: &Fence,
    instance: &Instance,
    id: &EntryId,
    alone: Alone,
) -> Result<i64, JournalError> {
    let row =
        tx.query_one("SELECT COALESCE(MAX(n), 0) AS n FROM attempts WHERE entry_id = ?", params![id.as_str()]).await?;
    let last: i64 = row.get("n")?;
    let (n, alone) = match alone {
        Alone::Queued => (last + 1, last == 0 || !was_forced(tx, id).await?),
        Alone::After(known) => (last + 1, known == last),
    };
    let begun = tx
        .exec(
            "INSERT INTO attempts (entry_id, n, owner, boot, token, alone, started_host_us, started_us) \
             SELECT ?, ?, id, ?, ?, ?, ?, {now_ms} * 1000 FROM instances WHERE id = ? AND gone_boot < ?",
            params![id.as_str(), n, instance.boot, fence.token, alone, now_us(), &instance.id, instance.boot],
        )
        .await?;
    // Others take its attempts for ended: it must begin none.
    if begun != 1 {
        return Err(JournalError::DeclaredGone);
    }
    Ok(n)
}

/// Ends an attempt once; answers whether it was open before. Call it when the sender has closed its connection or is proven
/// gone.
pub(super) async fn end_attempt(tx: &mut Tx, id: &EntryId, n: i64, result: &str) -> Result<bool, JournalError> {
    let ended = tx
        .exec(
            "UPDATE attempts SET ended_us = {now_ms} * 1000, ended_host_us = ?, result = ? \
             WHERE entry_id = ? AND n = ? AND ended_us IS NULL",
            params![now_us(), result, id.as_str(), n],
        )
        .await?;
    Ok(ended == 1)
}

/// The open attempts of earlier holders of this identity. The caller holds the instance lock, so all of them are dead.
pub(super) async fn predecessors_attempts(tx: &mut Tx, instance: &Instance) -> Result<Vec<AttemptKey>, JournalError> {
    let sql = "SELECT entry_id, n FROM attempts WHERE owner = ? AND ended_us IS NULL AND boot < ?";
    tx.query(sql, params![&instance.id, instance.boot]).await?.iter().map(read).collect()
}

/// The open attempts of an identity's holders up to `boot`.
pub(super) async fn attempts_of_gone(tx: &mut Tx, owner: &str, boot: i64) -> Result<Vec<AttemptKey>, JournalError> {
    let sql = "SELECT entry_id, n FROM attempts WHERE owner = ? AND ended_us IS NULL AND boot <= ?";
    tx.query(sql, params![owner, boot]).await?.iter().map(read).collect()
}

/// Attempts of these entries that nobody has ended; read with the entries locked.
pub(super) async fn open_attempts(tx: &mut Tx, ids: &[EntryId]) -> Result<BTreeSet<AttemptKey>, JournalError> {
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

/// How long ago the last of the entry's attempts ended; `None`: there was none.
pub(super) async fn ended_for(tx: &mut Tx, id: &EntryId) -> Result<Option<Ages>, JournalError> {
    let sql = "SELECT MAX(ended_us) AS sql_us, MAX(COALESCE(ended_host_us, ended_us)) AS host_us, {now_ms} AS now_ms \
         FROM attempts WHERE entry_id = ?";
    ages(&tx.query_one(sql, params![id.as_str()]).await?)
}

fn read(row: &Row) -> Result<AttemptKey, JournalError> {
    Ok((EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))?, row.get("n")?))
}

/// The results of ended attempts that post nothing: no byte left, or the core refused it. SQL for a list.
pub(super) const HARMLESS: &str = "'not_sent', 'core_refused'";

/// Every attempt of an entry, as a refusal asks about them.
async fn attempts_of(tx: &mut Tx, id: &EntryId) -> Result<Vec<Attempt>, JournalError> {
    let sql = format!(
        "SELECT n, alone, CASE WHEN ended_us IS NULL THEN 1 ELSE 0 END AS open, \
         CASE WHEN result IN ({HARMLESS}) THEN 1 ELSE 0 END AS harmless FROM attempts WHERE entry_id = ? ORDER BY n"
    );
    let rows = tx.query(&sql, params![id.as_str()]).await?;
    rows.iter()
        .map(|row| {
            let (n, open, harmless): (i64, bool, bool) = (row.get("n")?, row.get("open")?, row.get("harmless")?);
            let end = match (open, harmless) {
                (true, _) => AttemptEnd::Open,
                (false, true) => AttemptEnd::Harmless,
                (false, false) => AttemptEnd::MayPost,
            };
            // The first is alone. A later one is alone only if its row says so.
            let alone = n == 1 || row.get::<Option<bool>>("alone")?.unwrap_or(false);
            Ok(Attempt { n, alone, end })
        })
        .collect()
}

/// What remains of a change's evidence once the entry's attempts were asked.
pub(super) enum Heard {
    /// This is weighed.
    Evidence(Evidence),
    /// Nothing is weighed; this is the answer.
    Verdict(Verdict),
}

/// Ends the change's attempt, and says what of its evidence counts.
///
/// - A result counts only for an attempt that is still open. Otherwise a late or repeated COMMIT could move an entry that is under
///   way again. *Posted* is the exception: it is always true.
/// - A refusal counts as no answer while another attempt may post.
/// - Nothing is absent while an attempt is open.
pub(super) async fn hear(tx: &mut Tx, change: &Change) -> Result<Heard, JournalError> {
    let (id, evidence) = (&change.id, change.evidence);
    if let Some(n) = change.ends_attempt {
        let ended_now = end_attempt(tx, id, n, evidence.as_str()).await?;
        if !ended_now && evidence != Evidence::CorePosted {
            return Ok(Heard::Verdict(Verdict::Nothing));
        }
    }
    if let Some(n) = change.of_attempts
        && attempts_made(tx, id).await? != n
    {
        return Ok(Heard::Verdict(Verdict::Nothing));
    }
    match evidence {
        Evidence::Absent if !open_attempts(tx, std::slice::from_ref(id)).await?.is_empty() => {
            tracing::error!(entry = %id, "absence claimed while an attempt may be under way; not taken");
            Ok(Heard::Verdict(Verdict::Forbidden))
        }
        Evidence::CoreRefused => {
            let refused = match change.ends_attempt {
                Some(n) => Refused::Attempt(n),
                None => Refused::Reference { quiet_up_to: change.quiet_up_to },
            };
            if refusal_settles(refused, &attempts_of(tx, id).await?) {
                return Ok(Heard::Evidence(evidence));
            }
            tracing::info!(entry = %id, "a refusal does not end an entry of which another attempt may post");
            Ok(Heard::Evidence(Evidence::NoAnswer))
        }
        _ => Ok(Heard::Evidence(evidence)),
    }
}
