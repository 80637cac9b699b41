//! What operators see of parked events and order about them. The leader of the source carries orders out, so that rows,
//! confirmations, marks and tiers change as with live events.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemas::position::Version;
use sql::{Db, Row, Tx, Value, params};

use super::{QueueKey, reason};
use crate::progress::Partition;
use crate::rows::{RowError, version};
use crate::writer::{WriteError, Writer};

/// Events of a queue that are tried again together.
pub const RETRIED_AT_ONCE: u32 = 64;
/// Queues with an order that are looked for at once.
const QUEUES_AT_ONCE: u32 = 16;

/// The place of one parked event, written `TOPIC/PARTITION@OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParkedRef {
    /// Where its offset counts.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
}

impl fmt::Display for ParkedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.partition.topic, self.partition.partition, self.offset)
    }
}

/// No place of a parked event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place of an event: TOPIC/PARTITION@OFFSET")]
pub struct NoParkedRef;

impl FromStr for ParkedRef {
    type Err = NoParkedRef;

    fn from_str(text: &str) -> Result<Self, NoParkedRef> {
        let (place, offset) = text.rsplit_once('@').ok_or(NoParkedRef)?;
        let (topic, partition) = place.rsplit_once('/').ok_or(NoParkedRef)?;
        let partition = Partition { topic: topic.to_owned(), partition: partition.parse().map_err(|_| NoParkedRef)? };
        Ok(Self { partition, offset: offset.parse().map_err(|_| NoParkedRef)? })
    }
}

/// What a person orders about parked events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedOrder {
    /// Try the events of their rows again, oldest first, until one fails.
    Retry,
    /// Forget them: what they would have changed may stay missing.
    Discard,
}

impl ParkedOrder {
    fn as_int(self) -> i64 {
        match self {
            ParkedOrder::Retry => 1,
            ParkedOrder::Discard => 2,
        }
    }
}

/// Which parked events of a source are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichParked {
    /// This one.
    One(ParkedRef),
    /// All that are parked for this reason, word by word.
    Reason(String),
    /// All.
    All,
}

/// One parked event as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedSummary {
    /// Source.
    pub source: String,
    /// The generation it was parked in.
    pub generation: u32,
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
    /// An order about it waits for the source's leader.
    pub ordered: bool,
}

const SUMMARY: &str = "source, generation, topic, kpartition, koffset, entity_keys, reason, parked_at_ms, ordered";

fn summary(row: &Row) -> Result<ParkedSummary, RowError> {
    Ok(ParkedSummary {
        source: row.get("source")?,
        generation: row.get("generation")?,
        partition: Partition { topic: row.get("topic")?, partition: row.get("kpartition")? },
        offset: row.get("koffset")?,
        entity_keys: row.get("entity_keys")?,
        reason: row.get("reason")?,
        parked_at_ms: row.get("parked_at_ms")?,
        ordered: row.get::<i64>("ordered")? > 0,
    })
}

/// Parked events in the order they came, at most `limit`.
pub async fn parked_events(db: &Db, source: Option<&str>, limit: u32) -> Result<Vec<ParkedSummary>, RowError> {
    let filter = source.map_or(Value::Null, Value::from);
    let sql = format!(
        "SELECT {SUMMARY} FROM parked WHERE (? IS NULL OR source = ?) \
         ORDER BY parked_at_ms, topic, kpartition, koffset LIMIT ?"
    );
    db.query(&sql, vec![filter.clone(), filter, limit.into()]).await?.iter().map(summary).collect()
}

/// One parked event with its key and value as they are kept: personal data. Of several generations the newest.
#[allow(clippy::type_complexity, reason = "a summary and two byte strings")]
pub async fn parked_event(
    db: &Db,
    source: &str,
    at: &ParkedRef,
) -> Result<Option<(ParkedSummary, Option<Vec<u8>>, Option<Vec<u8>>)>, RowError> {
    let sql = format!(
        "SELECT {SUMMARY}, event_key, event_value FROM parked \
         WHERE source = ? AND topic = ? AND kpartition = ? AND koffset = ? ORDER BY generation DESC LIMIT 1"
    );
    let rows = db.query(&sql, params![source, &at.partition.topic, at.partition.partition, at.offset]).await?;
    let read = |row: &Row| Ok((summary(row)?, row.get("event_key")?, row.get("event_value")?));
    rows.first().map(read).transpose()
}

/// Writes an order down for the source's leader; answers how many events it names.
pub async fn order_parked(db: &Db, source: &str, which: &WhichParked, order: ParkedOrder) -> Result<u64, sql::Error> {
    let (condition, further) = match which {
        WhichParked::One(at) => (
            " AND topic = ? AND kpartition = ? AND koffset = ?",
            params![&at.partition.topic, at.partition.partition, at.offset],
        ),
        WhichParked::Reason(reason) => (" AND reason = ?", params![reason]),
        WhichParked::All => ("", params![]),
    };
    let sql = format!("UPDATE parked SET ordered = ? WHERE source = ?{condition}");
    db.exec(&sql, params![order.as_int(), source].into_iter().chain(further).collect()).await
}

/// A parked event in the leader's hand.
#[derive(Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place.
    pub at: ParkedRef,
    /// The Debezium topic it belongs to.
    pub topic: String,
    /// Record key, as kept.
    pub key: Option<Vec<u8>>,
    /// Record value, as kept.
    pub value: Option<Vec<u8>>,
    /// Its version, where known.
    pub version: Option<Version>,
    /// What was ordered about it.
    pub order: Option<ParkedOrder>,
}

/// Queues with an order in this generation, some of them.
pub async fn ordered_queues(db: &Db, source: &str, generation: u32) -> Result<Vec<QueueKey>, RowError> {
    let sql = "SELECT DISTINCT queue FROM parked WHERE source = ? AND ordered > 0 AND generation = ? LIMIT ?";
    let rows = db.query(sql, params![source, generation, QUEUES_AT_ONCE]).await?;
    rows.iter().map(|row| QueueKey::from_bytes(row.get("queue")?)).collect()
}

/// The first events of a queue, at most [`RETRIED_AT_ONCE`], oldest first.
pub async fn waiting_in(db: &Db, source: &str, generation: u32, queue: &QueueKey) -> Result<Vec<Waiting>, RowError> {
    let sql = "SELECT topic, kpartition, koffset, event_topic, event_key, event_value, version, ordered FROM parked \
         WHERE source = ? AND generation = ? AND queue = ? ORDER BY topic, kpartition, koffset LIMIT ?";
    let rows = db.query(sql, params![source, generation, queue.as_bytes(), RETRIED_AT_ONCE]).await?;
    let read = |row: &Row| {
        let partition = Partition { topic: row.get("topic")?, partition: row.get("kpartition")? };
        let orders = [ParkedOrder::Retry, ParkedOrder::Discard];
        let ordered: i64 = row.get("ordered")?;
        Ok(Waiting {
            at: ParkedRef { partition, offset: row.get("koffset")? },
            topic: row.get("event_topic")?,
            key: row.get("event_key")?,
            value: row.get("event_value")?,
            version: row.get::<Option<&[u8]>>("version")?.map(|_| version(row, "version")).transpose()?,
            order: orders.into_iter().find(|order| order.as_int() == ordered),
        })
    };
    rows.iter().map(read).collect()
}

/// What became of the events of a queue that was worked on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worked {
    /// The queue.
    pub queue: Option<QueueKey>,
    /// Events that have left it: applied or discarded.
    pub left: Vec<ParkedRef>,
    /// The event that failed again, and why.
    pub failed: Option<(ParkedRef, String)>,
    /// There may be more of the queue to be tried.
    pub more: bool,
}

impl Writer {
    /// Records it, in the apply transaction: orders are done with, and marks go with the last event.
    pub async fn work_off(&self, tx: &mut Tx, worked: &Worked) -> Result<(), WriteError> {
        let Some(queue) = &worked.queue else { return Ok(()) };
        let of_event = "source = ? AND generation = ? AND topic = ? AND kpartition = ? AND koffset = ?";
        let place = |at: &ParkedRef| {
            params![&*self.source, self.generation, &at.partition.topic, at.partition.partition, at.offset]
        };
        for at in &worked.left {
            tx.exec(&format!("DELETE FROM parked WHERE {of_event}"), place(at)).await?;
        }
        if let Some((at, why)) = &worked.failed {
            let values = params![reason(why)].into_iter().chain(place(at)).collect();
            tx.exec(&format!("UPDATE parked SET reason = ? WHERE {of_event}"), values).await?;
        }
        let of_queue = params![&*self.source, self.generation, queue.as_bytes()];
        let sql = "SELECT koffset FROM parked WHERE source = ? AND generation = ? AND queue = ? LIMIT 1";
        if tx.query_opt(sql, of_queue.clone()).await?.is_none() {
            self.forget_queues(tx, &BTreeSet::from([*queue])).await?;
        } else if worked.failed.is_some() || worked.more {
            let sql = "UPDATE parked SET ordered = ? WHERE source = ? AND generation = ? AND queue = ?";
            let order = if worked.more { ParkedOrder::Retry.as_int() } else { 0 };
            tx.exec(sql, params![order].into_iter().chain(of_queue).collect()).await?;
        }
        Ok(())
    }
}
