//! The connector for a core whose writes are SQL procedures, attached by configuration alone.
//!
//! `config` says what a core looks like, and `check` turns that into statements and rules or into a list of errors. `pool` and the two drivers
//! carry statements. `outcome` says what an answer means and what comes next; it alone decides.

mod check;
mod check_rules;
mod config;
mod errors;
mod heard;
mod login;
mod mariadb;
mod outcome;
mod pool;
mod postgresql;
mod posting;
mod session;
mod statement;
mod table;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemas::core::{Capabilities, Enquiry, Outcome, Unsent};
use schemas::post_request::PostRequest;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::check::{Files, OperationPlan, Operations};
pub use self::config::{
    AmountColumn, ColumnDirection, ColumnUnit, Credentials, Each, EnquiryQuery, ErrorCode, Isolation, LegColumns,
    PostCall, PostingColumns, ProbeQuery, Rows, Server, SessionLimits, SqlCoreConfig, SqlOperation, SqlRefusal,
    SqlRule, Tls, TransactionOwner,
};
use self::outcome::Next;
use self::pool::Pool;
use self::session::Begin;
use self::statement::{Bound, Statement};
use crate::connector::{CoreConnector, Probe};
use crate::findings::ConfigError;
use crate::heard::Listener;
use crate::template::Values;

/// A core with procedures in MariaDB, as YAML: an example.
pub const MARIADB_EXAMPLE: &str = include_str!("../../cores/sql-mariadb.yaml");
/// A core with functions in PostgreSQL, as YAML: an example.
pub const POSTGRESQL_EXAMPLE: &str = include_str!("../../cores/sql-postgresql.yaml");

/// No attempt lasts longer, whatever was asked for.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Longest wait for the answer to a ROLLBACK, after which the session is ended instead.
const ROLLBACK_MAX: Duration = Duration::from_secs(1);

/// A core whose writes are SQL procedures.
pub struct SqlCore {
    config: SqlCoreConfig,
    probe: Arc<Statement>,
    operations: Operations,
    pool: Arc<Pool>,
    /// Is told every answer; for a person who tries the configuration.
    listener: Option<Listener>,
}

impl SqlCore {
    /// Checks the whole configuration and reads the files it names; opens no connection.
    pub fn build(config: SqlCoreConfig) -> Result<Self, Vec<ConfigError>> {
        let plan = check::plan(&config, Files::Read)?;
        let pool = Arc::new(Pool::new(config.server, plan.login));
        let operations = plan.operations.into_iter().map(|(name, plan)| (name, Arc::new(plan))).collect();
        Ok(Self { probe: Arc::new(plan.probe), operations, pool, config, listener: None })
    }

    /// Everything that is wrong with a configuration; reads no file.
    pub fn problems(config: &SqlCoreConfig) -> Vec<ConfigError> {
        check::plan(config, Files::Unread).err().unwrap_or_default()
    }

    /// The same core, which tells every answer to this listener.
    pub fn heard_by(self, listener: Listener) -> Self {
        Self { listener: Some(listener), ..self }
    }

    /// How many sessions lie idle and usable.
    pub fn idle_sessions(&self) -> usize {
        self.pool.idle_sessions()
    }

    fn bind(&self, request: &PostRequest) -> Result<(&Arc<OperationPlan>, Vec<Bound>), String> {
        let plan = self.operations.get(&request.operation);
        let plan = plan.ok_or_else(|| format!("the core does not offer {:?}", request.operation))?;
        let bound = plan.post.bind(Values::Request(request)).map_err(|err| err.to_string())?;
        Ok((plan, bound))
    }
}

#[async_trait]
impl CoreConnector for SqlCore {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        self.config.capabilities
    }

    fn offers(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    fn refusal_reason(&self, operation: &str, code: &str) -> Option<&str> {
        self.config.operations.get(operation)?.refusals.get(code).map(String::as_str)
    }

    fn check(&self, request: &PostRequest) -> Result<(), String> {
        self.bind(request).map(drop)
    }

    async fn post(&self, request: &PostRequest, timeout: Duration) -> Outcome {
        let (plan, bound) = match self.bind(request) {
            Ok(bound) => bound,
            Err(reason) => return Outcome::NotSent { why: Unsent::NotTried, reason },
        };
        let (pool, plan, request) = (Arc::clone(&self.pool), Arc::clone(plan), request.clone());
        let (deadline, what) = (deadline(timeout), format!("post {}", request.core_ref));
        let tell = self.listener.clone();
        let post = async move { post(&pool, &plan, &request, &bound, (deadline, tell.as_ref())).await };
        let posted = in_a_task(what, post).await;
        posted.unwrap_or_else(|| Outcome::Unknown { reason: "the attempt's task was lost".to_owned() })
    }

    async fn enquire(&self, operation: &str, core_ref: &str, timeout: Duration) -> Enquiry {
        let plan = self.operations.get(operation).filter(|plan| plan.enquiry.is_some());
        let Some(plan) = plan.map(Arc::clone) else {
            return Enquiry::NotUnderstood { reason: format!("no enquiry is declared for {operation:?}") };
        };
        let (pool, core_ref, deadline) = (Arc::clone(&self.pool), core_ref.to_owned(), deadline(timeout));
        let (what, tell) = (format!("enquiry {core_ref}"), self.listener.clone());
        let enquire = async move { enquire(&pool, &plan, &core_ref, (deadline, tell.as_ref())).await };
        let asked = in_a_task(what, enquire).await;
        asked.unwrap_or_else(|| Enquiry::Unavailable { reason: "the enquiry's task was lost".to_owned() })
    }

    async fn probe(&self, timeout: Duration) -> Probe {
        let deadline = deadline(timeout);
        match ask(&self.pool, &self.probe, &[], deadline).await {
            Ok(asked) => {
                if let Some(listener) = &self.listener {
                    listener(heard::probe(&asked, &self.config.probe));
                }
                outcome::of_probe(&self.config.probe.up, &self.config.probe.read_only, &asked)
            }
            Err(unready) => Probe::Down { reason: unready.reason },
        }
    }
}

/// One attempt: a place, a session that is alive, the call, and what `outcome` says to do next.
async fn post(
    pool: &Pool,
    plan: &OperationPlan,
    request: &PostRequest,
    bound: &[Bound],
    (by, tell): (Instant, Option<&Listener>),
) -> Outcome {
    let begin = if plan.is_ours() { Begin::Transaction } else { Begin::Nothing };
    let unsent = |unready: pool::Unready| Outcome::NotSent { why: unready.why, reason: unready.reason };
    let _place = match pool.place(by).await {
        Ok(place) => place,
        Err(unready) => return unsent(unready),
    };
    let mut session = match pool.ready(begin, by).await {
        Ok(session) => session,
        Err(unready) => return unsent(unready),
    };
    let called = session.run(&plan.post.text, bound, by).await;
    if let Some(listener) = tell {
        listener(heard::post(&called, &plan.answers));
    }
    let (outcome, next) = outcome::of_call(&plan.answers, request, &called, Instant::now() < by);
    match next {
        Next::Commit => {
            let committed = session.commit(by).await;
            if committed.is_ok() {
                pool.put(session);
            }
            outcome::of_commit(&plan.answers, outcome, &committed)
        }
        Next::Rollback => {
            roll_back(pool, session).await;
            outcome
        }
        Next::Keep => {
            pool.put(session);
            outcome
        }
        Next::End => outcome,
    }
}

async fn enquire(
    pool: &Pool,
    plan: &OperationPlan,
    core_ref: &str,
    (by, tell): (Instant, Option<&Listener>),
) -> Enquiry {
    let Some((query, answers)) = &plan.enquiry else {
        return Enquiry::NotUnderstood { reason: "no enquiry is declared".to_owned() };
    };
    let bound = match query.bind(Values::Reference(core_ref)) {
        Ok(bound) => bound,
        Err(err) => return Enquiry::NotUnderstood { reason: err.to_string() },
    };
    let _place = match pool.place(by).await {
        Ok(place) => place,
        Err(unready) => return Enquiry::Unavailable { reason: unready.reason },
    };
    match ask(pool, query, &bound, by).await {
        Ok(asked) => {
            if let Some(listener) = tell {
                listener(heard::enquiry(&asked, answers));
            }
            outcome::of_enquiry(answers, core_ref, &asked)
        }
        Err(unready) => Enquiry::Unavailable { reason: unready.reason },
    }
}

/// Runs a query in a transaction that cannot write.
async fn ask(
    pool: &Pool,
    query: &Statement,
    bound: &[Bound],
    by: Instant,
) -> Result<Result<table::Table, outcome::Trouble>, pool::Unready> {
    let mut session = pool.ready(Begin::ReadOnly, by).await?;
    let asked = session.run(&query.text, bound, by).await;
    if !matches!(asked, Err(outcome::Trouble::Lost(_) | outcome::Trouble::NoSession(_))) {
        roll_back(pool, session).await;
    }
    Ok(asked)
}

/// A session is used again only once its transaction has ended.
async fn roll_back(pool: &Pool, mut session: session::Session) {
    if session.rollback(Instant::now() + ROLLBACK_MAX).await.is_ok() {
        pool.put(session);
    }
}

/// Runs to its end even if the caller goes away: a call must not be cut short. The time-out is inside.
async fn in_a_task<T: Send + 'static>(what: String, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    tokio::spawn(async move {
        if done.send(work.await).is_err() {
            tracing::warn!(%what, "an exchange with the core ended after its caller");
        }
    });
    outcome.await.ok()
}

fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(TIMEOUT_MAX)
}
