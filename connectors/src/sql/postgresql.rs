//! PostgreSQL. The driver never chooses: it carries statements and tells what came back.

use std::io::ErrorKind;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{Column, ConnectOptions, Executor, Postgres, Row, TypeInfo};

use super::config::{Isolation, SessionLimits};
use super::errors::ServerError;
use super::login::Login;
use super::outcome::Trouble;
use super::session::{Begin, Driver};
use super::statement::Bound;
use super::table::Table;
use crate::json::Json;

/// Statements that a session keeps prepared: one of a probe, and two of each operation.
const STATEMENTS_MAX: usize = 32;

/// A session at PostgreSQL.
pub(super) struct Postgresql(PgConnection);

impl Postgresql {
    /// Connects, logs in and sets the session up.
    pub(super) async fn open(login: &Login, password: Option<String>) -> Result<Self, Trouble> {
        let conn = options(login, password.as_deref()).connect().await.map_err(unopened)?;
        let mut session = Self(conn);
        session.simple(&settings(&login.limits, login.isolation)).await?;
        Ok(session)
    }

    /// In the simple protocol, which takes several statements at once.
    async fn simple(&mut self, text: &str) -> Result<(), Trouble> {
        self.0.execute(text).await.map(drop).map_err(trouble)
    }
}

#[async_trait]
impl Driver for Postgresql {
    async fn begin(&mut self, begin: Begin, statement: Duration) -> Result<(), Trouble> {
        self.simple(&beginning(begin, statement)).await
    }

    /// In autocommit the rows come before the server commits, so the end of the answer is waited for: it may be an error.
    async fn run(&mut self, text: &str, parameters: &[Bound]) -> Result<Table, Trouble> {
        let mut query = sqlx::query::<Postgres>(text);
        for parameter in parameters {
            query = match parameter {
                Bound::Text(text) => query.bind(text.as_str()),
                Bound::Integer(number) => query.bind(*number),
            };
        }
        let mut read = Ok(Table::default());
        let mut rows = query.fetch(&mut self.0);
        while let Some(row) = rows.try_next().await.map_err(trouble)? {
            if let Ok(table) = &mut read
                && let Err(reason) = cells(&row).and_then(|cells| table.push(cells))
            {
                read = Err(reason);
            }
        }
        read.map_err(|reason| Trouble::Unreadable { reason, in_transaction: None })
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        self.simple("COMMIT").await
    }

    /// The server itself refuses a COMMIT or a ROLLBACK inside a call in a transaction, so it is still the one that was begun.
    async fn rollback(&mut self, _begun: Begin) -> Result<(), Trouble> {
        self.simple("ROLLBACK").await
    }
}

/// Every option is set, because the driver would take what is left out from the environment. `PGOPTIONS` cannot be unset here; what it may change of
/// the meaning of an answer is set again by `settings`.
fn options(login: &Login, password: Option<&str>) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&login.place.host)
        .port(login.place.port)
        .database(&login.place.database)
        .username(&login.user)
        .password(password.unwrap_or_default())
        .application_name("locum")
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging();
    match &login.tls {
        None => options.ssl_mode(PgSslMode::Disable),
        Some(files) => {
            let options = options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(&files.ca);
            match &files.client {
                None => options,
                Some((certificate, key)) => options.ssl_client_cert(certificate).ssl_client_key(key),
            }
        }
    }
}

/// Everything on which the meaning of an answer rests, whatever the server's defaults are. A session that is silent for its idle time is ended
/// by the server, so a call that comes later has no effect. Notices would be logged by the driver with what they hold.
fn settings(limits: &SessionLimits, isolation: Isolation) -> String {
    let isolation = match isolation {
        Isolation::ReadCommitted => "READ COMMITTED",
        Isolation::RepeatableRead => "REPEATABLE READ",
        Isolation::Serializable => "SERIALIZABLE",
    };
    let (idle_ms, lock_ms) = (limits.idle_ms_max, limits.lock_wait_ms_max);
    format!(
        "SET client_min_messages = error; SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
         SET standard_conforming_strings = on; \
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {isolation}, READ WRITE, NOT DEFERRABLE; \
         SET lock_timeout = '{lock_ms}ms'; SET idle_session_timeout = '{idle_ms}ms'; \
         SET idle_in_transaction_session_timeout = '{idle_ms}ms'"
    )
}

fn beginning(begin: Begin, statement: Duration) -> String {
    let begin = match begin {
        Begin::Nothing => "",
        Begin::Transaction => "; BEGIN",
        Begin::ReadOnly => "; BEGIN READ ONLY",
    };
    format!("SET statement_timeout = '{}ms'{begin}", statement.as_millis())
}

fn cells(row: &PgRow) -> Result<Vec<(String, Json)>, String> {
    row.columns().iter().map(|column| Ok((column.name().to_owned(), cell(row, column)?))).collect()
}

fn cell(row: &PgRow, column: &sqlx::postgres::PgColumn) -> Result<Json, String> {
    let (at, name) = (column.ordinal(), column.name());
    let number = |number: i64| Json::Number(number.to_string());
    let read = match column.type_info().name() {
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => {
            row.try_get::<Option<String>, _>(at).map(|text| text.map(Json::Text))
        }
        "INT8" => row.try_get::<Option<i64>, _>(at).map(|found| found.map(number)),
        "INT4" => row.try_get::<Option<i32>, _>(at).map(|found| found.map(|found| number(found.into()))),
        "INT2" => row.try_get::<Option<i16>, _>(at).map(|found| found.map(|found| number(found.into()))),
        "BOOL" => row.try_get::<Option<bool>, _>(at).map(|found| found.map(Json::Bool)),
        other => {
            return Err(format!("column {name} is of the type {other}; let the statement answer with {name}::text"));
        }
    };
    read.map(|value| value.unwrap_or(Json::Null)).map_err(|_| format!("column {name} is not readable"))
}

/// A fault of the socket itself says that nobody is there; every other one comes from somebody who answers.
fn unopened(error: sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Io(error) if error.kind() != ErrorKind::InvalidData => trouble(sqlx::Error::Io(error)),
        sqlx::Error::Database(error) => trouble(sqlx::Error::Database(error)),
        error => Trouble::NoSession(trouble(error).to_string()),
    }
}

/// Messages are left out: servers put values into them.
fn trouble(error: sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(state) => Trouble::Server(ServerError { state: state.into_owned(), number: None }),
            None => Trouble::Lost("the server told an error without SQLSTATE".to_owned()),
        },
        sqlx::Error::Io(error) => Trouble::Lost(format!("the connection broke: {error}")),
        sqlx::Error::Tls(error) => Trouble::Lost(format!("no encrypted connection came about: {error}")),
        _ => Trouble::Lost("the connection is of no use".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_its_time_and_its_transaction() {
        let text = beginning(Begin::Transaction, Duration::from_millis(1_350));
        assert_eq!(text, "SET statement_timeout = '1350ms'; BEGIN");
        assert_eq!(beginning(Begin::Nothing, Duration::from_millis(50)), "SET statement_timeout = '50ms'");
        assert!(beginning(Begin::ReadOnly, Duration::from_millis(50)).ends_with("; BEGIN READ ONLY"));
    }

    #[test]
    fn every_setting_is_told() {
        let text = settings(&SessionLimits::default(), Isolation::RepeatableRead);
        for part in ["ISOLATION LEVEL REPEATABLE READ", "TimeZone = 'UTC'", "idle_session_timeout = '10000ms'"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
