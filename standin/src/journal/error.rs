//! Why the journal did not do what it was asked.

use crate::journal::objection::Objection;

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
    /// A bug: the work on it panicked, and whether anything was kept is not known.
    #[error("the work on it panicked; the log of that time tells where")]
    Panicked,
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

    /// Trying again cannot help: what is stored, or what was asked, is wrong.
    pub fn is_permanent(&self) -> bool {
        use JournalError::{Corrupt, Malformed, NoSuchEntry, Panicked};
        matches!(self, Corrupt(_) | Malformed(_) | NoSuchEntry | Panicked)
    }

    /// The store refuses what it is asked: a fault of ours or of the schema. That seldom passes; it does where a server takes writes
    /// again.
    pub fn is_refused(&self) -> bool {
        use sql::Error::{Column, Configuration, NewerSchema, Statement};
        matches!(self, JournalError::Sql(Statement { .. } | Column { .. } | Configuration(_) | NewerSchema { .. }))
    }

    /// COMMIT was sent and its answer is lost.
    pub fn is_commit_unknown(&self) -> bool {
        matches!(self, JournalError::Sql(sql::Error::CommitUnknown(_)))
    }
}
