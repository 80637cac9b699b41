//! The embedded engine. One thread owns the writing connection and runs what it is sent, in order; a transaction is a
//! session on it. Two more threads own readers of the same file, so that reads never wait for the writer (WAL).

use crate::error::{Error, from_sqlite};
use crate::options::Options;
use crate::value::{Row, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// Connections that only read.
const READERS: usize = 2;
/// Prepared statements kept per connection.
const STATEMENTS_CACHED: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A database file, or a private one in memory.
pub(crate) struct Sqlite {
    writer: mpsc::Sender<Job>,
    /// The right to use the writer. In memory there are no readers, and reads take it too.
    turn: Arc<Semaphore>,
    readers: Option<mpsc::Sender<Job>>,
    acquire_timeout: Duration,
}

impl Sqlite {
    pub(crate) async fn open(path: &str, options: &Options) -> Result<Sqlite, Error> {
        let memory = path == ":memory:";
        let (writer, jobs) = mpsc::channel();
        work("sql-writer", connect(path, options, "")?, Arc::new(Mutex::new(jobs)))?;
        let readers = if memory { None } else { Some(start_readers(path, options)?) };
        let turn = Arc::new(Semaphore::new(1));
        Ok(Sqlite { writer, turn, readers, acquire_timeout: options.acquire_timeout })
    }

    pub(crate) async fn query(&self, sql: String, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        let read = move |connection: &mut Connection| query(connection, &sql, params);
        match &self.readers {
            Some(readers) => call(readers, read).await,
            None => {
                let _turn = self.turn(self.acquire_timeout).await?;
                call(&self.writer, read).await
            }
        }
    }

    pub(crate) async fn exec(&self, sql: String, params: Vec<Value>) -> Result<u64, Error> {
        let _turn = self.turn(self.acquire_timeout).await?;
        call(&self.writer, move |connection| exec(connection, &sql, params)).await
    }

    async fn turn(&self, within: Duration) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(within, self.turn.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(Error::Unavailable("closed".into())),
            Err(_) => {
                Err(Error::Unavailable(format!("pool exhausted, writer not free within {} ms", within.as_millis())))
            }
        }
    }

    /// Threads and connections end with the last handle.
    pub(crate) async fn close(&self) {
        let turn = self.turn(self.acquire_timeout).await;
        self.turn.close();
        drop(turn);
    }
}

fn start_readers(path: &str, options: &Options) -> Result<mpsc::Sender<Job>, Error> {
    let (readers, jobs) = mpsc::channel();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..READERS {
        work("sql-reader", connect(path, options, "PRAGMA query_only = 1;")?, jobs.clone())?;
    }
    Ok(readers)
}

/// FULL: an acknowledged commit survives a power cut, also in WAL.
fn connect(path: &str, options: &Options, more: &str) -> Result<Connection, Error> {
    let opened = Connection::open(path).and_then(|connection| {
        connection.busy_timeout(options.lock_wait)?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; {more}"
        ))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        Ok(connection)
    });
    opened.map_err(|err| from_sqlite(&err, "open"))
}

/// Starts a thread that runs jobs on its connection until the last sender is gone.
fn work(name: &str, mut connection: Connection, jobs: Arc<Mutex<mpsc::Receiver<Job>>>) -> Result<(), Error> {
    let run = move || {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            job(&mut connection);
        }
    };
    let started = std::thread::Builder::new().name(name.into()).spawn(run);
    started.map(drop).map_err(|err| Error::Unavailable(format!("cannot start a thread: {}", err.kind())))
}

/// Runs `work` on a connection's thread. It runs to its end even if the caller is dropped.
async fn call<T: Send + 'static>(
    thread: &mpsc::Sender<Job>,
    work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        // A dropped caller does not want the answer.
        let _ = reply.send(work(connection));
    });
    let gone = |_| Error::Unavailable("sqlite thread is gone".into());
    thread.send(job).map_err(|_| Error::Unavailable("sqlite thread is gone".into()))?;
    answer.await.map_err(gone)?
}

pub(crate) fn exec(connection: &mut Connection, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
    let run = |connection: &Connection| connection.prepare_cached(sql)?.execute(params_from_iter(params));
    run(connection).map(|n| n as u64).map_err(|err| from_sqlite(&err, sql))
}

pub(crate) fn query(connection: &mut Connection, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
    let run = |connection: &Connection| {
        let mut statement = connection.prepare_cached(sql)?;
        let names: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query(params_from_iter(params))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..names.len()).map(|i| row.get_ref(i).map(value_from)).collect::<Result<_, _>>()?;
            found.push(Row::new(names.clone(), values));
        }
        Ok(found)
    };
    run(connection).map_err(|err: rusqlite::Error| from_sqlite(&err, sql))
}

pub(crate) fn batch(connection: &mut Connection, sql: &str) -> Result<(), Error> {
    connection.execute_batch(sql).map_err(|err| from_sqlite(&err, sql))
}

fn value_from(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::Int(v),
        // No place in the shared dialect; as text it fails where it is read.
        ValueRef::Real(v) => Value::Text(v.to_string()),
        ValueRef::Text(v) => String::from_utf8(v.to_vec()).map_or_else(|e| Value::Bytes(e.into_bytes()), Value::Text),
        ValueRef::Blob(v) => Value::Bytes(v.to_vec()),
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(v) => ValueRef::Integer(*v),
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Bytes(v) => ValueRef::Blob(v),
        }))
    }
}

/// An open transaction on the writer. When it vanishes the writer rolls back, before the next one gets its turn.
pub(crate) struct Session {
    writer: mpsc::Sender<Job>,
    failed: Option<Error>,
    /// Dropped last, after the rollback was sent.
    _turn: OwnedSemaphorePermit,
}

impl Session {
    pub(crate) async fn begin(file: &Sqlite) -> Result<Session, Error> {
        Session::begin_within(file, file.acquire_timeout).await
    }

    /// IMMEDIATE: a transaction that reads first and writes later must not fail to become the writer.
    pub(crate) async fn begin_within(file: &Sqlite, within: Duration) -> Result<Session, Error> {
        let turn = file.turn(within).await?;
        let session = Session { writer: file.writer.clone(), failed: None, _turn: turn };
        call(&session.writer, |connection| batch(connection, "BEGIN IMMEDIATE")).await?;
        Ok(session)
    }

    pub(crate) async fn exec(&mut self, sql: String, params: Vec<Value>) -> Result<u64, Error> {
        self.run(move |connection| exec(connection, &sql, params)).await
    }

    pub(crate) async fn query(&mut self, sql: String, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        self.run(move |connection| query(connection, &sql, params)).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.run(commit).await
    }

    /// As on the servers, only a duplicate key leaves a transaction that can still commit.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.failed = Some(Error::Unavailable("an earlier statement was dropped by its caller".into()));
        let outcome = call(&self.writer, work).await;
        self.failed = outcome.as_ref().err().filter(|err| **err != Error::Duplicate).cloned();
        outcome
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let roll_back: Job = Box::new(|connection| {
            if !connection.is_autocommit()
                && let Err(err) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(error = %from_sqlite(&err, "ROLLBACK"), "sqlite writer could not roll back");
            }
        });
        // A writer that is gone took its transaction with it.
        let _ = self.writer.send(roll_back);
    }
}

/// An input/output error at COMMIT may come after the commit frame was written.
pub(crate) fn commit(connection: &mut Connection) -> Result<(), Error> {
    batch(connection, "COMMIT").map_err(|err| match err {
        Error::Unavailable(reason) => Error::CommitUnknown(reason),
        other => other,
    })
}
