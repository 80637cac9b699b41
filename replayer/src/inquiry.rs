//! One step about one unknown outcome: asks, resends, requeues or parks. Acts; `resolver` decides.

use std::time::Duration;

use schemas::core::{Enquiry, Outcome};
use schemas::entry::Evidence;
use standin::journal::{Change, Entry, EntryId, Instance, JournalError, Resend, Unresolved};
use standin::resolution::{Patience, UnknownOutcome, remembered_until};
use standin::settle::{self, UNRESOLVED};
use tokio::time::Instant;

use crate::sender::{Sender, is_settled};

/// What is to be done about an entry.
#[derive(Debug)]
pub(crate) enum Work {
    /// Its sender has been silent for longer than a sender takes, so its outcome is unknown.
    Abandon(Entry),
    /// Ask the core.
    Enquire(Unresolved, UnknownOutcome),
    /// Send the same reference again.
    Resend(Unresolved, UnknownOutcome),
    /// Absence is proven.
    Requeue(Unresolved),
    /// A person decides.
    Park(Entry),
}

/// What it came to.
#[derive(Debug)]
pub(crate) enum Came {
    /// The journal has it, or something else settled the entry meanwhile.
    Settled,
    /// Another open entry is before it in one of its lanes, and nothing was sent.
    Waits,
    /// The core was asked at `asked_ms` and had nothing.
    NotFound {
        /// On the observer's clock.
        asked_ms: i64,
    },
    /// The core was asked, or sent the same again, at `asked_ms`; it has the request and has not booked it yet.
    Pending {
        /// On the observer's clock.
        asked_ms: i64,
    },
    /// No usable answer to what was begun at `asked_ms`; `silent`: none at all.
    InVain {
        /// The core did not answer.
        silent: bool,
        /// On the observer's clock.
        asked_ms: i64,
    },
    /// This attempt was sent, and the journal could not take what it came to.
    Unrecorded {
        /// Its number.
        attempt: i64,
    },
    /// The journal did not say whether it recorded another attempt. Nothing of that attempt was sent.
    Lost(JournalError),
    /// The journal did not take it.
    Failed(JournalError),
}

impl Work {
    /// About which entry.
    pub(crate) fn id(&self) -> &EntryId {
        match self {
            Self::Abandon(entry) | Self::Park(entry) => &entry.id,
            Self::Enquire(unresolved, _) | Self::Resend(unresolved, _) | Self::Requeue(unresolved) => {
                &unresolved.entry.id
            }
        }
    }

    /// The word in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Abandon(_) => "abandon",
            Self::Enquire(..) => "enquire",
            Self::Resend(..) => "resend",
            Self::Requeue(_) => "requeue",
            Self::Park(_) => "park",
        }
    }

    /// May it be broken off? A question may; an attempt and what is being recorded may not.
    pub(crate) fn is_question(&self) -> bool {
        matches!(self, Self::Enquire(..))
    }
}

/// Works on one entry.
pub(crate) struct Inquiry {
    pub(crate) sender: Sender,
    pub(crate) instance: Instance,
    pub(crate) patience: Patience,
    /// A moment on the observer's clock, and the same on the runtime's.
    pub(crate) moment: (i64, Instant),
}

impl Inquiry {
    /// Does the work.
    pub(crate) async fn carry_out(self, work: &Work) -> Came {
        let done = match work {
            Work::Abandon(entry) => self.record(vec![Change::new(entry.id.clone(), Evidence::NoAnswer)]).await,
            Work::Requeue(unresolved) => {
                let absent = Change::new(unresolved.entry.id.clone(), Evidence::Absent);
                self.record(vec![absent.of_attempts(unresolved.attempts)]).await
            }
            Work::Park(entry) => {
                tracing::error!(entry = %entry.id, "nothing resolves this entry; it waits for a person");
                let park = Change::new(entry.id.clone(), Evidence::Unresolvable).because(UNRESOLVED);
                self.record(vec![park]).await
            }
            Work::Enquire(unresolved, known) => self.enquire(unresolved, known).await,
            Work::Resend(unresolved, known) => self.resend(unresolved, known).await,
        };
        done.unwrap_or_else(Came::Failed)
    }

    async fn enquire(&self, unresolved: &Unresolved, known: &UnknownOutcome) -> Result<Came, JournalError> {
        let entry = &unresolved.entry;
        let asked_ms = self.now_ms();
        let found = self.sender.enquire(entry).await;
        match &found {
            Enquiry::NotFound => return Ok(Came::NotFound { asked_ms }),
            Enquiry::Pending => return Ok(Came::Pending { asked_ms }),
            Enquiry::Unavailable { reason } => {
                tracing::info!(entry = %entry.id, reason, "the core does not answer an enquiry");
                return Ok(Came::InVain { silent: true, asked_ms });
            }
            Enquiry::NotUnderstood { reason } => {
                tracing::warn!(entry = %entry.id, reason, "the core answers an enquiry, and nothing that is declared");
                return Ok(Came::InVain { silent: true, asked_ms });
            }
            Enquiry::Posted { .. } | Enquiry::Refused { .. } => {}
        }
        let quiet_up_to = self.quiet_up_to(unresolved, known, asked_ms);
        if matches!(found, Enquiry::Refused { .. }) && unresolved.attempts > 1 && quiet_up_to == 0 {
            // The journal would take it for no answer.
            return Ok(Came::InVain { silent: false, asked_ms });
        }
        let changes = settle::after_enquiry(entry, &found, quiet_up_to, |code| self.sender.reason(entry, code));
        self.record(changes).await
    }

    /// The same reference again, to a core that remembers it. The attempt is recorded before a byte leaves.
    async fn resend(&self, unresolved: &Unresolved, known: &UnknownOutcome) -> Result<Came, JournalError> {
        let entry = &unresolved.entry;
        let asked_ms = self.now_ms();
        let alone_after = self.quiet_up_to(unresolved, known, asked_ms);
        let Sender { journal, fence, .. } = &self.sender;
        let claimed = match journal.begin_resend(fence, &self.instance, &entry.id, alone_after).await {
            Ok(Resend::Begun(claimed)) => claimed,
            Ok(Resend::Waits) => return Ok(Came::Waits),
            Ok(Resend::Resolved) => return Ok(Came::Settled),
            Err(err) if err.is_commit_unknown() => return Ok(Came::Lost(err)),
            Err(err) => return Err(err),
        };
        let attempt = claimed.attempt;
        let (outcome, changes) = self.sender.post(entry, attempt, self.time_to_resend(known)).await;
        // The journal takes a refusal for no answer while an earlier attempt may still post.
        let refused = changes.iter().any(|change| change.evidence == Evidence::CoreRefused);
        let settled = is_settled(&changes) && (alone_after > 0 || !refused);
        if let Err(err) = self.sender.record((&entry.id, attempt), changes, None).await {
            tracing::warn!(entry = %entry.id, error = %err, "an outcome of a resend was not recorded; it will be found out");
            return Ok(Came::Unrecorded { attempt });
        }
        Ok(match outcome {
            _ if settled => Came::Settled,
            Outcome::Pending => Came::Pending { asked_ms },
            outcome => Came::InVain { silent: !outcome.is_answer(), asked_ms },
        })
    }

    /// No byte leaves when the core may have forgotten the reference. This process may have been stopped since the resend
    /// was decided, so the connector asks the time once more with a connection in hand.
    fn time_to_resend(&self, known: &UnknownOutcome) -> Duration {
        let until_ms = remembered_until(&self.sender.core.capabilities(), known.first_attempt_ms, &self.patience);
        let left_ms = until_ms.unwrap_or(i64::MIN).saturating_sub(self.now_ms());
        self.sender.timeout.min(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)))
    }

    /// Attempts up to this number can take no effect any more at `at_ms`; 0 = that is not known.
    fn quiet_up_to(&self, unresolved: &Unresolved, known: &UnknownOutcome, at_ms: i64) -> i64 {
        if known.is_quiet(&self.sender.core.capabilities(), at_ms) { unresolved.attempts } else { 0 }
    }

    async fn record(&self, changes: Vec<Change>) -> Result<Came, JournalError> {
        let fence = &self.sender.fence;
        self.sender.journal.record(&fence.owner, Some(fence.clone()), changes).await?;
        Ok(Came::Settled)
    }

    fn now_ms(&self) -> i64 {
        let (ms, at) = self.moment;
        ms.saturating_add(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
