//! What a committed batch tells people: log and metrics.

use read_model::{Applied, Partition, SourceStatus};

use crate::prepared::Prepared;

/// Tells of parked events, without their reasons: these may quote a customer's data, and are kept with the events.
pub(crate) fn warn_of_parked(source: &str, prepared: &Prepared) {
    if !prepared.healed.is_empty() {
        tracing::info!(source, rows = prepared.healed.len(), "later events superseded the parked events of these rows");
    }
    if !prepared.waits.is_empty() {
        tracing::info!(source, events = prepared.waits.len(), "events wait for the rows of their accounts");
    }
    for event in &prepared.parked {
        let Partition { topic, partition } = &event.partition;
        tracing::warn!(
            source,
            topic,
            partition,
            offset = event.offset,
            "an event cannot be applied and is parked; what it touches is served as degraded: GET /admin/v1/parked-events"
        );
    }
}

/// Counts what a batch brought.
pub(crate) fn count(source: &str, prepared: &Prepared, applied: &Applied, status: &SourceStatus) {
    let label = || source.to_owned();
    metrics::counter!(crate::metrics::RECORDS_TOTAL, "source" => label()).increment(prepared.records as u64);
    metrics::counter!(crate::metrics::IGNORED_TOTAL, "source" => label()).increment(prepared.ignored as u64);
    metrics::counter!(crate::metrics::PARKED_TOTAL, "source" => label()).increment(prepared.parked.len() as u64);
    metrics::counter!(crate::metrics::ROWS_TOTAL, "source" => label()).increment(applied.rows as u64);
    for (table, events) in &prepared.unmapped {
        let label = [("source", label()), ("table", table.clone())];
        metrics::counter!(crate::metrics::UNMAPPED_TOTAL, &label).increment(events.unsigned_abs());
    }
    for (table, events) in &prepared.skipped {
        let label = [("source", label()), ("table", table.clone())];
        metrics::counter!(crate::metrics::SKIPPED_TOTAL, &label).increment(*events);
    }
    metrics::gauge!(crate::metrics::BEHIND_RECORDS, "source" => label()).set(status.events_behind.unwrap_or(0) as f64);
    metrics::gauge!(crate::metrics::AS_OF_MS, "source" => label()).set(status.as_of_ms.unwrap_or(0) as f64);
}
