//! The journal: every write, durable before a byte is sent, and the one place that changes it.
//!
//! Lock order in every transaction: read-model rows → lanes (binary order of account) → entries → offset rows.
//! **Every change of an entry's state goes through `schemas::entry::weigh`**, in [`transitions`], with its lanes locked.

mod admit;
mod attempts;
mod audit;
mod batch;
mod breaks;
mod claim;
mod confirm;
mod controls;
mod instances;
mod lanes;
mod limits;
mod links;
mod lookup;
mod orders;
mod overdue;
mod ready;
mod record;
mod schema;
mod stopped;
mod transitions;
mod workset;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schemas::core::ReferenceFormat;
use sql::{Again, BoxFuture, Db, Tx};
use tokio::sync::Semaphore;

pub use admit::{Admitted, Write};
pub use audit::AuditRecord;
pub use batch::{Admissions, AdmissionsTask};
pub use claim::{Claimed, Claims, Fence, OpenAttempt, Unresolved};
pub use confirm::{Confirmed, LegSeen};
pub use controls::ModeOrder;
pub use instances::{Instance, InstanceRecord, Life};
pub use links::PostingRow;
pub use lookup::{EntryDetail, Filter, Hold, TransitionRecord};
pub use orders::{Act, Approval, ApprovalState, Done, Fenced, Grounds, Objection, Order, OrderKind};
pub use overdue::{Backlog, Unconfirmed};
pub use record::{Entry, EntryId, Transfer};
pub use schema::MIGRATIONS;
pub use stopped::StoppedLane;
pub use transitions::{Change, Moved};

use crate::admission::AccountFacts;
use crate::reference::reference;

/// Why the journal did not do what it was asked. What a client may know of it is decided at the HTTP edge.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The SQL store.
    #[error(transparent)]
    Sql(#[from] sql::Error),
    /// A row that our own writers cannot have written.
    #[error("journal row is corrupt: {0}")]
    Corrupt(&'static str),
    /// A write that the edge must not let through.
    #[error("malformed write: {0}")]
    Malformed(&'static str),
    /// A guarded write matched fewer rows than it must; rolled back.
    #[error("lost a guarded write: {0}")]
    Lost(&'static str),
    /// Another replayer holds the fence with a higher token.
    #[error("fenced out: a newer holder of {0} exists")]
    Fenced(String),
    /// There is no such entry.
    #[error("no such entry")]
    NoSuchEntry,
    /// The entry's state does not allow it.
    #[error("not possible for an entry that is {0}")]
    Forbidden(schemas::entry::EntryState),
    /// Somebody may still be sending it.
    #[error("an attempt may still be under way")]
    AttemptOpen,
    /// Its last attempt ended so recently that the core may still carry it out.
    #[error("a request may still take effect in the core")]
    AttemptRecent,
    /// Limits that a person set live are of a form that is not in use any more.
    #[error(
        "limits were set live (version {version}) in the form before there were limits per currency: {value}. Write what shall \
         hold into `limits.currencies` of the configuration, and `limits.supersede_version: {version}` to put it in force"
    )]
    OutdatedLimits {
        /// Their version.
        version: i64,
        /// As they are stored.
        value: String,
    },
    /// An order is not carried out.
    #[error(transparent)]
    Objected(#[from] Objection),
    /// A person declared this instance gone: it must send nothing.
    #[error("this instance was declared gone")]
    DeclaredGone,
    /// Not what the caller had read before.
    #[error("somebody changed it meanwhile")]
    Changed,
    /// The queue to the journal's writer is full or closed.
    #[error("the journal is overloaded")]
    Overloaded,
    /// Its time was up before it was taken: nothing of it was kept.
    #[error("the journal did not come to it in time")]
    TooLate,
}

impl JournalError {
    /// Running the same transaction again is right and safe.
    pub fn is_retryable(&self) -> bool {
        match self {
            JournalError::Sql(err) => err.is_retryable() || *err == sql::Error::Duplicate,
            JournalError::Lost(_) => true,
            _ => false,
        }
    }

    /// The same will fail however often it is tried: what is stored, or what was asked, is wrong.
    pub fn is_permanent(&self) -> bool {
        matches!(self, JournalError::Corrupt(_) | JournalError::Malformed(_) | JournalError::NoSuchEntry)
    }

    /// COMMIT was sent and its answer is lost.
    pub fn is_commit_unknown(&self) -> bool {
        matches!(self, JournalError::Sql(sql::Error::CommitUnknown(_)))
    }
}

/// What the read model knows of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSheet {
    /// What the rules ask about.
    pub facts: AccountFacts,
    /// Whose account it is.
    pub customer_id: String,
    /// Number of the last posting the balance includes.
    pub last_posting: i64,
    /// The balance row's version, order-preserving bytes.
    pub balance_version: Vec<u8>,
    /// Source time up to which this account's data are complete, microseconds since 1970; `None` = never attested, or in doubt
    /// because an event of the account could not be applied.
    pub as_of_us: Option<i64>,
}

/// What the read model knows of some accounts, read inside the caller's transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactSheet {
    /// By account id; in neither = our data show no such account.
    pub accounts: HashMap<String, AccountSheet>,
    /// Accounts of which nothing can be said: not loaded yet, or a row of theirs has not arrived.
    pub unclear: HashSet<String>,
}

impl FactSheet {
    /// Must stand-in's decision about `command` wait until more is known?
    fn leaves_open(&self, command: &Transfer) -> bool {
        command.legs().iter().any(|(_, account)| self.unclear.contains(*account))
    }

    /// Up to when all accounts of `command` that are known are complete.
    fn as_of_us(&self, command: &Transfer) -> Option<i64> {
        let legs = command.legs();
        let sheets = legs.iter().filter_map(|(_, account)| self.accounts.get(*account));
        sheets.map(|sheet| sheet.as_of_us).min().flatten()
    }
}

/// Where the journal learns about accounts. Reads plainly and never locks a read-model row.
pub trait Facts: Send + Sync + 'static {
    /// Reads these accounts inside `tx`.
    fn read<'t>(&'t self, tx: &'t mut Tx, accounts: &'t [String]) -> BoxFuture<'t, Result<FactSheet, sql::Error>>;

    /// The core's rows of these numbers, as far as they have come; none where nothing keeps them.
    fn postings<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _postings: &'t [String],
    ) -> BoxFuture<'t, Result<Vec<PostingRow>, sql::Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Handle to the journal; cloning is cheap.
#[derive(Clone)]
pub struct Journal {
    db: Db,
    facts: Arc<dyn Facts>,
    core: Arc<str>,
    references: Arc<ReferenceFormat>,
    /// Outcomes being recorded at once, at most. Each waits for its lanes with a connection in hand: without a bound those of one
    /// busy account would take all connections, and nothing could be admitted.
    recording: Arc<Semaphore>,
}

impl Journal {
    /// Opens the journal in `db`, bringing its tables to the newest version. `core` is the configured name of the core.
    pub async fn open(db: Db, facts: Arc<dyn Facts>, core: &str) -> Result<Self, JournalError> {
        db.migrate(schema::COMPONENT, schema::MIGRATIONS).await?;
        let writers = db.writers_max();
        let recording = Arc::new(Semaphore::new(writers.saturating_sub(writers.div_ceil(4)).max(1)));
        Ok(Self { db, facts, core: core.into(), references: Arc::default(), recording })
    }

    /// Writes the references of new entries in this form.
    pub fn with_references(self, format: ReferenceFormat) -> Self {
        Self { references: Arc::new(format), ..self }
    }

    /// The reference that a new entry of this id gets, unless another entry has it already.
    pub fn reference(&self, id: &EntryId) -> String {
        reference(&self.references, id, 0)
    }

    /// As [`Self::run`], for outcomes: a quarter of the connections is left for whatever else there is to be done.
    async fn run_outcome<T: Send + 'static>(
        &self,
        work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, JournalError>> + Clone + Send + Sync + 'static,
    ) -> Result<T, JournalError> {
        let _permit = self.recording.acquire().await.map_err(|_| JournalError::Overloaded)?;
        self.run(work).await
    }

    /// Runs `work` in a transaction, again while the engine says so, at most [`TRIES_MAX`] times.
    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, JournalError>> + Clone + Send + Sync + 'static,
    ) -> Result<T, JournalError> {
        let mut again = Again::at_most(TRIES_MAX);
        loop {
            let attempt = work.clone();
            let outcome = self.db.transaction(move |tx| Box::pin(async move { attempt(tx).await })).await;
            match outcome {
                // Every transaction of the journal finds its own traces when it runs again, so an unknown commit runs again too.
                Err(err) if err.is_retryable() || err.is_commit_unknown() => {
                    tracing::debug!(error = %err, tries = again.tries(), "journal transaction failed");
                    if !again.wait().await {
                        return Err(err);
                    }
                }
                outcome => return outcome,
            }
        }
    }
}

/// How often a transaction is run before its error is reported.
const TRIES_MAX: u32 = 8;
