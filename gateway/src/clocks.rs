//! This host's clock beside the SQL server's. Where they differ too much one of them is wrong, and nobody here can say which.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::metrics::CLOCK_AHEAD_MS;

/// What the last comparison showed.
#[derive(Debug)]
pub struct Clocks {
    difference_ms_max: u64,
    ahead_ms: Mutex<Option<i64>>,
}

/// Why this host's clock is not to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// Nobody knows yet.
    #[error("this host's clock was not compared with the SQL server's yet")]
    NotCompared,
    /// One of the two is wrong.
    #[error(
        "this host's clock is {} ms {} the SQL server's, and {max_ms} ms is the most: let NTP set the clocks of both hosts",
        .ahead_ms.unsigned_abs(), if *.ahead_ms > 0 { "ahead of" } else { "behind" }
    )]
    Apart {
        /// By how much this host's is ahead; behind, where negative.
        ahead_ms: i64,
        /// The most that is borne.
        max_ms: u64,
    },
}

impl Clocks {
    pub(crate) fn new(difference_max: Duration) -> Self {
        let difference_ms_max = u64::try_from(difference_max.as_millis()).unwrap_or(u64::MAX);
        Self { difference_ms_max, ahead_ms: Mutex::new(None) }
    }

    /// By how many milliseconds this host's clock is ahead; behind, where negative; `None`: not compared yet.
    pub fn ahead_ms(&self) -> Option<i64> {
        *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// May writes be taken?
    pub fn check(&self) -> Result<(), ClockFault> {
        self.judge(self.ahead_ms())
    }

    fn judge(&self, ahead_ms: Option<i64>) -> Result<(), ClockFault> {
        let ahead_ms = ahead_ms.ok_or(ClockFault::NotCompared)?;
        match ahead_ms.unsigned_abs() <= self.difference_ms_max {
            true => Ok(()),
            false => Err(ClockFault::Apart { ahead_ms, max_ms: self.difference_ms_max }),
        }
    }

    /// Takes in a new comparison.
    pub(crate) fn note(&self, ahead_ms: i64) {
        let bounded = i32::try_from(ahead_ms).unwrap_or(if ahead_ms > 0 { i32::MAX } else { i32::MIN });
        metrics::gauge!(CLOCK_AHEAD_MS).set(bounded);
        let before = self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner).replace(ahead_ms);
        match (self.judge(before), self.judge(Some(ahead_ms))) {
            (Ok(()) | Err(ClockFault::NotCompared), Err(fault)) => {
                tracing::error!(%fault, "no write is taken until the clocks agree");
            }
            (Err(ClockFault::Apart { .. }), Ok(())) => tracing::warn!("the clocks agree again; writes are taken"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_were_not_compared_or_are_too_far_apart_are_not_relied_on() {
        let clocks = Clocks::new(Duration::from_secs(2));
        assert_eq!(clocks.check(), Err(ClockFault::NotCompared));
        for (ahead_ms, fine) in
            [(0, true), (2_000, true), (-2_000, true), (2_001, false), (-2_001, false), (i64::MIN, false)]
        {
            clocks.note(ahead_ms);
            assert_eq!(clocks.check().is_ok(), fine, "{ahead_ms}");
        }
        clocks.note(-3_000);
        let told = clocks.check().unwrap_err().to_string();
        assert!(told.contains("3000 ms behind") && told.contains("NTP"), "{told}");
    }
}
