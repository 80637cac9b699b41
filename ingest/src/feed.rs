//! Where records come from: Kafka, or the embedded core's change log. A feed delivers; it decides nothing.

use std::sync::Arc;

use read_model::{Partition, Place};
use sql::BoxFuture;

/// One record as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// The Debezium topic it belongs to.
    pub topic: Arc<str>,
    /// Where its offset counts: the same topic in Kafka, one for all in a change log.
    pub partition: Arc<Partition>,
    /// Offset there.
    pub offset: i64,
    /// When the producer made the record, milliseconds since 1970, where the feed knows.
    pub timestamp_ms: Option<i64>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
}

/// Key and value are personal data: not shown.
impl std::fmt::Debug for RawRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition.partition, self.offset)
    }
}

/// What was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order of each partition; empty when nothing came.
    pub records: Vec<RawRecord>,
    /// The partitions' ends, asked for *after* the last of the records was in hand.
    pub ends: Option<Ends>,
}

/// Where the partitions end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// End offsets of every assigned partition.
    pub offsets: Vec<(Partition, i64)>,
    /// Partitions that were read further than their last record: after it come the broker's own records, which are not
    /// delivered.
    pub reached: Vec<(Partition, i64)>,
    /// How long a record may be kept back that was sent before another record of these partitions, in milliseconds.
    pub held_back_ms_max: i64,
}

impl From<Vec<(Partition, i64)>> for Ends {
    /// Ends of partitions that are filled in the order of sending.
    fn from(offsets: Vec<(Partition, i64)>) -> Self {
        Self { offsets, ..Self::default() }
    }
}

/// What a poll came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Records, perhaps none.
    Batch(Batch),
    /// Partitions nobody assigned yet, with their first offsets.
    Discovered(Vec<(Partition, i64)>),
}

/// Why a feed does not deliver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Not now; ask again.
    #[error("feed unavailable: {0}")]
    Unavailable(String),
    /// This feed is over; another one goes on from the offsets in SQL.
    #[error("feed ended: {0}")]
    Ended(String),
    /// The next record to read is gone or is another one. A person decides; offsets are never reset.
    #[error("feed lost its place: {0}")]
    Lost(String),
    /// The feed cannot work as configured.
    #[error("feed configuration: {0}")]
    Configuration(String),
}

/// Bounds of one batch: whatever is there, up to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchBounds {
    /// Records.
    pub records_max: usize,
    /// Bytes of keys and values; the record that crosses it is the last.
    pub bytes_max: usize,
}

impl Default for BatchBounds {
    fn default() -> Self {
        Self { records_max: 5_000, bytes_max: 8 << 20 }
    }
}

/// A source of records. Dropping it ends it.
pub trait Feed: Send {
    /// Adds partitions and the place each is to be read from. Partitions read already are not repeated. A partition that does
    /// not hold what was read from it is lost.
    fn assign(&mut self, partitions: Vec<(Partition, Place)>) -> BoxFuture<'_, Result<(), FeedError>>;

    /// The next batch, waiting a moment for the first record. Dropping the future loses no record.
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, FeedError>>;
}
