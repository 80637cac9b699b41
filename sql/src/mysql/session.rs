//! One borrowed connection: single statements, and transactions.

use super::{Bound, MySql, Server, rows};
use crate::again::Again;
use crate::error::{Error, commit_refused, from_mysql, from_mysql_commit};
use crate::value::{Row, Value};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How often a read is run that the engine gives up.
const READ_TRIES_MAX: u32 = 3;

/// One autocommit read. It is safe to run a read again, so this does: on a new connection when a pooled one turns out dead,
/// and after errors that the engine calls retryable. `reads_clock`: the statement asks for the server's time.
pub(crate) async fn query(
    pool: &Arc<MySql>,
    sql: &str,
    params: Vec<Value>,
    reads_clock: bool,
) -> Result<Vec<Row>, Error> {
    let in_transaction = reads_clock && pool.server().clock_needs_a_transaction();
    let mut again = Again::at_most(READ_TRIES_MAX);
    loop {
        let mut session = match in_transaction {
            true => Session::begin_among(pool, &pool.readers).await?,
            false => pool.acquire(&pool.readers).await?,
        };
        match session.query(sql, params.clone()).await {
            Err(Error::Unavailable(_)) if session.stale() => continue,
            Err(err) if err.is_retryable() => {
                drop(session);
                if !again.wait().await {
                    return Err(err);
                }
            }
            outcome if in_transaction => {
                session.rollback().await;
                return outcome;
            }
            outcome => {
                session.release();
                return outcome;
            }
        }
    }
}

/// One autocommit write, which is never run again: a lost answer is [`Error::CommitUnknown`].
pub(crate) async fn exec(pool: &Arc<MySql>, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
    if pool.server().writes_need_a_transaction() {
        return exec_in_transaction(pool, sql, params).await;
    }
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

/// Only an answer lost after COMMIT was sent leaves a doubt.
async fn exec_in_transaction(pool: &Arc<MySql>, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
    let mut session = Session::begin(pool).await?;
    match session.exec(sql, params).await {
        Ok(matched) => session.commit().await.map(|()| matched),
        Err(err) => {
            session.rollback().await;
            Err(err)
        }
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
    pub(super) fn new(pool: &Arc<MySql>, conn: Conn, reused: bool, permit: OwnedSemaphorePermit) -> Self {
        Session { pool: pool.clone(), conn: Some(conn), reused, failed: None, _permit: permit }
    }

    /// Opens a transaction. A pooled connection that turns out dead is replaced: nothing was sent on it yet.
    pub(crate) async fn begin(pool: &Arc<MySql>) -> Result<Session, Error> {
        Session::begin_among(pool, &pool.writers).await
    }

    /// The same on a connection that counts against `bound`.
    async fn begin_among(pool: &Arc<MySql>, bound: &Bound) -> Result<Session, Error> {
        loop {
            let mut session = pool.acquire(bound).await?;
            match session.plain("START TRANSACTION").await {
                Ok(()) => return Ok(session),
                Err(Error::Unavailable(_)) if session.stale() => continue,
                Err(err) => return Err(err),
            }
        }
    }

    /// Which server answers.
    pub(crate) fn server(&self) -> Server {
        self.pool.server()
    }

    pub(crate) async fn exec(&mut self, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
        let mut conn = self.take()?;
        self.pool.record(sql);
        let sent = timeout(self.pool.statement_timeout, conn.exec_drop(sql, rows::bound(params))).await;
        let sent = self.settle(sent, sql).map(|()| conn.affected_rows());
        self.keep(conn, sent)
    }

    pub(crate) async fn query(&mut self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        let mut conn = self.take()?;
        self.pool.record(sql);
        let sent =
            timeout(self.pool.statement_timeout, conn.exec::<mysql_async::Row, _, _>(sql, rows::bound(params))).await;
        let sent = self.settle(sent, sql).map(rows::read);
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
