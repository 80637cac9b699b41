//! What people decide about an entry: cancel it while it waits, send it again or write it off once it is parked.

use schemas::entry::{EntryState, Evidence, Verdict};

use super::attempts::open_attempts;
use super::record::{Entry, EntryId};
use super::transitions::now_us;
use super::workset::WorkSet;
use super::{Journal, JournalError, controls};

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Never send it. Only while queued.
    Cancel,
    /// The core does not have it: back to the queue. Only while parked, and with every attempt ended.
    Retry,
    /// It will never be posted, or was settled elsewhere: its hold ends. Only while parked.
    WriteOff,
}

impl Decision {
    fn evidence(self) -> Evidence {
        match self {
            Self::Cancel => Evidence::Cancel,
            Self::Retry => Evidence::Absent,
            Self::WriteOff => Evidence::WriteOff,
        }
    }

    /// The name in the audit.
    fn action(self) -> &'static str {
        match self {
            Self::Cancel => "entry.cancel",
            Self::Retry => "entry.retry",
            Self::WriteOff => "entry.write-off",
        }
    }

    /// Nothing is returned to the queue that a person was not asked about.
    fn needs_parked(self) -> bool {
        matches!(self, Self::Retry | Self::WriteOff)
    }
}

/// Reason of an entry that was written off.
const WRITTEN_OFF: &str = "written-off";

impl Journal {
    /// Carries out a decision, once; a state that does not allow it answers [`JournalError::Forbidden`], and a retry while an
    /// attempt may still be under way [`JournalError::AttemptOpen`]. `audited` says why, for operators.
    pub async fn decide(
        &self,
        actor: &str,
        id: &EntryId,
        decision: Decision,
        audited: Option<String>,
    ) -> Result<Entry, JournalError> {
        let (actor, id) = (actor.to_owned(), id.clone());
        self.run(move |tx| {
            let (actor, id, audited) = (actor.clone(), id.clone(), audited.clone());
            Box::pin(async move {
                let mut work = WorkSet::lock(tx, std::slice::from_ref(&id), []).await?;
                let state = work.entry(&id)?.state;
                let done_before = decision == Decision::WriteOff && state == EntryState::WrittenOff;
                if decision.needs_parked() && state != EntryState::Parked && !done_before {
                    return Err(JournalError::Forbidden(state));
                }
                if decision == Decision::Retry && !open_attempts(tx, std::slice::from_ref(&id)).await?.is_empty() {
                    return Err(JournalError::AttemptOpen);
                }
                let verdict = work.weigh_in(&id, decision.evidence())?;
                match (verdict, decision) {
                    (Verdict::Forbidden, _) | (Verdict::Nothing, Decision::Retry) => {
                        return Err(JournalError::Forbidden(state));
                    }
                    (Verdict::Moves(_), Decision::Retry) => work.set_reason(&id, None)?,
                    (Verdict::Moves(_), Decision::WriteOff) => work.set_reason(&id, Some(WRITTEN_OFF.to_owned()))?,
                    _ => {}
                }
                let mut entries = work.store(tx, &actor, now_us()).await?;
                // Only the decision that did it: a repeated one was audited with the first.
                if let (Some(why), Verdict::Moves(_)) = (audited, verdict) {
                    let detail = serde_json::json!({ "entry": id.as_str(), "why": why });
                    controls::audit(tx, &actor, decision.action(), detail).await?;
                }
                entries.remove(&id).ok_or(JournalError::NoSuchEntry)
            })
        })
        .await
    }
}
