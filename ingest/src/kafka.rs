//! Kafka as a feed. librdkafka blocks, so one thread of its own owns the consumer; a channel of one batch makes reading
//! overlap with applying and bounds memory.

use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use read_model::Partition;
use sql::BoxFuture;
use tokio::sync::mpsc;

use crate::feed::{BatchBounds, Feed, FeedError, Polled};
use crate::kafka_thread::Worker;
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
            further: Vec::new(),
        }
    }

    /// Offsets live in SQL: no group, no commits, and never a reset.
    fn consumer(&self) -> Result<BaseConsumer, FeedError> {
        let mut config = ClientConfig::new();
        for (name, value) in &self.further {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("group.id", format!("locum.{}", self.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.message.max.bytes", "8388608")
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", self.queued_kbytes_max.to_string())
            .set("socket.keepalive.enable", "true")
            .set("topic.metadata.refresh.interval.ms", "30000");
        config.create().map_err(|err| FeedError::Configuration(err.to_string()))
    }
}

/// All topics of one connector.
pub struct KafkaFeed {
    commands: std::sync::mpsc::Sender<Vec<(Partition, i64)>>,
    polled: mpsc::Receiver<Result<Polled, FeedError>>,
}

impl KafkaFeed {
    /// Starts the thread. Nothing is read before partitions are assigned.
    pub fn start(options: &KafkaOptions, topics: TopicFilter, bounds: BatchBounds) -> Result<Self, FeedError> {
        let (commands, inbox) = std::sync::mpsc::channel();
        let (outbox, polled) = mpsc::channel(1);
        let worker = Worker::new((options.consumer()?, options.consumer()?), topics, bounds, options, inbox, outbox);
        let started = thread::Builder::new().name("ingest-kafka".into()).spawn(move || worker.run());
        started.map_err(|err| FeedError::Configuration(format!("cannot start a thread: {err}")))?;
        Ok(Self { commands, polled })
    }
}

fn gone() -> FeedError {
    FeedError::Unavailable("the consumer's thread is gone".into())
}

impl Feed for KafkaFeed {
    fn assign(&mut self, partitions: Vec<(Partition, i64)>) -> BoxFuture<'_, Result<(), FeedError>> {
        // The thread assigns before its next read; what goes wrong there comes out of a later poll.
        let sent = self.commands.send(partitions).map_err(|_| gone());
        Box::pin(async move { sent })
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, FeedError>> {
        Box::pin(async move { self.polled.recv().await.unwrap_or_else(|| Err(gone())) })
    }
}
