//! Events that could not be applied, durable before their offset moves on, and the keys they make doubtful.

use schemas::model::Entity;
use sql::{Db, Policy, Tx, Upsert, Value, params};

use crate::progress::Partition;
use crate::rows::RowError;
use crate::writer::{WriteError, Writer};

/// The key that stands for every key of a source: the event did not tell which it touches.
pub const EVERY_KEY: &str = "*";

/// An event to be parked, bytes as they came.
#[derive(Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Where it came from.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value.
    pub value: Option<Vec<u8>>,
    /// What it touches; empty = not known, so [`EVERY_KEY`].
    pub touches: Vec<(Entity, String)>,
    /// Why; no personal data.
    pub reason: String,
}

/// Bytes are personal data: not shown.
impl std::fmt::Debug for ParkedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}: {}", self.partition.topic, self.partition.partition, self.offset, self.reason)
    }
}

impl Writer {
    /// Parks events and marks what they touch, in the apply transaction. A repetition changes nothing.
    pub async fn park(&self, tx: &mut Tx, events: &[ParkedEvent]) -> Result<(), WriteError> {
        const COLUMNS: &[&str] = &[
            "source",
            "topic",
            "kpartition",
            "koffset",
            "generation",
            "event_key",
            "event_value",
            "entity_keys",
            "reason",
            "parked_at_ms",
        ];
        if events.is_empty() {
            return Ok(());
        }
        let now: i64 = tx.query_one("SELECT {now_ms} AS now_ms", params![]).await?.get("now_ms")?;
        let key: &[&str] = &["source", "topic", "kpartition", "koffset"];
        let mut parked = Upsert::new("parked_events", COLUMNS, key, Policy::KeepExisting);
        let key: &[&str] = &["source", "entity", "entity_key"];
        let columns: &[&str] = &["source", "entity", "entity_key", "generation"];
        let mut degraded = Upsert::new("degraded_keys", columns, key, Policy::Replace);
        let mut marks = std::collections::BTreeSet::new();
        for event in events {
            marks.extend(touched(event));
            let reason: String = event.reason.chars().take(512).collect();
            let p = &event.partition;
            parked.push(params![
                &*self.source,
                &p.topic,
                p.partition,
                event.offset,
                self.generation,
                event.key.clone(),
                event.value.clone(),
                keys_json(event),
                reason,
                now
            ]);
        }
        for (entity, key) in marks {
            degraded.push(params![&*self.source, entity, key, self.generation]);
        }
        tx.upsert(parked).await?;
        Ok(tx.upsert(degraded).await?)
    }
}

/// Marks per account wherever the account is known: that is what reads look up.
fn touched(event: &ParkedEvent) -> Vec<(&'static str, String)> {
    let mark = |(entity, key): &(Entity, String)| {
        let entity = if *entity == Entity::Balance { Entity::Account } else { *entity };
        (entity.as_str(), key.chars().take(128).collect())
    };
    if event.touches.is_empty() {
        return vec![(Entity::Account.as_str(), EVERY_KEY.to_owned())];
    }
    event.touches.iter().map(mark).collect()
}

fn keys_json(event: &ParkedEvent) -> String {
    let keys: Vec<_> = event.touches.iter().map(|(entity, key)| serde_json::json!([entity.as_str(), key])).collect();
    serde_json::Value::Array(keys).to_string()
}

/// Topic and record key of every parked event: later events of these queue behind them.
pub async fn parked_keys(db: &Db, source: &str) -> Result<Vec<(String, Option<Vec<u8>>)>, RowError> {
    let rows = db.query("SELECT topic, event_key FROM parked_events WHERE source = ?", params![source]).await?;
    rows.iter().map(|row| Ok((row.get("topic")?, row.get("event_key")?))).collect()
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
            "SELECT source, topic, kpartition, koffset, entity_keys, reason, parked_at_ms FROM parked_events \
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
