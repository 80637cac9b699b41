//! Places in the core's own log, the versions of rows that follow from them, and the order that must hold between them.

mod continuity;
mod place;
mod version;

use std::borrow::Cow;
use std::fmt;

pub use continuity::{Beat, Continuity, Discontinuity, LATER_BY_NUMBER_MS, LATER_MS};
pub use place::{OpenDebits, PlaceError, Reach, TransactionPlace};
pub use version::{FILE_MAX, OFFSET_MAX, TOTAL_ORDER_MAX, Version, VersionError};

/// A place in the core's log, as the connector states it. Order comes from [`Version`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePosition<'a> {
    /// MariaDB and MySQL: the binary log.
    Binlog {
        /// Number of the file: 3 for `mariadb-bin.000003`.
        file: u64,
        /// Offset of the event in the file. All events of a compressed transaction have one.
        pos: u64,
        /// Row inside a multi-row event.
        row: u32,
        /// Global transaction id: for display, and for noticing that transactions were lost. Never for order.
        gtid: Option<Cow<'a, str>>,
    },
    /// PostgreSQL: the write-ahead log.
    Wal {
        /// Position of the change itself; of a row of an incremental snapshot that of the last commit before it.
        lsn: u64,
        /// Commit position of the transaction streamed before this one; unknown for the first after a start from nothing.
        commit_lsn: Option<u64>,
    },
}

impl SourcePosition<'_> {
    /// The global transaction id, where the log has one.
    pub fn gtid(&self) -> Option<&str> {
        match self {
            Self::Binlog { gtid, .. } => gtid.as_deref(),
            Self::Wal { .. } => None,
        }
    }
}

impl fmt::Display for SourcePosition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binlog { file, pos, row, .. } => write!(f, "{file:06}:{pos}/{row}"),
            Self::Wal { lsn, commit_lsn: Some(commit) } => write!(f, "{commit:X}:{lsn:X}"),
            Self::Wal { lsn, commit_lsn: None } => write!(f, "-:{lsn:X}"),
        }
    }
}

/// Which log positions count in. A change of it means another history: a new generation is needed.
///
/// It is the name of the log's files and nothing else. `server_id` is no part of it: it names who wrote an event, and
/// several servers write one log (Galera, a replica after a switchover). A log that goes back under the same name, and
/// every change of PostgreSQL's history, is noticed by [`Continuity`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogIdentity<'a> {
    /// Base name of the log's files, `mariadb-bin`; empty for PostgreSQL.
    pub log: Cow<'a, str>,
}

impl LogIdentity<'_> {
    /// The same with a lifetime of its own, to be kept by the ingester.
    pub fn into_owned(self) -> LogIdentity<'static> {
        LogIdentity { log: Cow::Owned(self.log.into_owned()) }
    }
}

#[cfg(test)]
mod tests;
