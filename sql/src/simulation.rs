//! A SQL server inside a simulation. Statements run at once, on the thread of the caller. A script is asked before each of them
//! what shall happen, so that the same script gives the same history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::db::BoxFuture;
use crate::dialect::Dialect;
use crate::error::{Error, from_sqlite};
use crate::migrate::{self, Migration};
use crate::sqlite::{batch, commit, exec, query};
use crate::value::{Row, Value};

/// The engine's code of a row lock that was not given up in time.
const LOCK_WAIT: i32 = 1205;

/// What is about to happen on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'s> {
    /// A transaction begins.
    Begin,
    /// A statement of a transaction.
    Statement(&'s str),
    /// A transaction commits.
    Commit,
    /// An autocommit read.
    Read(&'s str),
    /// An autocommit write.
    Write(&'s str),
}

/// What shall happen.
pub enum Fate {
    /// What was asked for.
    Go,
    /// What was asked for, at once; the caller hears of it after this time. Of a commit.
    HeardLater(Duration),
    /// The connection is torn now, and its transaction is rolled back. The caller learns of it when the future resolves.
    Torn(BoxFuture<'static, Error>),
    /// Of a commit or an autocommit write: the answer is lost.
    Unanswered {
        /// It takes effect after this time; `None`: never.
        applied: Option<Duration>,
        /// The caller gives the connection up after this time.
        noticed: Duration,
    },
}

/// Decides about every step of one simulated process.
pub trait Script: Send + Sync + 'static {
    /// Is asked before each step, and may take its time.
    fn fate<'t>(&'t self, step: Step<'t>) -> BoxFuture<'t, Fate>;

    /// The server's clock, milliseconds since 1970.
    fn server_now_ms(&self) -> i64;
}

/// A simulated server with one database. One transaction runs at a time; reads see what was committed.
pub struct Server {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    turn: Arc<Semaphore>,
    /// The version of each component's tables.
    migrated: Mutex<BTreeMap<String, u32>>,
    /// Removed with the server.
    folder: PathBuf,
}

impl Server {
    /// A server with an empty database. No other server of this process may have the `name`.
    pub fn start(name: &str) -> Result<Arc<Self>, Error> {
        let folder = folder().join(format!("locum-simulation-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|err| Error::Unavailable(format!("no folder: {}", err.kind())))?;
        let connect = || {
            let opened = Connection::open(folder.join("db")).and_then(|connection| {
                // Nothing of it outlives the process, so nothing is waited for.
                connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")?;
                connection.set_prepared_statement_cache_capacity(256);
                Ok(connection)
            });
            opened.map(Mutex::new).map_err(|err| from_sqlite(&err, "open"))
        };
        let (writer, reader) = (connect()?, connect()?);
        let (turn, migrated) = (Arc::new(Semaphore::new(1)), Mutex::default());
        Ok(Arc::new(Self { writer, reader, turn, migrated, folder }))
    }

    fn migrate(&self, component: &str, migrations: &[Migration]) -> Result<(), Error> {
        let mut migrated = self.migrated.lock().unwrap_or_else(PoisonError::into_inner);
        let done = migrated.get(component).copied().unwrap_or(0);
        for migration in migrate::outstanding(component, migrations, done)? {
            for sql in migration.statements.iter().filter(|sql| !sql.contains(" MODIFY COLUMN ")) {
                batch(&mut locked(&self.writer), &Dialect::Sqlite.render(sql)?)?;
            }
            migrated.insert(component.to_owned(), migration.version);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What is left of it is in a folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// In memory where there is such a folder.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// One process's way to the server.
pub(crate) struct Handle {
    pub(crate) server: Arc<Server>,
    pub(crate) script: Arc<dyn Script>,
    pub(crate) lock_wait: Duration,
}

impl Handle {
    pub(crate) fn now_ms(&self) -> String {
        self.script.server_now_ms().to_string()
    }

    pub(crate) fn migrate(&self, component: &str, migrations: &[Migration]) -> Result<(), Error> {
        self.server.migrate(component, migrations)
    }

    pub(crate) async fn query(&self, sql: String, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        match self.script.fate(Step::Read(&sql)).await {
            Fate::Torn(error) => Err(error.await),
            Fate::Go | Fate::HeardLater(_) | Fate::Unanswered { .. } => {
                query(&mut locked(&self.server.reader), &sql, params)
            }
        }
    }

    pub(crate) async fn exec(self: &Arc<Self>, sql: String, params: Vec<Value>) -> Result<u64, Error> {
        let turn = self.turn().await?;
        match self.script.fate(Step::Write(&sql)).await {
            Fate::Go | Fate::HeardLater(_) => exec(&mut locked(&self.server.writer), &sql, params),
            Fate::Torn(error) => {
                drop(turn);
                Err(error.await)
            }
            Fate::Unanswered { applied, noticed } => {
                let handle = self.clone();
                later(applied, turn, move || {
                    let _ = exec(&mut locked(&handle.server.writer), &sql, params);
                });
                Err(unanswered(noticed).await)
            }
        }
    }

    /// A row lock of somebody else stands in the way for as long as their transaction is open.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(self.lock_wait, self.server.turn.clone().acquire_owned()).await {
            Ok(turn) => turn.map_err(|_| Error::Unavailable("closed".into())),
            Err(_) => Err(Error::Retryable { code: LOCK_WAIT }),
        }
    }
}

/// An open transaction.
pub(crate) struct Session {
    handle: Arc<Handle>,
    failed: Option<Error>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Session {
    pub(crate) async fn begin(handle: &Arc<Handle>) -> Result<Self, Error> {
        let turn = handle.turn().await?;
        if let Fate::Torn(error) = handle.script.fate(Step::Begin).await {
            drop(turn);
            return Err(error.await);
        }
        batch(&mut locked(&handle.server.writer), "BEGIN IMMEDIATE")?;
        Ok(Self { handle: handle.clone(), failed: None, turn: Some(turn) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) async fn exec(&mut self, sql: String, params: Vec<Value>) -> Result<u64, Error> {
        self.run(&sql, |connection| exec(connection, &sql, params)).await
    }

    pub(crate) async fn query(&mut self, sql: String, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        self.run(&sql, |connection| query(connection, &sql, params)).await
    }

    async fn run<T>(&mut self, sql: &str, work: impl FnOnce(&mut Connection) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let handle = self.handle.clone();
        if let Fate::Torn(error) = handle.script.fate(Step::Statement(sql)).await {
            self.end("ROLLBACK");
            let error = error.await;
            self.failed = Some(error.clone());
            return Err(error);
        }
        let outcome = work(&mut locked(&handle.server.writer));
        self.failed = outcome.as_ref().err().filter(|err| **err != Error::Duplicate).cloned();
        outcome
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let handle = self.handle.clone();
        match handle.script.fate(Step::Commit).await {
            Fate::Go => self.apply(),
            Fate::HeardLater(after) => {
                let committed = self.apply();
                sleep(after).await;
                committed
            }
            Fate::Torn(error) => {
                self.end("ROLLBACK");
                Err(error.await)
            }
            Fate::Unanswered { applied: None, noticed } => {
                self.end("ROLLBACK");
                Err(unanswered(noticed).await)
            }
            Fate::Unanswered { applied, noticed } => {
                if let Some(turn) = self.turn.take() {
                    later(applied, turn, move || drop(batch(&mut locked(&handle.server.writer), "COMMIT")));
                }
                Err(unanswered(noticed).await)
            }
        }
    }

    fn apply(&mut self) -> Result<(), Error> {
        self.turn.take();
        commit(&mut locked(&self.handle.server.writer))
    }

    fn end(&mut self, how: &str) {
        if let Some(_turn) = self.turn.take()
            && let Err(err) = batch(&mut locked(&self.handle.server.writer), how)
        {
            tracing::error!(error = %err, "a simulated transaction could not end");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end("ROLLBACK");
    }
}

/// Does it when its time has come; nobody else gets a turn before.
fn later(after: Option<Duration>, turn: OwnedSemaphorePermit, work: impl FnOnce() + Send + 'static) {
    let Some(after) = after else { return };
    if after.is_zero() {
        return work();
    }
    tokio::spawn(async move {
        sleep(after).await;
        work();
        drop(turn);
    });
}

async fn unanswered(noticed: Duration) -> Error {
    if !noticed.is_zero() {
        sleep(noticed).await;
    }
    Error::CommitUnknown("connection lost".into())
}

fn locked(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
