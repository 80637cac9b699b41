//! Carries one recorded attempt to the core, and what came of it to the journal.

use std::sync::Arc;
use std::time::Duration;

use connectors::CoreConnector;
use schemas::core::{Outcome, Unsent};
use standin::journal::{Change, Entry, EntryId, Fence, Journal, JournalError};
use standin::settle;

/// How often an outcome is tried to be recorded before its attempt is merely ended.
const RECORD_TRIES: u32 = 5;

/// Sends under one fence.
pub(crate) struct Sender {
    pub(crate) journal: Journal,
    pub(crate) core: Arc<dyn CoreConnector>,
    pub(crate) fence: Fence,
    /// Longest wait for an answer to an enquiry.
    pub(crate) timeout: Duration,
}

impl Sender {
    /// One attempt, followed by an enquiry where the core knew the reference: what it came to, and what that changes.
    pub(crate) async fn post(&self, entry: &Entry, attempt: i64, timeout: Duration) -> (Outcome, Vec<Change>) {
        let outcome = match settle::post_request(entry) {
            Ok(request) => self.core.post(&request, timeout).await,
            Err(err) => Outcome::NotSent { why: Unsent::NotTried, reason: err.to_string() },
        };
        let reason = |code: &str| self.core.refusal_reason(&entry.operation, code).map(str::to_owned);
        let changes = match settle::after_post(entry, attempt, &outcome, reason) {
            Some(changes) => changes,
            None => {
                let found = self.core.enquire(&entry.operation, &entry.core_ref, self.timeout).await;
                settle::after_duplicate(entry, attempt, &found, reason)
            }
        };
        (outcome, changes)
    }

    /// Records the outcome under the fence. A stale sender cannot mark; it only states that its own attempt has ended.
    pub(crate) async fn record(&self, id: &EntryId, attempt: i64, changes: Vec<Change>) -> Result<(), JournalError> {
        let mut outcome = Ok(());
        for _ in 0..RECORD_TRIES {
            outcome = self.journal.record(&self.fence.owner, Some(self.fence.clone()), changes.clone()).await.map(drop);
            match &outcome {
                Ok(()) | Err(JournalError::Fenced(_)) => break,
                Err(err) => tracing::warn!(entry = %id, error = %err, "recording a replayed outcome; trying again"),
            }
        }
        if outcome.is_err() {
            self.journal.end_own_attempt(id, attempt, "not_recorded").await?;
        }
        outcome
    }
}
