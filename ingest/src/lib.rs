//! Kafka → read model. One fenced ingester per source; rows, confirmations and offsets commit together.
//!
//! `prepare` and `attest` decide and touch nothing; `apply` is one SQL transaction; `leading` turns the wheel; `service`
//! takes and gives back the lease. A [`Feed`] delivers records: Kafka, or the embedded core's change log.

mod apply;
mod attest;
mod change_log;
mod confirm;
mod feed;
pub mod identity;
mod kafka;
mod kafka_thread;
mod leading;
pub mod metrics;
mod options;
mod prepare;
mod service;
mod swap;
mod sweeping;
mod topics;

pub use attest::{Attestation, LATE_MS, Proven, Signs};
pub use change_log::{CHANGE_LOG_TOPIC, HttpChangeLog};
pub use confirm::{Confirm, ConfirmError, NoJournal};
pub use feed::{Batch, BatchBounds, Feed, FeedError, Polled, RawRecord};
pub use kafka::{KafkaFeed, KafkaOptions};
pub use options::{FeedFactory, FeedOptions, Options};
pub use prepare::{PARKED_IN_A_ROW_MAX, Prepared, Preparer, SnapshotSeen};
pub use service::Service;
pub use topics::TopicFilter;
