//! Schema versions per component, safe when several processes start at once.

use crate::dialect::Dialect;
use crate::error::{Error, from_mysql};
use crate::mysql::{MySql, Server};
use crate::sqlite::{self, Sqlite};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// One step of a component's schema. On servers each statement commits by itself, so each must be one DDL statement that
/// may be met half done: existing tables, columns and indexes are passed over. Text may use the placeholders of
/// [`Dialect::render`]; indexes are statements of their own (`CREATE INDEX i ON t (c)`). `MODIFY COLUMN` widens a text; SQLite,
/// where texts have no length, passes over it.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counts up from 1 inside a component.
    pub version: u32,
    /// Run in order.
    pub statements: &'static [&'static str],
}

const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions \
    (component {text:64} NOT NULL, version {int} NOT NULL, PRIMARY KEY (component, version))";
const READ_VERSION: &str = "SELECT COALESCE(MAX(version), 0) AS version FROM schema_versions WHERE component = ?";
const INSERT_VERSION: &str = "INSERT INTO schema_versions (component, version) VALUES (?, ?)";
/// Longest wait for another process that is migrating.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// A statement that builds an index may take long on a large table.
const STATEMENT_MAX: Duration = Duration::from_secs(3_600);
/// Between two tries of a statement that meets tables which its node does not know yet.
const SCHEMA_LOOK_EVERY: Duration = Duration::from_millis(100);
/// A table or a column that another node has made: TiDB's nodes learn of it one after the other.
const NOT_SEEN_YET: [i32; 3] = [1146, 1054, 1072];
/// Table, column or index is there already; index or column to drop is gone: the traces of an interrupted run.
const DONE_ALREADY: [u16; 4] = [1050, 1060, 1061, 1091];

fn check(migrations: &[Migration]) -> Result<(), Error> {
    let counted = (1..).zip(migrations).all(|(n, migration)| migration.version == n);
    if counted { Ok(()) } else { Err(Error::Configuration("migrations must count up from 1".into())) }
}

/// Which of these are still to run where those up to `done` ran. Tables of a newer release are refused before anything changes.
pub(crate) fn outstanding<'m>(
    component: &str,
    migrations: &'m [Migration],
    done: u32,
) -> Result<impl Iterator<Item = &'m Migration> + use<'m>, Error> {
    let known = migrations.last().map_or(0, |last| last.version);
    if done > known {
        return Err(Error::NewerSchema { component: component.to_owned(), found: done, known });
    }
    Ok(migrations.iter().filter(move |migration| migration.version > done))
}

pub(crate) async fn on_sqlite(file: &Sqlite, component: &str, migrations: &[Migration]) -> Result<(), Error> {
    check(migrations)?;
    let render = |sql: &str| Dialect::Sqlite.render(sql).map(|sql| sql.into_owned());
    let mut session = sqlite::Session::begin_within(file, LOCK_WAIT).await?;
    session.exec(render(CREATE_VERSIONS)?, Vec::new()).await?;
    let rows = session.query(READ_VERSION.into(), crate::params![component]).await?;
    let done = rows.first().map_or(Ok(0), |row| row.get::<u32>("version"))?;
    for migration in outstanding(component, migrations, done)? {
        for sql in migration.statements.iter().filter(|sql| !sql.contains(" MODIFY COLUMN ")) {
            session.exec(render(sql)?, Vec::new()).await?;
        }
        session.exec(INSERT_VERSION.into(), crate::params![component, migration.version]).await?;
    }
    session.commit().await
}

/// A connection of its own: the lock belongs to it, and it ends with it.
pub(crate) async fn on_mysql(pool: &MySql, component: &str, migrations: &[Migration]) -> Result<(), Error> {
    check(migrations)?;
    let mut conn = pool.connect().await?;
    lock(&mut conn, pool.database()).await;
    let outcome = apply(pool, &mut conn, component, migrations).await;
    release(&mut conn, pool.database()).await;
    // The lock goes with the session, whether or not the farewell arrives.
    let _ = conn.disconnect().await;
    outcome
}

/// An engine without named locks needs none: statements that are done already are passed over.
async fn lock(conn: &mut Conn, database: &str) {
    let wanted = (lock_name(database), LOCK_WAIT.as_secs());
    let got = conn.exec_first::<Option<i64>, _, _>("SELECT GET_LOCK(?, ?)", wanted).await;
    if !matches!(got, Ok(Some(Some(1)))) {
        tracing::warn!("no named lock for migrations; going on without");
    }
}

/// Released by a statement, because OceanBase keeps the lock of a session that just ended for seconds, and the next starter
/// would wait.
async fn release(conn: &mut Conn, database: &str) {
    let released = conn.exec_drop("SELECT RELEASE_LOCK(?)", (lock_name(database),)).await;
    if let Err(err) = released {
        tracing::debug!(error = %from_mysql(&err, "RELEASE_LOCK"), "named lock not released");
    }
}

fn lock_name(database: &str) -> String {
    format!("locum:{database}").chars().take(64).collect()
}

async fn apply(pool: &MySql, conn: &mut Conn, component: &str, migrations: &[Migration]) -> Result<(), Error> {
    patient(conn).await;
    define(pool, conn, CREATE_VERSIONS).await?;
    let done = version(pool, conn, component).await?;
    for migration in outstanding(component, migrations, done)? {
        for sql in migration.statements {
            define(pool, conn, sql).await?;
        }
        note(pool, conn, component, migration.version).await?;
    }
    pool.record(READ_VERSION);
    pool.record(INSERT_VERSION);
    Ok(())
}

async fn version(pool: &MySql, conn: &mut Conn, component: &str) -> Result<u32, Error> {
    let settling = Settling::of(pool);
    loop {
        let version = conn.exec_first::<u32, _, _>(READ_VERSION, (component,)).await;
        let version = version.map_err(|err| from_mysql(&err, READ_VERSION));
        if !settling.again(&version).await {
            return Ok(version?.unwrap_or(0));
        }
    }
}

async fn note(pool: &MySql, conn: &mut Conn, component: &str, version: u32) -> Result<(), Error> {
    let settling = Settling::of(pool);
    loop {
        let noted = conn.exec_drop(INSERT_VERSION, (component, version)).await;
        match noted.map_err(|err| from_mysql(&err, INSERT_VERSION)) {
            // Another starter was faster, on an engine without named locks.
            Err(Error::Duplicate) => return Ok(()),
            noted if !settling.again(&noted).await => return noted,
            _ => {}
        }
    }
}

/// A step of a migration runs again if it met a conflict, or if this node does not know yet what was made before. It does
/// so for as long as nodes may take to learn of a change.
struct Settling {
    server: Server,
    deadline: Instant,
}

impl Settling {
    fn of(pool: &MySql) -> Settling {
        Settling { server: pool.server(), deadline: Instant::now() + pool.schema_wait() }
    }

    /// True, after a pause, if the step is to run again.
    async fn again<T>(&self, outcome: &Result<T, Error>) -> bool {
        let Err(err) = outcome else { return false };
        if !passes(err, self.server) || Instant::now() >= self.deadline {
            return false;
        }
        tracing::debug!(error = %err, "the schema is not settled yet");
        sleep(SCHEMA_LOOK_EVERY).await;
        true
    }
}

/// Will this error pass by itself?
fn passes(error: &Error, server: Server) -> bool {
    match error {
        Error::Statement { code, .. } => server.has_nodes_with_late_schema() && NOT_SEEN_YET.contains(code),
        other => other.is_retryable(),
    }
}

/// OceanBase measures DDL by the limit of queries; the others do not know the variable.
async fn patient(conn: &mut Conn) {
    let _ = conn.query_drop(format!("SET SESSION ob_query_timeout = {}", STATEMENT_MAX.as_micros())).await;
}

async fn define(pool: &MySql, conn: &mut Conn, sql: &str) -> Result<(), Error> {
    let sql = Dialect::MySql.render(sql)?;
    pool.record(&sql);
    let settling = Settling::of(pool);
    loop {
        let defined = passed_over(conn.query_drop(sql.as_ref()).await, &sql);
        if !settling.again(&defined).await {
            return defined;
        }
    }
}

fn passed_over(outcome: mysql_async::Result<()>, sql: &str) -> Result<(), Error> {
    match outcome {
        Err(mysql_async::Error::Server(server)) if DONE_ALREADY.contains(&server.code) => Ok(()),
        other => other.map_err(|err| from_mysql(&err, sql)),
    }
}
