//! Mappings: which of a core's columns feed which canonical field. Declared in YAML, checked whole, applied to change events.

mod amount;
mod apply;
mod beat;
mod choice;
mod code;
mod contradictions;
mod coverage;
mod currency;
mod field;
mod filter;
mod identifier;
mod known;
mod links;
mod lookup;
mod node;
mod postings;
mod read;
mod reference;
mod refusals;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod view;
mod words;

use jiff::tz::TimeZone;

pub use coverage::{TableUse, Unlisted};
use currency::Currencies;
pub use known::{KeptRow, RowId};
pub use lookup::Accounts;
use table::{Table, qualified};

use crate::core::ReferenceFormat;
use crate::debezium::{ChangeEvent, Connector};
use crate::decimal::DecimalError;
use crate::model::{CanonicalChange, Entity, LegEvidence, PostingLink, Refusal};
use crate::temporal::TemporalError;

/// A checked mapping of one source.
#[derive(Debug, Clone)]
pub struct Mapping {
    source: String,
    connector: Connector,
    zone: TimeZone,
    plausible_years: u16,
    currencies: Currencies,
    /// How our references are written, for finding them in texts.
    reference: ReferenceFormat,
    tables: Vec<Table>,
    /// Database, where it is named, and name of the table of heartbeats.
    heartbeat: Option<(Option<String>, String)>,
}

/// Years between a booking and its change beyond which the time is not believed, unless the mapping says otherwise.
/// A bank's books go back further than that seldom, and a zero date, 1970, is further back.
pub const PLAUSIBLE_YEARS: u16 = 40;

/// What `locum mapping draft` writes where a person must say what the core means; no text of a mapping may be this.
pub const FILL_IN: &str = "FILL-IN";

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

    /// How our references are written, where the mapping looks for them in texts: the connector of the core must write them so.
    pub fn reference(&self) -> Option<&ReferenceFormat> {
        self.tables.iter().any(Table::looks_for_references).then_some(&self.reference)
    }

    /// True when rows of some table name the postings that our references are of.
    pub fn has_links(&self) -> bool {
        self.tables.iter().any(|table| table.links.is_some())
    }

    /// True for an event of a table whose rows tell of refusals and of nothing else: they feed no canonical row.
    pub fn only_refuses(&self, event: &ChangeEvent<'_>) -> bool {
        let only = |table: &Table| table.refusals.is_some() && table.links.is_none() && table.feeds().is_empty();
        self.table(event).is_some_and(only)
    }

    /// Names of the mapped tables and of that of heartbeats, qualified where the mapping qualifies them.
    pub fn tables(&self) -> impl Iterator<Item = String> {
        let beats = self.heartbeat.iter().map(|(database, name)| qualified(database.as_ref(), name));
        self.tables.iter().map(Table::full_name).chain(beats)
    }

    /// Those of [`Mapping::tables`] whose rows are accounts or customers: only these tables say which of them exist.
    pub fn master_tables(&self) -> impl Iterator<Item = String> {
        let masters = self.tables.iter().filter(|table| table.account.is_some() || table.customer.is_some());
        masters.map(Table::full_name)
    }

    /// The mapped table that an event belongs to.
    ///
    /// The topic names the table, because events of a table's partitions come on the topic of the table. Where it does not
    /// (another routing of topics), the source block does.
    fn table(&self, event: &ChangeEvent<'_>) -> Option<&Table> {
        let named = event.topic.strip_prefix(event.source.name.as_ref()).and_then(|rest| rest.strip_prefix('.'));
        let named = named.and_then(|rest| rest.split_once('.'));
        let by_topic = named.and_then(|(database, name)| self.named(database, name));
        by_topic.or_else(|| self.named(&event.source.database, &event.source.table))
    }

    fn named(&self, database: &str, name: &str) -> Option<&Table> {
        let here = |table: &&Table| {
            table.name == name && table.database.as_deref().is_none_or(|qualified| qualified == database)
        };
        self.tables.iter().find(here)
    }
}

/// What a mapping makes of a change event.
#[allow(clippy::large_enum_variant, reason = "one at a time, and nearly always the large one")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// What its table's rows become.
    Rows(MappedRows),
    /// No mapped table takes it. The caller counts and shows it, because a table may have been forgotten.
    Unmapped,
}

/// What one change event comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MappedRows {
    /// Changes of canonical rows; a moved key's delete before its upsert.
    pub changes: Vec<CanonicalChange>,
    /// Evidence about written entries.
    pub evidence: Vec<LegEvidence>,
    /// Which references belong to postings of other rows.
    pub links: Vec<PostingLink>,
    /// What the core refused.
    pub refusals: Vec<Refusal>,
    /// What the core's row is stored under from now on, where its own key does not tell it.
    pub kept: Option<KeptRow>,
    /// The table, when its filter leaves the row out: what the row had fed before ends by the changes, nothing new begins.
    pub skipped: Option<String>,
}

/// A canonical row that an event concerns, known even when the event cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Touched {
    /// Which kind of row.
    pub entity: Entity,
    /// Its key within the kind; empty in what is kept of a core's row that feeds none of this kind at present.
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

impl MapError {
    /// True when the connector's settings or the core's tables differ from the mapping. Then the source must halt at the
    /// first such event: every later one of the table is in doubt, also one that can be read.
    pub fn is_contradiction(&self) -> bool {
        self.reason.is_contradiction()
    }
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
    #[error("value not in the log: set REPLICA IDENTITY FULL for the table, or binlog_row_image=FULL")]
    Unavailable,
    /// Another type than mapped.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The column is written in another form than the mapping says.
    #[error("the connector writes this column in another form than mapped: expected {0}")]
    OtherForm(&'static str),
    /// An integer that no field holds.
    #[error("an integer beyond 64 bits")]
    IntegerRange,
    /// A negative integer in an identifier that is not declared as signed.
    #[error(
        "a negative identifier: an unsigned BIGINT beyond 63 bits arrives so; set bigint.unsigned.handling.mode=precise in the \
         connector and map the column with `type: decimal, scale: 0`, or declare `type: integer` if negative ones are meant"
    )]
    NegativeKey,
    /// An identifier that may be a number in base64.
    #[error(
        "an identifier that looks like a number in base64, and neither a schema block nor the mapping says what it is: declare its \
         `type` (text, or decimal with a scale)"
    )]
    UndeclaredKey,
    /// A row without a key where later events of it must be told from others.
    #[error(
        "the event has no key: rows of a table without a primary key can only feed `transaction`; give it a key, or set \
         message.key.columns in the connector"
    )]
    NoKey,
    /// A code the mapping does not list.
    #[error("a code that the mapping does not list")]
    UnknownCode,
    /// Neither an ISO 4217 code nor one that the mapping declares.
    #[error("unknown currency code")]
    UnknownCurrency,
    /// The row takes something from its account, and the account is not known.
    #[error("the row takes its currency from its account, and the row of that account has not come")]
    NoAccount,
    /// The key may have changed, and the row before is not in the log.
    #[error(
        "the row before is needed to follow an identifier outside the table's key: set REPLICA IDENTITY FULL for the table, or \
         binlog_row_image=FULL"
    )]
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

impl MapReason {
    fn is_contradiction(self) -> bool {
        match self {
            Self::Connector | Self::OtherForm(_) => true,
            Self::Decimal(err) => err.is_contradiction(),
            Self::Temporal(err) => err.is_contradiction(),
            _ => false,
        }
    }
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
