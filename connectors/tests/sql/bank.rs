//! A bank's core on a real server: the tables and the procedure of the examples, a person with a hand on them, and the connector.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use locum_connectors::sql::{MARIADB_EXAMPLE, POSTGRESQL_EXAMPLE, Server, SqlCore, SqlCoreConfig, TransactionOwner};
use locum_connectors::{Field, PostRequest};
use mysql_async::prelude::Queryable;
use schemas::core::{Outcome, Unsent};
use schemas::money::Currency;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::given;

/// Long enough to never matter.
pub const PATIENT: Duration = Duration::from_secs(30);

const MARIADB_TABLES: &str = include_str!("../../cores/sql/mariadb.sql");
const POSTGRESQL_TABLES: &str = include_str!("../../cores/sql/postgresql.sql");
const ACCOUNTS: &str = "INSERT INTO accounts (account_no, ccy, balance) VALUES \
                        ('A-1', 'EUR', 100), ('B-2', 'EUR', 100), ('C-3', 'CHF', 100)";

static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct Bank {
    pub server: Server,
    /// Without a database.
    address: String,
    name: String,
}

/// A session of a person.
pub enum Hand {
    Mariadb(mysql_async::Conn),
    Postgresql(sqlx::PgConnection),
}

/// Runs a test on every server that is given, in both kinds of transaction.
pub async fn everywhere<F: Future<Output = ()>>(test: impl Fn(std::sync::Arc<Bank>, TransactionOwner) -> F) {
    for server in [Server::Mariadb, Server::Postgresql] {
        for owner in [TransactionOwner::Connector, TransactionOwner::Procedure] {
            on(server, |bank| test(bank, owner)).await;
        }
    }
}

/// Runs a test on this server, if it is given.
pub async fn on<F: Future<Output = ()>>(server: Server, test: impl FnOnce(std::sync::Arc<Bank>) -> F) {
    let Some(bank) = Bank::open(server).await else { return };
    let bank = std::sync::Arc::new(bank);
    test(bank.clone()).await;
    bank.close().await;
}

impl Bank {
    async fn open(server: Server) -> Option<Self> {
        let variable = match server {
            Server::Mariadb => "LOCUM_TEST_CORE_DB_URL",
            Server::Postgresql => "LOCUM_TEST_POSTGRES_URL",
        };
        let address = given::address(variable)?.trim_end_matches('/').to_owned();
        let name = format!("sql_core_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let bank = Self { server, address, name };
        bank.system().await.exec(&format!("CREATE DATABASE {}", bank.name)).await;
        let mut hand = bank.hand().await;
        match server {
            Server::Mariadb => {
                for statement in MARIADB_TABLES.split("\n//\n") {
                    hand.exec(statement).await;
                }
            }
            Server::Postgresql => hand.exec(POSTGRESQL_TABLES).await,
        }
        hand.exec(ACCOUNTS).await;
        Some(bank)
    }

    async fn close(&self) {
        let force = if self.server == Server::Postgresql { " WITH (FORCE)" } else { "" };
        self.system().await.exec(&format!("DROP DATABASE {}{force}", self.name)).await;
    }

    /// A session in the system's own database.
    async fn system(&self) -> Hand {
        match self.server {
            Server::Mariadb => Hand::open(&format!("{}/mysql", self.address)).await,
            Server::Postgresql => Hand::open(&format!("{}/postgres", self.address)).await,
        }
    }

    /// A session in the bank's database.
    pub async fn hand(&self) -> Hand {
        Hand::open(&format!("{}/{}", self.address, self.name)).await
    }

    /// The example's configuration for this place.
    pub fn yaml(&self, owner: TransactionOwner) -> String {
        let (scheme, place) = self.address.split_once("://").unwrap();
        let (user, host) = place.split_once('@').unwrap();
        let example = match self.server {
            Server::Mariadb => MARIADB_EXAMPLE,
            Server::Postgresql => POSTGRESQL_EXAMPLE,
        };
        let line = |start: &str| example.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        let yaml = example
            .replace(&line("url: "), &format!("url: {scheme}://{host}/{}", self.name))
            .replace(&line("credentials: "), &format!("credentials: {{user: {user}}}"));
        match (owner, self.server) {
            (TransactionOwner::Connector, _) => yaml,
            (TransactionOwner::Procedure, Server::Postgresql) => {
                changed(&yaml, "transaction: connector", "transaction: procedure")
            }
            (TransactionOwner::Procedure, Server::Mariadb) => {
                let yaml = changed(&yaml, "transaction: connector", "transaction: procedure");
                let yaml = changed(&yaml, "CALL post_transfer(", "CALL post_transfer_and_commit(");
                changed(&yaml, "[1205, 1213, 1969]", "[1205, 1213]")
            }
        }
    }

    pub fn core(&self, owner: TransactionOwner) -> SqlCore {
        build(&self.yaml(owner))
    }

    /// A core whose waits for locks are longer than what a test waits for.
    pub fn patient_core(&self, owner: TransactionOwner) -> SqlCore {
        build(&changed(&self.yaml(owner), "lock-wait-ms-max: 1000", "lock-wait-ms-max: 4000"))
    }

    /// Postings under this reference, and the balance of the account that is debited.
    pub async fn books(&self, reference: &str) -> (String, String) {
        let mut hand = self.hand().await;
        let text = |what: &str| match self.server {
            Server::Mariadb => format!("CAST({what} AS CHAR)"),
            Server::Postgresql => format!("({what})::text"),
        };
        let postings = format!("SELECT {} FROM postings WHERE ext_ref = '{reference}'", text("COUNT(*)"));
        let balance = format!("SELECT {} FROM accounts WHERE account_no = 'A-1'", text("balance"));
        (hand.one(&postings).await.unwrap(), hand.one(&balance).await.unwrap())
    }

    /// Keeps the account to be debited locked as long as the session lives.
    pub async fn lock(&self) -> Hand {
        let mut hand = self.hand().await;
        hand.exec("BEGIN").await;
        hand.exec("UPDATE accounts SET balance = balance + 1 WHERE account_no = 'A-1'").await;
        hand
    }

    /// The connector's session that waits in the call for the locked account, once there is one.
    pub async fn waiting_session(&self) -> String {
        // MariaDB shows the statement inside the procedure.
        self.session_at(if self.server == Server::Mariadb { "FROM accounts WHERE" } else { "post_transfer" }).await
    }

    /// The connector's session that is held up in a statement with this in it, once there is one.
    pub async fn session_at(&self, text: &str) -> String {
        let mut hand = self.hand().await;
        let look = match self.server {
            Server::Mariadb => format!(
                "SELECT CAST(id AS CHAR) FROM information_schema.processlist WHERE db = '{}' \
                 AND id <> CONNECTION_ID() AND command <> 'Sleep' AND info LIKE '%{text}%'",
                self.name
            ),
            Server::Postgresql => format!(
                "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'locum' AND wait_event_type IN ('Lock', 'Timeout') AND query LIKE '%{text}%'"
            ),
        };
        let deadline = Instant::now() + PATIENT;
        loop {
            if let Some(session) = hand.one(&look).await {
                return session;
            }
            assert!(Instant::now() < deadline, "no session is held up in {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the connection of a session from outside.
    pub async fn kill(&self, session: &str) {
        let mut hand = self.hand().await;
        match self.server {
            Server::Mariadb => hand.exec(&format!("KILL CONNECTION {session}")).await,
            Server::Postgresql => {
                hand.one(&format!("SELECT pg_terminate_backend({session})::text")).await;
            }
        }
    }

    /// How many sessions the connector has at the server.
    pub async fn sessions(&self) -> String {
        let look = match self.server {
            Server::Mariadb => format!(
                "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID()",
                self.name
            ),
            Server::Postgresql => "SELECT COUNT(*)::text FROM pg_stat_activity WHERE datname = current_database() \
                                   AND application_name = 'locum'"
                .to_owned(),
        };
        self.hand().await.one(&look).await.unwrap()
    }
}

impl Hand {
    async fn open(url: &str) -> Self {
        if url.starts_with("mysql:") {
            let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(url).unwrap());
            Self::Mariadb(mysql_async::Conn::new(options.prefer_socket(false)).await.unwrap())
        } else {
            let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
            Self::Postgresql(options.disable_statement_logging().connect().await.unwrap())
        }
    }

    pub async fn exec(&mut self, text: &str) {
        match self {
            Self::Mariadb(conn) => conn.query_drop(text).await.unwrap(),
            Self::Postgresql(conn) => drop(conn.execute(text).await.unwrap()),
        }
    }

    /// The text in the first column of the first row.
    pub async fn one(&mut self, text: &str) -> Option<String> {
        match self {
            Self::Mariadb(conn) => conn.query_first(text).await.unwrap(),
            Self::Postgresql(conn) => sqlx::query_scalar(text).fetch_optional(conn).await.unwrap(),
        }
    }

    /// Gives up what it has locked, and waits until the server has done so.
    pub async fn release(mut self) {
        self.exec("ROLLBACK").await;
        match self {
            Self::Mariadb(conn) => conn.disconnect().await.unwrap(),
            Self::Postgresql(conn) => conn.close().await.unwrap(),
        }
    }
}

/// A text with one thing in it changed; it must be there.
pub fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    text.replace(from, to)
}

pub fn config(yaml: &str) -> SqlCoreConfig {
    serde_saphyr::from_str(yaml).unwrap_or_else(|err| panic!("{err}"))
}

pub fn build(yaml: &str) -> SqlCore {
    SqlCore::build(config(yaml)).unwrap_or_else(|errors| panic!("{errors:?}"))
}

pub fn transfer(reference: &str) -> PostRequest {
    transfer_of(reference, "A-1", "B-2", 1050)
}

pub fn transfer_of(reference: &str, from: &str, to: &str, minor: i64) -> PostRequest {
    PostRequest {
        operation: "transfer".into(),
        core_ref: reference.into(),
        accepted_at: "2026-03-01T10:20:30.5Z".parse().unwrap(),
        value_date: jiff::civil::date(2026, 3, 2),
        fields: vec![
            ("from_account".into(), Field::Text(from.into())),
            ("to_account".into(), Field::Text(to.into())),
            ("amount".into(), Field::Money { minor, currency: Currency::parse("EUR").unwrap() }),
            ("remittance".into(), Field::Text("rent'; DROP TABLE accounts; -- \u{1F600}".into())),
        ],
    }
}

pub fn is_posted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Posted(_))
}

pub fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

pub fn is_unsent(outcome: &Outcome, expected: Unsent) -> bool {
    matches!(outcome, Outcome::NotSent { why, .. } if *why == expected)
}
