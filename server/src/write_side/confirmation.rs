//! What ingest saw the core book, told to the journal in the transaction that applies it.

use ingest::{Confirm, ConfirmError};
use schemas::model::{LegEvidence, LegVerdict};
use sql::{BoxFuture, Tx};
use standin::journal::{Journal, JournalError, LegSeen};

/// The journal as ingest sees it.
pub struct Confirmation(pub Journal);

impl Confirm for Confirmation {
    fn confirm<'t>(
        &'t self,
        tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        Box::pin(async move {
            let seen: Vec<LegSeen> = evidence.iter().filter_map(leg_seen).collect();
            match self.0.confirm(tx, &seen, accounts).await {
                Ok(_) => Ok(()),
                Err(JournalError::Sql(err)) => Err(ConfirmError::Sql(err)),
                Err(err) => Err(ConfirmError::Other(err.to_string())),
            }
        })
    }
}

/// Only a posting confirms. A row that the core marks as refused or reversed is left to the reconciliation.
fn leg_seen(evidence: &LegEvidence) -> Option<LegSeen> {
    let posting_no = evidence.posting_no?;
    (evidence.verdict == LegVerdict::Posted).then(|| LegSeen {
        core_ref: evidence.core_ref.clone(),
        kind: evidence.leg,
        account: evidence.account_id.clone(),
        amount_minor: evidence.amount_minor.saturating_abs(),
        currency: evidence.currency,
        posting_no,
        row_key: evidence.row_key.clone(),
    })
}
