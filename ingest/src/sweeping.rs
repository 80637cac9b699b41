//! Deletes earlier generations, and delete markers that nothing needs any more, while this process leads, a little at a time.

use std::time::Duration;

use read_model::{KEPT_AFTER_SWAP_MS, Lease, MarkerStep, MarkersStay, Sweep, forget_markers};
use sql::Db;
use tokio::time::sleep;

/// How often it is asked whether there is something to delete.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Pause between two steps: the store belongs to others.
const PAUSE: Duration = Duration::from_millis(20);
/// Steps over delete markers before earlier generations are looked for again.
const MARKER_STEPS_MAX: u32 = 1_000;

/// Until it is aborted.
pub(crate) async fn run(db: Db, lease: Lease, markers_days: Option<u32>) {
    let source = &lease.source;
    let mut held = None;
    loop {
        match Sweep::due(&db, source, KEPT_AFTER_SWAP_MS).await {
            Ok(Some(sweep)) => through(&db, source, sweep).await,
            Ok(None) => {}
            Err(err) => tracing::warn!(error = %err, source, "cannot look for rows of earlier generations"),
        }
        if let Some(days) = markers_days {
            let now_held = markers(&db, &lease, days).await;
            if now_held != held {
                held = now_held;
                tracing::info!(source, ?held, "delete markers that nothing needs go, unless something holds them");
            }
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

/// Deletes those that are due; answers why none may go, if so.
async fn markers(db: &Db, lease: &Lease, days: u32) -> Option<MarkersStay> {
    let source = &lease.source;
    let gone = metrics::counter!(crate::metrics::MARKERS_GONE_TOTAL, "source" => source.clone());
    let held = metrics::gauge!(crate::metrics::MARKERS_HELD, "source" => source.clone());
    for _ in 0..MARKER_STEPS_MAX {
        match forget_markers(db, lease, days).await {
            Ok(MarkerStep::Stay(why)) => {
                held.set(1.0);
                return Some(why);
            }
            Ok(MarkerStep::Gone { notes, markers }) => {
                gone.increment(markers);
                held.set(0.0);
                if notes == 0 {
                    break;
                }
            }
            Err(err) => {
                tracing::warn!(error = %err, source, "delete markers not deleted yet");
                break;
            }
        }
        sleep(PAUSE).await;
    }
    None
}
