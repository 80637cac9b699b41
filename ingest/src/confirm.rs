//! The seam to the journal: what happens to entries in the transaction that applies the rows.

use std::collections::BTreeSet;

use schemas::model::{LegEvidence, Refusal};
use sql::{BoxFuture, Tx};

/// Why confirmations could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The engine; decides whether the transaction runs again.
    #[error(transparent)]
    Sql(#[from] sql::Error),
    /// Anything else: the batch is tried again in parts, and at last the source halts with this reason.
    #[error("{0}")]
    Other(String),
}

/// How much a confirmation locks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Locks {
    /// Lanes, which admissions wait for.
    pub lanes: usize,
    /// Entries, which are written while the lanes are locked.
    pub entries: usize,
}

/// Confirms and refuses entries and releases holds, after the read-model rows are written and before the offsets are.
///
/// Lock order: read-model rows → lanes → entries → offset row. Called again with the same batch after a rollback, and never
/// twice for a batch that was committed.
pub trait Confirm: Send + Sync + 'static {
    /// `evidence` = rows of the core that carry references; `refusals` = what it refused, weighed after them; `accounts` = every account touched by a row or by evidence, in
    /// byte order: what is served of them from this transaction on may be another balance.
    fn confirm<'t>(
        &'t self,
        tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        refusals: &'t [Refusal],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>>;

    /// Those of `evidence` that would change something: the journal has not recorded that row on its leg. Reads only; what a
    /// shadow sees is kept until the swap, and most of it is history.
    fn unrecorded<'t>(
        &'t self,
        _tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
    ) -> BoxFuture<'t, Result<Vec<LegEvidence>, ConfirmError>> {
        Box::pin(async { Ok(evidence.to_vec()) })
    }

    /// Those of `refusals` that would change something, as [`Confirm::unrecorded`].
    fn unrefused<'t>(
        &'t self,
        _tx: &'t mut Tx,
        refusals: &'t [Refusal],
    ) -> BoxFuture<'t, Result<Vec<Refusal>, ConfirmError>> {
        Box::pin(async { Ok(refusals.to_vec()) })
    }

    /// Every account with a hold, in byte order: a swap changes the balance that is served of all of them.
    fn holding<'t>(&'t self, _tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<String>, ConfirmError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// How much [`Confirm::confirm`] would lock with these. Asked before any row is written; locks nothing.
    fn locks<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _evidence: &'t [LegEvidence],
        _accounts: &'t [String],
    ) -> BoxFuture<'t, Result<Locks, ConfirmError>> {
        Box::pin(async { Ok(Locks::default()) })
    }

    /// Which of these accounts have a debit of ours that was sent and whose posting number is not known yet. Asked before the
    /// rows are written; locks nothing.
    fn without_numbers<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _accounts: &'t [String],
    ) -> BoxFuture<'t, Result<BTreeSet<String>, ConfirmError>> {
        Box::pin(async { Ok(BTreeSet::new()) })
    }

    /// May a balance of such an account be served that includes the postings up to `last_posting`, when those up to `seen` were
    /// applied?
    fn serves(&self, last_posting: i64, seen: i64) -> bool {
        seen >= last_posting
    }
}

/// For installations without stand-in: nothing is confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Confirm for NoJournal {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _evidence: &'t [LegEvidence],
        _refusals: &'t [Refusal],
        _accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        Box::pin(async { Ok(()) })
    }
}
