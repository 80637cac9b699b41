//! How Kafka is read and asked.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use crate::feed::FeedError;

/// Longest wait for an answer about metadata or offsets.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(5);

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
    /// A topic that the brokers do not know for so long is gone; a broker that starts or a new leader knows it sooner. 30 s.
    pub gone_after: Duration,
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
            gone_after: Duration::from_secs(30),
            further: Vec::new(),
        }
    }

    /// A consumer that reads single records of single partitions.
    pub(crate) fn prober(&self) -> Result<BaseConsumer, FeedError> {
        let config = self.settings();
        let config = config.into_iter().chain([
            ("enable.partition.eof".to_owned(), "true".to_owned()),
            ("queued.min.messages".to_owned(), "1".to_owned()),
            ("fetch.message.max.bytes".to_owned(), "65536".to_owned()),
            // What is asked next must not wait because of what was answered last.
            ("fetch.queue.backoff.ms".to_owned(), "1".to_owned()),
            ("fetch.error.backoff.ms".to_owned(), "1".to_owned()),
            ("fetch.wait.max.ms".to_owned(), "1".to_owned()),
        ]);
        created(config.collect())
    }

    /// A consumer that reads records, or asks for metadata and offsets.
    pub(crate) fn consumer(&self) -> Result<BaseConsumer, FeedError> {
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

/// The brokers do not answer, or not with what was asked for.
pub(crate) fn unavailable(what: &str, err: &KafkaError) -> FeedError {
    FeedError::Unavailable(format!("{what}: {err}"))
}

#[cfg(test)]
mod tests {
    /// Versions from 2.5 on read beyond an array when a broker that has just started answers a fetch (ADR 0023).
    #[test]
    fn the_client_library_is_none_that_crashes_while_a_broker_starts_again() {
        let (number, name) = rdkafka::util::get_rdkafka_version();
        let minor = number >> 16;
        assert!((0x0200..0x0205).contains(&minor), "{name}: read docs/adr/0023, and try the version as told there");
    }
}
