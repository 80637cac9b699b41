//! Kafka as a feed. librdkafka blocks, so one thread of its own owns the consumer; a channel of one batch makes reading
//! overlap with applying and bounds memory.

use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use read_model::{Partition, Place};
use sql::BoxFuture;
use tokio::sync::mpsc;

use crate::feed::{BatchBounds, Feed, FeedError, Polled};
use crate::kafka_thread::{Consumers, Worker};
use crate::topics::TopicFilter;

/// How a Kafka feed reads.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// `host:port,…`
    pub bootstrap_servers: String,
    /// Debezium's `topic.prefix`.
    pub topic_prefix: String,
    /// Memory for records fetched and not yet polled, in KiB. 65,536.
    pub queued_kbytes_max: u32,
    /// How often new partitions are looked for and end offsets asked for. 500 ms.
    pub ends_every: Duration,
    /// The connector's producer gives a record up after so long. In a cluster of several brokers a record may wait for so long
    /// while later ones are acknowledged, so a heartbeat attests no more than what was sent this much earlier. 120 s, the
    /// producer's `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// Further librdkafka settings, such as TLS; they cannot override those that correctness needs.
    pub further: Vec<(String, String)>,
}

impl KafkaOptions {
    /// Defaults for a broker and a connector's prefix.
    pub fn new(bootstrap_servers: &str, topic_prefix: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            topic_prefix: topic_prefix.to_owned(),
            queued_kbytes_max: 65_536,
            ends_every: Duration::from_millis(500),
            delivery_timeout: Duration::from_secs(120),
            further: Vec::new(),
        }
    }

    /// A consumer that reads single records of single partitions.
    fn prober(&self) -> Result<BaseConsumer, FeedError> {
        let config = self.settings();
        let config = config.into_iter().chain([
            ("enable.partition.eof".to_owned(), "true".to_owned()),
            ("queued.min.messages".to_owned(), "1".to_owned()),
            ("fetch.message.max.bytes".to_owned(), "65536".to_owned()),
        ]);
        created(config.collect())
    }

    fn consumer(&self) -> Result<BaseConsumer, FeedError> {
        created(self.settings())
    }

    /// Offsets live in SQL: no group, no commits, and never a reset.
    fn settings(&self) -> Vec<(String, String)> {
        let (bootstrap, prefix) = (self.bootstrap_servers.as_str(), format!("locum.{}", self.topic_prefix));
        let kbytes_max = self.queued_kbytes_max.to_string();
        let own = [
            ("bootstrap.servers", bootstrap),
            ("group.id", &prefix),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "false"),
            ("fetch.wait.max.ms", "50"),
            ("fetch.message.max.bytes", "8388608"),
            ("queued.min.messages", "100000"),
            ("queued.max.messages.kbytes", &kbytes_max),
            ("socket.keepalive.enable", "true"),
            ("topic.metadata.refresh.interval.ms", "30000"),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.further.iter().cloned().chain(own).collect()
    }
}

/// Later settings override earlier ones.
fn created(settings: Vec<(String, String)>) -> Result<BaseConsumer, FeedError> {
    let mut config = ClientConfig::new();
    for (name, value) in settings {
        config.set(name, value);
    }
    config.create().map_err(|err| FeedError::Configuration(err.to_string()))
}

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
