//! MySQL-protocol engines. Our own pool, because a connection must be closed rather than reused after any doubt, waiting
//! must be bounded, and prepared statements must survive a return to the pool.

use crate::db::Options;
use crate::error::{Error, commit_refused, from_mysql, from_mysql_commit};
use crate::record::Recorder;
use crate::value::{Row, Value};
use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Params};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A connection idle for longer is asked whether it is alive before it is used.
const IDLE_TRUSTED: Duration = Duration::from_secs(5);
/// Longest wait for the answer to that question.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// The kernel probes a silent connection after this long.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Prepared statements kept per connection; batches of different sizes are different statements. OceanBase allows a session 50
/// (`open_cursors`) and refuses the next one with code 5930.
const STATEMENTS_CACHED: usize = 40;
/// How often a read is run again that the engine gave up.
const READ_AGAIN_MAX: u32 = 2;
/// The character set number of raw bytes.
const BINARY: u16 = 63;

/// A pool of connections to one database, with a bound for writers and one for autocommit reads.
pub(crate) struct MySql {
    opts: Opts,
    idle: Mutex<Vec<Idle>>,
    writers: Bound,
    readers: Bound,
    acquire_timeout: Duration,
    statement_timeout: Duration,
    recorder: Option<Recorder>,
}

/// How many connections one kind of use may hold.
struct Bound {
    permits: Arc<Semaphore>,
    max: u32,
}

impl Bound {
    fn new(max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(max)), max: u32::try_from(max).unwrap_or(u32::MAX) }
    }
}

struct Idle {
    conn: Conn,
    since: Instant,
}

/// Which server answers; they differ in the names of their time limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    OceanBase,
    TiDb,
    MariaDb,
    /// MySQL and whatever claims to be one.
    Classic,
}

impl MySql {
    pub(crate) async fn open(url: &str, options: &Options) -> Result<MySql, Error> {
        // The parser's own words may repeat parts of the URL, which holds a password.
        let parsed = Opts::from_url(url).map_err(|_| Error::Configuration("not a usable mysql url".into()))?;
        let database = parsed.db_name().filter(|name| !name.is_empty()).map(str::to_owned);
        let database = database.ok_or_else(|| Error::Configuration("mysql url names no database".into()))?;
        let base = OptsBuilder::from_opts(parsed)
            .prefer_socket(false)
            .client_found_rows(true)
            .tcp_keepalive(Some(KEEPALIVE))
            .tcp_nodelay(true)
            .stmt_cache_size(STATEMENTS_CACHED);
        let server = prepare(base.clone().db_name(None::<String>).into(), &database, options.acquire_timeout).await?;
        let opts = base.db_name(Some(database)).setup(session_settings(server, options)).into();
        let pool = MySql {
            opts,
            idle: Mutex::default(),
            writers: Bound::new(options.connections_max),
            readers: Bound::new(options.readers_max),
            acquire_timeout: options.acquire_timeout,
            statement_timeout: options.statement_timeout,
            recorder: options.record_statements_to.as_deref().map(Recorder::new).transpose()?,
        };
        pool.put(pool.connect().await?);
        Ok(pool)
    }

    /// A new connection outside the pool's bound, with all session settings.
    pub(crate) async fn connect(&self) -> Result<Conn, Error> {
        connect(self.opts.clone(), self.acquire_timeout).await
    }

    pub(crate) fn database(&self) -> &str {
        self.opts.db_name().unwrap_or_default()
    }

    pub(crate) fn record(&self, sql: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.record(sql);
        }
    }

    fn put(&self, conn: Conn) {
        let idle = Idle { conn, since: Instant::now() };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
    }

    fn pop(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn acquire(self: &Arc<Self>, bound: &Bound) -> Result<Session, Error> {
        let wait = timeout(self.acquire_timeout, bound.permits.clone().acquire_owned());
        let permit = match wait.await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Error::Unavailable("closed".into())),
            Err(_) => {
                let waited = self.acquire_timeout.as_millis();
                return Err(Error::Unavailable(format!("pool exhausted, no connection free within {waited} ms")));
            }
        };
        while let Some(mut idle) = self.pop() {
            let trusted = idle.since.elapsed() < IDLE_TRUSTED;
            if trusted || matches!(timeout(PING_TIMEOUT, idle.conn.ping()).await, Ok(Ok(()))) {
                return Ok(Session::new(self, idle.conn, true, permit));
            }
        }
        let conn = self.connect().await?;
        Ok(Session::new(self, conn, false, permit))
    }

    pub(crate) async fn close(&self) {
        for bound in [&self.writers, &self.readers] {
            let all = timeout(self.acquire_timeout, bound.permits.acquire_many(bound.max)).await;
            bound.permits.close();
            drop(all);
        }
        while let Some(idle) = self.pop() {
            // Nothing depends on the farewell: the server drops the session either way.
            let _ = timeout(PING_TIMEOUT, idle.conn.disconnect()).await;
        }
    }
}

async fn connect(opts: Opts, within: Duration) -> Result<Conn, Error> {
    match timeout(within, Conn::new(opts)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(err)) => Err(match from_mysql(&err, "connect") {
            Error::Unavailable(reason) => Error::Unavailable(format!("cannot connect: {reason}")),
            other => other,
        }),
        Err(_) => Err(Error::Unavailable(format!("cannot connect within {} ms", within.as_millis()))),
    }
}

/// Creates the database if missing and finds out which server answers.
async fn prepare(opts: Opts, database: &str, within: Duration) -> Result<Server, Error> {
    let mut conn = connect(opts, within).await?;
    let create = format!("CREATE DATABASE IF NOT EXISTS `{}`", database.replace('`', "``"));
    let asked = async {
        // An account that may not create databases is fine where the database exists; connecting to it decides.
        if let Err(err) = conn.query_drop(&create).await {
            tracing::debug!(error = %from_mysql(&err, &create), "database not created");
        }
        let sql = "SELECT CONCAT(VERSION(), ' ', @@version_comment)";
        conn.query_first::<String, _>(sql).await.map_err(|err| from_mysql(&err, sql))
    };
    let version = asked.await?.unwrap_or_default();
    Ok(match version {
        v if v.contains("OceanBase") || v.contains("seekdb") => Server::OceanBase,
        v if v.contains("TiDB") => Server::TiDb,
        v if v.contains("MariaDB") => Server::MariaDb,
        _ => Server::Classic,
    })
}

/// What every connection sets before its first use. Strict mode: a value that does not fit is an error, never cut off.
fn session_settings(server: Server, options: &Options) -> Vec<String> {
    let lock_wait_s = options.lock_wait.as_millis().div_ceil(1_000).max(1);
    let idle_s = options.idle_transaction_max.as_secs().max(1);
    let limits = match server {
        Server::OceanBase => format!(
            // Its `ob_trx_idle_timeout` did not end an idle transaction within a minute.
            "ob_trx_lock_timeout = {}, ob_query_timeout = {}, ob_trx_timeout = {}",
            options.lock_wait.as_micros(),
            options.statement_timeout.as_micros(),
            idle_s * 3_000_000
        ),
        Server::TiDb => format!(
            "innodb_lock_wait_timeout = {lock_wait_s}, tidb_txn_mode = 'pessimistic', \
             tidb_idle_transaction_timeout = {idle_s}"
        ),
        Server::MariaDb => {
            format!("innodb_lock_wait_timeout = {lock_wait_s}, idle_transaction_timeout = {idle_s}")
        }
        Server::Classic => format!("innodb_lock_wait_timeout = {lock_wait_s}"),
    };
    vec![
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".into(),
        "SET NAMES utf8mb4 COLLATE utf8mb4_bin".into(),
        format!(
            "SET autocommit = 1, time_zone = '+00:00', \
             sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', {limits}"
        ),
    ]
}

/// One autocommit read. A pooled connection that turns out dead is replaced, and what the engine asks to be run again is: a read
/// leaves nothing.
pub(crate) async fn query(pool: &Arc<MySql>, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
    let mut tries = 0;
    loop {
        let mut session = pool.acquire(&pool.readers).await?;
        match session.query(sql, params.clone()).await {
            Err(Error::Unavailable(_)) if session.stale() => continue,
            Err(Error::Retryable { .. }) if tries < READ_AGAIN_MAX => tries += 1,
            outcome => {
                session.release();
                return outcome;
            }
        }
    }
}

/// One autocommit write, which is never run again: a lost answer is [`Error::CommitUnknown`].
pub(crate) async fn exec(pool: &Arc<MySql>, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
    let mut session = pool.acquire(&pool.writers).await?;
    let outcome = session.exec(sql, params).await;
    session.release();
    match outcome {
        Err(Error::Unavailable(reason)) => Err(Error::CommitUnknown(reason)),
        Err(Error::Retryable { code }) if !commit_refused(code) => {
            Err(Error::CommitUnknown(format!("engine code {code}")))
        }
        outcome => outcome,
    }
}

/// One borrowed connection. It leaves `conn` while a statement runs, so that a failed or dropped statement takes the
/// connection with it; only [`Session::release`] gives it back.
pub(crate) struct Session {
    pool: Arc<MySql>,
    conn: Option<Conn>,
    reused: bool,
    failed: Option<Error>,
    _permit: OwnedSemaphorePermit,
}

impl Session {
    fn new(pool: &Arc<MySql>, conn: Conn, reused: bool, permit: OwnedSemaphorePermit) -> Self {
        Session { pool: pool.clone(), conn: Some(conn), reused, failed: None, _permit: permit }
    }

    /// Opens a transaction. A pooled connection that turns out dead is replaced: nothing was sent on it yet.
    pub(crate) async fn begin(pool: &Arc<MySql>) -> Result<Session, Error> {
        loop {
            let mut session = pool.acquire(&pool.writers).await?;
            match session.plain("START TRANSACTION").await {
                Ok(()) => return Ok(session),
                Err(Error::Unavailable(_)) if session.stale() => continue,
                Err(err) => return Err(err),
            }
        }
    }

    pub(crate) async fn exec(&mut self, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
        let mut conn = self.take()?;
        self.pool.record(sql);
        let sent = timeout(self.pool.statement_timeout, conn.exec_drop(sql, bound(params))).await;
        let sent = self.settle(sent, sql).map(|()| conn.affected_rows());
        self.keep(conn, sent)
    }

    pub(crate) async fn query(&mut self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        let mut conn = self.take()?;
        self.pool.record(sql);
        let sent = timeout(self.pool.statement_timeout, conn.exec::<mysql_async::Row, _, _>(sql, bound(params))).await;
        let sent = self.settle(sent, sql).map(rows_from);
        self.keep(conn, sent)
    }

    /// A statement without parameters that is not worth preparing.
    async fn plain(&mut self, sql: &str) -> Result<(), Error> {
        let mut conn = self.take()?;
        let sent = timeout(self.pool.statement_timeout, conn.query_drop(sql)).await;
        let sent = self.settle(sent, sql);
        self.keep(conn, sent)
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let mut conn = self.take()?;
        match timeout(self.pool.statement_timeout, conn.query_drop("COMMIT")).await {
            Ok(Ok(())) => {
                self.pool.put(conn);
                Ok(())
            }
            Ok(Err(err)) => Err(from_mysql_commit(&err)),
            Err(_) => Err(Error::CommitUnknown("no answer in time".into())),
        }
    }

    /// Rolls back; the connection is pooled only if that and everything before it went well.
    pub(crate) async fn rollback(mut self) {
        if self.conn.is_some() && self.plain("ROLLBACK").await.is_ok() {
            self.release();
        }
    }

    fn release(mut self) {
        if let Some(conn) = self.conn.take() {
            self.pool.put(conn);
        }
    }

    /// True if the connection was pooled and is now gone.
    fn stale(&self) -> bool {
        self.reused && self.conn.is_none() && self.failed != Some(timed_out())
    }

    fn take(&mut self) -> Result<Conn, Error> {
        let dropped = || Error::Unavailable("an earlier statement was dropped by its caller".into());
        self.conn.take().ok_or_else(|| self.failed.clone().unwrap_or_else(dropped))
    }

    fn settle<T>(
        &mut self,
        sent: Result<mysql_async::Result<T>, tokio::time::error::Elapsed>,
        sql: &str,
    ) -> Result<T, Error> {
        match sent {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(err)) => Err(from_mysql(&err, sql)),
            Err(_) => Err(timed_out()),
        }
    }

    /// Only success and a duplicate key leave the connection as it should be.
    fn keep<T>(&mut self, conn: Conn, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Ok(_) | Err(Error::Duplicate) => self.conn = Some(conn),
            Err(err) => self.failed = Some(err.clone()),
        }
        outcome
    }
}

fn timed_out() -> Error {
    Error::Unavailable("no answer in time".into())
}

fn bound(params: Vec<Value>) -> Params {
    if params.is_empty() {
        return Params::Empty;
    }
    let bind = |value| match value {
        Value::Null => mysql_async::Value::NULL,
        Value::Int(v) => mysql_async::Value::Int(v),
        Value::Text(v) => mysql_async::Value::Bytes(v.into_bytes()),
        Value::Bytes(v) => mysql_async::Value::Bytes(v),
    };
    Params::Positional(params.into_iter().map(bind).collect())
}

fn rows_from(rows: Vec<mysql_async::Row>) -> Vec<Row> {
    let Some(first) = rows.first() else {
        return Vec::new();
    };
    let columns = first.columns();
    let names: Arc<[String]> = columns.iter().map(|c| c.name_str().into_owned()).collect();
    let kinds: Vec<_> = columns.iter().map(|c| Kind::of(c.column_type(), c.character_set())).collect();
    let row = |row: mysql_async::Row| {
        let values = row.unwrap().into_iter().zip(&kinds).map(|(value, kind)| kind.read(value)).collect();
        Row::new(names.clone(), values)
    };
    rows.into_iter().map(row).collect()
}

/// What the bytes of a column mean.
#[derive(Clone, Copy)]
enum Kind {
    /// SUM over integers is DECIMAL on these engines.
    Number,
    Text,
    Bytes,
}

impl Kind {
    fn of(column: ColumnType, charset: u16) -> Kind {
        match column {
            ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL => Kind::Number,
            _ if charset == BINARY => Kind::Bytes,
            _ => Kind::Text,
        }
    }

    fn read(self, value: mysql_async::Value) -> Value {
        match (self, value) {
            (_, mysql_async::Value::NULL) => Value::Null,
            (_, mysql_async::Value::Int(v)) => Value::Int(v),
            (_, mysql_async::Value::UInt(v)) => {
                i64::try_from(v).map_or_else(|_| Value::Text(v.to_string()), Value::Int)
            }
            (Kind::Bytes, mysql_async::Value::Bytes(v)) => Value::Bytes(v),
            (Kind::Text, mysql_async::Value::Bytes(v)) => text(v),
            (Kind::Number, mysql_async::Value::Bytes(v)) => {
                match std::str::from_utf8(&v).ok().and_then(|s| s.parse().ok()) {
                    Some(integer) => Value::Int(integer),
                    None => text(v),
                }
            }
            // Floats and dates have no place in the shared dialect; as text they fail where they are read.
            (_, other) => Value::Text(other.as_sql(true)),
        }
    }
}

fn text(bytes: Vec<u8>) -> Value {
    String::from_utf8(bytes).map_or_else(|err| Value::Bytes(err.into_bytes()), Value::Text)
}
