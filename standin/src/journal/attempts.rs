//! Attempts: recorded before a byte leaves, ended once it is known that they are over.
//!
//! Each has two stamps: the SQL server's, and that of the host that sends. Money depends on their ages ([`Ages`]).

use std::collections::{BTreeMap, BTreeSet};

use failpoints::{Flaw, flawed};
use schemas::entry::{Evidence, Verdict};
use sql::{BatchUpdate, Row, Tx, listed, params};

use crate::change::Change;
use crate::clock::Ages;
use crate::entry::EntryId;
use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::record::KEYS_PER_STATEMENT;
use crate::journal::stamps::ages;
use crate::resolution::{Attempt, AttemptEnd, Refused, refusal_settles};

/// The number of an entry's first attempt.
pub(super) const FIRST_ATTEMPT: i64 = 1;

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

/// Who begins attempts: the process, and its fence's token where it schedules under one.
#[derive(Clone, Copy)]
pub(super) struct Beginner<'i> {
    pub(super) instance: &'i Instance,
    pub(super) token: Option<i64>,
}

/// The results of ended attempts that post nothing: no byte left, or the core refused it. SQL for a list.
pub(super) const HARMLESS: &str = "'not_sent', 'core_refused'";

/// All attempts of some locked entries, locked with them, as one transaction changes them.
#[derive(Default)]
pub(super) struct Attempts {
    of: BTreeMap<EntryId, Vec<Attempt>>,
    ended: Vec<(AttemptKey, &'static str)>,
    begun: Vec<Begun>,
}

/// An attempt that this transaction records.
struct Begun {
    id: EntryId,
    n: i64,
    alone: bool,
}

impl Attempts {
    /// Locks and reads the attempts of these entries. A process may end its own attempts without the entry's lock.
    pub(super) async fn lock(tx: &mut Tx, ids: &[EntryId]) -> Result<Self, JournalError> {
        let mut attempts = Self::default();
        for ids in ids.chunks(KEYS_PER_STATEMENT) {
            let (list, keys) = listed(ids.iter().map(EntryId::as_str));
            let sql = format!(
                "SELECT entry_id, n, alone, CASE WHEN ended_us IS NULL THEN 1 ELSE 0 END AS open, \
                 CASE WHEN result IN ({HARMLESS}) THEN 1 ELSE 0 END AS harmless FROM attempts \
                 WHERE entry_id IN ({list}) ORDER BY entry_id, n FOR UPDATE"
            );
            for row in tx.query(&sql, keys).await? {
                let (id, n) = read(&row)?;
                let end = match (row.get("open")?, row.get("harmless")?) {
                    (true, _) => AttemptEnd::Open,
                    (false, true) => AttemptEnd::Harmless,
                    (false, false) => AttemptEnd::MayPost,
                };
                // The first is alone. A later one is alone only if its row says so.
                let alone = n == 1 || row.get::<Option<bool>>("alone")?.unwrap_or(false);
                attempts.of.entry(id).or_default().push(Attempt { n, alone, end });
            }
        }
        Ok(attempts)
    }

    fn of(&self, id: &EntryId) -> &[Attempt] {
        self.of.get(id).map_or(&[], Vec::as_slice)
    }

    /// The number of the entry's last attempt; 0: there was none.
    fn last(&self, id: &EntryId) -> i64 {
        self.of(id).last().map_or(0, |attempt| attempt.n)
    }

    /// Is an attempt of the entry not over yet?
    pub(super) fn any_open(&self, id: &EntryId) -> bool {
        self.of(id).iter().any(|attempt| attempt.end == AttemptEnd::Open)
    }

    /// Ends an attempt once; answers whether it was open before. Call it when the sender has closed its connection or is
    /// proven gone.
    pub(super) fn end(&mut self, id: &EntryId, n: i64, result: &'static str) -> bool {
        let open = |attempt: &&mut Attempt| attempt.n == n && attempt.end == AttemptEnd::Open;
        let Some(attempt) = self.of.get_mut(id).and_then(|of| of.iter_mut().find(open)) else { return false };
        let harmless = [Evidence::NotSent.as_str(), Evidence::CoreRefused.as_str()].contains(&result);
        attempt.end = if harmless { AttemptEnd::Harmless } else { AttemptEnd::MayPost };
        self.ended.push(((id.clone(), n), result));
        true
    }

    /// Records the next attempts of these entries; answers their numbers, in this order.
    pub(super) async fn begin(&mut self, tx: &mut Tx, ids: &[EntryId], alone: Alone) -> Result<Vec<i64>, JournalError> {
        let again: Vec<&EntryId> = ids.iter().filter(|id| self.last(id) > 0).collect();
        let forced = match alone {
            Alone::Queued => forced_among(tx, &again).await?,
            Alone::After(_) => BTreeSet::new(),
        };
        let mut numbers = Vec::with_capacity(ids.len());
        for id in ids {
            let last = self.last(id);
            let (n, alone) = match alone {
                Alone::Queued => (last + 1, last == 0 || !forced.contains(id)),
                Alone::After(known) => (last + 1, known == last || flawed(Flaw::ResendIsAlone)),
            };
            if !flawed(Flaw::AttemptNotRecorded) {
                self.begun.push(Begun { id: id.clone(), n, alone });
            }
            numbers.push(n);
        }
        Ok(numbers)
    }

    /// Writes what was ended and begun. After lanes and entries, as everywhere.
    pub(super) async fn store(self, tx: &mut Tx, at_us: i64, by: Option<Beginner<'_>>) -> Result<(), JournalError> {
        let mut ended =
            BatchUpdate::new("attempts").key("entry_id").key("n").set("ended_us").set("ended_host_us").set("result");
        let host_us = tx.host().now_us();
        for ((id, n), result) in &self.ended {
            ended.push(params![id.as_str(), *n, at_us, host_us, *result]);
        }
        let expected = ended.len() as u64;
        if tx.batch_update(ended).await? != expected {
            return Err(JournalError::Lost("an attempt is missing"));
        }
        let Some(by) = by else { return Ok(()) };
        let mut alike: BTreeMap<(i64, bool), Vec<EntryId>> = BTreeMap::new();
        for Begun { id, n, alone } in self.begun {
            alike.entry((n, alone)).or_default().push(id);
        }
        for ((n, alone), ids) in alike {
            insert(tx, by, (n, Some(alone)), &ids).await?;
        }
        Ok(())
    }
}

/// Records attempt `n` of each of these entries, whose rows are there already.
///
/// One statement inserts the attempts and looks at the instance's row: an instance that was declared gone begins no attempt,
/// because others take its attempts for ended.
pub(super) async fn insert(
    tx: &mut Tx,
    by: Beginner<'_>,
    (n, alone): (i64, Option<bool>),
    ids: &[EntryId],
) -> Result<(), JournalError> {
    for ids in ids.chunks(KEYS_PER_STATEMENT) {
        let (list, keys) = listed(ids.iter().map(EntryId::as_str));
        let sql = format!(
            "INSERT INTO attempts (entry_id, n, owner, boot, token, alone, started_host_us, started_us) \
             SELECT e.id, ?, i.id, ?, ?, ?, ?, {{now_ms}} * 1000 \
             FROM entries e JOIN instances i ON i.id = ? WHERE i.gone_boot < ? AND e.id IN ({list})"
        );
        let Beginner { instance, token } = by;
        let head = params![n, instance.boot, token, alone, tx.host().now_us(), &instance.id, instance.boot];
        if tx.exec(&sql, head.into_iter().chain(keys).collect()).await? != ids.len() as u64 {
            return Err(JournalError::DeclaredGone);
        }
    }
    Ok(())
}

/// Those of these entries that a person ever sent again without a proof. The refusal of a later attempt does not show that an
/// earlier one posted nothing.
async fn forced_among(tx: &mut Tx, ids: &[&EntryId]) -> Result<BTreeSet<EntryId>, JournalError> {
    let mut forced = BTreeSet::new();
    for ids in ids.chunks(KEYS_PER_STATEMENT) {
        let (list, keys) = listed(ids.iter().map(|id| id.as_str()));
        let sql = format!("SELECT DISTINCT entry_id FROM transitions WHERE entry_id IN ({list}) AND evidence = ?");
        for row in tx.query(&sql, keys.into_iter().chain(params![Evidence::Forced.as_str()]).collect()).await? {
            forced.insert(EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))?);
        }
    }
    Ok(forced)
}

/// Ends an attempt of this process, of whose entry nothing is locked; it may have ended before.
pub(super) async fn end_unlocked(tx: &mut Tx, id: &EntryId, n: i64, result: &str) -> Result<(), JournalError> {
    let now_us = tx.host().now_us();
    tx.exec(
        "UPDATE attempts SET ended_us = {now_ms} * 1000, ended_host_us = ?, result = ? \
         WHERE entry_id = ? AND n = ? AND ended_us IS NULL",
        params![now_us, result, id.as_str(), n],
    )
    .await?;
    Ok(())
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

/// How long ago the last of the entry's attempts ended; `None`: there was none.
pub(super) async fn ended_for(tx: &mut Tx, id: &EntryId) -> Result<Option<Ages>, JournalError> {
    let sql = "SELECT MAX(ended_us) AS sql_us, MAX(COALESCE(ended_host_us, ended_us)) AS host_us, {now_ms} AS now_ms \
         FROM attempts WHERE entry_id = ?";
    ages(&tx.query_one(sql, params![id.as_str()]).await?, tx.host())
}

fn read(row: &Row) -> Result<AttemptKey, JournalError> {
    Ok((EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))?, row.get("n")?))
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
pub(super) fn hear(attempts: &mut Attempts, change: &Change) -> Heard {
    let (id, evidence) = (&change.id, change.evidence);
    if let Some(n) = change.ends_attempt {
        let ended_now = attempts.end(id, n, evidence.as_str());
        if !ended_now && evidence != Evidence::CorePosted {
            return Heard::Verdict(Verdict::Nothing);
        }
    }
    if change.of_attempts.is_some_and(|n| attempts.of(id).len() as i64 != n) {
        return Heard::Verdict(Verdict::Nothing);
    }
    match evidence {
        Evidence::Absent if attempts.any_open(id) => {
            tracing::error!(entry = %id, "absence claimed while an attempt may be under way; not taken");
            Heard::Verdict(Verdict::Forbidden)
        }
        Evidence::CoreRefused => {
            let refused = match change.ends_attempt {
                Some(n) => Refused::Attempt(n),
                None => Refused::Reference { quiet_up_to: change.quiet_up_to },
            };
            if refusal_settles(refused, attempts.of(id)) || flawed(Flaw::RefusalAlwaysSettles) {
                return Heard::Evidence(evidence);
            }
            tracing::info!(entry = %id, "a refusal does not end an entry of which another attempt may post");
            Heard::Evidence(Evidence::NoAnswer)
        }
        _ => Heard::Evidence(evidence),
    }
}
