//! The configuration that attaches a core whose writes are SQL procedures. Shapes only; what they must satisfy is in `check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemas::core::{Capabilities, ReferenceFormat};
use serde::Deserialize;
use serde_json::Value;

use crate::config::Kind;
use crate::http::{ClientCertificate, DuplicateMeans, FieldKind};

/// One core whose writes are SQL procedures. Unknown keys are errors, everywhere.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SqlCoreConfig {
    /// `sql`.
    pub kind: Kind,
    /// The core's name in Locum.
    pub name: String,
    /// Which server it is.
    pub server: Server,
    /// `mysql://host:port/database` or `postgresql://host:port/database`, without credentials.
    pub url: String,
    /// Who logs in.
    pub credentials: Credentials,
    /// How the connection is encrypted. It may be left out for a server on this host only.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// What the core promises about references.
    pub capabilities: Capabilities,
    /// How it stores references.
    #[serde(default)]
    pub reference: ReferenceFormat,
    /// Bounds; every one has a default.
    #[serde(default)]
    pub limits: SessionLimits,
    /// Isolation of the transactions that post. Default `read-committed`.
    #[serde(default)]
    pub isolation: Isolation,
    /// How to ask whether it takes work.
    pub probe: ProbeQuery,
    /// Operations by name.
    pub operations: BTreeMap<String, SqlOperation>,
}

impl SqlCoreConfig {
    /// Makes every path in it absolute to this folder.
    pub fn resolve(&mut self, folder: &Path) {
        let tls = self.tls.iter_mut().flat_map(|tls| {
            let client = tls.client.iter_mut().flat_map(|client| [&mut client.certificate, &mut client.key]);
            std::iter::once(&mut tls.ca).chain(client)
        });
        for path in self.credentials.password_file.iter_mut().chain(tls) {
            *path = folder.join(&*path);
        }
    }
}

/// A kind of SQL server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// MariaDB 10.6 or newer.
    Mariadb,
    /// PostgreSQL 14 or newer.
    Postgresql,
}

/// Who logs in. The password stands in a file, which is read for every new connection.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// File with the password in one line. Left out = no password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// An encrypted connection. The certificate must show the host of the URL.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the authority that signed the server's certificate.
    pub ca: PathBuf,
    /// Our own certificate, where the server asks for one.
    #[serde(default)]
    pub client: Option<ClientCertificate>,
}

/// Bounds of the sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SessionLimits {
    /// Name look-up, connection, log-in and settings together. Default 1000.
    pub connect_ms_max: u64,
    /// Connections in use and idle together, probes aside. In a file: those of all instances, probes included, of which
    /// the server gives each its share. Default 64.
    pub connections_max: usize,
    /// The SQL server itself ends a session that is silent for so long, inside a transaction, too. A call that arrives
    /// later meets no session. Default 10 000.
    pub idle_ms_max: u64,
    /// A connection older than this is not used again. Default 300 000.
    pub age_ms_max: u64,
    /// The SQL server itself ends a statement that takes longer; a call gets less where its time is shorter. Default 5000.
    pub statement_ms_max: u64,
    /// The SQL server itself ends a wait for a lock that takes longer. Default 1000.
    pub lock_wait_ms_max: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            connect_ms_max: 1_000,
            connections_max: 64,
            idle_ms_max: 10_000,
            age_ms_max: 300_000,
            statement_ms_max: 5_000,
            lock_wait_ms_max: 1_000,
        }
    }
}

/// Isolation of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    #[default]
    ReadCommitted,
    /// All statements see one state.
    RepeatableRead,
    /// As if transactions ran one after the other.
    Serializable,
}

/// How to ask whether the core takes work. Runs in a read-only transaction.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeQuery {
    /// The query; it has no parameters.
    pub query: String,
    /// It takes postings.
    pub up: Vec<SqlRule>,
    /// It answers and takes none.
    #[serde(default)]
    pub read_only: Vec<SqlRule>,
}

/// One operation.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SqlOperation {
    /// The fields of a request; each must be used by the call's parameters.
    pub fields: BTreeMap<String, FieldKind>,
    /// The core's refusal codes and our reasons for them. A code that is not listed refuses nothing.
    #[serde(default)]
    pub refusals: BTreeMap<String, String>,
    /// How to post.
    pub post: PostCall,
    /// How to ask what became of a reference.
    #[serde(default)]
    pub enquiry: Option<EnquiryQuery>,
}

/// The call that posts, and its declared answers.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PostCall {
    /// `CALL …` or `SELECT …`, with `?` (MariaDB) or `$1` (PostgreSQL) for each parameter.
    pub call: String,
    /// What is bound, in order: templates as in the HTTP connector. `{amount.minor}` alone is a whole number, everything
    /// else a text. `{accepted_at}` alone is `YYYY-MM-DD HH:MM:SS.ffffff` in UTC.
    pub parameters: Vec<String>,
    /// Who begins and commits the transaction.
    pub transaction: TransactionOwner,
    /// It is posted.
    pub accepted: Vec<SqlRule>,
    /// The core says no, with a declared code.
    #[serde(default)]
    pub refused: Vec<SqlRefusal>,
    /// The core knows the reference.
    #[serde(default)]
    pub duplicate: Vec<SqlRule>,
    /// What such an answer says.
    #[serde(default)]
    pub duplicate_means: DuplicateMeans,
    /// Nothing was done, and a later attempt may succeed.
    #[serde(default)]
    pub not_done: Vec<SqlRule>,
    /// What an acceptance tells.
    #[serde(default)]
    pub posting: PostingColumns,
}

/// Who begins and commits the transaction of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionOwner {
    /// We do: nothing is done before our COMMIT. The procedure must not commit, and must not do what commits by itself.
    Connector,
    /// The call does: it runs in autocommit, and commits everything in one transaction as the last thing it does.
    Procedure,
}

/// An enquiry by `{core_ref}` and its declared answers. Runs in a read-only transaction.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EnquiryQuery {
    /// The query, written as the call is.
    pub query: String,
    /// What is bound, in order; `{core_ref}` is the only placeholder.
    pub parameters: Vec<String>,
    /// It is posted.
    pub found: Vec<SqlRule>,
    /// The core keeps a refusal.
    #[serde(default)]
    pub refused: Vec<SqlRefusal>,
    /// The core has nothing under the reference.
    pub not_found: Vec<SqlRule>,
    /// What the answer tells; as in `post` where absent.
    #[serde(default)]
    pub posting: Option<PostingColumns>,
}

/// A declared answer: columns of the first row with their values, or an error, or no row at all. Exactly one of them.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SqlRule {
    /// Column of the first row → the value that must be there. All of them must fit.
    pub when: BTreeMap<String, Value>,
    /// The call ended with one of these errors.
    pub error: Vec<ErrorCode>,
    /// `none`: the query found no row. For an enquiry's `not-found` only.
    pub rows: Option<Rows>,
}

/// A declared refusal: columns of the first row and a column with the code, or an error, which is the code itself.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SqlRefusal {
    /// Column of the first row → the value that must be there.
    pub when: BTreeMap<String, Value>,
    /// Column with the code, a text or a whole number.
    pub code: Option<String>,
    /// The call ended with one of these errors; the code is the error as it is written here.
    pub error: Vec<ErrorCode>,
}

/// How many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    /// Not one.
    None,
}

/// An error of a SQL server: MariaDB's number, or a SQLSTATE in quotes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ErrorCode {
    /// MariaDB's number.
    Number(u16),
    /// Five characters.
    State(String),
}

/// Where an acceptance tells what was posted. What is declared here must be there, or the answer is not usable.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PostingColumns {
    /// Column of the reference; it must be ours.
    pub reference: Option<String>,
    /// Column of the core's number of the posting.
    pub id: Option<String>,
    /// Where the legs are.
    pub legs: Vec<LegColumns>,
}

/// One leg in columns of the first row, or one leg in each row.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LegColumns {
    /// `row`: each row is a leg. Absent = the columns are those of the first row.
    #[serde(default)]
    pub each: Option<Each>,
    /// Column of the account.
    pub account: String,
    /// Column of the posting's number on that account.
    #[serde(default)]
    pub number: Option<String>,
    /// The amount; absent = the core tells only accounts and numbers, and legs are not compared.
    #[serde(default)]
    pub amount: Option<AmountColumn>,
}

/// What legs are repeated over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// Rows.
    Row,
}

/// Where a leg's amount is and what it means.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AmountColumn {
    /// Its column.
    pub column: String,
    /// What the digits count.
    pub unit: ColumnUnit,
    /// Which way the money goes. Default `signed`.
    #[serde(default)]
    pub direction: ColumnDirection,
}

/// What the digits of an amount count.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnUnit {
    /// Minor units.
    Minor,
    /// Decimals of a fixed currency.
    Currency(String),
    /// Decimals of the currency in this column of the same row.
    CurrencyColumn(String),
}

/// Which way a leg goes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ColumnDirection {
    /// The amount is signed, a debit is negative.
    #[default]
    Signed,
    /// Always a debit; the amount has no sign.
    Debit,
    /// Always a credit; the amount has no sign.
    Credit,
    /// A code says so; the amount has no sign.
    Coded {
        /// Column of the code.
        column: String,
        /// The code of a debit.
        debit: String,
        /// The code of a credit.
        credit: String,
    },
}
