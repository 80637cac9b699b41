//! The source block: where in the core's own log a change stands.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{DecodeError, Half, OURS};
use super::row::{Cell, Name};
use crate::position::{FILE_MAX, LogIdentity, OFFSET_MAX, SourcePosition};

/// The Debezium connectors whose positions we can order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connector {
    /// `io.debezium.connector.mariadb`.
    MariaDb,
    /// `io.debezium.connector.mysql`.
    MySql,
    /// `io.debezium.connector.postgresql`.
    Postgres,
}

impl Connector {
    /// Reads the source block's `connector`, which is also the name in mappings.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "mariadb" => Some(Self::MariaDb),
            "mysql" => Some(Self::MySql),
            "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// The reverse of [`Connector::parse`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
            Self::Postgres => "postgresql",
        }
    }
}

/// Whether an event was read from a table or from the log, and where in the snapshot it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Snapshot {
    /// Streamed from the log.
    Streamed,
    /// The first row of the snapshot.
    First,
    /// The first row of its table.
    FirstInTable,
    /// A row in the middle.
    Ongoing,
    /// The last row of its table.
    LastInTable,
    /// The last row of the snapshot: everything before the stream has been seen.
    Last,
    /// Part of an incremental (signalled) snapshot, between streamed events.
    Incremental,
}

impl Snapshot {
    /// True for rows read from a table.
    pub fn is_snapshot(self) -> bool {
        self != Self::Streamed
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "false" => Self::Streamed,
            "true" => Self::Ongoing,
            "first" => Self::First,
            "first_in_data_collection" => Self::FirstInTable,
            "last_in_data_collection" => Self::LastInTable,
            "last" => Self::Last,
            "incremental" => Self::Incremental,
            _ => return None,
        })
    }
}

/// Where a change comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBlock<'a> {
    /// Which connector wrote the event.
    pub connector: Connector,
    /// Debezium's `topic.prefix`.
    pub name: Cow<'a, str>,
    /// Database (MariaDB, MySQL) or schema (PostgreSQL): what qualifies the table's name.
    pub database: Cow<'a, str>,
    /// Table name without qualification.
    pub table: Cow<'a, str>,
    /// Which log the position counts in.
    pub identity: LogIdentity<'a>,
    /// Place in that log.
    pub position: SourcePosition<'a>,
    /// Snapshot or stream.
    pub snapshot: Snapshot,
    /// When the core made the change, milliseconds since 1970 (snapshot: when it was read). Never used for order.
    pub ts_source_ms: i64,
}

/// Latest time of a change that is believed, milliseconds since 1970: the year 2200. What claims to be later, or before
/// 1970, was never written by a connector.
pub const TIME_MS_MAX: i64 = 7_258_118_400_000;

macro_rules! fields {
    ($($slot:ident = $name:literal),* $(,)?) => {
        /// The source block's members that matter, unparsed.
        #[derive(Default)]
        pub(crate) struct RawSource<'a> { $($slot: Option<Cell<'a>>),* }

        impl<'a> RawSource<'a> {
            fn slot(&mut self, name: &str) -> Option<&mut Option<Cell<'a>>> {
                match name { $($name => Some(&mut self.$slot),)* _ => None }
            }
        }
    };
}

fields! {
    connector = "connector", name = "name", db = "db", schema = "schema", table = "table", ts_ms = "ts_ms",
    snapshot = "snapshot", gtid = "gtid", file = "file", pos = "pos", row = "row", lsn = "lsn", sequence = "sequence",
}

impl<'de: 'a, 'a> Deserialize<'de> for RawSource<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = RawSource<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`source` to be an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawSource<'de>, A::Error> {
                let mut source = RawSource::default();
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    let Some(slot) = source.slot(&name) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    if slot.is_some() {
                        return Err(A::Error::custom(format!("{OURS}one `source.{name}`, not two")));
                    }
                    *slot = Some(Cell::new(map.next_value::<&'de RawValue>()?));
                }
                Ok(source)
            }
        }
        deserializer.deserialize_map(SourceVisitor)
    }
}

impl<'a> RawSource<'a> {
    /// Parses what every row event carries.
    pub(crate) fn parse(&self) -> Result<SourceBlock<'a>, DecodeError> {
        let connector = text(self.connector, "connector")?;
        let connector = Connector::parse(&connector)
            .ok_or_else(|| expected("connector", "\"mariadb\", \"mysql\" or \"postgresql\""))?;
        let postgres = connector == Connector::Postgres;
        let snapshot = self.snapshot()?;
        let (identity, position) = if postgres { self.wal(snapshot)? } else { self.binlog()? };
        Ok(SourceBlock {
            connector,
            name: text(self.name, "name")?,
            database: if postgres { text(self.schema, "schema")? } else { text(self.db, "db")? },
            table: text(self.table, "table")?,
            identity,
            position,
            snapshot,
            ts_source_ms: self
                .ts_ms
                .and_then(Cell::i64)
                .filter(|ms| (0..=TIME_MS_MAX).contains(ms))
                .ok_or_else(|| expected("ts_ms", "milliseconds since 1970 as an integer, up to the year 2200"))?,
        })
    }

    fn snapshot(&self) -> Result<Snapshot, DecodeError> {
        let Some(cell) = present(self.snapshot) else { return Ok(Snapshot::Streamed) };
        // A string since Debezium 1.5, a boolean before.
        let name = cell.text().unwrap_or(Cow::Borrowed(cell.json()));
        Snapshot::parse(&name).ok_or_else(|| expected("snapshot", "a snapshot marker such as \"false\" or \"last\""))
    }

    fn binlog(&self) -> Result<(LogIdentity<'a>, SourcePosition<'a>), DecodeError> {
        let name = text(self.file, "file")?;
        let parts = name.rsplit_once('.').and_then(|(base, n)| Some((base.len(), file_number(n)?)));
        let parts = parts.filter(|(_, number)| *number <= FILE_MAX);
        let (base_len, file) = parts.ok_or_else(|| expected("file", "a log name such as \"mariadb-bin.000003\""))?;
        let base = match name {
            Cow::Borrowed(name) => Cow::Borrowed(&name[..base_len]),
            Cow::Owned(name) => Cow::Owned(name[..base_len].to_owned()),
        };
        let pos = self.pos.and_then(Cell::u64).filter(|pos| *pos <= OFFSET_MAX);
        let pos = pos.ok_or_else(|| expected("pos", "a log offset as a non-negative integer"))?;
        let row = match present(self.row) {
            None => 0,
            Some(cell) => cell.json().parse().map_err(|_| expected("row", "a row number as a non-negative integer"))?,
        };
        let gtid = match present(self.gtid) {
            None => None,
            Some(cell) => Some(cell.text().ok_or_else(|| expected("gtid", "a string"))?),
        };
        Ok((LogIdentity { log: base }, SourcePosition::Binlog { file, pos, row, gtid }))
    }

    fn wal(&self, snapshot: Snapshot) -> Result<(LogIdentity<'a>, SourcePosition<'a>), DecodeError> {
        let bad = || expected("sequence", "a string such as \"[\\\"commit lsn\\\",\\\"lsn\\\"]\"");
        let commit_lsn = match present(self.sequence) {
            None => None,
            Some(cell) => {
                let text = cell.text().ok_or_else(bad)?;
                let (commit, _): (Option<String>, Option<String>) = serde_json::from_str(&text).map_err(|_| bad())?;
                commit.map(|lsn| lsn.parse().map_err(|_| bad())).transpose()?
            }
        };
        let lsn = match present(self.lsn) {
            // A row of an incremental snapshot has no place of its own: it is told the last commit before it.
            None if snapshot == Snapshot::Incremental => Some(commit_lsn.unwrap_or(0)),
            cell => cell.and_then(Cell::u64),
        };
        let lsn = lsn.ok_or_else(|| expected("lsn", "a log position as a non-negative integer"))?;
        Ok((LogIdentity { log: Cow::Borrowed("") }, SourcePosition::Wal { lsn, commit_lsn }))
    }
}

fn file_number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn present<'a>(cell: Option<Cell<'a>>) -> Option<Cell<'a>> {
    cell.filter(|cell| !cell.is_null())
}

fn text<'a>(cell: Option<Cell<'a>>, field: &str) -> Result<Cow<'a, str>, DecodeError> {
    cell.and_then(Cell::text).ok_or_else(|| expected(field, "a string"))
}

fn expected(field: &str, what: &str) -> DecodeError {
    DecodeError::expected(Half::Value, format!("source.{field}"), what)
}
