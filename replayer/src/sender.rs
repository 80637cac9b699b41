//! Carries one recorded attempt to the core, and its outcome to the journal.

use std::sync::Arc;
use std::time::Duration;

use connectors::CoreConnector;
use failpoints::{REPLAY_AFTER_RECORD, REPLAY_AFTER_SEND, reached};
use schemas::core::{Enquiry, Outcome, Unsent};
use schemas::entry::Evidence;
use standin::journal::{Change, Claimed, Entry, EntryId, Fence, Instance, JournalError, Recorded, ReplayJournal, Room};
use standin::settle;
use tokio::time::Instant;

use crate::metrics::{CORE_SECONDS, REPLAYED_TOTAL};

/// How often an outcome is tried to be recorded before its attempt is merely ended.
const RECORD_TRIES: u32 = 5;
/// Why an entry waits for a person: the core answered again and again that it did nothing.
pub const KEEPS_DECLINING: &str = "core-keeps-declining-to-take-it";
/// Why an entry waits for a person: the connector cannot put it into the core's form any more.
pub const CANNOT_BE_SENT: &str = "cannot-be-sent-to-the-core";

/// Sends under one fence.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) journal: ReplayJournal,
    pub(crate) core: Arc<dyn CoreConnector>,
    pub(crate) fence: Fence,
    /// Longest wait for an answer.
    pub(crate) timeout: Duration,
}

/// What the core answered to one sending of a queued entry. It is not recorded yet.
pub(crate) struct Answered {
    /// Who sent it, under the fence of its claim.
    pub(crate) sender: Sender,
    pub(crate) id: EntryId,
    pub(crate) attempt: i64,
    pub(crate) fate: Fate,
    pub(crate) changes: Vec<Change>,
    /// How long the core took.
    pub(crate) took: Duration,
}

/// What a sending says to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The core took it, perhaps to book it later, or refused it.
    Taken,
    /// The core, or the connector, does not take this entry now. A later attempt may succeed.
    Declined {
        /// That was its last try: it waits for a person.
        parked: bool,
    },
    /// The core could not be reached.
    CoreAway,
    /// It was not tried, for want of a connection or of time.
    NotTried,
    /// No usable answer: its outcome is unknown.
    Unanswered,
}

impl Sender {
    /// Carries one claimed entry to the core. After the `last_try` a person is called if the core declines it again.
    pub(crate) async fn carry(self, claimed: Claimed, last_try: bool) -> Answered {
        let Claimed { entry, attempt, .. } = claimed;
        let begun = Instant::now();
        let (outcome, mut changes) = self.post(&entry, attempt, self.timeout).await;
        let took = begun.elapsed();
        metrics::histogram!(CORE_SECONDS).record(took);
        reached(REPLAY_AFTER_SEND);
        metrics::counter!(REPLAYED_TOTAL, "outcome" => outcome.as_str()).increment(1);
        let sendable = self.is_sendable(&entry);
        let fate = fate_of(&outcome, sendable, last_try);
        if fate == (Fate::Declined { parked: true }) {
            let reason = if sendable { KEEPS_DECLINING } else { CANNOT_BE_SENT };
            tracing::error!(entry = %entry.id, reason, "the core does not take this entry; it waits for a person");
            changes.push(Change::new(entry.id.clone(), Evidence::Unresolvable).because(reason));
        }
        Answered { sender: self, id: entry.id, attempt, fate, changes, took }
    }

    /// One attempt, followed by an enquiry where the core knew the reference: what it came to, and what that changes.
    pub(crate) async fn post(&self, entry: &Entry, attempt: i64, timeout: Duration) -> (Outcome, Vec<Change>) {
        let outcome = match settle::post_request(entry) {
            Ok(request) => self.core.post(&request, timeout).await,
            Err(err) => Outcome::NotSent { why: Unsent::NotTried, reason: err.to_string() },
        };
        if let Outcome::NotSent { reason, .. } | Outcome::Unknown { reason } = &outcome {
            tracing::info!(entry = %entry.id, outcome = outcome.as_str(), reason, "the core did not take an entry");
        }
        let changes = match settle::after_post(entry, attempt, &outcome, |code| self.reason(entry, code)) {
            Some(changes) => changes,
            None => {
                let found = self.enquire(entry).await;
                settle::after_duplicate(entry, attempt, &found, |code| self.reason(entry, code))
            }
        };
        (outcome, changes)
    }

    /// Asks the core what became of the entry's reference.
    pub(crate) async fn enquire(&self, entry: &Entry) -> Enquiry {
        self.core.enquire(&entry.operation, &entry.core_ref, self.timeout).await
    }

    /// Our reason for a refusal code of the core.
    pub(crate) fn reason(&self, entry: &Entry, code: &str) -> Option<String> {
        self.core.refusal_reason(&entry.operation, code).map(str::to_owned)
    }

    /// Can the entry be put into the core's form?
    fn is_sendable(&self, entry: &Entry) -> bool {
        settle::post_request(entry).is_ok_and(|request| self.core.check(&request).is_ok())
    }

    /// Records the outcome under the fence, and claims from what comes next. A stale sender cannot mark; it only states that its
    /// own attempt has ended.
    pub(crate) async fn record(
        &self,
        (id, attempt): (&EntryId, i64),
        changes: Vec<Change>,
        claim: Option<(&Instance, (Vec<EntryId>, Room))>,
    ) -> Result<Recorded, JournalError> {
        let (fence, mut claim) = (&self.fence, claim);
        let mut failed = JournalError::Overloaded;
        for _ in 0..RECORD_TRIES {
            let recorded = match claim.take() {
                Some((instance, claim)) => self.journal.record_and_claim(fence, instance, changes.clone(), claim).await,
                None => {
                    self.journal.record(&fence.owner, Some(fence.clone()), changes.clone()).await.map(Recorded::only)
                }
            };
            failed = match recorded {
                Ok(recorded) => {
                    reached(REPLAY_AFTER_RECORD);
                    return Ok(recorded);
                }
                Err(err) => err,
            };
            if matches!(failed, JournalError::Fenced(_)) {
                break;
            }
            tracing::warn!(entry = %id, error = %failed, "recording a replayed outcome; trying again");
        }
        self.journal.end_own_attempt(id, attempt, "not_recorded").await?;
        Err(failed)
    }
}

/// Do these changes tell what became of the entry?
pub(crate) fn is_settled(changes: &[Change]) -> bool {
    let telling = [Evidence::CorePosted, Evidence::CoreRefused, Evidence::Unresolvable];
    changes.iter().any(|change| telling.contains(&change.evidence))
}

fn fate_of(outcome: &Outcome, sendable: bool, last_try: bool) -> Fate {
    match outcome {
        Outcome::Posted(_) | Outcome::Refused { .. } | Outcome::Duplicate | Outcome::Pending => Fate::Taken,
        Outcome::NotSent { why: Unsent::NotDone, .. } => Fate::Declined { parked: last_try },
        Outcome::NotSent { why: Unsent::NotTried, .. } if !sendable => Fate::Declined { parked: last_try },
        Outcome::NotSent { why: Unsent::NotTried, .. } => Fate::NotTried,
        // A probe tells which of the two it is.
        Outcome::NotSent { why: Unsent::CoreAway | Unsent::ConnectionLost, .. } => Fate::CoreAway,
        Outcome::Unknown { .. } => Fate::Unanswered,
    }
}
