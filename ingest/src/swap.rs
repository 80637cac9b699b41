//! The swap: a loaded and attested shadow becomes the served generation, in one transaction.

use read_model::Applied;

use crate::apply::{Applier, ApplyError};

/// One try. What the shadow saw of our entries takes effect with it, and every hold that a new balance includes ends.
pub(crate) async fn once(applier: &Applier, sequence: i64) -> Result<Applied, ApplyError> {
    let (writer, lease, confirm) = (applier.writer.clone(), applier.lease.clone(), applier.confirm.clone());
    let swapped = applier.db.transaction(move |tx| {
        Box::pin(async move {
            // First: what is told to the journal must be weighed against the new balances.
            writer.swap(tx, &lease, sequence).await?;
            let mut after = String::new();
            loop {
                let evidence = writer.evidence_after(tx, &after).await?;
                let Some(last) = evidence.last() else { break };
                after.clone_from(&last.core_ref);
                confirm.confirm(tx, &evidence, &[]).await.map_err(ApplyError::Confirm)?;
            }
            let holding = confirm.holding(tx).await.map_err(ApplyError::Confirm)?;
            if !holding.is_empty() {
                confirm.confirm(tx, &[], &holding).await.map_err(ApplyError::Confirm)?;
            }
            Ok::<_, ApplyError>(())
        })
    });
    swapped.await?;
    Ok(Applied::default())
}
