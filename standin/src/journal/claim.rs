//! The replayer's claims, in lane order: an attempt is recorded before bytes leave.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failpoints::{Flaw, flawed};
use schemas::entry::EntryState;
use sql::{Tx, listed, params};

use super::attempts::{self, Alone, Attempts, Beginner, HARMLESS};
use super::record::COLUMNS;
use super::runs::{Candidates, Room, Taken, is_first};
use super::workset::WorkSet;
use crate::clock::Ages;
use crate::entry::{Entry, EntryId};
use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::fence::{Fence, check_fence};
use crate::journal::handles::{GatewayJournal, ReplayJournal};
use crate::journal::shared::Shared;
use crate::journal::stamps::{age_ms, ages};

/// A queued entry that is now this replayer's to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The entry, Submitting.
    pub entry: Entry,
    /// Number of the attempt recorded for it.
    pub attempt: i64,
    /// The entry before it in its run. This one may be sent once the core has posted that one, or has refused it for good.
    pub behind: Option<EntryId>,
}

/// What became of the wish to send an entry again whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resend {
    /// It is ours to send.
    Begun(Box<Claimed>),
    /// Another open entry is before it in one of its lanes.
    Waits,
    /// Its outcome is known by now.
    Resolved,
}

/// What became of a claim of several entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Ours to send now.
    pub claimed: Vec<Claimed>,
    /// Somebody else holds a lane of theirs, or they cannot be read.
    pub locked: Vec<EntryId>,
    /// The answer to their claim was lost. They may be ours, and nothing of them was sent.
    pub lost: Vec<EntryId>,
}

/// Locked lanes that one claim waits for, one after the other. The rest is left to the next claim.
const LOCKED_MAX: usize = 2;

/// Thirty years: the engine adds it to a stamp.
const SUBMITTING_US_MAX: i64 = 1_000_000_000_000_000;

/// An attempt nobody has ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Of which entry.
    pub id: EntryId,
    /// Its number.
    pub n: i64,
    /// Set for a replayer's attempt.
    pub token: Option<i64>,
    /// How long ago it began, by the SQL server's clock.
    pub age_ms: i64,
}

/// An entry whose outcome must be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// OutcomeUnknown, or Submitting for a while.
    pub entry: Entry,
    /// How long ago its first attempt began, by the clock that says longest; zero without an attempt.
    pub first_attempt_age_ms: u64,
    /// How many attempts there were.
    pub attempts: i64,
    /// How many of them may have posted. Not counted: attempts that the core refused, or of which no byte left.
    pub doubtful: i64,
    /// Every attempt has ended: its sender said so, or was proven gone.
    pub ended: bool,
}

impl ReplayJournal {
    /// Claims those of `ids` that may be sent now, recording an attempt for each before any byte leaves.
    pub async fn claim(
        &self,
        fence: &Fence,
        instance: &Instance,
        ids: Vec<EntryId>,
    ) -> Result<Vec<Claimed>, JournalError> {
        let claiming =
            Claiming { fence: fence.clone(), instance: instance.clone(), longest: 1, trace: Trace::default() };
        self.claim_runs(&claiming, ids).await
    }

    async fn claim_runs(&self, claiming: &Claiming, ids: Vec<EntryId>) -> Result<Vec<Claimed>, JournalError> {
        let (claiming, ids) = (claiming.clone(), Arc::new(BTreeSet::from_iter(ids)));
        // Not run again: a claim cannot find its own trace. The sweep of own attempts returns such entries to the queue.
        self.0.db.transaction(move |tx| Box::pin(async move { claiming.claim_in(tx, &ids).await })).await
    }

    /// Claims those of `ids` that may be sent now, each with a run of up to `longest` entries behind it. If a lane is locked or an entry
    /// cannot be read, the entries are claimed one by one, so that only entries of that lane, or that one entry, stay behind.
    pub async fn claim_free(
        &self,
        fence: &Fence,
        instance: &Instance,
        ids: Vec<EntryId>,
        longest: usize,
    ) -> Result<Claims, JournalError> {
        let trace = Trace::default();
        let claiming = Claiming { fence: fence.clone(), instance: instance.clone(), longest, trace };
        match self.claim_runs(&claiming, ids.clone()).await {
            Ok(claimed) => return Ok(Claims { claimed, ..Claims::default() }),
            Err(err) if keeps_back(&err) => tracing::warn!(error = %err, "entries are claimed one by one"),
            Err(err) if err.is_commit_unknown() => {
                tracing::warn!(error = %err, "the answer to a claim was lost");
                return Ok(Claims { lost: claiming.trace.take(), ..Claims::default() });
            }
            Err(err) => return Err(err),
        }
        let mut claims = Claims::default();
        for id in ids {
            match self.claim(fence, instance, vec![id.clone()]).await {
                Ok(claimed) => claims.claimed.extend(claimed),
                Err(err) if keeps_back(&err) => claims.locked.push(id),
                Err(err) if claims.claimed.is_empty() => return Err(err),
                // What was claimed before is ours to send. The error comes again if it is one for good.
                Err(_) => {
                    claims.lost.push(id);
                    break;
                }
            }
            if claims.locked.len() >= LOCKED_MAX {
                break;
            }
        }
        Ok(claims)
    }

    /// Records another attempt of an entry whose outcome is unknown; its state stays. It waits for what is before it in its lanes: of a run
    /// whose sender died, it may be one that was never sent.
    ///
    /// `alone_after`: attempts up to this number can take no effect any more, as the caller has seen on its own clock; 0 =
    /// unknown. If there were no others, a refusal of the new attempt ends the entry.
    pub async fn begin_resend(
        &self,
        fence: &Fence,
        instance: &Instance,
        id: &EntryId,
        alone_after: i64,
    ) -> Result<Resend, JournalError> {
        let (fence, instance, id) = (fence.clone(), instance.clone(), id.clone());
        self.0
            .db
            .transaction(move |tx| {
                Box::pin(async move {
                    let work = WorkSet::lock(tx, std::slice::from_ref(&id)).await?;
                    check_fence(tx, &fence).await?;
                    let entry = work.entry(&id)?.clone();
                    if entry.state != EntryState::OutcomeUnknown {
                        return Ok(Resend::Resolved);
                    }
                    if !is_first(tx, &work, &id).await? && !flawed(Flaw::ResendPastLower) {
                        return Ok(Resend::Waits);
                    }
                    let mut attempts = Attempts::lock(tx, std::slice::from_ref(&id)).await?;
                    let begun = attempts.begin(tx, std::slice::from_ref(&id), Alone::After(alone_after)).await?;
                    let by = Beginner { instance: &instance, token: Some(fence.token) };
                    attempts.store(tx, work.now_us(), Some(by)).await?;
                    let attempt = begun.into_iter().next().ok_or(JournalError::NoSuchEntry)?;
                    Ok(Resend::Begun(Box::new(Claimed { entry, attempt, behind: None })))
                })
            })
            .await
    }

    /// Entries whose outcome must be found out, a page of them in order of id: unknown ones, and Submitting ones that
    /// became so at least `submitting_for` ago by the SQL server's clock, or in its future. An entry that cannot be
    /// read is logged and left out.
    ///
    /// That clock only leaves out what has just begun. The caller must observe whether a sender is abandoned.
    pub async fn unresolved(
        &self,
        submitting_for: Duration,
        after: Option<&EntryId>,
        limit: i64,
    ) -> Result<Vec<Unresolved>, JournalError> {
        // Mostly there is none. The costly part is asked about those that there are. State by state, so that the index of states gives
        // them in order of id: asked for both in one, an engine may read the whole queue in that order instead.
        let sql = "SELECT * FROM (SELECT id FROM entries WHERE state = 'outcome_unknown' AND id > ? ORDER BY id LIMIT ?) u \
             UNION ALL SELECT * FROM (SELECT id FROM entries WHERE state = 'submitting' AND id > ? \
             AND (updated_us <= {now_ms} * 1000 - ? OR updated_us >= {now_ms} * 1000 + ?) ORDER BY id LIMIT ?) s";
        let submitting_us = i64::try_from(submitting_for.as_micros()).unwrap_or(i64::MAX).min(SUBMITTING_US_MAX);
        let after = after.map_or("", EntryId::as_str);
        let found = self.0.db.query(sql, params![after, limit, after, submitting_us, submitting_us, limit]).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids = found.iter().map(|row| row.get::<String>("id")).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let (list, ids) = listed(ids.iter().map(String::as_str));
        let sql = format!(
            "SELECT {COLUMNS}, {{now_ms}} AS now_ms, \
             (SELECT MIN(started_us) FROM attempts a WHERE a.entry_id = entries.id) AS sql_us, \
             (SELECT MIN(COALESCE(started_host_us, started_us)) FROM attempts a WHERE a.entry_id = entries.id) AS host_us, \
             (SELECT COUNT(*) FROM attempts a WHERE a.entry_id = entries.id) AS attempts, \
             (SELECT COUNT(*) FROM attempts a WHERE a.entry_id = entries.id AND (a.result IS NULL OR a.result NOT IN ({HARMLESS}))) \
             AS doubtful, \
             (SELECT COUNT(*) FROM attempts a WHERE a.entry_id = entries.id AND a.ended_us IS NULL) AS open_attempts \
             FROM entries WHERE id IN ({list}) AND state IN ('outcome_unknown', 'submitting') ORDER BY id"
        );
        let rows = self.0.db.query(&sql, ids).await?;
        let readable = rows.iter().filter_map(|row| Entry::read_or_complain(row).map(|entry| (row, entry)));
        readable
            .map(|(row, entry)| {
                Ok(Unresolved {
                    entry,
                    first_attempt_age_ms: ages(row, self.0.db.host())?.map_or(0, Ages::longest),
                    attempts: row.get("attempts")?,
                    doubtful: row.get("doubtful")?,
                    ended: row.get::<i64>("open_attempts")? == 0,
                })
            })
            .collect()
    }

    /// Attempts that this very process recorded and has not ended.
    pub async fn own_open_attempts(&self, instance: &Instance) -> Result<Vec<OpenAttempt>, JournalError> {
        self.0.own_open_attempts(instance).await
    }

    /// Ends one of our own attempts without saying anything of its outcome. Needs no fence: it only states a fact about us.
    pub async fn end_own_attempt(&self, id: &EntryId, n: i64, result: &'static str) -> Result<(), JournalError> {
        self.0.end_own_attempt(id, n, result).await
    }
}

impl Shared {
    /// See [`ReplayJournal::end_own_attempt`].
    pub(in crate::journal) async fn end_own_attempt(
        &self,
        id: &EntryId,
        n: i64,
        result: &'static str,
    ) -> Result<(), JournalError> {
        let id = id.clone();
        self.run(move |tx| {
            let id = id.clone();
            Box::pin(async move { attempts::end_unlocked(tx, &id, n, result).await })
        })
        .await
    }

    /// See [`ReplayJournal::own_open_attempts`].
    pub(in crate::journal) async fn own_open_attempts(
        &self,
        instance: &Instance,
    ) -> Result<Vec<OpenAttempt>, JournalError> {
        let rows = self
            .db
            .query(
                "SELECT entry_id, n, token, started_us, {now_ms} AS now_ms FROM attempts \
                 WHERE owner = ? AND ended_us IS NULL AND boot = ?",
                params![&instance.id, instance.boot],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(OpenAttempt {
                    id: EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))?,
                    n: row.get("n")?,
                    token: row.get("token")?,
                    age_ms: age_ms(row, "started_us")?,
                })
            })
            .collect()
    }
}

impl GatewayJournal {
    /// Attempts that this very process recorded and has not ended.
    pub async fn own_open_attempts(&self, instance: &Instance) -> Result<Vec<OpenAttempt>, JournalError> {
        self.0.own_open_attempts(instance).await
    }

    /// Ends one of our own attempts without saying anything of its outcome.
    pub async fn end_own_attempt(&self, id: &EntryId, n: i64, result: &'static str) -> Result<(), JournalError> {
        self.0.end_own_attempt(id, n, result).await
    }
}

/// Is it about one entry or lane, so that others can be claimed?
fn keeps_back(err: &JournalError) -> bool {
    err.is_retryable() || matches!(err, JournalError::Corrupt(_) | JournalError::NoSuchEntry)
}

/// Who claims, and how.
#[derive(Clone)]
struct Claiming {
    fence: Fence,
    instance: Instance,
    longest: usize,
    trace: Trace,
}

/// What a transaction under way would claim, for the case that its COMMIT is not answered.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<EntryId>>>);

impl Trace {
    /// These, by the newest try.
    pub(super) fn leave<'i>(&self, ids: impl Iterator<Item = &'i EntryId>) {
        *self.ids() = ids.cloned().collect();
    }

    /// What the newest try would have claimed.
    pub(super) fn take(&self) -> Vec<EntryId> {
        std::mem::take(&mut *self.ids())
    }

    fn ids(&self) -> MutexGuard<'_, Vec<EntryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claiming {
    async fn claim_in(&self, tx: &mut Tx, heads: &BTreeSet<EntryId>) -> Result<Vec<Claimed>, JournalError> {
        let room = Room { runs: heads.len(), longest: self.longest };
        let nothing = BTreeSet::new();
        let candidates = Candidates::read(tx, &nothing, &nothing, heads, self.longest).await?.all;
        let ids: Vec<EntryId> = candidates.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let mut work = WorkSet::lock(tx, &ids).await?;
        let mut attempts = Attempts::lock(tx, &ids).await?;
        let claimed = Taken::take(tx, &mut work, &mut attempts, &candidates, room).await?;
        self.trace.leave(claimed.ids());
        let now_us = work.now_us();
        let entries = work.store(tx, &self.fence.owner).await?;
        let by = Beginner { instance: &self.instance, token: Some(self.fence.token) };
        attempts.store(tx, now_us, Some(by)).await?;
        check_fence(tx, &self.fence).await?;
        claimed.with(&entries)
    }
}
