//! Queues of parked events, and the marks they leave.

use std::collections::{BTreeMap, BTreeSet};

use schemas::model::Entity;
use schemas::position::Version;
use sha2::{Digest, Sha256};
use sql::{Db, params};

use super::{EVERY_KEY, cut, kept_of_parked};
use crate::progress::Partition;
use crate::rows::RowError;

/// A key in doubt: a kind of row and its key, or [`EVERY_KEY`].
pub type Mark = (Entity, String);

/// The events of one record key of one topic. An event without a key has nothing behind it and is a queue by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey([u8; 32]);

impl QueueKey {
    /// The queue of the record at this place, with the key as it came or as it is kept.
    pub fn of(topic: &str, partition: &Partition, offset: i64, key: Option<&[u8]>) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(topic.as_bytes());
        match key {
            Some(key) => part(&kept_of_parked(key)),
            None => {
                part(partition.topic.as_bytes());
                part(&partition.partition.to_be_bytes());
                part(&offset.to_be_bytes());
            }
        }
        Self(hash.finalize().into())
    }

    /// As stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, RowError> {
        bytes.try_into().map(Self).map_err(|_| RowError::Vocabulary("queue"))
    }
}

/// What an ingester remembers of a queue. One per key, however many events wait in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParkedQueue {
    /// The keys it puts in doubt.
    pub marks: BTreeSet<Mark>,
    /// The highest version that is known of its events.
    pub version: Option<Version>,
}

/// The marks of an event: per account wherever the account is known, because that is what reads look up.
pub fn marks_of(touches: &[(Entity, String)]) -> BTreeSet<Mark> {
    if touches.is_empty() {
        return BTreeSet::from([(Entity::Account, EVERY_KEY.to_owned())]);
    }
    let mark = |(entity, key): &(Entity, String)| {
        let entity = if *entity == Entity::Balance { Entity::Account } else { *entity };
        (entity, cut(key))
    };
    touches.iter().map(mark).collect()
}

/// Every queue of a generation: later events of these queue behind them, or supersede them.
pub async fn parked_queues(
    db: &Db,
    source: &str,
    generation: u32,
) -> Result<BTreeMap<QueueKey, ParkedQueue>, RowError> {
    let mut queues: BTreeMap<QueueKey, ParkedQueue> = BTreeMap::new();
    let sql = "SELECT queue, MAX(version) AS version FROM parked WHERE source = ? AND generation = ? GROUP BY queue";
    for row in db.query(sql, params![source, generation]).await? {
        let version: Option<&[u8]> = row.get("version")?;
        let version = version.map(Version::from_bytes).transpose().map_err(|_| RowError::Vocabulary("version"))?;
        queues.insert(QueueKey::from_bytes(row.get("queue")?)?, ParkedQueue { version, ..ParkedQueue::default() });
    }
    let sql = "SELECT queue, entity, entity_key FROM parked_marks WHERE source = ? AND generation = ?";
    for row in db.query(sql, params![source, generation]).await? {
        let entity: &str = row.get("entity")?;
        let entity = Entity::ALL.into_iter().find(|known| known.as_str() == entity);
        let mark = (entity.ok_or(RowError::Vocabulary("entity"))?, row.get("entity_key")?);
        if let Some(queue) = queues.get_mut(&QueueKey::from_bytes(row.get("queue")?)?) {
            queue.marks.insert(mark);
        }
    }
    Ok(queues)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(topic: &str, offset: i64, key: Option<&[u8]>) -> QueueKey {
        QueueKey::of(topic, &Partition { topic: topic.into(), partition: 0 }, offset, key)
    }

    #[test]
    fn events_of_one_key_share_a_queue_and_events_without_a_key_share_none() {
        assert_eq!(queue("t", 1, Some(b"k")), queue("t", 2, Some(b"k")));
        assert_ne!(queue("t", 1, Some(b"k")), queue("u", 1, Some(b"k")));
        assert_ne!(queue("tk", 1, Some(b"")), queue("t", 1, Some(b"k")));
        assert_ne!(queue("t", 1, None), queue("t", 2, None));
        let long = vec![7; super::super::PARKED_BYTES_MAX + 1];
        assert_eq!(queue("t", 1, Some(&long)), queue("t", 2, Some(&kept_of_parked(&long))));
    }
}
