//! One error type for all engines. Its kind is decided by code; the one exception is TiDB's generic code, which says nothing
//! without its text. Messages carry statement texts but no parameter values: those are personal data.

/// What went wrong, in the terms a caller acts on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A unique index refused a row. Only that statement was undone; its transaction may go on.
    #[error("duplicate key")]
    Duplicate,
    /// Deadlock, lock wait or write conflict: nothing was kept, run the whole transaction again (bounded).
    #[error("{} (engine code {code}): run the transaction again", conflict(*code))]
    Retryable {
        /// The engine's own error code.
        code: i32,
    },
    /// No connection, pool exhausted, or connection lost before COMMIT was sent: nothing was kept.
    /// An autocommit write never ends here once its bytes were sent; that is [`Error::CommitUnknown`].
    #[error("sql store unavailable: {0}")]
    Unavailable(String),
    /// COMMIT (or an autocommit write) was sent and its answer is lost: kept or not, read back by key.
    #[error("outcome of commit unknown: {0}")]
    CommitUnknown(String),
    /// The engine refused the statement itself: a fault of ours or of the schema.
    #[error("statement refused (engine code {code}, {reason}): {statement}")]
    Statement {
        /// The engine's own error code, 0 when the driver refused it.
        code: i32,
        /// The engine's words where they cannot contain values, otherwise the SQL state.
        reason: String,
        /// The statement's text, shortened; parameters are never part of it.
        statement: String,
    },
    /// A result's column is missing or does not hold what the caller asked for.
    #[error("column {column}: expected {expected}, found {found}")]
    Column {
        /// Name, or index when asked by index.
        column: String,
        /// The Rust type asked for.
        expected: &'static str,
        /// The kind of value found.
        found: &'static str,
    },
    /// A newer release has migrated these tables: this one does not know what it would misread.
    #[error(
        "the tables of {component} are at version {found}, and this locum knows versions up to {known}: start a locum of at least the \
         release that made them, or restore a backup from before that release was started"
    )]
    NewerSchema {
        /// Whose tables.
        component: String,
        /// The version in the database.
        found: u32,
        /// The last version known here.
        known: u32,
    },
    /// A URL or a migration this crate cannot work with.
    #[error("sql configuration: {0}")]
    Configuration(String),
}

impl Error {
    /// True when running the same transaction again is right and safe: it provably left nothing.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Retryable { .. })
    }

    /// True when it was a row lock that somebody else did not give up in time.
    pub fn is_lock_timeout(&self) -> bool {
        matches!(self, Error::Retryable { code } if LOCK_TIMEOUT.contains(code))
    }
}

/// Lock wait timeout; OceanBase: exclusive and shared lock conflict.
pub(crate) const LOCK_TIMEOUT: [i32; 3] = [1205, 6003, 6004];

/// Longest part of a statement that an error repeats, in characters.
const STATEMENT_CHARS_MAX: usize = 300;

/// In words, for people.
fn conflict(code: i32) -> &'static str {
    if LOCK_TIMEOUT.contains(&code) {
        "a row lock was not given up in time"
    } else {
        "conflict with another transaction"
    }
}

/// Before COMMIT these left nothing.
/// All: deadlock, lock wait, changed record, statement took too long (MySQL, MariaDB).
/// TiDB: write conflicts, retryable, schema changed or not known yet by this node, locks not resolved in time, transaction
/// older than what is kept, locks that may have expired.
/// OceanBase: rolled back, lock conflicts, statement took too long, row changed.
#[rustfmt::skip]
const MYSQL_RETRYABLE: [u16; 24] = [
    1213, 1205, 1020, 3024, 1969,
    9007, 8005, 8022, 8002, 8027, 8028, 8113, 9004, 9006, 8229,
    6002, 6003, 6004, 6005, 4012, 6001, 6212, 6215,
    TIDB_GENERIC,
];
/// TiDB's code for every error without a code of its own. Such an error is retryable if it says [`TIDB_LOCK_GIVEN_UP`].
const TIDB_GENERIC: u16 = 1105;
/// TiDB locked a row again and again, and each time somebody else had changed it meanwhile. It gave up before COMMIT.
const TIDB_LOCK_GIVEN_UP: &str = "pessimistic lock retry limit reached";
/// The codes that say for certain that a COMMIT did not happen. OceanBase's 4012 (too long) does not, for example.
const MYSQL_COMMIT_REFUSED: [u16; 10] = [1213, 1205, 1020, 9007, 8028, 8022, 8002, 6002, 1062, TIDB_GENERIC];
/// The server is there but cannot serve us: too many connections or prepared statements, shutting down, killed, read-only, no
/// leader, no access.
const MYSQL_UNAVAILABLE: [u16; 26] = [
    1040, 1041, 1044, 1045, 1053, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1290, 1317, 1461, 1836,
    1927, 4031, 4038, 9001, 9002, 9003, 9005,
];
/// Messages of these codes name tables and columns, never values.
const MYSQL_PLAIN_TEXT: [u16; 16] =
    [1046, 1048, 1049, 1050, 1052, 1054, 1060, 1061, 1064, 1071, 1110, 1136, 1146, 1264, 1364, 1406];

fn shortened(sql: &str) -> String {
    sql.chars().take(STATEMENT_CHARS_MAX).collect()
}

/// Maps a driver's error for a statement that ran before COMMIT.
pub(crate) fn from_mysql(error: &mysql_async::Error, sql: &str) -> Error {
    use mysql_async::{DriverError, Error as My};
    match error {
        My::Server(server) if server.code == 1062 => Error::Duplicate,
        My::Server(server) if is_retryable(server) => Error::Retryable { code: i32::from(server.code) },
        My::Server(server) if MYSQL_UNAVAILABLE.contains(&server.code) => {
            Error::Unavailable(format!("engine code {}", server.code))
        }
        My::Server(server) => {
            let plain = MYSQL_PLAIN_TEXT.contains(&server.code);
            let reason = if plain { server.message.clone() } else { format!("sql state {}", server.state) };
            Error::Statement { code: i32::from(server.code), reason, statement: shortened(sql) }
        }
        My::Driver(
            DriverError::StmtParamsMismatch { .. }
            | DriverError::StmtParamsNumberExceedsLimit { .. }
            | DriverError::MixedParams
            | DriverError::PacketTooLarge,
        ) => Error::Statement { code: 0, reason: error.to_string(), statement: shortened(sql) },
        My::Io(mysql_async::IoError::Io(io)) => Error::Unavailable(format!("connection lost: {}", io.kind())),
        // Driver texts other than those above may quote packets, so only their class is told.
        _ => Error::Unavailable("connection lost: driver error".into()),
    }
}

fn is_retryable(error: &mysql_async::ServerError) -> bool {
    let told = error.code != TIDB_GENERIC || error.message.contains(TIDB_LOCK_GIVEN_UP);
    told && MYSQL_RETRYABLE.contains(&error.code)
}

/// Maps the failure of a COMMIT: only errors that prove the refusal are believed.
pub(crate) fn from_mysql_commit(error: &mysql_async::Error) -> Error {
    match (error, from_mysql(error, "COMMIT")) {
        (mysql_async::Error::Server(server), refused @ (Error::Retryable { .. } | Error::Duplicate))
            if MYSQL_COMMIT_REFUSED.contains(&server.code) =>
        {
            refused
        }
        (mysql_async::Error::Server(server), _) => Error::CommitUnknown(format!("engine code {}", server.code)),
        _ => Error::CommitUnknown("connection lost".into()),
    }
}

/// True for codes after which a COMMIT certainly did not happen.
pub(crate) fn commit_refused(code: i32) -> bool {
    MYSQL_COMMIT_REFUSED.iter().any(|c| i32::from(*c) == code)
}

/// Maps SQLite's error by its extended code.
pub(crate) fn from_sqlite(error: &rusqlite::Error, sql: &str) -> Error {
    use rusqlite::ErrorCode as Code;
    use rusqlite::ffi;
    let refused = |code: i32, reason: String| Error::Statement { code, reason, statement: shortened(sql) };
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(code, message) => (code, message.as_deref()),
        rusqlite::Error::SqlInputError { error: code, msg, .. } => (code, Some(msg.as_str())),
        other => return refused(0, other.to_string()),
    };
    match (code.code, code.extended_code) {
        (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID) => {
            Error::Duplicate
        }
        (Code::DatabaseBusy | Code::DatabaseLocked, extended) => Error::Retryable { code: extended },
        (
            Code::CannotOpen
            | Code::SystemIoFailure
            | Code::DiskFull
            | Code::OutOfMemory
            | Code::ReadOnly
            | Code::PermissionDenied
            | Code::DatabaseCorrupt
            | Code::NotADatabase,
            extended,
        ) => Error::Unavailable(format!("sqlite code {extended}")),
        // SQLite's own words name tables and columns, never bound values.
        (_, extended) => refused(extended, message.unwrap_or("no message").to_owned()),
    }
}
