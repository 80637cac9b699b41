//! How a database is used.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::ClockShift;
use crate::host::Host;
use crate::tally::Tally;

/// Bounds of a [`Db`](crate::Db); every default is meant for production.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most connections to the server for transactions and writes at once. 32; SQLite always has one.
    pub connections_max: usize,
    /// Most connections for autocommit reads, beside the others, so that reads never wait behind writes. 16; SQLite always
    /// has two.
    pub readers_max: usize,
    /// Longest wait for a connection, connecting included, before [`Error::Unavailable`](crate::Error::Unavailable). 2 s.
    pub acquire_timeout: Duration,
    /// Longest wait for a row lock before [`Error::Retryable`](crate::Error::Retryable). 1 s; MySQL and TiDB round up to whole seconds.
    pub lock_wait: Duration,
    /// The server rolls back a transaction that says nothing for longer, with its locks: a stopped process must not keep
    /// others from their rows. 5 s; whole seconds. OceanBase bounds the whole transaction instead, by three times as much.
    /// MySQL has no such limit, so only the end of the process frees them there.
    pub idle_transaction_max: Duration,
    /// Longest wait for any answer of the server; then the connection is given up. 10 s.
    pub statement_timeout: Duration,
    /// Longest wait, while tables are brought to their newest version, for all nodes of a cluster to know them. 20 s.
    pub schema_wait: Duration,
    /// Folder that receives each distinct statement sent to a MySQL-protocol engine as `HASH.sql`, for TiDB's parser.
    pub record_statements_to: Option<PathBuf>,
    /// For tests: counts what is sent. Nothing.
    pub tally: Option<Tally>,
    /// For tests: how far off the server's clock is read. Nothing.
    pub clock_shift: ClockShift,
    /// Whose wall clock and chance count. This machine's; a simulation gives others.
    pub host: Host,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connections_max: 32,
            readers_max: 16,
            acquire_timeout: Duration::from_secs(2),
            lock_wait: Duration::from_secs(1),
            idle_transaction_max: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            schema_wait: Duration::from_secs(20),
            record_statements_to: None,
            tally: None,
            clock_shift: ClockShift::default(),
            host: Host::default(),
        }
    }
}
