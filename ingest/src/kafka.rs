//! Kafka as a feed. librdkafka blocks, so one thread of its own owns the consumer; a channel of one batch makes reading
//! overlap with applying and bounds memory.

use std::thread;

use read_model::{Partition, Place};
use sql::BoxFuture;
use tokio::sync::mpsc;

use crate::feed::{BatchBounds, Feed, FeedError, Polled};
use crate::kafka_options::KafkaOptions;
use crate::kafka_thread::{Consumers, Worker};
use crate::topics::TopicFilter;

/// All topics of one connector.
pub struct KafkaFeed {
    commands: std::sync::mpsc::Sender<Vec<(Partition, Place)>>,
    polled: mpsc::Receiver<Result<Polled, FeedError>>,
}

impl KafkaFeed {
    /// Starts the thread. Nothing is read before partitions are assigned.
    pub fn start(options: &KafkaOptions, topics: TopicFilter, bounds: BatchBounds) -> Result<Self, FeedError> {
        let (commands, inbox) = std::sync::mpsc::channel();
        let (outbox, polled) = mpsc::channel(1);
        let consumers =
            Consumers { reader: options.consumer()?, asker: options.consumer()?, prober: options.prober()? };
        let worker = Worker::new(consumers, topics, bounds, options, inbox, outbox);
        let started = thread::Builder::new().name("ingest-kafka".into()).spawn(move || worker.run());
        started.map_err(|err| FeedError::Configuration(format!("cannot start a thread: {err}")))?;
        Ok(Self { commands, polled })
    }
}

fn gone() -> FeedError {
    FeedError::Ended("the consumer's thread is gone".into())
}

impl Feed for KafkaFeed {
    fn assign(&mut self, partitions: Vec<(Partition, Place)>) -> BoxFuture<'_, Result<(), FeedError>> {
        // The thread assigns before its next read; what goes wrong there comes out of a later poll.
        let sent = self.commands.send(partitions).map_err(|_| gone());
        Box::pin(async move { sent })
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, FeedError>> {
        Box::pin(async move { self.polled.recv().await.unwrap_or_else(|| Err(gone())) })
    }
}
