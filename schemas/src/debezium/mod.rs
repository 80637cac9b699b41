//! Debezium's JSON records, with or without the schema block, decoded without copying rows.

mod decoder;
mod envelope;
mod error;
mod row;
mod schema;
mod source;
#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::sync::Arc;

pub use decoder::{Decoder, RECORD_BYTES_MAX, TOPICS_MAX};
pub use error::{DecodeError, Half};
pub use row::{CELL_DEPTH_MAX, COLUMNS_MAX, Cell, NAME_BYTES_MAX, Row};
pub use schema::{ColumnKind, TableSchema};
pub use source::{Connector, Snapshot, Source, TIME_MS_MAX};

/// What a Kafka record of a Debezium topic is.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<'a> {
    /// A row changed or was read.
    Change(Box<ChangeEvent<'a>>),
    /// A table was emptied: every row of it is gone, with no event for each. Never to be ignored.
    Truncate {
        /// Which table, and where in the log.
        source: Box<Source<'a>>,
    },
    /// The null value after a delete, for log compaction; the delete itself came before.
    Tombstone {
        /// The deleted row's key.
        key: Row<'a>,
    },
    /// The connector lives. It carries no position: only changes of a heartbeat table in the core prove progress.
    Heartbeat {
        /// When the connector sent it, milliseconds since 1970.
        ts_ms: i64,
    },
    /// A source transaction begins or ends.
    Transaction(TransactionMarker<'a>),
    /// Nothing for the read model.
    Ignored(Ignored),
}

/// Why a record carries nothing for the read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// A table's definition changed.
    SchemaChange,
    /// A logical decoding message (`m`), which belongs to no table.
    Message,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent<'a> {
    /// Where it comes from.
    pub source: Source<'a>,
    /// What happened.
    pub op: Op,
    /// The row's key; empty for a table without one.
    pub key: Row<'a>,
    /// The row before; none for creates and reads, and where the core does not log it.
    pub before: Option<Row<'a>>,
    /// The row after; none for deletes.
    pub after: Option<Row<'a>>,
    /// Its place in its source transaction, where the connector provides that.
    pub transaction: Option<TransactionRef<'a>>,
    /// The columns' types, where records carry the schema block.
    pub schema: Option<Arc<TableSchema>>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Inserted.
    Create,
    /// Updated; a change of its key arrives as a delete and a create instead.
    Update,
    /// Deleted.
    Delete,
    /// Read by a snapshot.
    Read,
}

/// An event's place in its source transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRef<'a> {
    /// The transaction's id, as in its markers.
    pub id: Cow<'a, str>,
    /// Place among all events of the transaction, from 1.
    pub total_order: u64,
    /// Place among the transaction's events of this table, from 1.
    pub collection_order: u64,
}

/// A BEGIN or END record of the transaction topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMarker<'a> {
    /// The transaction's id, as in its events.
    pub id: Cow<'a, str>,
    /// Begin or end.
    pub status: TransactionStatus,
    /// Events in the transaction; only at its end.
    pub event_count: Option<u64>,
    /// Events per table, by Debezium's full name (`db.table`); only at its end.
    pub tables: Vec<(Cow<'a, str>, u64)>,
    /// When it began or ended, milliseconds since 1970, where told.
    pub ts_ms: Option<i64>,
}

/// Which end of a transaction a marker stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `BEGIN`.
    Begin,
    /// `END`: its counts are final.
    End,
}
