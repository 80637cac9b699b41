//! No fault, but CPUs that burn: Locum must not take the core for away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use locum_tests::world::World;

use crate::failover::Extent;
use crate::load::{Accounts, Skew};
use crate::open::{self, MOSTLY_READS, Schedule, Target};
use crate::outcome::carried;
use crate::report::Row;
use crate::rounds::Pairs;

/// Minutes that the goal is about.
pub const MINUTES: u64 = 10;
/// Counts how often Locum changed its mind about the core.
const CHANGES: &str = "locum_gateway_health_changes_total";

/// Runs the load beside one busy loop for each CPU, and counts how often Locum took the core for away.
pub async fn measure(world: &World, side: &Target, name: &str, extent: Extent) -> anyhow::Result<Row> {
    let Extent { rate, calm_minutes, .. } = extent;
    let schedule = Schedule { rate, lasts: Duration::from_secs(calm_minutes * 60), write_every: MOSTLY_READS };
    let accounts = Accounts::new(&world.accounts(), Skew::Uniform);
    let before = falls(&world.locums[0].metrics().await);
    let burning = Burning::start();
    let window = open::run(schedule, side.clone(), accounts).await?;
    drop(burning);
    let falls = falls(&world.locums[0].metrics().await) - before;
    let carried = carried(rate, window.share_done());
    println!(
        "{name}, {calm_minutes} min without a fault, {carried}: {falls} false failovers, {} errors",
        window.errors()
    );
    let mut pairs = Pairs::default();
    pairs.push(falls, f64::NAN);
    let whole = if calm_minutes < MINUTES { format!(" of {MINUTES}") } else { String::new() };
    let arm = format!("{name}, calm {calm_minutes}{whole} min, {carried}");
    Ok(Row::none(arm, "false failovers", "-", &pairs))
}

/// How often the core was taken for away, by this text of metrics; a fall that goes on while Locum recovers counts again.
/// A counter that is not there has not begun.
fn falls(metrics: &str) -> f64 {
    let counter = format!("{CHANGES}{{to=\"unavailable\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&counter)?.trim().parse().ok()).unwrap_or(0.0)
}

/// A busy loop for each CPU, until dropped.
struct Burning(Arc<AtomicBool>);

impl Burning {
    fn start() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let done = done.clone();
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(done)
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_to_unavailable_are_falls() {
        let text = "# TYPE locum_gateway_health_changes_total counter\n\
            locum_gateway_health_changes_total{to=\"suspect\"} 7\nlocum_gateway_health_changes_total{to=\"unavailable\"} 2\n";
        assert_eq!((falls(text), falls("")), (2.0, 0.0));
    }
}
