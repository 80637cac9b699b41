//! What somebody learned about entries, recorded: many at once, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{Evidence, Verdict};
use sql::Tx;

use super::attempts::{Attempts, Beginner, Heard, hear};
use super::claim::{Claimed, Trace};
use super::runs::{Candidates, Room, Taken};
use super::workset::WorkSet;
use crate::admission::CoreBelief;
use crate::change::Change;
use crate::entry::{Entry, EntryId};
use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::facts::{Facts, KnownAccounts};
use crate::journal::fence::{Fence, check_fence};
use crate::journal::handles::{GatewayJournal, ReplayJournal};
use crate::journal::shared::Shared;
use crate::rules::Rulebook;

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The entry afterwards.
    pub entry: Entry,
    /// What the evidence did.
    pub verdict: Verdict,
}

/// What somebody learned, as it goes into one transaction together with what others learned.
#[derive(Clone)]
pub(super) struct Outcome {
    /// Who says so.
    pub(super) actor: String,
    /// Recorded only while its token is current.
    pub(super) fence: Option<Fence>,
    pub(super) changes: Vec<Change>,
    /// An entry that is to be promised; see [`GatewayJournal::promise`].
    pub(super) promise: Option<(EntryId, CoreBelief)>,
    /// Claims in the same commit, under the fence.
    pub(super) follow: Option<Follow>,
}

impl Outcome {
    fn promised(&self) -> Option<&EntryId> {
        self.promise.as_ref().map(|(id, _)| id)
    }

    /// The entries that it is about.
    fn ids(&self) -> impl Iterator<Item = &EntryId> {
        self.changes.iter().map(|change| &change.id).chain(self.promised())
    }
}

/// What may be claimed by the commit that records an outcome.
#[derive(Clone)]
pub(super) struct Follow {
    pub(super) instance: Instance,
    /// Beside those next behind the recorded entries.
    pub(super) offered: Vec<EntryId>,
    pub(super) room: Room,
}

/// What became of an outcome.
#[derive(Debug, Default)]
pub struct Recorded {
    /// What each change came to, and then the entry that was to be promised.
    pub moved: Vec<Moved>,
    /// What is ours to send now.
    pub claimed: Vec<Claimed>,
    /// What might go next, and was not claimed. A hint.
    pub next: Vec<EntryId>,
    /// Offered, and not looked at: a lane is locked, or one of them cannot be read.
    pub passed_over: Vec<EntryId>,
    /// The answer to their claim was lost. They may be ours, and nothing of them was sent.
    pub lost: Vec<EntryId>,
}

impl Recorded {
    /// Nothing was claimed.
    pub fn only(moved: Vec<Moved>) -> Self {
        Self { moved, ..Self::default() }
    }
}

impl Shared {
    /// See [`ReplayJournal::record`].
    pub(in crate::journal) async fn record(
        &self,
        actor: &str,
        fence: Option<Fence>,
        changes: Vec<Change>,
    ) -> Result<Vec<Moved>, JournalError> {
        let outcome = Outcome { actor: actor.to_owned(), fence, changes, promise: None, follow: None };
        Ok(self.settle(outcome).await?.moved)
    }
}

impl ReplayJournal {
    /// Records changes in one transaction, in their order. With a `fence`, only while its token is current.
    ///
    /// Repeating it is harmless: the second time the evidence is known already, and what was said of an attempt that has
    /// ended since is no news. `Absent` is forbidden while an attempt is open. A refusal counts as no answer while another
    /// attempt may post.
    pub async fn record(
        &self,
        actor: &str,
        fence: Option<Fence>,
        changes: Vec<Change>,
    ) -> Result<Vec<Moved>, JournalError> {
        self.0.record(actor, fence, changes).await
    }
}

impl ReplayJournal {
    /// As [`Self::record`], under the fence. The same commit claims as much as there is `room` for: what is next in the lanes of the recorded
    /// entries, and what is `offered`. If it fails, the changes are recorded alone, and nothing is claimed.
    pub async fn record_and_claim(
        &self,
        fence: &Fence,
        instance: &Instance,
        changes: Vec<Change>,
        (offered, room): (Vec<EntryId>, Room),
    ) -> Result<Recorded, JournalError> {
        let follow = (room.runs > 0).then(|| Follow { instance: instance.clone(), offered, room });
        let (actor, fence) = (fence.owner.clone(), Some(fence.clone()));
        self.0.settle(Outcome { actor, fence, changes, promise: None, follow }).await
    }
}

impl GatewayJournal {
    /// Before "accepted, processing" is said of an entry that nobody was told of yet: it joins the order of its lanes. That is a promise, so
    /// stand-in's rules are asked. If they say no, the entry is declined where it waits and the core is away; else it stays as it is,
    /// and nothing may be promised ([`is_promised`]).
    ///
    /// [`is_promised`]: crate::lane::is_promised
    pub async fn promise(&self, actor: &str, id: &EntryId, belief: CoreBelief) -> Result<Entry, JournalError> {
        let promise = Some((id.clone(), belief));
        let outcome = Outcome { actor: actor.to_owned(), fence: None, changes: Vec::new(), promise, follow: None };
        let promised = self.0.settle(outcome).await?.moved.pop();
        promised.map(|moved| moved.entry).ok_or(JournalError::NoSuchEntry)
    }

    /// Records changes of entries that this gateway sent; see [`ReplayJournal::record`].
    pub async fn record(&self, actor: &str, changes: Vec<Change>) -> Result<Vec<Moved>, JournalError> {
        self.0.record(actor, None, changes).await
    }
}

/// Records these outcomes in the open transaction, all of one actor, and claims what they ask for.
pub(super) async fn settle_in(
    tx: &mut Tx,
    facts: &dyn Facts,
    outcomes: &[Outcome],
    trace: &Trace,
) -> Result<Vec<Recorded>, JournalError> {
    let of = |outcomes: &mut dyn Iterator<Item = &Outcome>| -> BTreeSet<EntryId> {
        outcomes.flat_map(Outcome::ids).cloned().collect()
    };
    let followed = of(&mut outcomes.iter().filter(|outcome| outcome.follow.is_some()));
    let mut ids = of(&mut outcomes.iter());
    let follows = || outcomes.iter().filter_map(|outcome| outcome.follow.as_ref());
    let offered = follows().flat_map(|follow| &follow.offered).cloned().collect();
    let room = Room {
        runs: follows().map(|follow| follow.room.runs).sum(),
        longest: follows().map(|follow| follow.room.longest).max().unwrap_or(1),
    };
    let next = Candidates::read(tx, &ids, &followed, &offered, room.longest).await?;
    ids.extend(next.all.iter().cloned());
    let ids: Vec<EntryId> = ids.into_iter().collect();
    let mut work = WorkSet::lock(tx, &ids).await?;
    let mut attempts = Attempts::lock(tx, &ids).await?;
    let verdicts = weigh_all(tx, facts, &mut work, &mut attempts, outcomes).await?;
    work.release_by(tx, facts).await?;
    let taken = Taken::take(tx, &mut work, &mut attempts, &next.all, room).await?;
    trace.leave(taken.ids());
    let now_us = work.now_us();
    let entries = work.store(tx, outcomes.first().map_or("", |outcome| &outcome.actor)).await?;
    attempts.store(tx, now_us, beginner(outcomes)).await?;
    let fences: BTreeSet<&Fence> = outcomes.iter().filter_map(|outcome| outcome.fence.as_ref()).collect();
    for fence in fences {
        check_fence(tx, fence).await?;
    }
    let left = next.heads.into_iter().filter(|id| !taken.ids().any(|taken| taken == id)).collect();
    share(outcomes, (verdicts, left), &entries, taken.with(&entries)?)
}

/// Whose attempts are begun: those of the first that follows. Only a replayer does, and a process has one.
fn beginner(outcomes: &[Outcome]) -> Option<Beginner<'_>> {
    outcomes.iter().find_map(|outcome| {
        let follow = outcome.follow.as_ref()?;
        Some(Beginner { instance: &follow.instance, token: outcome.fence.as_ref().map(|fence| fence.token) })
    })
}

/// Gives each outcome what came of its changes. The first that asked for any is told what was claimed, and what is left.
fn share(
    outcomes: &[Outcome],
    (verdicts, mut left): (Vec<Verdict>, Vec<EntryId>),
    entries: &BTreeMap<EntryId, Entry>,
    mut claimed: Vec<Claimed>,
) -> Result<Vec<Recorded>, JournalError> {
    let mut verdicts = verdicts.into_iter();
    let mut recorded = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let moved = outcome.changes.iter().zip(verdicts.by_ref()).map(|(change, verdict)| {
            let entry = entries.get(&change.id).cloned().ok_or(JournalError::NoSuchEntry)?;
            Ok(Moved { entry, verdict })
        });
        let mut only = Recorded::only(moved.collect::<Result<_, JournalError>>()?);
        if let Some(id) = outcome.promised() {
            let entry = entries.get(id).cloned().ok_or(JournalError::NoSuchEntry)?;
            only.moved.push(Moved { entry, verdict: Verdict::Nothing });
        }
        recorded.push(match outcome.follow {
            Some(_) => Recorded { claimed: std::mem::take(&mut claimed), next: std::mem::take(&mut left), ..only },
            None => only,
        });
    }
    Ok(recorded)
}

async fn weigh_all(
    tx: &mut Tx,
    facts: &dyn Facts,
    work: &mut WorkSet,
    attempts: &mut Attempts,
    outcomes: &[Outcome],
) -> Result<Vec<Verdict>, JournalError> {
    let changes = outcomes.iter().flat_map(|outcome| &outcome.changes);
    let unsent = changes.filter(|change| change.evidence == Evidence::NotSent).map(|change| &change.id);
    let decided: Vec<EntryId> = unsent.chain(outcomes.iter().filter_map(Outcome::promised)).cloned().collect();
    let sheet = if decided.is_empty() { None } else { Some(work.facts_for(tx, facts, &decided).await?) };
    let mut verdicts = Vec::new();
    for outcome in outcomes {
        for change in &outcome.changes {
            verdicts.push(weigh_one(work, attempts, sheet.as_ref(), change)?);
        }
        if let (Some((id, belief)), Some((sheet, book))) = (&outcome.promise, &sheet) {
            work.promise(id, sheet, book, *belief)?;
        }
    }
    Ok(verdicts)
}

/// `sheet`: what stand-in decides by, where it has to.
fn weigh_one(
    work: &mut WorkSet,
    attempts: &mut Attempts,
    sheet: Option<&(KnownAccounts, Rulebook)>,
    change: &Change,
) -> Result<Verdict, JournalError> {
    let heard = match hear(attempts, change) {
        Heard::Evidence(evidence) => evidence,
        Heard::Verdict(verdict) => return Ok(verdict),
    };
    let (evidence, reason) = match (sheet, heard) {
        (Some((sheet, book)), Evidence::NotSent) => work.after_not_sent(&change.id, sheet, book, change.belief)?,
        // A refusal that does not settle the entry gives it no reason.
        (_, evidence) if evidence != change.evidence => (evidence, None),
        (_, evidence) => (evidence, change.reason.clone()),
    };
    let verdict = work.weigh_in(&change.id, evidence)?;
    if matches!(verdict, Verdict::Moves(_)) && reason.is_some() {
        work.set_reason(&change.id, reason)?;
    }
    if let (Some(posting), Verdict::Moves(_) | Verdict::Nothing) = (&change.posting, verdict) {
        work.set_posting(&change.id, posting)?;
    }
    Ok(verdict)
}
