//! Kafka → read model. One fenced ingester per source; rows, confirmations and offsets commit together.
//!
//! `prepare`, `attest`, `pace` and `marks` decide and touch nothing. `apply` is one SQL transaction. `leading` polls,
//! prepares, applies and publishes. `service` takes and gives back the lease. A [`Feed`] delivers records: Kafka, or the
//! embedded core's change log. `coverage` tries a mapping without any of that, on records of a file or of [`Whole`] topics.

mod apply;
mod apply_error;
mod attest;
mod beginning;
pub mod capture;
mod change_log;
mod confirm;
pub mod coverage;
mod discovery;
mod feed;
mod halt;
pub mod identity;
mod ingester;
mod isolation;
mod kafka;
mod kafka_options;
mod kafka_probe;
mod kafka_thread;
mod lanes;
mod leading;
mod marks;
pub mod metrics;
mod options;
mod pace;
mod prepare;
mod prepared;
mod report;
mod service;
mod shutdown;
mod state;
mod swap;
mod sweeping;
mod tables;
mod topics;
mod waiting;
mod whole;

pub use attest::{Attestation, LATE_MS, Proven, Signs};
pub use change_log::{CHANGE_LOG_TOPIC, HttpChangeLog};
pub use confirm::{Confirm, ConfirmError, Locks, NoJournal};
pub use feed::{Batch, BatchBounds, Ends, Feed, FeedError, Polled, RawRecord};
pub use halt::{Halt, Way, needs_rebuild};
pub use kafka::KafkaFeed;
pub use kafka_options::KafkaOptions;
pub use lanes::{ENTRIES_MAX, LANES_MAX};
pub use options::{FeedFactory, FeedOptions, Options};
pub use prepare::{PARKED_IN_A_ROW_MAX, Preparer};
pub use prepared::{Prepared, SnapshotSeen, Times};
pub use service::Service;
pub use topics::TopicFilter;
pub use whole::Whole;
