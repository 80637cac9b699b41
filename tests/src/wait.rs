//! Waiting for a condition, with its last status in the failure.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Longest wait for a start, a load or a drain: two cores, on a machine of half the usual speed, are shared by all parts.
pub const PATIENCE: Duration = Duration::from_secs(420);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Asks until the answer is `Ok`; panics with the last `Err` when the time is up.
pub async fn wait_for<T, E: Display>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let until = Instant::now() + limit;
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match ask().await {
            Ok(value) => return value,
            Err(status) if Instant::now() >= until => panic!("{what}: not within {limit:?}; last: {status}"),
            Err(_) => {}
        }
    }
}
