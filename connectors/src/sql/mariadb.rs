//! MariaDB. The driver never chooses: it carries statements and tells what came back.

use std::io::ErrorKind;
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, Error, IoError, Opts, OptsBuilder, Params, Row, SslOpts, Value};

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
/// Largest packet, of either side.
const PACKET_BYTES_MAX: usize = 1024 * 1024;
/// What is not exact is refused instead of being cut or replaced.
const SQL_MODE: &str = "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
                        NO_ENGINE_SUBSTITUTION";

/// Fails in any transaction but the one that `beginning` began: a procedure may commit and begin another one, and the status shows only that one is
/// open. After an error the server runs nothing of what stands behind it.
const STILL_OURS: &str = "RELEASE SAVEPOINT locum";

/// A session at MariaDB.
pub(super) struct Mariadb(Conn);

impl Mariadb {
    /// Connects, logs in and sets the session up.
    pub(super) async fn open(login: &Login, password: Option<String>) -> Result<Self, Trouble> {
        let mut conn = Conn::new(options(login, password)).await.map_err(unopened)?;
        conn.query_drop(settings(&login.limits, login.isolation)).await.map_err(trouble)?;
        Ok(Self(conn))
    }

    async fn simple(&mut self, text: &str) -> Result<(), Trouble> {
        self.0.query_drop(text).await.map_err(trouble)
    }
}

#[async_trait]
impl Driver for Mariadb {
    async fn begin(&mut self, begin: Begin, statement: Duration) -> Result<(), Trouble> {
        self.simple(&beginning(begin, statement)).await
    }

    async fn run(&mut self, text: &str, parameters: &[Bound]) -> Result<Table, Trouble> {
        let mut result = self.0.exec_iter(text, bound(parameters)).await.map_err(trouble)?;
        let mut read: Option<Result<Table, String>> = None;
        // A procedure may answer with several sets of rows, and its end may be an error. The first set counts, and all are read.
        while !result.is_empty() {
            let mut set = Ok(Table::default());
            let for_each = |row: Row| {
                if let Ok(table) = &mut set
                    && let Err(reason) = cells(row).and_then(|cells| table.push(cells))
                {
                    set = Err(reason);
                }
            };
            result.for_each(for_each).await.map_err(trouble)?;
            read.get_or_insert(set);
        }
        result.drop_result().await.map_err(trouble)?;
        // Every answer ends with the server's status. Without one our transaction is taken to be over, of which nothing good follows.
        let flags = self.0.last_ok_packet().map(|ok| ok.status_flags());
        let in_transaction = Some(flags.is_some_and(|flags| flags.contains(StatusFlags::SERVER_STATUS_IN_TRANS)));
        match read.unwrap_or_else(|| Ok(Table::default())) {
            Ok(table) => Ok(Table { in_transaction, ..table }),
            Err(reason) => Err(Trouble::Unreadable { reason, in_transaction }),
        }
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        self.simple(&format!("{STILL_OURS}; COMMIT")).await
    }

    async fn rollback(&mut self, begun: Begin) -> Result<(), Trouble> {
        match begun {
            Begin::Transaction => self.simple(&format!("{STILL_OURS}; ROLLBACK")).await,
            Begin::Nothing | Begin::ReadOnly => self.simple("ROLLBACK").await,
        }
    }
}

fn options(login: &Login, password: Option<String>) -> Opts {
    let tls = login.tls.as_ref().map(|files| {
        let client = files.client.clone();
        let identity = client.map(|(certificate, key)| ClientIdentity::new(certificate.into(), key.into()));
        SslOpts::default()
            .with_root_certs(vec![files.ca.clone().into()])
            .with_disable_built_in_roots(true)
            .with_client_identity(identity)
    });
    OptsBuilder::default()
        .ip_or_hostname(login.place.host.clone())
        .tcp_port(login.place.port)
        .db_name(Some(login.place.database.clone()))
        .user(Some(login.user.clone()))
        .pass(password)
        .ssl_opts(tls)
        // On a local host the driver would change to the socket of the system, past what is declared.
        .prefer_socket(false)
        .tcp_nodelay(true)
        .stmt_cache_size(STATEMENTS_MAX)
        // Known, so that the driver does not ask.
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .wait_timeout(Some(seconds(login.limits.idle_ms_max) as usize))
        .into()
}

/// Everything on which the meaning of an answer rests, whatever the server's defaults are. A session that is silent for `wait_timeout` is ended
/// by the server, so a call that comes later has no effect.
fn settings(limits: &SessionLimits, isolation: Isolation) -> String {
    let isolation = match isolation {
        Isolation::ReadCommitted => "READ COMMITTED",
        Isolation::RepeatableRead => "REPEATABLE READ",
        Isolation::Serializable => "SERIALIZABLE",
    };
    let (idle_s, lock_s, read_s) =
        (seconds(limits.idle_ms_max), seconds(limits.lock_wait_ms_max), seconds(limits.statement_ms_max));
    format!(
        "SET NAMES utf8mb4; SET SESSION TRANSACTION ISOLATION LEVEL {isolation}; SET SESSION autocommit = 1, \
         SESSION completion_type = 'NO_CHAIN', SESSION sql_mode = '{SQL_MODE}', SESSION time_zone = '+00:00', \
         SESSION innodb_lock_wait_timeout = {lock_s}, SESSION lock_wait_timeout = {lock_s}, \
         SESSION wait_timeout = {idle_s}, SESSION net_read_timeout = {read_s}"
    )
}

fn beginning(begin: Begin, statement: Duration) -> String {
    let begin = match begin {
        Begin::Nothing => "",
        Begin::Transaction => "; START TRANSACTION; SAVEPOINT locum",
        Begin::ReadOnly => "; START TRANSACTION READ ONLY",
    };
    // The call before may have turned autocommit off.
    let (s, ms) = (statement.as_secs(), statement.subsec_millis());
    format!("SET SESSION autocommit = 1, SESSION max_statement_time = {s}.{ms:03}{begin}")
}

/// MariaDB counts these times in whole seconds; the check of the configuration wants nothing else.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1_000)
}

fn bound(parameters: &[Bound]) -> Params {
    if parameters.is_empty() {
        return Params::Empty;
    }
    let value = |parameter: &Bound| match parameter {
        Bound::Text(text) => Value::Bytes(text.clone().into_bytes()),
        Bound::Integer(number) => Value::Int(*number),
    };
    Params::Positional(parameters.iter().map(value).collect())
}

fn cells(row: Row) -> Result<Vec<(String, Json)>, String> {
    let names: Vec<String> = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
    let values = row.unwrap();
    names.into_iter().zip(values).map(|(name, value)| Ok((name.clone(), cell(&name, value)?))).collect()
}

fn cell(name: &str, value: Value) -> Result<Json, String> {
    Ok(match value {
        Value::NULL => Json::Null,
        Value::Bytes(bytes) => {
            Json::Text(String::from_utf8(bytes).map_err(|_| format!("column {name} is not a text"))?)
        }
        Value::Int(number) => Json::Number(number.to_string()),
        Value::UInt(number) => Json::Number(number.to_string()),
        Value::Date(year, month, day, 0, 0, 0, 0) => Json::Text(format!("{year:04}-{month:02}-{day:02}")),
        Value::Float(_) | Value::Double(_) | Value::Date(..) | Value::Time(..) => {
            return Err(format!(
                "column {name} is a float or a time; let the statement answer with a text or a decimal"
            ));
        }
    })
}

/// A fault of the socket itself says that nobody is there; every other one comes from somebody who answers.
fn unopened(error: Error) -> Trouble {
    match error {
        Error::Io(IoError::Io(error)) if error.kind() != ErrorKind::InvalidData => {
            trouble(Error::Io(IoError::Io(error)))
        }
        Error::Server(error) => trouble(Error::Server(error)),
        error => Trouble::NoSession(trouble(error).to_string()),
    }
}

/// Messages are left out: servers put values into them.
fn trouble(error: Error) -> Trouble {
    match error {
        Error::Server(error) => Trouble::Server(ServerError { state: error.state, number: Some(error.code) }),
        Error::Io(error) => Trouble::Lost(format!("the connection broke: {error}")),
        Error::Driver(error) => Trouble::Lost(format!("the connection is of no use: {error}")),
        Error::Url(_) | Error::Other(_) => Trouble::Lost("no connection came about".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_its_time_and_its_transaction() {
        let text = beginning(Begin::Transaction, Duration::from_millis(1_350));
        let settings = "SET SESSION autocommit = 1, SESSION max_statement_time =";
        assert_eq!(text, format!("{settings} 1.350; START TRANSACTION; SAVEPOINT locum"));
        assert!(STILL_OURS.ends_with(" SAVEPOINT locum"));
        assert_eq!(beginning(Begin::Nothing, Duration::from_millis(5_000)), format!("{settings} 5.000"));
        assert!(beginning(Begin::ReadOnly, Duration::from_millis(50)).ends_with("0.050; START TRANSACTION READ ONLY"));
    }

    #[test]
    fn floats_and_bytes_are_not_read() {
        assert!(cell("a", Value::Double(1.5)).is_err() && cell("a", Value::Bytes(vec![0xff])).is_err());
        assert_eq!(cell("a", Value::Bytes(b"10.50".to_vec())), Ok(Json::Text("10.50".into())));
        assert_eq!(cell("a", Value::Date(2026, 3, 2, 0, 0, 0, 0)), Ok(Json::Text("2026-03-02".into())));
        assert_eq!(cell("a", Value::UInt(u64::MAX)), Ok(Json::Number(u64::MAX.to_string())));
    }

    #[test]
    fn every_setting_is_told_and_whole_seconds_are_never_less() {
        let limits = SessionLimits { idle_ms_max: 10_000, lock_wait_ms_max: 1_000, ..SessionLimits::default() };
        let text = settings(&limits, Isolation::Serializable);
        for part in ["ISOLATION LEVEL SERIALIZABLE", "autocommit = 1", "time_zone = '+00:00'", "wait_timeout = 10"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!([seconds(1), seconds(1_000), seconds(1_001)], [1, 1, 2]);
    }
}
