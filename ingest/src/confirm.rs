//! The seam to the journal: what happens to entries in the transaction that applies the rows.

use schemas::model::LegEvidence;
use sql::{BoxFuture, Tx};

/// Why confirmations could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The engine; decides whether the transaction runs again.
    #[error(transparent)]
    Sql(#[from] sql::Error),
    /// Anything else: the batch is tried again, visibly, until a person helps.
    #[error("{0}")]
    Other(String),
}

/// Confirms entries and releases holds, after the read-model rows are written and before the offsets are.
///
/// Lock order: read-model rows → lanes → entries → offset row. Called again with the same batch after a rollback, and never
/// twice for a batch that was committed.
pub trait Confirm: Send + Sync + 'static {
    /// `evidence` = rows of the core that carry references; `accounts` = every account touched by a row or by evidence, in
    /// byte order: what is served of them from this transaction on may be another balance.
    fn confirm<'t>(
        &'t self,
        tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>>;
}

/// For installations without stand-in: nothing is confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Confirm for NoJournal {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _evidence: &'t [LegEvidence],
        _accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        Box::pin(async { Ok(()) })
    }
}
