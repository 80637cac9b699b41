//! Deletes earlier generations while this process leads, a little at a time.

use std::time::Duration;

use read_model::{KEPT_AFTER_SWAP_MS, Sweep};
use sql::Db;
use tokio::time::sleep;

/// How often it is asked whether there is something to delete.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Pause between two steps: the store belongs to others.
const PAUSE: Duration = Duration::from_millis(20);

/// Until it is aborted.
pub(crate) async fn run(db: Db, source: String) {
    loop {
        match Sweep::due(&db, &source, KEPT_AFTER_SWAP_MS).await {
            Ok(Some(sweep)) => through(&db, &source, sweep).await,
            Ok(None) => {}
            Err(err) => tracing::warn!(error = %err, source, "cannot look for rows of earlier generations"),
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn through(db: &Db, source: &str, mut sweep: Sweep) {
    loop {
        match sweep.step(db).await {
            Ok(true) => sleep(PAUSE).await,
            Ok(false) => return tracing::info!(source, "rows of earlier generations are deleted"),
            Err(err) => return tracing::warn!(error = %err, source, "rows of earlier generations not deleted yet"),
        }
    }
}
