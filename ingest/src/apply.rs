//! One batch, one SQL transaction: parked events, rows, confirmations, offsets, in the lock order.

use std::sync::Arc;
use std::time::Duration;

use read_model::{Advance, Applied, Lease, SourceStatus, WriteError, Writer, status_of};
use sql::Db;
use tokio::time::Instant;

use crate::confirm::{Confirm, ConfirmError};
use crate::prepare::Prepared;
use crate::swap;

/// First wait before a failed batch is tried again; doubles up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(20);
/// Longest wait between tries.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Tries in a row that the store refused after which the batch counts as one that it will never take.
pub(crate) const REFUSALS_MAX: u32 = 8;

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("confirmation failed")]
    Confirm(#[source] ConfirmError),
}

impl ApplyError {
    /// True when the store refused a statement itself: trying again helps only while somebody mends the store.
    fn is_refusal(&self) -> bool {
        let (ApplyError::Write(WriteError::Sql(error)) | ApplyError::Confirm(ConfirmError::Sql(error))) = self else {
            return false;
        };
        matches!(error, sql::Error::Statement { .. })
    }

    /// The whole chain, for a person.
    fn explained(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

impl From<sql::Error> for ApplyError {
    fn from(error: sql::Error) -> Self {
        ApplyError::Write(WriteError::Sql(error))
    }
}

/// What an apply came to.
pub(crate) enum Outcome {
    /// Committed by this try; what became visible.
    Committed(Applied),
    /// Committed by an earlier try whose answer was lost: what became visible is not known.
    CommittedBefore,
    /// Another ingester works on the source.
    Fenced,
    /// Refused again and again by the store itself; why.
    Refused(String),
    /// Told to stop before it could be committed; nothing was kept, or an unknown commit, which the next start reads back.
    Abandoned,
}

/// What every apply of a source needs.
pub(crate) struct Applier {
    pub(crate) db: Db,
    pub(crate) writer: Writer,
    pub(crate) lease: Lease,
    pub(crate) confirm: Arc<dyn Confirm>,
}

impl Applier {
    /// Tries until the batch is in, somebody else owns the source, the store refuses it for good, or `stopping` says so. The
    /// same batch every time.
    pub(crate) async fn apply(
        &self,
        prepared: Arc<Prepared>,
        advance: Arc<Advance>,
        stopping: impl Fn() -> bool,
    ) -> Outcome {
        let started = Instant::now();
        let sequence = advance.sequence;
        let outcome = self.until_in(sequence, stopping, || self.once(prepared.clone(), advance.clone())).await;
        if let Outcome::Committed(_) = outcome {
            metrics::histogram!(crate::metrics::APPLY_SECONDS, "source" => self.lease.source.clone())
                .record(started.elapsed());
        }
        outcome
    }

    /// Makes the shadow the served generation; as [`Applier::apply`], one transaction after `sequence`.
    pub(crate) async fn swap(&self, sequence: i64, stopping: impl Fn() -> bool) -> Outcome {
        self.until_in(sequence, stopping, || swap::once(self, sequence)).await
    }

    async fn until_in<F>(&self, sequence: i64, stopping: impl Fn() -> bool, once: impl Fn() -> F) -> Outcome
    where
        F: Future<Output = Result<Applied, ApplyError>>,
    {
        let (mut wait, mut refusals) = (WAIT_MIN, 0);
        loop {
            let error = match once().await {
                Ok(applied) => return Outcome::Committed(applied),
                Err(error) => error,
            };
            if let ApplyError::Write(WriteError::Fenced { .. }) = error {
                match status_of(&self.db, &self.lease.source).await {
                    Ok(Some(status)) if self.is_ours(&status, sequence) => return Outcome::CommittedBefore,
                    Ok(_) => return Outcome::Fenced,
                    Err(err) => tracing::warn!(error = %err, "cannot read the source back"),
                }
            }
            metrics::counter!(crate::metrics::APPLY_FAILURES_TOTAL, "source" => self.lease.source.clone()).increment(1);
            tracing::warn!(error = %error, cause = ?std::error::Error::source(&error), source = %self.lease.source,
                "batch not applied, trying again");
            refusals = if error.is_refusal() { refusals + 1 } else { 0 };
            if refusals == REFUSALS_MAX {
                return Outcome::Refused(error.explained());
            }
            if stopping() {
                return Outcome::Abandoned;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// An unknown commit runs again: locks wait the first one out, and then its traces fence the second.
    fn is_ours(&self, status: &SourceStatus, sequence: i64) -> bool {
        status.token == self.lease.token && status.applied_seq == sequence + 1
    }

    async fn once(&self, prepared: Arc<Prepared>, advance: Arc<Advance>) -> Result<Applied, ApplyError> {
        let (writer, token, confirm) = (self.writer.clone(), self.lease.token, self.confirm.clone());
        let applied = self
            .db
            .transaction(move |tx| {
                Box::pin(async move {
                    writer.forget_queues(tx, &prepared.healed).await?;
                    writer.park(tx, &prepared.parked).await?;
                    let applied = writer.apply(tx, &prepared.changes).await?;
                    let accounts = prepared.evidence_accounts().union(&applied.accounts).cloned().collect::<Vec<_>>();
                    if writer.is_shadow() {
                        let kept = confirm.unrecorded(tx, &prepared.evidence).await.map_err(ApplyError::Confirm)?;
                        writer.keep_evidence(tx, &kept).await?;
                    } else if !accounts.is_empty() {
                        let confirmed = confirm.confirm(tx, &prepared.evidence, &accounts).await;
                        confirmed.map_err(ApplyError::Confirm)?;
                    }
                    writer.advance(tx, token, &advance).await?;
                    failpoints::reached(failpoints::APPLY_BEFORE_COMMIT);
                    Ok::<_, ApplyError>(applied)
                })
            })
            .await?;
        failpoints::reached(failpoints::APPLY_AFTER_COMMIT);
        Ok(applied)
    }
}
