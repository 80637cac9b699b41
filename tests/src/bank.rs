//! The simulated core as a test sees it: its process, its control interface, its own tables.

use std::path::PathBuf;
use std::process::Command;

use http::Method;
use mysql_async::prelude::Queryable;
use serde_json::{Value as Json, json};

use crate::client::http;
use crate::history::{Account, Books, Posting, Side};
use crate::process::{Process, binary, free_port};
use crate::stack::{Database, connect};
use crate::wait::PATIENCE;
use crate::wait::wait_for;

/// account_no, posting_no, ext_ref, leg, amount in minor units, ccy, text, value_date: as selected.
type PostingRow = (String, i64, Option<String>, String, i64, String, String, String);

/// What the core promises about references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Remembers references.
    Idempotent,
    /// Can be asked.
    Enquiry,
    /// Neither.
    Neither,
}

impl Class {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idempotent => "idempotent",
            Self::Enquiry => "enquiry",
            Self::Neither => "neither",
        }
    }
}

/// How a core is started.
#[derive(Debug, Clone)]
pub struct CoreOptions {
    /// What it promises.
    pub class: Class,
    /// How many accounts it has.
    pub accounts: u64,
    /// What is on each, such as `1000.00`.
    pub opening_balance: String,
    /// After this a request has no effect any more.
    pub request_lifetime_ms: u64,
}

/// The simulated core on its own database, with ports that stay the same over restarts.
pub struct Core {
    options: CoreOptions,
    database: Database,
    folder: PathBuf,
    bank: u16,
    control: u16,
    process: Option<Process>,
}

impl Core {
    /// Starts it and waits until it answers.
    pub async fn start(options: CoreOptions, database: Database, folder: PathBuf) -> Self {
        let (bank, control) = (free_port(), free_port());
        let mut core = Self { options, database, folder, bank, control, process: None };
        core.restart().await;
        core
    }

    /// A second process over the same database, with ports of its own.
    pub async fn standby(&self) -> Self {
        Self::start(self.options.clone(), self.database.clone(), self.folder.clone()).await
    }

    /// Starts the process again after a kill, and waits until it answers.
    pub async fn restart(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Starts the process without waiting.
    pub fn launch(&mut self) {
        let mut command = Command::new(binary("core-sim", "CORE_SIM_BIN"));
        let options = &self.options;
        command.args(["--listen", &self.address(), "--control", &format!("127.0.0.1:{}", self.control)]);
        command.args(["--database", &self.database.url(), "--class", options.class.as_str()]);
        command.args(["--accounts", &options.accounts.to_string(), "--opening-balance", &options.opening_balance]);
        command.args(["--request-lifetime-ms", &options.request_lifetime_ms.to_string()]);
        self.process = Some(Process::start("core-sim", command, &self.folder.join("core-sim.log")));
    }

    /// Waits until it is up with its database.
    pub async fn ready(&mut self) {
        let mut client = http(self.address(), None);
        wait_for("the simulated core is up", PATIENCE, async || match client.get("/health").await {
            Ok(answer) if answer.body["status"] == "UP" => Ok(()),
            Ok(answer) => Err(answer.body.to_string()),
            Err(err) => Err(err),
        })
        .await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGSTOP: connections are taken by the kernel and never answered.
    pub fn freeze(&self) {
        self.process.iter().for_each(Process::freeze);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.iter().for_each(Process::thaw);
    }

    /// Where the bank's interface listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.bank)
    }

    /// Puts a fault in force, such as `{"kind": "hang"}`.
    pub async fn fault(&self, fault: Json) {
        self.order(Method::PUT, "/faults", Some(&fault)).await;
    }

    /// Ends the fault in force.
    pub async fn heal(&self) {
        self.fault(json!({"kind": "none"})).await;
    }

    /// How many requests the fault in force has hit.
    pub async fn hits(&self) -> u64 {
        self.order(Method::GET, "/faults", None).await["hit"].as_u64().unwrap_or(0)
    }

    /// Any order of the control interface.
    pub async fn order(&self, method: Method, path: &str, body: Option<&Json>) -> Json {
        let mut client = http(format!("127.0.0.1:{}", self.control), None);
        let answer = client.request(method, path, &[], body).await.unwrap_or_else(|err| panic!("core {path}: {err}"));
        assert!(answer.status.is_success(), "core {path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// Its database, to do by hand what a branch or a batch job would.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Gives the database back; the process ends.
    pub fn into_database(mut self) -> Database {
        self.kill();
        self.database
    }

    /// What somebody with a look into its books needs, while it may be away.
    pub fn look(&self) -> Look {
        Look { url: self.database.url() }
    }

    /// Its tables, read in one snapshot past its own code.
    pub async fn books(&self) -> Books {
        let mut db = self.database.connect().await;
        read_books(&mut db).await.unwrap_or_else(|err| panic!("the core's tables: {err}"))
    }
}

/// A look into the core's books.
pub struct Look {
    url: String,
}

impl Look {
    /// Is something posted under this reference? An error while the database is away.
    pub async fn has(&self, reference: &str) -> Result<bool, mysql_async::Error> {
        let mut db = connect(&self.url).await?;
        let count = db.exec_first("SELECT COUNT(*) FROM postings WHERE ext_ref = ?", (reference,)).await?;
        Ok(count.is_some_and(|count: i64| count > 0))
    }
}

async fn read_books(db: &mut mysql_async::Conn) -> Result<Books, mysql_async::Error> {
    db.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    let accounts = "SELECT account_no, ccy, CAST(balance * 100 AS SIGNED), last_posting FROM accounts";
    let accounts: Vec<(String, String, i64, i64)> = db.query(accounts).await?;
    let postings = "SELECT account_no, posting_no, ext_ref, leg, CAST(amount * 100 AS SIGNED), ccy, text, \
        CAST(value_date AS CHAR) FROM postings";
    let postings: Vec<PostingRow> = db.query(postings).await?;
    db.query_drop("COMMIT").await?;
    let account =
        |(name, currency, balance_minor, last_posting)| (name, Account { currency, balance_minor, last_posting });
    let posting = |row: PostingRow| {
        let (account, number, core_ref, leg, amount_minor, currency, text, value_date) = row;
        let side = if leg == "D" { Side::Debit } else { Side::Credit };
        Posting { account, number, core_ref, side, amount_minor, currency, text, value_date }
    };
    Ok(Books {
        accounts: accounts.into_iter().map(account).collect(),
        postings: postings.into_iter().map(posting).collect(),
    })
}
