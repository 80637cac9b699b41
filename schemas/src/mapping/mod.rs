//! Mappings: which of a core's columns feed which canonical field. Declared in YAML, checked whole, applied to change events.

mod apply;
mod field;
mod node;
mod read;
#[cfg(test)]
mod tests;
mod view;

use jiff::tz::TimeZone;

use crate::debezium::{Connector, Source};
use crate::decimal::{DecimalError, DecimalFormat};
use crate::entry::LegKind;
use crate::model::{AccountState, CanonicalChange, Entity, LegEvidence};
use crate::temporal::{TemporalError, TimeFormat};

/// A checked mapping of one source.
#[derive(Debug, Clone)]
pub struct Mapping {
    source: String,
    connector: Connector,
    zone: TimeZone,
    tables: Vec<Table>,
}

impl Mapping {
    /// Reads and checks a mapping; reports every problem it has, not only the first.
    pub fn from_yaml(yaml: &str) -> Result<Self, MappingErrors> {
        read::mapping(yaml)
    }

    /// The source's name, as in `Data-Position` and metrics.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The connector whose positions are expected.
    pub fn connector(&self) -> Connector {
        self.connector
    }

    /// Names of the mapped tables, qualified where the mapping qualifies them.
    pub fn tables(&self) -> impl Iterator<Item = String> {
        self.tables.iter().map(Table::full_name)
    }

    fn table(&self, source: &Source<'_>) -> Option<&Table> {
        let here = |table: &&Table| {
            table.name == source.table && table.database.as_ref().is_none_or(|database| *database == source.database)
        };
        self.tables.iter().find(here)
    }
}

/// What one change event comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Changes of canonical rows; a moved key's delete before its upsert.
    pub changes: Vec<CanonicalChange>,
    /// Evidence about written entries.
    pub evidence: Vec<LegEvidence>,
}

/// A canonical row that an event concerns, known even when the event cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Touched {
    /// Which kind of row.
    pub entity: Entity,
    /// Its key within the kind.
    pub key: String,
    /// The account it belongs to, where the event tells it.
    pub account_id: Option<String>,
}

/// Why an event cannot be mapped. Names the place, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}.{column}: {reason}")]
pub struct MapError {
    /// The core's table.
    pub table: String,
    /// The core's column; empty when the whole event is meant.
    pub column: String,
    /// What is wrong there.
    pub reason: MapReason,
}

/// What is wrong with a mapped column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MapReason {
    /// The row does not have it.
    #[error("no such column in the event")]
    Missing,
    /// NULL where the field needs a value.
    #[error("NULL, and the field needs a value")]
    Null,
    /// Debezium did not get the value from the log.
    #[error("value not in the log (replica identity or row image is not FULL)")]
    Unavailable,
    /// Another type than mapped.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A code the mapping does not list.
    #[error("a code that the mapping does not list")]
    UnknownCode,
    /// No ISO 4217 code.
    #[error("unknown currency code")]
    UnknownCurrency,
    /// The key may have changed, and the row before is not in the log.
    #[error("the row before is needed to follow the key (row image is not FULL)")]
    NoBefore,
    /// The event is of another connector than the mapping.
    #[error("event of another connector than mapped")]
    Connector,
    /// No exact amount.
    #[error(transparent)]
    Decimal(#[from] DecimalError),
    /// No time.
    #[error(transparent)]
    Temporal(#[from] TemporalError),
}

/// Everything that is wrong with a mapping, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingErrors(pub Vec<MappingIssue>);

impl std::fmt::Display for MappingErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in the mapping", if self.0.len() == 1 { "a problem" } else { "several problems" })?;
        self.0.iter().try_for_each(|issue| write!(f, "\n  {issue}"))
    }
}

impl std::error::Error for MappingErrors {}

/// One thing that is wrong with a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingIssue {
    /// Line in the YAML, from 1; 0 when unknown.
    pub line: u64,
    /// Path of the field, such as `tables.accounts.balance.booked`.
    pub at: String,
    /// What is wrong.
    pub problem: String,
}

impl std::fmt::Display for MappingIssue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.at, self.problem)
    }
}

#[derive(Debug, Clone)]
struct Table {
    database: Option<String>,
    name: String,
    key: Vec<String>,
    customer: Option<CustomerFields>,
    account: Option<AccountFields>,
    balance: Option<BalanceFields>,
    transaction: Option<TransactionFields>,
    confirms: Option<Confirms>,
}

impl Table {
    fn full_name(&self) -> String {
        self.database.iter().chain([&self.name]).cloned().collect::<Vec<_>>().join(".")
    }

    /// The kinds of rows it feeds with the columns their keys are made of.
    fn ids(&self) -> Vec<(Entity, &Id)> {
        let mut ids = Vec::with_capacity(2);
        ids.extend(self.customer.as_ref().map(|f| (Entity::Customer, &f.customer_id)));
        ids.extend(self.account.as_ref().map(|f| (Entity::Account, &f.account_id)));
        ids.extend(self.balance.as_ref().map(|f| (Entity::Balance, &f.account_id)));
        ids.extend(self.transaction.as_ref().map(|f| (Entity::Transaction, &f.transaction_id)));
        ids
    }
}

/// Columns whose texts make an identifier; several are joined by `-`, with `-` and `%` inside a part escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Id(Vec<String>);

/// A column of codes and what each means.
#[derive(Debug, Clone)]
struct Codes<T> {
    column: String,
    codes: Vec<(String, T)>,
}

#[derive(Debug, Clone)]
struct Amount {
    column: String,
    format: AmountFormat,
}

#[derive(Debug, Clone, Copy)]
enum AmountFormat {
    Decimal(DecimalFormat),
    MinorUnits,
}

#[derive(Debug, Clone)]
struct Time {
    column: String,
    format: TimeFormat,
}

#[derive(Debug, Clone)]
struct CustomerFields {
    customer_id: Id,
    name: Option<String>,
}

#[derive(Debug, Clone)]
struct AccountFields {
    account_id: Id,
    customer_id: Id,
    currency: String,
    state: Codes<AccountState>,
    product: Option<String>,
}

#[derive(Debug, Clone)]
struct BalanceFields {
    account_id: Id,
    currency: String,
    booked: Amount,
    overdraft_line: Option<Amount>,
    core_holds: Option<Amount>,
    last_posting: Option<String>,
}

#[derive(Debug, Clone)]
struct TransactionFields {
    transaction_id: Id,
    account_id: Id,
    posting_no: Option<String>,
    amount: Amount,
    leg: Option<Codes<LegKind>>,
    currency: String,
    booked_at: Time,
    value_date: Option<String>,
    remittance: Option<String>,
    core_ref: Option<String>,
}

#[derive(Debug, Clone)]
struct Confirms {
    posted: Option<Predicate>,
    refused: Option<Predicate>,
    reversed: Option<Predicate>,
}

#[derive(Debug, Clone)]
struct Predicate {
    column: String,
    equals: Vec<String>,
}
