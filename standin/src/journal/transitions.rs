//! What somebody learned about entries, recorded: many at once, in one transaction.

use std::sync::Arc;

use failpoints::{RECORD_BEFORE_COMMIT, reached};
use schemas::entry::{Evidence, Verdict};
use sql::Tx;

use super::attempts::Heard;
use super::attempts::hear;
use super::workset::WorkSet;
use crate::admission::CoreBelief;
use crate::change::Change;
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::facts::Facts;
use crate::journal::fence::{Fence, check_fence};
use crate::journal::handles::{GatewayJournal, ReplayJournal};
use crate::journal::shared::Shared;

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The entry afterwards.
    pub entry: Entry,
    /// What the evidence did.
    pub verdict: Verdict,
}

impl Shared {
    /// See [`ReplayJournal::record`].
    pub(in crate::journal) async fn record(
        &self,
        actor: &str,
        fence: Option<Fence>,
        changes: Vec<Change>,
    ) -> Result<Vec<Moved>, JournalError> {
        let (facts, actor) = (self.facts.clone(), actor.to_owned());
        let changes = Arc::new(changes);
        self.run_outcome(move |tx| {
            let (facts, actor, fence, changes) = (facts.clone(), actor.clone(), fence.clone(), changes.clone());
            Box::pin(async move {
                let moved = record_in(tx, &*facts, &actor, &changes).await?;
                if let Some(fence) = &fence {
                    check_fence(tx, fence).await?;
                }
                reached(RECORD_BEFORE_COMMIT);
                Ok(moved)
            })
        })
        .await
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

impl GatewayJournal {
    /// Before "accepted, processing" is said of an entry that nobody was told of yet: it joins the order of its lanes. That is a promise, so
    /// stand-in's rules are asked. If they say no, the entry is declined where it waits and the core is away; else it stays as it is,
    /// and nothing may be promised ([`is_promised`]).
    ///
    /// [`is_promised`]: crate::lane::is_promised
    pub async fn promise(&self, actor: &str, id: &EntryId, belief: CoreBelief) -> Result<Entry, JournalError> {
        let (facts, actor, id) = (self.0.facts.clone(), actor.to_owned(), id.clone());
        self.0
            .run_outcome(move |tx| {
                let (facts, actor, id) = (facts.clone(), actor.clone(), id.clone());
                Box::pin(async move {
                    let mut work = WorkSet::lock(tx, std::slice::from_ref(&id)).await?;
                    let (sheet, book) = work.facts_for(tx, &*facts, std::slice::from_ref(&id)).await?;
                    work.promise(&id, &sheet, &book, belief)?;
                    let mut entries = work.store(tx, &actor).await?;
                    entries.remove(&id).ok_or(JournalError::NoSuchEntry)
                })
            })
            .await
    }

    /// Records changes of entries that this gateway sent; see [`ReplayJournal::record`].
    pub async fn record(&self, actor: &str, changes: Vec<Change>) -> Result<Vec<Moved>, JournalError> {
        self.0.record(actor, None, changes).await
    }
}

async fn record_in(
    tx: &mut Tx,
    facts: &dyn Facts,
    actor: &str,
    changes: &[Change],
) -> Result<Vec<Moved>, JournalError> {
    let ids: Vec<EntryId> = changes.iter().map(|change| change.id.clone()).collect();
    let mut work = WorkSet::lock(tx, &ids).await?;
    let unsent: Vec<EntryId> =
        changes.iter().filter(|c| c.evidence == Evidence::NotSent).map(|c| c.id.clone()).collect();
    let sheet = if unsent.is_empty() { None } else { Some(work.facts_for(tx, facts, &unsent).await?) };
    let mut verdicts = Vec::with_capacity(changes.len());
    for change in changes {
        let heard = match hear(tx, change).await? {
            Heard::Evidence(evidence) => evidence,
            Heard::Verdict(verdict) => {
                verdicts.push(verdict);
                continue;
            }
        };
        let (evidence, reason) = match (&sheet, heard) {
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
        verdicts.push(verdict);
    }
    work.release_by(tx, facts).await?;
    let entries = work.store(tx, actor).await?;
    changes
        .iter()
        .zip(verdicts)
        .map(|(change, verdict)| {
            let entry = entries.get(&change.id).cloned().ok_or(JournalError::NoSuchEntry)?;
            Ok(Moved { entry, verdict })
        })
        .collect()
}
