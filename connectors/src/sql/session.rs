//! A session at a SQL server, as the rest sees it: thin, and without a decision about money.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::config::Server;
use super::login::Login;
use super::mariadb::Mariadb;
use super::outcome::Trouble;
use super::postgresql::Postgresql;
use super::statement::Bound;
use super::table::Table;

/// What begins with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Nothing: the statement runs in autocommit.
    Nothing,
    /// A transaction of ours.
    Transaction,
    /// A transaction that cannot write.
    ReadOnly,
}

/// What one server's driver does. No method is called again after one of them was lost or left.
#[async_trait]
pub(super) trait Driver: Send {
    /// Sets the longest time of a statement, and begins. One round trip, so that it also shows whether the session is alive.
    async fn begin(&mut self, begin: Begin, statement: Duration) -> Result<(), Trouble>;
    /// Runs one statement and reads its answer to the end: an error may come after the rows.
    async fn run(&mut self, text: &str, parameters: &[Bound]) -> Result<Table, Trouble>;
    /// COMMIT of a transaction of ours. An error, if it is not the one that we began.
    async fn commit(&mut self) -> Result<(), Trouble>;
    /// ROLLBACK of what began so. An error, if it was a transaction of ours and the open one is not the one that we began.
    async fn rollback(&mut self, begun: Begin) -> Result<(), Trouble>;
}

/// A session that is logged in and set up. When it is dropped its connection is closed, and the server rolls back.
pub(super) struct Session {
    driver: Box<dyn Driver>,
    opened: Instant,
}

impl Session {
    /// Connects, logs in and sets everything up on which the meaning of an answer rests.
    pub(super) async fn open(
        server: Server,
        login: &Login,
        password: Option<String>,
        deadline: Instant,
    ) -> Result<Self, Trouble> {
        let opened = Instant::now();
        let driver: Box<dyn Driver> = match server {
            Server::Mariadb => Box::new(within(deadline, "no session", Mariadb::open(login, password)).await?),
            Server::Postgresql => Box::new(within(deadline, "no session", Postgresql::open(login, password)).await?),
        };
        Ok(Self { driver, opened })
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Gets ready for a statement whose answer must come by the deadline.
    pub(super) async fn begin(&mut self, begin: Begin, statement: Duration, by: Instant) -> Result<(), Trouble> {
        within(by, "no answer to the settings", self.driver.begin(begin, statement)).await
    }

    pub(super) async fn run(&mut self, text: &str, parameters: &[Bound], by: Instant) -> Result<Table, Trouble> {
        within(by, "no whole answer", self.driver.run(text, parameters)).await
    }

    pub(super) async fn commit(&mut self, by: Instant) -> Result<(), Trouble> {
        within(by, "no answer", self.driver.commit()).await
    }

    pub(super) async fn rollback(&mut self, begun: Begin, by: Instant) -> Result<(), Trouble> {
        within(by, "no answer to the ROLLBACK", self.driver.rollback(begun)).await
    }
}

/// The future is left where it is when its time is over; the session that it belongs to is then used no more.
async fn within<T>(
    deadline: Instant,
    what: &str,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    match timeout_at(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(Trouble::Lost(format!("{what} in time"))),
    }
}
