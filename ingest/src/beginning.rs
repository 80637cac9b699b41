//! Where a leader begins: with what SQL remembers of the source.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use read_model::{Filling, Lease, parked_queues, places};

use crate::apply::Applier;
use crate::attest::{Attestation, Proven};
use crate::feed::{Feed, FeedError};
use crate::ingester::Ingester;
use crate::pace::Pace;
use crate::prepare::Preparer;
use crate::prepared::SnapshotSeen;
use crate::state::{State, Told};
use crate::tables::Tables;

/// Why leading did not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    #[error(transparent)]
    Store(#[from] read_model::RowError),
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Reads where the source is.
pub(crate) async fn begin(
    ingester: &Ingester,
    lease: &Lease,
    filling: Filling,
) -> Result<(State, Box<dyn Feed>), BeginError> {
    let (db, source) = (&ingester.db, lease.source.as_str());
    let writer = filling.writer();
    let Filling { mut status, served, topic_prefix, snapshot_begun } = filling;
    // A time from the future would stand until the future is over.
    status.as_of_ms = status.as_of_ms.map(|ms| ms.min(now_ms()));
    let places: HashMap<_, _> = places(db, source).await?.into_iter().collect();
    let parked = parked_queues(db, source, status.generation).await?;
    let mut feed = (ingester.feed)(topic_prefix.as_deref())?;
    if !places.is_empty() {
        feed.assign(places.clone().into_iter().collect()).await?;
    }
    let mapping = ingester.options.mapping.clone();
    let (by_links, asks_accounts) = (mapping.has_links(), mapping.asks_accounts());
    let mut tables = Tables::new(&mapping);
    tables.found(places.keys());
    let mut preparer = Preparer::new(mapping, status.generation, status.identity.as_deref(), parked);
    preparer.seen(SnapshotSeen { begun: snapshot_begun, whole: status.loaded });
    if let Some(served) = &served {
        let (generation, served) = (status.generation, served.generation);
        tracing::info!(source, generation, served, "filling a new generation");
    }
    let proven = Proven { as_of_ms: status.as_of_ms, loaded: status.loaded };
    let (db, lease, confirm) = (db.clone(), lease.clone(), ingester.confirm.clone());
    let applier = Applier { db, writer, lease, confirm, by_links, asks_accounts };
    let (attestation, pace) = (Attestation::new(proven), Pace::new(ingester.options.bounds.records_max));
    let told = Told::default();
    let state = State { applier, preparer, attestation, status, served, places, pace, tables, any_waiting: true, told };
    Ok((state, feed))
}

/// This process's wall clock, milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
