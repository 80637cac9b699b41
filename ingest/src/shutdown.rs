//! The end that a process was told.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// Told to stop, or nobody is left who could tell.
pub(crate) fn stopped(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

/// Waits, but not past a shutdown.
pub(crate) async fn pause(wait: Duration, shutdown: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = sleep(wait) => {}
        // A dropped sender is a shutdown too, and the caller's loop sees the value.
        changed = shutdown.wait_for(|stop| *stop) => drop(changed),
    }
}
