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
pub use source::{Connector, Snapshot, SourceBlock, TIME_MS_MAX};

/// What a Kafka record of a Debezium topic is.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<'a> {
    /// A row changed or was read.
    Change(Box<ChangeEvent<'a>>),
    /// A table was emptied: all its rows are gone, without an event for each. Never to be ignored.
    Truncate {
        /// Which table, and where in the log.
        source: Box<SourceBlock<'a>>,
    },
    /// The null value after a delete, for log compaction; the delete itself came before.
    Tombstone {
        /// The deleted row's key.
        key: Row<'a>,
        /// The key columns' types, where keys carry the schema block.
        schema: Option<Arc<TableSchema>>,
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
    /// The topic it came on. Events of a table's partitions come on the topic of the table.
    pub topic: &'a str,
    /// Where it comes from.
    pub source: SourceBlock<'a>,
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
    /// The columns' types, where records carry the schema block; those of the key alone, where only keys do.
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
    /// The transaction's id as this event has it. Compare [`TransactionRef::source_transaction`] instead.
    pub id: Cow<'a, str>,
    /// Place among all events of the transaction, from 1. After a restart of a connector inside a transaction the rest of
    /// it is counted from 1 again (MariaDB, MySQL).
    pub total_order: u64,
    /// Place among the transaction's events of this table, from 1.
    pub collection_order: u64,
}

impl TransactionRef<'_> {
    /// What all events and markers of one transaction have in common.
    pub fn source_transaction(&self) -> &str {
        source_transaction(&self.id)
    }
}

/// A BEGIN or END record of the transaction topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMarker<'a> {
    /// The transaction's id as this marker has it. Compare [`TransactionMarker::source_transaction`] instead.
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

impl TransactionMarker<'_> {
    /// What all events and markers of one transaction have in common.
    pub fn source_transaction(&self) -> &str {
        source_transaction(&self.id)
    }
}

/// PostgreSQL's id is `XID:LSN`, and the LSN is that of each operation: only the XID names the transaction. It names one
/// within a stretch of the stream, because XIDs are used again. The ids of MariaDB and MySQL are whole.
fn source_transaction(id: &str) -> &str {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match id.split_once(':') {
        Some((xid, lsn)) if number(xid) && number(lsn) => xid,
        _ => id,
    }
}

/// Which end of a transaction a marker stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `BEGIN`.
    Begin,
    /// `END`: its counts are final.
    End,
}
