//! The handle that callers hold, and the transaction they are lent.

use crate::clock::ClockShift;
use crate::dialect::{Dialect, reads_clock};
use crate::error::Error;
use crate::host::Host;
use crate::insert::Insert;
use crate::migrate::{self, Migration};
use crate::mysql::{self, MySql};
use crate::options::Options;
#[cfg(feature = "simulation")]
use crate::simulation;
use crate::sqlite::{self, Sqlite};
use crate::tally::Tally;
use crate::turns::{Held, Turns};
use crate::upsert::{BatchUpdate, Statement, Upsert};
use crate::value::{Row, Value};
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future that may move between threads. [`Db`] and [`Tx`] answer with it: a future is compiled by the crate that awaits it, and with a
/// box the SQL clients are compiled here, once.
pub type BoxFuture<'t, T> = Pin<Box<dyn Future<Output = T> + Send + 't>>;

/// A database; cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    clock: ClockShift,
    host: Host,
    tally: Option<Tally>,
    turns: Arc<Turns>,
}

#[derive(Clone)]
enum Engine {
    MySql(Arc<MySql>),
    Sqlite(Arc<Sqlite>),
    #[cfg(feature = "simulation")]
    Simulated(Arc<simulation::Handle>),
}

impl Db {
    /// Opens `mysql://user:pass@host:port/db` (creates the database if missing), `sqlite:PATH` or `sqlite::memory:`.
    /// Connects once, so that a wrong address fails here. `sqlite::memory:` is private to this handle and its clones.
    pub async fn open(url: &str, options: Options) -> Result<Db, Error> {
        let engine = match url.split_once(':') {
            Some(("sqlite", path)) => Engine::Sqlite(Arc::new(Sqlite::open(path, &options).await?)),
            Some(("mysql", _)) => Engine::MySql(Arc::new(MySql::open(url, &options).await?)),
            _ => {
                return Err(Error::Configuration("url must start with mysql:// or sqlite:".into()));
            }
        };
        Ok(Db::of(engine, options))
    }

    /// The way of one simulated process to a simulated server; the script decides what becomes of each step.
    #[cfg(feature = "simulation")]
    pub fn simulated(server: Arc<simulation::Server>, script: Arc<dyn simulation::Script>, options: Options) -> Db {
        let handle = simulation::Handle { server, script, lock_wait: options.lock_wait };
        let engine = Engine::Simulated(Arc::new(handle));
        Db::of(engine, options)
    }

    fn of(engine: Engine, options: Options) -> Db {
        let turns = Arc::new(Turns::new(options.lock_wait));
        Db { engine, clock: options.clock_shift, host: options.host, tally: options.tally, turns }
    }

    /// The host on which this handle is used.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Which family of SQL this database speaks.
    pub fn dialect(&self) -> Dialect {
        match self.engine {
            Engine::MySql(_) => Dialect::MySql,
            Engine::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "simulation")]
            Engine::Simulated(_) => Dialect::Sqlite,
        }
    }

    /// How many transactions and writes may run at once, at most.
    pub fn writers_max(&self) -> usize {
        match &self.engine {
            Engine::MySql(pool) => pool.writers_max(),
            Engine::Sqlite(_) => 1,
            #[cfg(feature = "simulation")]
            Engine::Simulated(_) => 8,
        }
    }

    /// Runs `work` in one READ COMMITTED transaction, on a task of its own: a dropped caller never leaves it half done.
    /// `Err` means rolled back, except [`Error::CommitUnknown`]. After an SQL error other than [`Error::Duplicate`] the
    /// transaction can only fail, even if `work` swallows that error. Never use the same `Db` inside `work`, use `tx`.
    pub async fn transaction<T, E>(
        &self,
        work: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let lender = self.clone();
        let task = tokio::spawn(async move {
            let mut tx = Tx::begin(lender).await?;
            match work(&mut tx).await {
                Ok(value) => tx.commit().await.map(|()| value).map_err(E::from),
                Err(err) => {
                    tx.rollback().await;
                    Err(err)
                }
            }
        });
        match task.await {
            Ok(outcome) => outcome,
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => Err(Error::CommitUnknown("runtime is shutting down".into()).into()),
        }
    }

    /// One autocommit read. SQLite files answer from reader connections, without waiting for the writer.
    pub fn query<'s>(&'s self, sql: &'s str, params: Vec<Value>) -> BoxFuture<'s, Result<Vec<Row>, Error>> {
        Box::pin(async move {
            let rendered = self.render(sql)?;
            note(&self.tally, &rendered);
            match &self.engine {
                Engine::MySql(pool) => mysql::query(pool, &rendered, params, reads_clock(sql)).await,
                Engine::Sqlite(file) => file.query(rendered.into_owned(), params).await,
                #[cfg(feature = "simulation")]
                Engine::Simulated(handle) => handle.query(rendered.into_owned(), params).await,
            }
        })
    }

    fn render<'s>(&self, sql: &'s str) -> Result<Cow<'s, str>, Error> {
        match &self.engine {
            Engine::MySql(pool) => Dialect::MySql.render_with(sql, &self.clock.applied_to(pool.server().now_ms())),
            Engine::Sqlite(_) => Dialect::Sqlite.render_with(sql, &self.clock.applied_to(Dialect::Sqlite.now_ms())),
            #[cfg(feature = "simulation")]
            Engine::Simulated(handle) => Dialect::Sqlite.render_with(sql, &handle.now_ms()),
        }
    }

    /// One autocommit write; returns the matched rows. A lost answer is [`Error::CommitUnknown`].
    pub fn exec<'s>(&'s self, sql: &'s str, params: Vec<Value>) -> BoxFuture<'s, Result<u64, Error>> {
        Box::pin(async move {
            let sql = self.render(sql)?;
            note(&self.tally, &sql);
            match &self.engine {
                Engine::MySql(pool) => mysql::exec(pool, &sql, params).await,
                Engine::Sqlite(file) => file.exec(sql.into_owned(), params).await,
                #[cfg(feature = "simulation")]
                Engine::Simulated(handle) => handle.exec(sql.into_owned(), params).await,
            }
        })
    }

    /// Brings a component's tables to its newest version, remembered in `schema_versions`. Any number of processes may
    /// start at once. Versions count up from 1; a published migration is never edited.
    pub fn migrate<'s>(&'s self, component: &'s str, migrations: &'s [Migration]) -> BoxFuture<'s, Result<(), Error>> {
        Box::pin(async move {
            match &self.engine {
                Engine::MySql(pool) => migrate::on_mysql(pool, component, migrations).await,
                Engine::Sqlite(file) => migrate::on_sqlite(file, component, migrations).await,
                #[cfg(feature = "simulation")]
                Engine::Simulated(handle) => handle.migrate(component, migrations),
            }
        })
    }

    /// True where the new rows of a batch come in several statements, whole lists of 128, 64, 32 … 1 (ADR 0007).
    pub fn splits_new_rows(&self) -> bool {
        matches!(&self.engine, Engine::MySql(pool) if pool.server().plans_by_constants())
    }

    /// What the server allows all its clients together, as far as it can be read.
    pub async fn capacity(&self) -> Result<Capacity, Error> {
        match &self.engine {
            Engine::MySql(pool) => pool.capacity().await,
            Engine::Sqlite(_) => Ok(Capacity::default()),
            #[cfg(feature = "simulation")]
            Engine::Simulated(_) => Ok(Capacity::default()),
        }
    }

    /// Refuses new work, waits for running transactions up to the acquire timeout and closes the idle connections.
    pub async fn close(self) {
        match &self.engine {
            Engine::MySql(pool) => pool.close().await,
            Engine::Sqlite(file) => file.close().await,
            #[cfg(feature = "simulation")]
            Engine::Simulated(_) => {}
        }
    }
}

/// What a server allows all its clients together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Its `max_connections`; `None`: it has no such bound, or does not tell it.
    pub connections_max: Option<u64>,
    /// Its `max_prepared_stmt_count`, likewise.
    pub prepared_statements_max: Option<u64>,
    /// Prepared statements that each connection of ours may keep there.
    pub statements_cached: usize,
}

/// An open transaction, lent to the work of [`Db::transaction`]. READ COMMITTED on servers; on SQLite it is the only writer.
pub struct Tx {
    session: Session,
    clock: ClockShift,
    host: Host,
    tally: Option<Tally>,
    turns: Arc<Turns>,
    /// Ends after the session does.
    held: Held,
}

enum Session {
    MySql(mysql::Session),
    Sqlite(sqlite::Session),
    #[cfg(feature = "simulation")]
    Simulated(simulation::Session),
}

impl Tx {
    fn begin(Db { engine, clock, host, tally, turns }: Db) -> BoxFuture<'static, Result<Tx, Error>> {
        Box::pin(async move {
            let session = match &engine {
                Engine::MySql(pool) => Session::MySql(mysql::Session::begin(pool).await?),
                Engine::Sqlite(file) => Session::Sqlite(sqlite::Session::begin(file).await?),
                #[cfg(feature = "simulation")]
                Engine::Simulated(handle) => Session::Simulated(simulation::Session::begin(handle).await?),
            };
            Ok(Tx { session, clock, host, tally, turns, held: Held::default() })
        })
    }

    fn commit(self) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            match self.session {
                Session::MySql(session) => session.commit().await,
                Session::Sqlite(session) => session.commit().await,
                #[cfg(feature = "simulation")]
                Session::Simulated(session) => session.commit().await,
            }
        })
    }

    fn rollback(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            match self.session {
                Session::MySql(session) => session.rollback().await,
                Session::Sqlite(session) => drop(session),
                #[cfg(feature = "simulation")]
                Session::Simulated(session) => drop(session),
            }
        })
    }

    /// Which family of SQL this transaction speaks.
    pub fn dialect(&self) -> Dialect {
        match self.session {
            Session::MySql(_) => Dialect::MySql,
            Session::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "simulation")]
            Session::Simulated(_) => Dialect::Sqlite,
        }
    }

    /// The host on which this transaction is run.
    pub fn host(&self) -> &Host {
        &self.host
    }

    fn render<'s>(&self, sql: &'s str) -> Result<Cow<'s, str>, Error> {
        match &self.session {
            Session::MySql(session) => {
                Dialect::MySql.render_with(sql, &self.clock.applied_to(session.server().now_ms()))
            }
            Session::Sqlite(_) => Dialect::Sqlite.render_with(sql, &self.clock.applied_to(Dialect::Sqlite.now_ms())),
            #[cfg(feature = "simulation")]
            Session::Simulated(session) => Dialect::Sqlite.render_with(sql, &session.handle().now_ms()),
        }
    }

    /// Waits for those transactions of this process that have taken one of these names, in order of arrival and for no longer than for a
    /// row lock. They are this transaction's until it ends. For rows that are locked under these names next; other processes wait
    /// at the rows.
    pub async fn take_turns(&mut self, names: impl Iterator<Item = &str>) -> Result<(), Error> {
        match self.session {
            Session::MySql(_) => self.turns.take(&mut self.held, names).await,
            // It is the only writer.
            Session::Sqlite(_) => Ok(()),
            #[cfg(feature = "simulation")]
            Session::Simulated(_) => Ok(()),
        }
    }

    /// One write; returns the matched rows.
    pub fn exec<'s>(&'s mut self, sql: &'s str, params: Vec<Value>) -> BoxFuture<'s, Result<u64, Error>> {
        Box::pin(async move {
            let sql = self.render(sql)?;
            note(&self.tally, &sql);
            match &mut self.session {
                Session::MySql(session) => session.exec(&sql, params).await,
                Session::Sqlite(session) => session.exec(sql.into_owned(), params).await,
                #[cfg(feature = "simulation")]
                Session::Simulated(session) => session.exec(sql.into_owned(), params).await,
            }
        })
    }

    /// One read, all rows.
    pub fn query<'s>(&'s mut self, sql: &'s str, params: Vec<Value>) -> BoxFuture<'s, Result<Vec<Row>, Error>> {
        Box::pin(async move {
            let sql = self.render(sql)?;
            note(&self.tally, &sql);
            match &mut self.session {
                Session::MySql(session) => session.query(&sql, params).await,
                Session::Sqlite(session) => session.query(sql.into_owned(), params).await,
                #[cfg(feature = "simulation")]
                Session::Simulated(session) => session.query(sql.into_owned(), params).await,
            }
        })
    }

    /// The first row, if there is one.
    pub async fn query_opt(&mut self, sql: &str, params: Vec<Value>) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// The first row; none is [`Error::Statement`].
    pub async fn query_one(&mut self, sql: &str, params: Vec<Value>) -> Result<Row, Error> {
        self.query_opt(sql, params).await?.ok_or_else(|| Error::Statement {
            code: 0,
            reason: "no row where one must be".into(),
            statement: sql.to_owned(),
        })
    }

    /// Runs an [`Upsert`], in several statements when it is large. Without rows it does nothing.
    pub async fn upsert(&mut self, upsert: Upsert) -> Result<(), Error> {
        let statements = upsert.statements(self.dialect(), self.plans_by_constants())?;
        self.run(statements).await.map(|_| ())
    }

    /// Runs an [`Insert`], in several statements when it is large. Without rows it does nothing.
    pub async fn insert(&mut self, insert: Insert) -> Result<(), Error> {
        let statements = insert.statements(self.dialect(), self.plans_by_constants())?;
        self.run(statements).await.map(|_| ())
    }

    /// Runs a [`BatchUpdate`], in several statements when it is large; returns the matched rows.
    pub async fn batch_update(&mut self, update: BatchUpdate) -> Result<u64, Error> {
        let statements = update.statements(self.dialect(), self.plans_by_constants())?;
        self.run(statements).await
    }

    fn plans_by_constants(&self) -> bool {
        matches!(&self.session, Session::MySql(session) if session.server().plans_by_constants())
    }

    async fn run(&mut self, statements: Vec<Statement>) -> Result<u64, Error> {
        let mut matched = 0;
        for statement in statements {
            matched += self.exec(&statement.sql, statement.params).await?;
        }
        Ok(matched)
    }
}

fn note(tally: &Option<Tally>, sql: &str) {
    if let Some(tally) = tally {
        tally.note(sql);
    }
}
