//! Events that could not be applied, durable before their offset moves on, and the keys they make doubtful.
//!
//! Events of one record key form a **queue**: later ones wait behind the first. A mark says that a queue touches a key. A
//! key is in doubt while a mark of it is there. Marks go with the last event of their queue, or by [`trust`].

mod adopt;
mod queue;
mod work;

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemas::model::Entity;
use schemas::position::Version;
use sha2::{Digest, Sha256};
use sql::{Db, Policy, Tx, Upsert, params, placeholders};

pub(crate) use adopt::adopt;
pub use queue::{Mark, ParkedQueue, QueueKey, marks_of, parked_queues};
pub use work::{
    NoParkedRef, ParkedOrder, ParkedRef, ParkedSummary, RETRIED_AT_ONCE, Waiting, WhichParked, Worked, order_parked,
    ordered_queues, parked_event, parked_events, waiting_in,
};

use crate::progress::Partition;
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
/// Queues named by one statement.
const QUEUES_PER_STATEMENT: usize = 500;

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
    /// Where its offset counts.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    /// The Debezium topic it belongs to; another one than the partition's in a change log.
    pub topic: String,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value.
    pub value: Option<Vec<u8>>,
    /// What it touches; empty = not known, so [`EVERY_KEY`].
    pub touches: Vec<(Entity, String)>,
    /// Its version, where it could be decoded that far.
    pub version: Option<Version>,
    /// Why; no personal data.
    pub reason: String,
}

impl ParkedEvent {
    /// The queue it waits in.
    pub fn queue(&self) -> QueueKey {
        QueueKey::of(&self.topic, &self.partition, self.offset, self.key.as_deref())
    }
}

/// Bytes are personal data: not shown.
impl std::fmt::Debug for ParkedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}: {}", self.partition.topic, self.partition.partition, self.offset, self.reason)
    }
}

const EVENT_COLUMNS: &[&str] = &[
    "source",
    "generation",
    "topic",
    "kpartition",
    "koffset",
    "queue",
    "event_topic",
    "version",
    "event_key",
    "event_value",
    "entity_keys",
    "reason",
    "parked_at_ms",
    "ordered",
];

fn events_upsert() -> Upsert {
    let key: &[&str] = &["source", "generation", "topic", "kpartition", "koffset"];
    Upsert::new("parked", EVENT_COLUMNS, key, Policy::KeepExisting)
}

fn marks_upsert() -> Upsert {
    const COLUMNS: &[&str] = &["source", "generation", "entity", "entity_key", "queue"];
    Upsert::new("parked_marks", COLUMNS, COLUMNS, Policy::KeepExisting)
}

impl Writer {
    /// Parks events and marks what they touch, in the apply transaction. A repetition changes nothing.
    pub async fn park(&self, tx: &mut Tx, events: &[ParkedEvent]) -> Result<(), WriteError> {
        if events.is_empty() {
            return Ok(());
        }
        let now: i64 = tx.query_one("SELECT {now_ms} AS now_ms", params![]).await?.get("now_ms")?;
        let (mut parked, mut marked) = (events_upsert(), marks_upsert());
        let mut marks = BTreeSet::new();
        for event in events {
            let queue = event.queue();
            marks.extend(marks_of(&event.touches).into_iter().map(|(entity, key)| (entity, key, queue)));
            let p = &event.partition;
            parked.push(params![
                &*self.source,
                self.generation,
                &p.topic,
                p.partition,
                event.offset,
                queue.as_bytes(),
                &event.topic,
                event.version.map(|version| *version.as_bytes()),
                event.key.as_deref().map(kept_of_parked).map(Cow::into_owned),
                event.value.as_deref().map(kept_of_parked).map(Cow::into_owned),
                keys_json(&event.touches),
                reason(&event.reason),
                now,
                0
            ]);
        }
        for (entity, key, queue) in marks {
            marked.push(params![&*self.source, self.generation, entity.as_str(), key, queue.as_bytes()]);
        }
        tx.upsert(parked).await?;
        Ok(tx.upsert(marked).await?)
    }

    /// Forgets queues with their marks, in the apply transaction: a later whole row superseded them.
    pub async fn forget_queues(&self, tx: &mut Tx, queues: &BTreeSet<QueueKey>) -> Result<(), WriteError> {
        let queues: Vec<&QueueKey> = queues.iter().collect();
        for queues in queues.chunks(QUEUES_PER_STATEMENT) {
            for table in ["parked", "parked_marks"] {
                let sql = format!(
                    "DELETE FROM {table} WHERE source = ? AND generation = ? AND queue IN ({})",
                    placeholders(queues.len())
                );
                let mut values = params![&*self.source, self.generation];
                values.extend(queues.iter().map(|queue| sql::Value::from(queue.as_bytes())));
                tx.exec(&sql, values).await?;
            }
        }
        Ok(())
    }
}

/// As much of a reason as is kept.
fn reason(text: &str) -> String {
    text.chars().take(512).collect()
}

fn cut(key: &str) -> String {
    key.chars().take(TOUCHED_LEN_MAX).collect()
}

fn keys_json(touches: &[(Entity, String)]) -> String {
    let pair = |(entity, key): &(Entity, String)| serde_json::json!([entity.as_str(), cut(key)]);
    let keys: Vec<_> = touches.iter().map(pair).collect();
    serde_json::Value::Array(keys).to_string()
}

/// Ends the doubt about every account of a source; for operators, after they have looked at the parked events that name none.
/// Accounts that a parked event names stay in doubt. `false`: there was none.
pub async fn trust(db: &Db, source: &str) -> Result<bool, sql::Error> {
    let sql = "DELETE FROM parked_marks WHERE source = ? AND entity = ? AND entity_key = ?";
    Ok(db.exec(sql, params![source, Entity::Account.as_str(), EVERY_KEY]).await? > 0)
}
