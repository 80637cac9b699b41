//! What ingest saw the core book, told to the journal in the transaction that applies it.

use std::collections::BTreeSet;

use ingest::{Confirm, ConfirmError, Locks};
use schemas::model::{LegEvidence, LegVerdict, Refusal};
use sql::{BoxFuture, Tx};
use standin::journal::{Confirmations, JournalError, LegSeen, RefusalSeen, ToLock};

/// The journal as ingest sees it.
pub struct Confirmation(pub Confirmations);

impl Confirm for Confirmation {
    fn confirm<'t>(
        &'t self,
        tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        refusals: &'t [Refusal],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        Box::pin(async move {
            let seen: Vec<LegSeen> = evidence.iter().filter_map(leg_seen).collect();
            let refused: Vec<RefusalSeen> = refusals.iter().map(refusal_seen).collect();
            self.0.confirm_and_refuse(tx, &seen, &refused, accounts).await.map(drop).map_err(told)
        })
    }

    fn unrecorded<'t>(
        &'t self,
        tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
    ) -> BoxFuture<'t, Result<Vec<LegEvidence>, ConfirmError>> {
        Box::pin(async move {
            let telling = evidence.iter().filter_map(|row| Some((row, leg_seen(row)?)));
            let (rows, seen): (Vec<&LegEvidence>, Vec<LegSeen>) = telling.unzip();
            let news = self.0.is_news(tx, &seen).await.map_err(told)?;
            let kept = rows.into_iter().zip(news).filter(|(_, news)| *news);
            Ok(kept.map(|(row, _)| row.clone()).collect())
        })
    }

    fn unrefused<'t>(
        &'t self,
        tx: &'t mut Tx,
        refusals: &'t [Refusal],
    ) -> BoxFuture<'t, Result<Vec<Refusal>, ConfirmError>> {
        Box::pin(async move {
            let seen: Vec<RefusalSeen> = refusals.iter().map(refusal_seen).collect();
            let news = self.0.refusals_news(tx, &seen).await.map_err(told)?;
            Ok(refusals.iter().zip(news).filter(|(_, news)| *news).map(|(refusal, _)| refusal.clone()).collect())
        })
    }

    fn locks<'t>(
        &'t self,
        tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<Locks, ConfirmError>> {
        Box::pin(async move {
            let seen: Vec<LegSeen> = evidence.iter().filter_map(leg_seen).collect();
            let ToLock { lanes, entries } = self.0.to_lock(tx, &seen, accounts).await.map_err(told)?;
            Ok(Locks { lanes, entries })
        })
    }

    fn holding<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<String>, ConfirmError>> {
        Box::pin(async move { self.0.accounts_with_holds(tx).await.map_err(told) })
    }

    fn without_numbers<'t>(
        &'t self,
        tx: &'t mut Tx,
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<BTreeSet<String>, ConfirmError>> {
        Box::pin(async move { self.0.accounts_without_numbers(tx, accounts).await.map_err(told) })
    }

    fn serves(&self, last_posting: i64, seen: i64) -> bool {
        standin::lane::serves(last_posting, seen)
    }
}

/// Only SQL's own errors say whether the transaction is worth running again.
fn told(err: JournalError) -> ConfirmError {
    match err {
        JournalError::Sql(err) => ConfirmError::Sql(err),
        err if err.is_retryable() => ConfirmError::Sql(sql::Error::Retryable { code: 0 }),
        err => ConfirmError::Other(err.to_string()),
    }
}

fn refusal_seen(refusal: &Refusal) -> RefusalSeen {
    RefusalSeen { core_ref: refusal.core_ref.clone(), code: refusal.code.clone() }
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
