//! A bystander on the journal's database. What it has to wait for, everybody has to: on a machine that has stopped to think,
//! a problem that calls the store away is true, and on one that has not it is Locum's fault.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Recorder;
use crate::history::Nanos;
use crate::stack::connect;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A look that takes longer is told: a quarter of what Locum's own limits begin with.
const SLOW: Nanos = 500_000_000;
/// Statements of one look: about those of one admission.
const STATEMENTS: usize = 8;

/// Looks until dropped.
pub(crate) struct Witness(JoinHandle<()>);

impl Witness {
    /// Begins with a table of its own on the database at `url`.
    pub(crate) async fn begin(url: &str, recorder: Arc<Recorder>) -> Self {
        let connection = settle(url).await.unwrap_or_else(|err| panic!("{url}: {err}"));
        let url = url.to_owned();
        Self(tokio::spawn(async move { look(&url, connection, &recorder).await }))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn look(url: &str, first: Conn, recorder: &Recorder) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = Some(first);
    let mut from = recorder.now();
    loop {
        looks.tick().await;
        // A process that is not scheduled waits, too: the time between two looks counts.
        let answered = match &mut connection {
            Some(connection) => transaction(connection).await,
            None => settle(url).await.map(|made| connection = Some(made)),
        };
        if answered.is_err() {
            connection = None;
            continue;
        }
        if recorder.now() - from >= SLOW {
            recorder.store_was_slow(from);
        }
        from = recorder.now();
    }
}

async fn settle(url: &str) -> Result<Conn, Error> {
    let mut connection = connect(url).await?;
    connection.query_drop("CREATE TABLE IF NOT EXISTS witness (id INT PRIMARY KEY, looks BIGINT NOT NULL)").await?;
    connection.query_drop("INSERT IGNORE INTO witness VALUES (1, 0)").await?;
    Ok(connection)
}

async fn transaction(connection: &mut Conn) -> Result<(), Error> {
    connection.query_drop("START TRANSACTION").await?;
    for _ in 0..STATEMENTS {
        connection.query_drop("UPDATE witness SET looks = looks + 1 WHERE id = 1").await?;
    }
    connection.query_drop("COMMIT").await
}
