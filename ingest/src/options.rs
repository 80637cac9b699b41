//! What an ingester is told.

use std::sync::Arc;
use std::time::Duration;

use schemas::mapping::Mapping;

use crate::change_log::HttpChangeLog;
use crate::feed::{BatchBounds, Feed, FeedError};
use crate::kafka::KafkaFeed;
use crate::kafka_options::KafkaOptions;
use crate::topics::TopicFilter;

/// Makes the feed anew whenever this process takes the source over. It is given the topic prefix that the generation was opened
/// with; none = the configured one.
pub type FeedFactory = Arc<dyn Fn(Option<&str>) -> Result<Box<dyn Feed>, FeedError> + Send + Sync>;

/// Where a source's records come from.
#[derive(Clone)]
pub enum FeedOptions {
    /// Debezium's topics in Kafka.
    Kafka(KafkaOptions),
    /// The embedded core's change log, at its control port.
    ChangeLog {
        /// `http://host:port`
        url: String,
    },
    /// Made by the caller; for tests.
    Made(FeedFactory),
}

/// One source's ingester.
#[derive(Clone)]
pub struct Options {
    /// Unique per process start, such as host, process id and start time.
    pub owner: String,
    /// The source and what its tables mean.
    pub mapping: Arc<Mapping>,
    /// Where its records come from.
    pub feed: FeedOptions,
    /// Bounds of one batch.
    pub bounds: BatchBounds,
    /// Length of the lease; it is renewed every third of it. 10 s.
    pub lease: Duration,
    /// How often a halted or foreign source is looked at again. 1 s.
    pub retry: Duration,
    /// For so many days after a change a connector may send it once more; delete markers of transactions stay longer. None: as long
    /// as their generation.
    pub delete_markers_days: Option<u32>,
}

impl Options {
    /// Options with every default.
    pub fn new(owner: &str, mapping: Arc<Mapping>, feed: FeedOptions) -> Self {
        Self {
            owner: owner.to_owned(),
            mapping,
            feed,
            bounds: BatchBounds::default(),
            lease: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            delete_markers_days: None,
        }
    }

    /// Makes feeds of this kind.
    pub(crate) fn feed_factory(&self) -> FeedFactory {
        let (mapping, bounds) = (self.mapping.clone(), self.bounds);
        match self.feed.clone() {
            FeedOptions::Made(factory) => factory,
            FeedOptions::ChangeLog { url } => Arc::new(move |_| Ok(Box::new(HttpChangeLog::new(&url, bounds)) as _)),
            FeedOptions::Kafka(options) => Arc::new(move |prefix| {
                let mut options = options.clone();
                options.topic_prefix = prefix.unwrap_or(&options.topic_prefix).to_owned();
                let topics = TopicFilter::new(&options.topic_prefix, mapping.tables());
                Ok(Box::new(KafkaFeed::start(&options, topics, bounds)?) as _)
            }),
        }
    }
}
