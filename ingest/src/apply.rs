//! One batch, one SQL transaction: parked events, rows, confirmations, offsets, in the lock order.

use std::sync::Arc;
use std::time::Duration;

use read_model::{Advance, Applied, Lease, SourceStatus, WriteError, Writer, status_of};
use sql::Db;
use tokio::time::Instant;

use crate::apply_error::{ApplyError, Remedy};
use crate::confirm::Confirm;
use crate::lanes;
use crate::prepared::{Prepared, accounts_of};
use crate::waiting::{Before, Settled, settle};

/// First wait before a failed batch is tried again; doubles up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(20);
/// Longest wait between tries.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Tries in a row that were refused after which a record counts as one that will never be taken.
pub(crate) const REFUSALS_MAX: u32 = 8;

/// What an apply came to.
pub(crate) enum ApplyOutcome<T> {
    /// Committed by this try.
    Committed(T),
    /// Committed by an earlier try whose answer was lost: what became visible is not known.
    CommittedBefore,
    /// Another ingester works on the source.
    Fenced,
    /// Failed, and may succeed in parts. Nothing was kept.
    TooMuch,
    /// It would have locked too many lanes or entries, so nothing was tried. A part of it will lock fewer.
    Crowded,
    /// A single record was refused again and again; why.
    Refused(String),
    /// Told to stop before it could be committed; nothing was kept, or an unknown commit, which the next start reads back.
    Abandoned,
}

/// What a committed batch did.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    /// What became visible.
    pub(crate) applied: Applied,
    /// Source time up to which everything is applied.
    pub(crate) as_of_ms: Option<i64>,
    /// A balance waits for its posting.
    pub(crate) any_waiting: bool,
    /// For so long lanes may have been held.
    pub(crate) held: Duration,
}

/// One try of one batch.
#[derive(Clone)]
pub(crate) struct Try {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) advance: Arc<Advance>,
    /// Source time up to which everything was applied before.
    pub(crate) as_of_before_ms: Option<i64>,
    /// A balance may wait for its posting from before.
    pub(crate) any_waiting: bool,
}

/// What every apply of a source needs.
pub(crate) struct Applier {
    pub(crate) db: Db,
    pub(crate) writer: Writer,
    pub(crate) lease: Lease,
    pub(crate) confirm: Arc<dyn Confirm>,
    /// References belong to postings of other rows.
    pub(crate) by_links: bool,
    /// Rows take their currency from their account.
    pub(crate) asks_accounts: bool,
}

impl Applier {
    /// Tries until one of these is true: the batch is in, it needs another size, somebody else owns the source, it is
    /// refused for good, or `stopping` says so.
    pub(crate) async fn apply(&self, batch: Try, stopping: impl Fn() -> bool) -> ApplyOutcome<Committed> {
        let started = Instant::now();
        let (sequence, records) = (batch.advance.sequence, batch.prepared.size());
        let outcome = self.until_in(sequence, records, stopping, || self.once(batch.clone())).await;
        if let ApplyOutcome::Committed(_) = outcome {
            metrics::histogram!(crate::metrics::APPLY_SECONDS, "source" => self.lease.source.clone())
                .record(started.elapsed());
        }
        outcome
    }

    /// Runs one try after another. `records` = what can be taken less of.
    pub(crate) async fn until_in<T, F>(
        &self,
        sequence: i64,
        records: usize,
        stopping: impl Fn() -> bool,
        once: impl Fn() -> F,
    ) -> ApplyOutcome<T>
    where
        F: Future<Output = Result<T, ApplyError>>,
    {
        let (mut wait, mut refusals) = (WAIT_MIN, 0);
        loop {
            let error = match once().await {
                Ok(committed) => return ApplyOutcome::Committed(committed),
                Err(error) => error,
            };
            if let ApplyError::LocksTooMuch = error {
                return ApplyOutcome::Crowded;
            }
            if let ApplyError::Write(WriteError::Fenced { .. }) = error {
                match status_of(&self.db, &self.lease.source).await {
                    Ok(Some(status)) if self.is_ours(&status, sequence) => return ApplyOutcome::CommittedBefore,
                    Ok(_) => return ApplyOutcome::Fenced,
                    Err(err) => tracing::warn!(error = %err, "cannot read the source back"),
                }
            }
            metrics::counter!(crate::metrics::APPLY_FAILURES_TOTAL, "source" => self.lease.source.clone()).increment(1);
            tracing::warn!(error = %error, cause = ?std::error::Error::source(&error), source = %self.lease.source,
                records, "batch not applied, trying again");
            let remedy = error.remedy();
            refusals = if remedy == (Remedy::Less { refused: true }) { refusals + 1 } else { 0 };
            if refusals == REFUSALS_MAX && records <= 1 {
                return ApplyOutcome::Refused(error.explained());
            }
            if stopping() {
                return ApplyOutcome::Abandoned;
            }
            tokio::time::sleep(wait).await;
            if remedy != Remedy::Same && records > 1 {
                return ApplyOutcome::TooMuch;
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// An unknown commit runs again: locks wait the first one out, and then its traces fence the second.
    fn is_ours(&self, status: &SourceStatus, sequence: i64) -> bool {
        status.token == self.lease.token && status.applied_seq == sequence + 1
    }

    async fn once(&self, batch: Try) -> Result<Committed, ApplyError> {
        let (writer, token, confirm) = (self.writer.clone(), self.lease.token, self.confirm.clone());
        let (by_links, asks_accounts) = (self.by_links, self.asks_accounts);
        let (applied, as_of_ms, any_waiting, held_from) = self
            .db
            .transaction(move |tx| {
                Box::pin(async move {
                    let Try { prepared, advance, as_of_before_ms, any_waiting } = batch;
                    let mut evidence = prepared.evidence.clone();
                    if by_links {
                        evidence.extend(writer.linked(tx, &prepared.changes, &prepared.links).await?);
                    }
                    if !writer.is_shadow() {
                        lanes::bounded(tx, &*confirm, &prepared, &evidence).await?;
                    }
                    writer.forget_queues(tx, &prepared.healed).await?;
                    writer.work_off(tx, &prepared.worked).await?;
                    writer.park(tx, &prepared.parked).await?;
                    let before = Before { any_waiting, attested_ms: advance.as_of_ms, by_links };
                    let settled = match writer.is_shadow() {
                        // Nobody is served from it, so no hold is counted beside it.
                        true => Settled { changes: prepared.changes.clone(), waiting_since_ms: None },
                        false => settle(tx, &writer, &*confirm, &prepared, before).await?,
                    };
                    let applied = writer.apply(tx, &settled.changes).await?;
                    writer.keep_rows(tx, prepared.kept.values()).await?;
                    writer.keep_links(tx, &prepared.links).await?;
                    let accounts = accounts_of(&evidence).union(&applied.accounts).cloned().collect::<Vec<_>>();
                    writer.count_unmapped(tx, &prepared.unmapped).await?;
                    let mut waiting_since_ms = settled.waiting_since_ms;
                    if asks_accounts {
                        writer.end_events(tx, &prepared.released).await?;
                        writer.keep_events(tx, &prepared.waits).await?;
                        writer.tell_waiting(tx, &prepared.told).await?;
                        let since_ms = writer.waiting_since_ms(tx).await?;
                        waiting_since_ms = waiting_since_ms.into_iter().chain(since_ms).min();
                    }
                    // From here on lanes may be locked, so the rows of the read model are written before.
                    let concerns_entries = !accounts.is_empty() || !prepared.refusals.is_empty();
                    let held_from = concerns_entries.then(Instant::now);
                    if writer.is_shadow() {
                        let kept = confirm.unrecorded(tx, &evidence).await.map_err(ApplyError::Confirm)?;
                        writer.keep_evidence(tx, &kept).await?;
                        let kept = confirm.unrefused(tx, &prepared.refusals).await.map_err(ApplyError::Confirm)?;
                        writer.keep_refusals(tx, &kept).await?;
                    } else if concerns_entries {
                        let confirmed = confirm.confirm(tx, &evidence, &prepared.refusals, &accounts).await;
                        confirmed.map_err(ApplyError::Confirm)?;
                    }
                    let as_of_ms = complete_until(advance.as_of_ms, as_of_before_ms, waiting_since_ms);
                    let advance = Advance { as_of_ms, ..Advance::clone(&advance) };
                    writer.advance(tx, token, &advance).await?;
                    failpoints::reached(failpoints::APPLY_BEFORE_COMMIT);
                    Ok::<_, ApplyError>((applied, as_of_ms, settled.waiting_since_ms.is_some(), held_from))
                })
            })
            .await?;
        failpoints::reached(failpoints::APPLY_AFTER_COMMIT);
        let held = held_from.map_or(Duration::ZERO, |from| from.elapsed());
        Ok(Committed { applied, as_of_ms, any_waiting, held })
    }
}

/// The data are complete only up to a balance that waits. A time that was told before is never taken back.
fn complete_until(attested_ms: Option<i64>, before_ms: Option<i64>, waiting_since_ms: Option<i64>) -> Option<i64> {
    let bounded = match (attested_ms, waiting_since_ms) {
        (Some(attested_ms), Some(since_ms)) => Some(attested_ms.min(since_ms)),
        (attested_ms, _) => attested_ms,
    };
    before_ms.max(bounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_data_stops_at_a_balance_that_waits_and_never_goes_back() {
        assert_eq!(complete_until(Some(9), Some(1), None), Some(9));
        assert_eq!(complete_until(Some(9), Some(1), Some(5)), Some(5));
        assert_eq!(complete_until(Some(9), Some(7), Some(5)), Some(7));
        assert_eq!(complete_until(None, None, Some(5)), None);
    }
}
