//! The thread that owns the consumers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use read_model::{Partition, Place, RecordMark};
use tokio::sync::mpsc;

use crate::feed::{Batch, BatchBounds, Ends, FeedError, Polled, RawRecord};
use crate::kafka_options::{ASK_MAX, KafkaOptions, unavailable};
use crate::kafka_probe::first_from;
use crate::marks::{self, Reread};
use crate::topics::TopicFilter;

/// Longest wait for the first record of a batch.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Names shared by all records of a partition.
type Names = HashMap<(String, i32), (Arc<str>, Arc<Partition>)>;

/// Each has connections of its own. A broker answers one connection in order, so on the reader's connection every question
/// would wait for a fetch to time out.
pub(crate) struct Consumers {
    /// Reads records.
    pub(crate) reader: BaseConsumer,
    /// Asks for metadata and offsets.
    pub(crate) asker: BaseConsumer,
    /// Reads single records again.
    pub(crate) prober: BaseConsumer,
}

/// How far a partition was read.
struct Reading {
    next: i64,
    /// The topic is known again by this record; none before the first.
    known: Option<RecordMark>,
    /// The last one. It becomes the known one when the topic was known again after it.
    last: Option<RecordMark>,
}

impl Reading {
    fn from(next: i64, known: Option<RecordMark>) -> Self {
        Self { next, last: known.clone(), known }
    }

    fn read(&mut self, record: &RawRecord) {
        let mark = marks::of(record);
        self.next = record.offset + 1;
        self.known.get_or_insert_with(|| mark.clone());
        self.last = Some(mark);
    }
}

pub(crate) struct Worker {
    consumers: Consumers,
    topics: TopicFilter,
    bounds: BatchBounds,
    ends_every: Duration,
    delivery_timeout: Duration,
    gone_after: Duration,
    inbox: Receiver<Vec<(Partition, Place)>>,
    outbox: mpsc::Sender<Result<Polled, FeedError>>,
    /// Asked for and not assigned yet.
    wanted: Vec<(Partition, Place)>,
    /// Found, and the feed was told; it assigns them when they are registered.
    announced: HashSet<Partition>,
    found: Vec<(Partition, i64)>,
    assigned: HashMap<Arc<Partition>, Reading>,
    names: Names,
    ends_at: Option<Instant>,
    /// Since when the brokers have not known every topic that we read.
    unknown_since: Option<Instant>,
}

impl Worker {
    pub(crate) fn new(
        consumers: Consumers,
        topics: TopicFilter,
        bounds: BatchBounds,
        options: &KafkaOptions,
        inbox: Receiver<Vec<(Partition, Place)>>,
        outbox: mpsc::Sender<Result<Polled, FeedError>>,
    ) -> Self {
        Self {
            consumers,
            topics,
            bounds,
            ends_every: options.ends_every,
            delivery_timeout: options.delivery_timeout,
            gone_after: options.gone_after,
            inbox,
            outbox,
            wanted: Vec::new(),
            announced: HashSet::new(),
            found: Vec::new(),
            assigned: HashMap::new(),
            names: HashMap::new(),
            ends_at: None,
            unknown_since: None,
        }
    }

    /// Until the feed is dropped. A lost place and an end are told once; then there is nothing more to read.
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
            let over = matches!(polled, Err(FeedError::Lost(_) | FeedError::Ended(_)));
            if self.outbox.blocking_send(polled).is_err() || over {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Polled, FeedError> {
        if !self.found.is_empty() {
            return Ok(Polled::Discovered(std::mem::take(&mut self.found)));
        }
        // In a poll of its own, so that no record waits for the answer; the service applies the last batch meanwhile.
        if self.ends_at.is_none_or(|at| at.elapsed() >= self.ends_every) {
            return Ok(Polled::Batch(Batch { records: Vec::new(), ends: self.ends()? }));
        }
        Ok(Polled::Batch(Batch { records: self.records()?, ends: None }))
    }

    fn records(&mut self) -> Result<Vec<RawRecord>, FeedError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let consumer = &self.consumers.reader;
        while records.len() < self.bounds.records_max && bytes < self.bounds.bytes_max {
            let wait = if records.is_empty() { FIRST_WAIT } else { Duration::ZERO };
            let message = match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                // What was read before is read again by the next feed.
                Some(Err(err)) => match explained(&err) {
                    None => continue,
                    Some(FeedError::Lost(reason)) => return Err(FeedError::Lost(reason)),
                    Some(other) => return Err(other),
                },
            };
            let record = raw(&mut self.names, &message);
            bytes += record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
            records.push(record);
        }
        let last: HashMap<_, _> = records.iter().map(|record| (&record.partition, record)).collect();
        for (partition, record) in last {
            if let Some(reading) = self.assigned.get_mut(partition) {
                reading.read(record);
            }
        }
        Ok(records)
    }

    /// Partitions of admitted topics that are not assigned, with their first offsets, and the number of the cluster's brokers.
    fn discover(&mut self) -> Result<(Vec<(Partition, i64)>, usize), FeedError> {
        let metadata = self.consumers.asker.fetch_metadata(None, ASK_MAX);
        let metadata = metadata.map_err(|err| unavailable("metadata", &err))?;
        let admitted = metadata.topics().iter().filter(|topic| self.topics.admits(topic.name()));
        let there =
            admitted.flat_map(|topic| topic.partitions().iter().map(|partition| (topic.name(), partition.id())));
        let there = there.map(|(topic, partition)| Partition { topic: topic.to_owned(), partition });
        let new = |partition: &Partition| !self.announced.contains(partition) && !self.assigned.contains_key(partition);
        let new: Vec<Partition> = there.filter(new).collect();
        let mut found = Vec::with_capacity(new.len());
        for partition in new {
            let (low, _) = self.watermarks(&partition)?;
            found.push((partition, low));
        }
        let replicas = metadata.topics().iter().flat_map(|topic| topic.partitions()).flat_map(|p| p.replicas());
        Ok((found, brokers(metadata.brokers().iter().map(|broker| broker.id()), replicas.copied())))
    }

    /// First and end offset. A topic that nobody knows may be known again in a moment; one that stays unknown is gone (C6).
    fn watermarks(&mut self, partition: &Partition) -> Result<(i64, i64), FeedError> {
        let asked = self.consumers.asker.fetch_watermarks(&partition.topic, partition.partition, ASK_MAX);
        match asked {
            Err(err) if err.rdkafka_error_code().is_some_and(is_unknown) => {
                let since = *self.unknown_since.get_or_insert_with(Instant::now);
                let name = format!("{}/{}", partition.topic, partition.partition);
                if since.elapsed() > self.gone_after {
                    return Err(FeedError::Lost(format!("{name}: the topic or partition is gone")));
                }
                Err(FeedError::Unavailable(format!("{name}: unknown to the brokers ({err})")))
            }
            asked => asked.map_err(|err| unavailable("offsets", &err)),
        }
    }

    /// End offsets of all partitions there are; none while some are not assigned, for then nobody reads all.
    /// They count only once every topic was known again: one made anew may have outgrown our place meanwhile (C6).
    fn ends(&mut self) -> Result<Option<Ends>, FeedError> {
        let (found, brokers) = self.discover()?;
        self.found = found;
        self.announced.extend(self.found.iter().map(|(partition, _)| partition.clone()));
        self.ends_at = Some(Instant::now());
        if !self.announced.iter().all(|partition| self.assigned.contains_key(partition)) {
            return Ok(None);
        }
        let places = self.assigned.iter();
        let places: Vec<_> = places.map(|(partition, at)| (partition.clone(), at.next, at.known.clone())).collect();
        let mut offsets = Vec::with_capacity(places.len());
        for (partition, next, known) in places {
            offsets.push((Partition::clone(&partition), self.check(&partition, next, known.as_ref())?));
        }
        self.unknown_since = None;
        self.assigned.values_mut().for_each(|reading| reading.known.clone_from(&reading.last));
        let delivery_ms = i64::try_from(self.delivery_timeout.as_millis()).unwrap_or(i64::MAX);
        let held_back_ms_max = if brokers > 1 { delivery_ms } else { 0 };
        Ok(Some(Ends { offsets, reached: self.reached()?, held_back_ms_max }))
    }

    /// Partitions read further than their last record: a transactional producer's markers come behind it, take an offset and
    /// are never delivered.
    fn reached(&mut self) -> Result<Vec<(Partition, i64)>, FeedError> {
        let positions = self.consumers.reader.position().map_err(|err| unavailable("positions", &err))?;
        let mut reached = Vec::new();
        for element in positions.elements() {
            let Offset::Offset(position) = element.offset() else { continue };
            let partition = Partition { topic: element.topic().to_owned(), partition: element.partition() };
            if let Some(reading) = self.assigned.get_mut(&partition).filter(|reading| reading.next < position) {
                reading.next = position;
                reached.push((partition, position));
            }
        }
        Ok(reached)
    }

    /// Assigns what was asked for.
    fn assign(&mut self) -> Result<(), FeedError> {
        let mut list = TopicPartitionList::new();
        let wanted = std::mem::take(&mut self.wanted);
        let checked = wanted.iter().try_for_each(|(partition, place)| {
            self.check(partition, place.next, place.marks.record.as_ref())?;
            let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(place.next));
            added.map_err(|err| unavailable("assignment", &err))
        });
        if let Err(err) = checked {
            self.wanted = wanted;
            return Err(err);
        }
        if list.count() > 0 {
            self.consumers.reader.incremental_assign(&list).map_err(|err| unavailable("assignment", &err))?;
            let reading = |place: Place| Reading::from(place.next, place.marks.record);
            self.assigned.extend(wanted.into_iter().map(|(partition, place)| (Arc::new(partition), reading(place))));
        }
        Ok(())
    }

    /// End offset. The next record to be read must not be gone, and the record by which we know the topic must still be there
    /// (C6).
    fn check(&mut self, partition: &Partition, next: i64, known: Option<&RecordMark>) -> Result<i64, FeedError> {
        let (low, end) = self.watermarks(partition)?;
        let name = format!("{}/{}", partition.topic, partition.partition);
        if next < low {
            return Err(FeedError::Lost(format!("{name}: retention passed offset {next}, the first is {low}")));
        }
        if next > end {
            return Err(FeedError::Lost(format!(
                "{name}: ends at {end}, before offset {next}: topic recreated or truncated"
            )));
        }
        known.filter(|known| known.offset >= low).map_or(Ok(()), |known| self.recognise(partition, known, low))?;
        Ok(end)
    }

    /// Reads a record again that was read before: a topic made anew holds another one there, or none.
    fn recognise(&self, partition: &Partition, known: &RecordMark, low: i64) -> Result<(), FeedError> {
        let there = first_from(&self.consumers.prober, partition, known.offset)?;
        let gone = there.as_ref().is_none_or(|there| there.offset != known.offset);
        let first = if gone { first_from(&self.consumers.prober, partition, low)? } else { None };
        if marks::is_another(known, &Reread { there, first }) {
            let Partition { topic, partition } = partition;
            let offset = known.offset;
            let reason = format!("{topic}/{partition}: another record than we read stands at offset {offset}");
            return Err(FeedError::Lost(format!("{reason}: topic recreated")));
        }
        Ok(())
    }
}

/// How many brokers a cluster has. One that is away is not among the `live`, but partitions still name it among their replicas.
fn brokers(live: impl Iterator<Item = i32>, replicas: impl Iterator<Item = i32>) -> usize {
    live.chain(replicas).collect::<HashSet<_>>().len()
}

fn is_unknown(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// What a consumer's error means; `None` = librdkafka heals it by itself and says so only for information.
fn explained(err: &KafkaError) -> Option<FeedError> {
    use RDKafkaErrorCode as Code;
    let code = err.rdkafka_error_code()?;
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Some(FeedError::Lost(format!("offset out of range ({err})"))),
        // Gone, made anew, or only its leader: the next feed finds out, from what SQL remembers.
        code if is_unknown(code) => Some(FeedError::Ended(format!("a topic or partition is unknown ({err})"))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_counted_by_the_partitions_that_name_it() {
        assert_eq!(brokers([1].into_iter(), [1, 1].into_iter()), 1);
        assert_eq!(brokers([1].into_iter(), [1, 2, 1].into_iter()), 2, "records may wait for the one that is away");
    }
}
