//! The thread that owns the consumer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use read_model::Partition;
use tokio::sync::mpsc;

use crate::feed::{Batch, BatchBounds, FeedError, Polled, RawRecord};
use crate::kafka::KafkaOptions;
use crate::topics::TopicFilter;

/// Longest wait for the first record of a batch.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait for an answer about metadata or offsets.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Names shared by all records of a partition.
type Names = HashMap<(String, i32), (Arc<str>, Arc<Partition>)>;

pub(crate) struct Worker {
    consumer: BaseConsumer,
    /// Asks for metadata and offsets on connections of its own: a broker answers one connection in order, so that on the
    /// consumer's every question would wait for a fetch to time out.
    asker: BaseConsumer,
    topics: TopicFilter,
    bounds: BatchBounds,
    ends_every: Duration,
    inbox: Receiver<Vec<(Partition, i64)>>,
    outbox: mpsc::Sender<Result<Polled, FeedError>>,
    /// Asked for and not assigned yet.
    wanted: Vec<(Partition, i64)>,
    /// Found, and the feed was told; it assigns them when they are registered.
    announced: HashSet<Partition>,
    found: Vec<(Partition, i64)>,
    /// Next offset of every assigned partition.
    assigned: HashMap<Arc<Partition>, i64>,
    names: Names,
    ends_at: Option<Instant>,
}

impl Worker {
    pub(crate) fn new(
        (consumer, asker): (BaseConsumer, BaseConsumer),
        topics: TopicFilter,
        bounds: BatchBounds,
        options: &KafkaOptions,
        inbox: Receiver<Vec<(Partition, i64)>>,
        outbox: mpsc::Sender<Result<Polled, FeedError>>,
    ) -> Self {
        Self {
            consumer,
            asker,
            topics,
            bounds,
            ends_every: options.ends_every,
            inbox,
            outbox,
            wanted: Vec::new(),
            announced: HashSet::new(),
            found: Vec::new(),
            assigned: HashMap::new(),
            names: HashMap::new(),
            ends_at: None,
        }
    }

    /// Until the feed is dropped. A lost place is told once; then there is nothing more to read.
    pub(crate) fn run(mut self) {
        loop {
            loop {
                match self.inbox.try_recv() {
                    Ok(partitions) => self.wanted.extend(partitions),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let polled = self.assign().and_then(|()| self.next());
            let lost = matches!(polled, Err(FeedError::Lost(_)));
            if self.outbox.blocking_send(polled).is_err() || lost {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Polled, FeedError> {
        if !self.found.is_empty() {
            return Ok(Polled::Discovered(std::mem::take(&mut self.found)));
        }
        // By itself, so that no record waits for it; the service applies the last batch meanwhile.
        if self.ends_at.is_none_or(|at| at.elapsed() >= self.ends_every) {
            return Ok(Polled::Batch(Batch { records: Vec::new(), ends: self.ends()? }));
        }
        Ok(Polled::Batch(Batch { records: self.records()?, ends: None }))
    }

    fn records(&mut self) -> Result<Vec<RawRecord>, FeedError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let consumer = &self.consumer;
        while records.len() < self.bounds.records_max && bytes < self.bounds.bytes_max {
            let wait = if records.is_empty() { FIRST_WAIT } else { Duration::ZERO };
            let message = match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                // What was read before is delivered first; the error comes again, or is gone by itself.
                Some(Err(err)) => match explained(&err) {
                    None => continue,
                    Some(FeedError::Lost(reason)) => return Err(FeedError::Lost(reason)),
                    Some(_) if !records.is_empty() => break,
                    Some(other) => return Err(other),
                },
            };
            let record = raw(&mut self.names, &message);
            bytes += record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
            self.assigned.insert(record.partition.clone(), record.offset + 1);
            records.push(record);
        }
        Ok(records)
    }

    /// Partitions of admitted topics that are not assigned, with their first offsets.
    fn discover(&self) -> Result<Vec<(Partition, i64)>, FeedError> {
        let metadata = self.asker.fetch_metadata(None, ASK_MAX).map_err(|err| unavailable("metadata", &err))?;
        let mut found = Vec::new();
        for topic in metadata.topics().iter().filter(|topic| self.topics.admits(topic.name())) {
            for partition in topic.partitions() {
                let partition = Partition { topic: topic.name().to_owned(), partition: partition.id() };
                if !self.announced.contains(&partition) && !self.assigned.contains_key(&partition) {
                    let (low, _) = self.watermarks(&partition)?;
                    found.push((partition, low));
                }
            }
        }
        Ok(found)
    }

    fn watermarks(&self, partition: &Partition) -> Result<(i64, i64), FeedError> {
        let asked = self.asker.fetch_watermarks(&partition.topic, partition.partition, ASK_MAX);
        asked.map_err(|err| unavailable("offsets", &err))
    }

    /// End offsets of all partitions there are; none while some are not assigned, for then nobody reads all.
    /// A partition that ends before our place belongs to another topic of this name (C6).
    fn ends(&mut self) -> Result<Option<Vec<(Partition, i64)>>, FeedError> {
        self.found = self.discover()?;
        self.announced.extend(self.found.iter().map(|(partition, _)| partition.clone()));
        self.ends_at = Some(Instant::now());
        if !self.announced.iter().all(|partition| self.assigned.contains_key(partition)) {
            return Ok(None);
        }
        let mut ends = Vec::with_capacity(self.assigned.len());
        for (partition, next) in &self.assigned {
            let (_, end) = self.watermarks(partition)?;
            if end < *next {
                return Err(recreated(partition, *next, end));
            }
            ends.push((Partition::clone(partition), end));
        }
        Ok(Some(ends))
    }

    /// Assigns what was asked for. The first record to be read must still be there (C6).
    fn assign(&mut self) -> Result<(), FeedError> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in &self.wanted {
            let (low, end) = self.watermarks(partition)?;
            let name = format!("{}/{}", partition.topic, partition.partition);
            if *next < low {
                return Err(FeedError::Lost(format!("{name}: retention passed offset {next}, the first is {low}")));
            }
            if *next > end {
                return Err(recreated(partition, *next, end));
            }
            let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*next));
            added.map_err(|err| unavailable("assignment", &err))?;
        }
        if list.count() > 0 {
            self.consumer.incremental_assign(&list).map_err(|err| unavailable("assignment", &err))?;
            self.assigned.extend(self.wanted.drain(..).map(|(partition, next)| (Arc::new(partition), next)));
        }
        Ok(())
    }
}

fn recreated(partition: &Partition, next: i64, end: i64) -> FeedError {
    let Partition { topic, partition } = partition;
    FeedError::Lost(format!("{topic}/{partition}: ends at {end}, before offset {next}: topic recreated or truncated"))
}

fn unavailable(what: &str, err: &KafkaError) -> FeedError {
    FeedError::Unavailable(format!("{what}: {err}"))
}

/// What a consumer's error means; `None` = librdkafka heals it by itself and says so only for information.
fn explained(err: &KafkaError) -> Option<FeedError> {
    use RDKafkaErrorCode as Code;
    let code = err.rdkafka_error_code()?;
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Some(FeedError::Lost(format!("offset out of range ({err})"))),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Some(FeedError::Lost(format!("a topic or partition is gone ({err})")))
        }
        _ => {
            tracing::warn!(error = %err, "kafka");
            None
        }
    }
}

fn raw(names: &mut Names, message: &BorrowedMessage<'_>) -> RawRecord {
    let key = (message.topic().to_owned(), message.partition());
    let (topic, partition) = names
        .entry(key)
        .or_insert_with_key(|(topic, number)| {
            (topic.as_str().into(), Arc::new(Partition { topic: topic.clone(), partition: *number }))
        })
        .clone();
    RawRecord {
        topic,
        partition,
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
    }
}
