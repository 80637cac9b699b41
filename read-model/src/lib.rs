//! The read model: the only place that knows its SQL and its Redis keys.
//!
//! # How the tiers stay right
//! SQL is the authority. Apply transactions of a source are totally ordered (`sources.applied_seq`); that number is the
//! position clients hold. Memory and Redis keep whole documents (an account with its balance) and a mark n that promises:
//! every document here is at least as new as after apply n. See [`Memory`] and [`RedisTier`] for how it is kept under fills,
//! time-outs, flushes and stale writers. In a process that does not ingest a source, its memory is empty and bypassed:
//! Redis and SQL serve. A read with a floor skips every tier below it. Documents that parked events touch are in no tier.

mod core_rows;
mod datasets;
mod delete_markers;
mod digest;
mod facts;
mod generation;
mod grant;
mod lease;
mod link;
mod lookup;
mod memory;
pub mod metrics;
mod migrations;
mod moving;
mod page;
mod parked;
mod posting_links;
mod postings;
mod progress;
mod publication;
mod reader;
mod redis_tier;
mod rows;
mod shadow_evidence;
mod shadow_refusals;
mod source;
mod stored;
mod sweep;
mod table;
mod tables_seen;
mod tiers;
mod waiting;
mod waiting_events;
mod writer;

pub use delete_markers::{
    MARKERS_AT_ONCE, MarkerStanding, MarkerStep, MarkersStay, forget_markers, markers_go_before_ms,
};
pub use digest::{Comparison, Digest, compare};
pub use facts::{AccountRead, every_source_loaded, facts, unclear};
pub use generation::{Filling, filling, open_generation};
pub use lease::{Lease, release, renew, take};
pub use link::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
pub use memory::{DOCUMENTS_MAX, Memory, PATIENCE};
pub use migrations::{COMPONENT, MIGRATIONS};
pub use page::{PAGE_DEFAULT, PAGE_MAX, Page, PageKey, TransactionFilter};
pub use parked::{
    EVERY_KEY, Mark, NoParkedRef, PARKED_BYTES_MAX, PARKED_PREFIX_BYTES, ParkedEvent, ParkedOrder, ParkedQueue,
    ParkedRef, ParkedSummary, QueueKey, RETRIED_AT_ONCE, Waiting, WhichParked, Worked, kept_of_parked, marks_of,
    order_parked, ordered_queues, parked_event, parked_events, parked_queues, trust, waiting_in,
};
pub use posting_links::check_link;
pub use postings::{PostingFound, postings};
pub use progress::{Advance, Marks, OffsetStep, Partition, Place, RecordMark, offsets, places, resume};
pub use publication::Publication;
pub use reader::{ACCOUNTS_PER_CUSTOMER_MAX, BATCH_KEYS_MAX, Floor, Read, ReadError, Reader, ReaderOptions, Tier};
pub use redis_tier::{DOCUMENT_TTL_S, RedisTier};
pub use rows::{AccountDocument, RowError, Versioned};
pub use schemas::grant::Grant;
pub use shadow_evidence::EVIDENCE_PER_STEP;
pub use source::{Freshness, Position, Progress, Quality, SourceStatus, status_of, statuses};
pub use sweep::{KEPT_AFTER_SWAP_MS, Sweep};
pub use table::{KEY_LEN_MAX, NAME_LEN_MAX, REMITTANCE_LEN_MAX, TRANSACTION_ID_LEN_MAX, Unfit, check};
pub use tables_seen::{TableSeen, tables_seen};
pub use tiers::Tiers;
pub use waiting::WaitingBalance;
pub use waiting_events::{Due, EVENTS_PER_STEP, WaitingEvent};
pub use writer::{Applied, WriteError, Writer};

/// Brings the read model's tables to their newest version. The rows of an earlier release are moved meanwhile, which may take long;
/// that release goes on serving them.
pub async fn migrate(db: &sql::Db) -> Result<(), WriteError> {
    moving::migrate(db).await?;
    parked::adopt(db).await
}
