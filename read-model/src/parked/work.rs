//! Parked events as operators see them.

use sql::{Db, Value};

use crate::progress::Partition;
use crate::rows::RowError;

/// The place of one parked event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParkedRef {
    /// Where its offset counts.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
}

/// One parked event as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedSummary {
    /// Source.
    pub source: String,
    /// Where it stands.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    /// What it touches, JSON pairs of entity and key; `[]` = unknown.
    pub entity_keys: String,
    /// Why.
    pub reason: String,
    /// When, on the SQL server's clock.
    pub parked_at_ms: i64,
}

/// Parked events in the order they came, at most `limit`.
pub async fn parked_events(db: &Db, source: Option<&str>, limit: u32) -> Result<Vec<ParkedSummary>, RowError> {
    let filter = source.map_or(Value::Null, Value::from);
    let rows = db
        .query(
            "SELECT source, topic, kpartition, koffset, entity_keys, reason, parked_at_ms FROM parked \
             WHERE (? IS NULL OR source = ?) ORDER BY parked_at_ms, topic, kpartition, koffset LIMIT ?",
            vec![filter.clone(), filter, limit.into()],
        )
        .await?;
    let read = |row: &sql::Row| -> Result<_, RowError> {
        Ok(ParkedSummary {
            source: row.get("source")?,
            partition: Partition { topic: row.get("topic")?, partition: row.get("kpartition")? },
            offset: row.get("koffset")?,
            entity_keys: row.get("entity_keys")?,
            reason: row.get("reason")?,
            parked_at_ms: row.get("parked_at_ms")?,
        })
    };
    rows.iter().map(read).collect()
}
