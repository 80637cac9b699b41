//! Archives what ended long ago, again and again; of all processes the one that holds the fence.

use std::time::Duration;

use standin::journal::{ArchiveJournal, Instance, Retention};

/// Between two passes.
const EVERY: Duration = Duration::from_secs(3_600);
/// Entries that left the tables for files.
const ARCHIVED_TOTAL: &str = "locum_journal_archived_total";
/// Passes that ended early.
const FAILED_TOTAL: &str = "locum_journal_archive_failures_total";

/// Archives until it is dropped: whatever it was at, the next pass goes on there.
pub async fn keep(journal: ArchiveJournal, instance: Instance, retention: Retention) {
    loop {
        match journal.pass(&instance, &retention).await {
            Ok(Some(pass)) => {
                metrics::counter!(ARCHIVED_TOTAL).increment(pass.entries);
                metrics::counter!(FAILED_TOTAL).increment(0);
                tracing::info!(pass.files, pass.entries, pass.forgotten, "archived what was due");
            }
            Ok(None) => tracing::debug!("another process archives"),
            Err(err) => {
                metrics::counter!(FAILED_TOTAL).increment(1);
                tracing::error!(error = %err, "archiving ended early; nothing is lost, and it is tried again");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
