//! How the replayer works.

use std::time::Duration;

use standin::resolution::Patience;

/// Bounds and times of the replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// Entries sent at once, at most; 1 replays strictly one by one.
    pub concurrency_max: usize,
    /// Longest wait for the core's answer.
    pub core_timeout: Duration,
    /// Between two looks at the queue while it is empty, at the operators' orders and at unknown outcomes.
    pub look_every: Duration,
    /// How long the fence is held without renewal, on the SQL server's clock.
    pub fence_ttl: Duration,
    /// Submitting for longer than this means that its sender will not record an outcome any more.
    pub abandoned_after: Duration,
    /// When a person is called.
    pub patience: Patience,
}

impl Default for Options {
    /// 16 at once, 5 s for an answer, looks every 100 ms, a fence of 10 s, senders abandoned after 30 s, parked after 10 minutes.
    fn default() -> Self {
        Self {
            concurrency_max: 16,
            core_timeout: Duration::from_secs(5),
            look_every: Duration::from_millis(100),
            fence_ttl: Duration::from_secs(10),
            abandoned_after: Duration::from_secs(30),
            patience: Patience { park_after_ms: 600_000, memory_margin_ms: 60_000 },
        }
    }
}

impl Options {
    /// Unknown outcomes worked on at once: a quarter of what may be sent, beside it.
    pub(crate) fn resolving_max(&self) -> usize {
        (self.concurrency_max / 4).clamp(1, 8)
    }
}
