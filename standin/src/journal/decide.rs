//! What people decide about an entry: cancel it while it waits, send it again or write it off once it is parked.

use schemas::entry::{EntryState, Evidence, Verdict};
use sql::Tx;

use super::attempts::{ended_for_ms, open_attempts};
use super::record::{Entry, EntryId};
use super::transitions::now_us;
use super::workset::WorkSet;
use super::{Journal, JournalError, controls};

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervention {
    /// Never send it. Only while queued.
    Cancel,
    /// The core does not have it: back to the queue. Only while parked, with every attempt ended, and the last of them so long
    /// ago that nothing of it can take effect in the core any more.
    Retry {
        /// Longest time after its sender ended that a request may take effect.
        request_lifetime_ms: u64,
    },
    /// It will never be posted, or was settled elsewhere: its hold ends. Only while parked.
    WriteOff,
}

impl Intervention {
    fn evidence(self) -> Evidence {
        match self {
            Self::Cancel => Evidence::Cancel,
            Self::Retry { .. } => Evidence::Absent,
            Self::WriteOff => Evidence::WriteOff,
        }
    }

    /// The name in the audit.
    fn action(self) -> &'static str {
        match self {
            Self::Cancel => "entry.cancel",
            Self::Retry { .. } => "entry.retry",
            Self::WriteOff => "entry.write-off",
        }
    }

    /// Nothing is returned to the queue that a person was not asked about.
    fn needs_parked(self) -> bool {
        matches!(self, Self::Retry { .. } | Self::WriteOff)
    }
}

/// Reason of an entry that was written off.
const WRITTEN_OFF: &str = "written-off";

impl Journal {
    /// Carries out a decision, once; a state that does not allow it answers [`JournalError::Forbidden`], and a retry while an
    /// attempt may still be under way [`JournalError::AttemptOpen`] or [`JournalError::AttemptRecent`]. `audited` says why, for
    /// operators.
    pub async fn decide(
        &self,
        actor: &str,
        id: &EntryId,
        decision: Intervention,
        audited: Option<String>,
    ) -> Result<Entry, JournalError> {
        let (actor, id) = (actor.to_owned(), id.clone());
        self.run(move |tx| {
            let (actor, id, audited) = (actor.clone(), id.clone(), audited.clone());
            Box::pin(async move {
                let mut work = WorkSet::lock(tx, std::slice::from_ref(&id)).await?;
                let state = work.entry(&id)?.state;
                let done_before = decision == Intervention::WriteOff && state == EntryState::WrittenOff;
                if decision.needs_parked() && state != EntryState::Parked && !done_before {
                    return Err(JournalError::Forbidden(state));
                }
                if let Intervention::Retry { request_lifetime_ms } = decision {
                    nothing_may_come(tx, &id, request_lifetime_ms).await?;
                }
                let verdict = work.weigh_in(&id, decision.evidence())?;
                match (verdict, decision) {
                    (Verdict::Forbidden, _) | (Verdict::Nothing, Intervention::Retry { .. }) => {
                        return Err(JournalError::Forbidden(state));
                    }
                    (Verdict::Moves(_), Intervention::Retry { .. }) => work.set_reason(&id, None)?,
                    (Verdict::Moves(_), Intervention::WriteOff) => {
                        work.set_reason(&id, Some(WRITTEN_OFF.to_owned()))?
                    }
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

/// A person vouches that the core does not have it; that it can no longer take effect there is for us to see.
async fn nothing_may_come(tx: &mut Tx, id: &EntryId, request_lifetime_ms: u64) -> Result<(), JournalError> {
    if !open_attempts(tx, std::slice::from_ref(id)).await?.is_empty() {
        return Err(JournalError::AttemptOpen);
    }
    let ended_for_ms = ended_for_ms(tx, id).await?;
    // A stamp ahead of the server's clock has not been for any time.
    let over = |ms: i64| u64::try_from(ms).is_ok_and(|ms| ms >= request_lifetime_ms);
    if ended_for_ms.is_some_and(|ms| !over(ms)) { Err(JournalError::AttemptRecent) } else { Ok(()) }
}
