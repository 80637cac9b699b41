//! Signs of life of this instance, and its end when people declared it gone.

use std::process::exit;
use std::time::Duration;

use standin::journal::{Instance, Journal, Life};
use tokio::time::{MissedTickBehavior, interval};

/// Several fit into the silence after which an instance can be declared gone.
const EVERY: Duration = Duration::from_secs(5);
/// The exit code of a process whose instance is over.
const OVER: i32 = 1;

/// Gives signs of life. When this instance is over, others take its attempts for ended: the process ends at once, with whatever
/// it was sending, and the operating system drops its identity with it.
pub async fn keep(journal: Journal, instance: Instance) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match journal.beat(&instance).await {
            Ok(Life::Current) => {}
            Ok(Life::Over) => {
                tracing::error!(%instance, "this instance was declared gone, or another process holds its identity; ending at once");
                exit(OVER);
            }
            Err(err) => tracing::warn!(error = %err, "a sign of life cannot be given"),
        }
    }
}
