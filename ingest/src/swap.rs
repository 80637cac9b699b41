//! The swap: a loaded and attested shadow becomes the served generation, in one transaction.

use read_model::Applied;

use crate::apply::{Applier, ApplyOutcome};
use crate::apply_error::ApplyError;

impl Applier {
    /// Makes the shadow the served generation; as [`Applier::apply`], one transaction after `sequence`.
    pub(crate) async fn swap(&self, sequence: i64, stopping: impl Fn() -> bool) -> ApplyOutcome<Applied> {
        self.until_in(sequence, 0, stopping, || self.swap_once(sequence)).await
    }

    /// One try. What the shadow saw of our entries takes effect with it, and every hold that a new balance includes ends.
    async fn swap_once(&self, sequence: i64) -> Result<Applied, ApplyError> {
        let (writer, lease, confirm) = (self.writer.clone(), self.lease.clone(), self.confirm.clone());
        let swapped = self.db.transaction(move |tx| {
            Box::pin(async move {
                // First: what is told to the journal must be weighed against the new balances.
                writer.swap(tx, &lease, sequence).await?;
                let mut after = String::new();
                loop {
                    let evidence = writer.evidence_after(tx, &after).await?;
                    let Some(last) = evidence.last() else { break };
                    after.clone_from(&last.core_ref);
                    confirm.confirm(tx, &evidence, &[], &[]).await.map_err(ApplyError::Confirm)?;
                }
                after.clear();
                loop {
                    let refusals = writer.refusals_after(tx, &after).await?;
                    let Some(last) = refusals.last() else { break };
                    after.clone_from(&last.core_ref);
                    confirm.confirm(tx, &[], &refusals, &[]).await.map_err(ApplyError::Confirm)?;
                }
                let holding = confirm.holding(tx).await.map_err(ApplyError::Confirm)?;
                if !holding.is_empty() {
                    confirm.confirm(tx, &[], &[], &holding).await.map_err(ApplyError::Confirm)?;
                }
                Ok::<_, ApplyError>(())
            })
        });
        swapped.await?;
        Ok(Applied::default())
    }
}
