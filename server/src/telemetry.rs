//! What the process tells of itself: metrics and panics.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Panics in this process, wherever they were contained.
const PANICS_TOTAL: &str = "locum_panics_total";
/// How often samples are folded into their summaries. Until then each one is kept in memory, whether or not anybody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder of this process, and counts every panic from now on.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let metrics = PrometheusBuilder::new().install_recorder()?;
    std::panic::set_hook(Box::new(|panic| told(panic.location())));
    Ok(metrics)
}

/// The place only: a panic's text may quote what it was about, and that may be personal data.
fn told(place: Option<&std::panic::Location<'_>>) {
    let place = place.map_or_else(|| "unknown".to_owned(), ToString::to_string);
    metrics::counter!(PANICS_TOTAL).increment(1);
    tracing::error!(place, "panic");
}

/// Keeps the recorder's memory bounded, for as long as it is polled.
pub async fn keep_up(metrics: PrometheusHandle) {
    every(UPKEEP_EVERY, || metrics.run_upkeep()).await;
}

async fn every(pause: Duration, work: impl Fn()) {
    loop {
        tokio::time::sleep(pause).await;
        work();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn upkeep_goes_on_although_nobody_scrapes() {
        let done = Cell::new(0);
        let working = every(UPKEEP_EVERY, || done.set(done.get() + 1));
        let _ = tokio::time::timeout(UPKEEP_EVERY * 10 + UPKEEP_EVERY / 2, working).await;
        assert_eq!(done.get(), 10);
    }

    #[test]
    fn a_panic_is_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || told(Some(std::panic::Location::caller())));
        assert!(recorder.handle().render().contains("locum_panics_total 1"));
    }
}
