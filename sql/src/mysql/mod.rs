//! MySQL-protocol engines. Our own pool, because a connection must be closed rather than reused after any doubt, waiting
//! must be bounded, and prepared statements must survive a return to the pool.

mod rows;
mod server;
mod session;

use crate::db::Capacity;
use crate::error::{Error, from_mysql};
use crate::options::Options;
use crate::record::Recorder;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
pub(crate) use server::Server;
use server::{NO_SUCH_VARIABLE, Settings, VERSION};
pub(crate) use session::{Session, exec, query};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A connection idle for longer is asked whether it is alive before it is used.
const IDLE_TRUSTED: Duration = Duration::from_secs(5);
/// Longest wait for the answer to that question.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// The kernel probes a silent connection after this long.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A connection that was not needed for so long is closed: it was one of a burst, and keeps its prepared statements on the server.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A pool of connections to one database, with a bound for writers and one for autocommit reads.
pub(crate) struct MySql {
    opts: Opts,
    server: Server,
    settings: Settings,
    idle: Mutex<Vec<Idle>>,
    writers: Bound,
    readers: Bound,
    acquire_timeout: Duration,
    statement_timeout: Duration,
    schema_wait: Duration,
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

impl MySql {
    /// Connections for transactions and writes, at most.
    pub(crate) fn writers_max(&self) -> usize {
        usize::try_from(self.writers.max).unwrap_or(usize::MAX)
    }

    pub(crate) async fn open(url: &str, options: &Options) -> Result<MySql, Error> {
        // The parser's own words may repeat parts of the URL, which holds a password.
        let parsed = Opts::from_url(url).map_err(|_| Error::Configuration("not a usable mysql url".into()))?;
        let database = parsed.db_name().filter(|name| !name.is_empty()).map(str::to_owned);
        let database = database.ok_or_else(|| Error::Configuration("mysql url names no database".into()))?;
        let base = OptsBuilder::from_opts(parsed)
            .prefer_socket(false)
            .client_found_rows(true)
            .tcp_keepalive(Some(KEEPALIVE))
            .tcp_nodelay(true);
        let server = prepare(base.clone().db_name(None::<String>).into(), &database, options).await?;
        let pool = MySql {
            opts: base.db_name(Some(database)).stmt_cache_size(server.statements_cached()).into(),
            server,
            settings: Settings::of(server, options),
            idle: Mutex::default(),
            writers: Bound::new(options.connections_max),
            readers: Bound::new(options.readers_max),
            acquire_timeout: options.acquire_timeout,
            statement_timeout: options.statement_timeout,
            schema_wait: options.schema_wait,
            recorder: options.record_statements_to.as_deref().map(Recorder::new).transpose()?,
        };
        pool.put(pool.connect().await?);
        Ok(pool)
    }

    /// A new connection outside the pool's bound, with all session settings.
    pub(crate) async fn connect(&self) -> Result<Conn, Error> {
        within(self.acquire_timeout, async {
            let mut conn = Conn::new(self.opts.clone()).await?;
            set(&mut conn, &self.settings).await?;
            Ok(conn)
        })
        .await
    }

    /// Which server answers.
    pub(crate) fn server(&self) -> Server {
        self.server
    }

    /// What the server allows all its clients together. A variable that it does not know bounds nothing; nor does one of 0 or less.
    pub(crate) async fn capacity(&self) -> Result<Capacity, Error> {
        let mut conn = self.connect().await?;
        let bounds = within(self.statement_timeout, async {
            Ok((bound(&mut conn, "max_connections").await?, bound(&mut conn, "max_prepared_stmt_count").await?))
        });
        let (connections_max, prepared_statements_max) = bounds.await?;
        self.put(conn);
        Ok(Capacity { connections_max, prepared_statements_max, statements_cached: self.server.statements_cached() })
    }

    /// How long nodes may take to learn of a changed schema.
    pub(crate) fn schema_wait(&self) -> Duration {
        self.schema_wait
    }

    pub(crate) fn database(&self) -> &str {
        self.opts.db_name().unwrap_or_default()
    }

    pub(crate) fn record(&self, sql: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.record(sql);
        }
    }

    /// Takes a connection back. Those used last are used first, so what is not needed any more is the first of all.
    fn put(&self, conn: Conn) {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = idle.first().is_some_and(|first| now.duration_since(first.since) > IDLE_MAX);
        let surplus = surplus.then(|| idle.remove(0));
        idle.push(Idle { conn, since: now });
        drop(idle);
        if let Some(Idle { conn, .. }) = surplus {
            tokio::spawn(timeout(PING_TIMEOUT, conn.disconnect()));
        }
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
            // Nothing depends on this message: the server drops the session either way.
            let _ = timeout(PING_TIMEOUT, idle.conn.disconnect()).await;
        }
    }
}

/// A connection that is made and set up in time, or the reason as [`Error::Unavailable`].
async fn within<T>(limit: Duration, connecting: impl Future<Output = mysql_async::Result<T>>) -> Result<T, Error> {
    match timeout(limit, connecting).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(err)) => Err(match from_mysql(&err, "connect") {
            Error::Unavailable(reason) => Error::Unavailable(format!("cannot connect: {reason}")),
            other => other,
        }),
        Err(_) => Err(Error::Unavailable(format!("cannot connect within {} ms", limit.as_millis()))),
    }
}

/// Sets what the session must have, then what this version of the server knows: all at once, or each for itself.
async fn set(conn: &mut Conn, settings: &Settings) -> mysql_async::Result<()> {
    for statement in &settings.required {
        conn.query_drop(statement).await?;
    }
    if settings.where_known.is_empty() || set_known(conn, &settings.where_known.join(", ")).await? {
        return Ok(());
    }
    for setting in &settings.where_known {
        if !set_known(conn, setting).await? {
            tracing::debug!(setting, "this version of the server has no such setting");
        }
    }
    Ok(())
}

/// False where the server does not know a variable.
async fn set_known(conn: &mut Conn, settings: &str) -> mysql_async::Result<bool> {
    match conn.query_drop(format!("SET {settings}")).await {
        Ok(()) => Ok(true),
        Err(mysql_async::Error::Server(err)) if NO_SUCH_VARIABLE.contains(&err.code) => Ok(false),
        Err(err) => Err(err),
    }
}

/// A variable that bounds something.
async fn bound(conn: &mut Conn, variable: &str) -> mysql_async::Result<Option<u64>> {
    match conn.query_first::<i128, _>(format!("SELECT CAST(@@global.{variable} AS CHAR)")).await {
        Ok(value) => Ok(value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)),
        Err(mysql_async::Error::Server(err)) if NO_SUCH_VARIABLE.contains(&err.code) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Creates the database if missing and finds out which server answers.
async fn prepare(opts: Opts, database: &str, options: &Options) -> Result<Server, Error> {
    let mut conn = within(options.acquire_timeout, Conn::new(opts)).await?;
    let create = format!("CREATE DATABASE IF NOT EXISTS `{}`", database.replace('`', "``"));
    within(options.statement_timeout, async {
        // An account that may not create databases is fine where the database exists; connecting to it decides.
        if let Err(err) = conn.query_drop(&create).await {
            tracing::debug!(error = %from_mysql(&err, &create), "database not created");
        }
        let version = conn.query_first::<String, _>(VERSION).await?;
        Ok(Server::of(&version.unwrap_or_default()))
    })
    .await
}
