//! Single records, read again.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use read_model::{Partition, RecordMark};

use crate::feed::FeedError;
use crate::kafka_options::{ASK_MAX, unavailable};
use crate::marks;

/// Longest wait for one event of the consumer.
const STEP: Duration = Duration::from_millis(5);

/// The first record of a partition at or after an offset; none when the partition ends before one comes.
pub(crate) fn first_from(
    prober: &BaseConsumer,
    partition: &Partition,
    offset: i64,
) -> Result<Option<RecordMark>, FeedError> {
    let mut list = TopicPartitionList::new();
    let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(offset));
    added.and_then(|()| prober.assign(&list)).map_err(|err| unavailable("reading again", &err))?;
    let asked = Instant::now();
    let found = loop {
        match prober.poll(STEP) {
            Some(Ok(message)) if message.topic() == partition.topic && message.partition() == partition.partition => {
                break Ok(Some(RecordMark {
                    offset: message.offset(),
                    sent_ms: message.timestamp().to_millis(),
                    digest: marks::digest(message.key(), message.payload()),
                }));
            }
            // Only this partition is assigned.
            Some(Err(KafkaError::PartitionEOF(_))) => break Ok(None),
            Some(Err(err)) => tracing::debug!(error = %err, "reading again"),
            Some(Ok(_)) => {}
            // Only what wakes the connection's thread makes it look for newly assigned partitions, at the latest after a
            // second. A question does.
            None => drop(prober.fetch_watermarks(&partition.topic, partition.partition, ASK_MAX)),
        }
        if asked.elapsed() > ASK_MAX {
            let Partition { topic, partition } = partition;
            break Err(FeedError::Unavailable(format!("{topic}/{partition}: offset {offset} is not read in time")));
        }
    };
    prober.unassign().map_err(|err| unavailable("reading again", &err))?;
    found
}
