//! Events that could not be applied, durable before their offset moves on, and the keys they make doubtful.

use std::borrow::Cow;

use schemas::model::Entity;
use sha2::{Digest, Sha256};
use sql::{Db, Policy, Tx, Upsert, Value, params};

use crate::progress::Partition;
use crate::rows::RowError;
use crate::writer::{WriteError, Writer};

/// The key that stands for every key of a source: the event did not tell which it touches.
pub const EVERY_KEY: &str = "*";

/// Longest key or value of a parked event that is kept whole, in bytes: a broker's default bound of a whole record. A batch of
/// them fits into one packet and one transaction of every engine.
pub const PARKED_BYTES_MAX: usize = 1 << 20;
/// What is kept of a longer one besides its length and SHA-256, in bytes. The whole event is in its topic as long as the
/// topic's retention lasts.
pub const PARKED_PREFIX_BYTES: usize = 64 << 10;
/// Longest key of what a parked event touches, in characters; no row has a longer one.
const TOUCHED_LEN_MAX: usize = 128;

/// What is kept of a key or value: all of it, or its beginning, length and hash.
pub fn kept_of_parked(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.len() <= PARKED_BYTES_MAX {
        return Cow::Borrowed(bytes);
    }
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut kept = bytes[..PARKED_PREFIX_BYTES].to_vec();
    kept.extend(format!("…[{} bytes, sha256 {hash}]", bytes.len()).into_bytes());
    Cow::Owned(kept)
}

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
                event.key.as_deref().map(kept_of_parked).map(Cow::into_owned),
                event.value.as_deref().map(kept_of_parked).map(Cow::into_owned),
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
        (entity.as_str(), cut(key))
    };
    if event.touches.is_empty() {
        return vec![(Entity::Account.as_str(), EVERY_KEY.to_owned())];
    }
    event.touches.iter().map(mark).collect()
}

fn cut(key: &str) -> String {
    key.chars().take(TOUCHED_LEN_MAX).collect()
}

fn keys_json(event: &ParkedEvent) -> String {
    let pair = |(entity, key): &(Entity, String)| serde_json::json!([entity.as_str(), cut(key)]);
    let keys: Vec<_> = event.touches.iter().map(pair).collect();
    serde_json::Value::Array(keys).to_string()
}

/// Topic and record key, as [`kept_of_parked`] keeps it, of every parked event: later events of these queue behind them.
pub async fn parked_keys(db: &Db, source: &str) -> Result<Vec<(String, Option<Vec<u8>>)>, RowError> {
    let rows = db.query("SELECT topic, event_key FROM parked_events WHERE source = ?", params![source]).await?;
    rows.iter().map(|row| Ok((row.get("topic")?, row.get("event_key")?))).collect()
}

/// Ends the doubt about every account of a source; for operators, after they have looked at the parked events that name none.
/// Accounts that a parked event names stay in doubt. `false`: there was none.
pub async fn trust(db: &Db, source: &str) -> Result<bool, sql::Error> {
    let sql = "DELETE FROM degraded_keys WHERE source = ? AND entity = ? AND entity_key = ?";
    Ok(db.exec(sql, params![source, Entity::Account.as_str(), EVERY_KEY]).await? == 1)
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
