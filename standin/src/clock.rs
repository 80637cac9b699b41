//! How old something is, where a wrong answer moves money.
//!
//! No wall clock is trusted alone. The SQL server's may be another node's than before, or be set back after a failover, and
//! no two hosts agree. An observer times what it has seen itself on its monotonic clock. For what happened before it
//! looked, two clocks are asked, and the one on the safe side counts.

use std::time::Duration;

/// By how many milliseconds a host's clock is ahead of a server's, at least; behind it, where negative. The host asked at `asked_ms` of
/// its own clock and had the answer `server_ms` after `journey`.
///
/// The server read its clock at some moment of the journey. Whatever that can explain is no difference, so a slow answer never
/// makes a right clock look wrong.
pub fn ahead_ms(asked_ms: i64, journey: Duration, server_ms: i64) -> i64 {
    let journey_ms = i64::try_from(journey.as_millis()).unwrap_or(i64::MAX);
    let answered_ms = asked_ms.saturating_add(journey_ms);
    match server_ms {
        server_ms if server_ms < asked_ms => asked_ms.saturating_sub(server_ms),
        server_ms if server_ms > answered_ms => answered_ms.saturating_sub(server_ms),
        _ => 0,
    }
}

/// The age of one event by two clocks that are set apart, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ages {
    /// The SQL server's now, less the SQL server's stamp.
    pub by_sql_ms: u64,
    /// This host's now, less the stamp of the host that saw the event.
    pub by_host_ms: u64,
}

impl Ages {
    /// Reads both ages. A stamp that lies ahead of its clock is of this moment.
    pub fn of(now_us: (i64, i64), stamps_us: (i64, i64)) -> Self {
        let age_ms = |now: i64, stamp: i64| u64::try_from(now.saturating_sub(stamp) / 1_000).unwrap_or(0);
        Self { by_sql_ms: age_ms(now_us.0, stamps_us.0), by_host_ms: age_ms(now_us.1, stamps_us.1) }
    }

    /// For what must not look younger than it is, such as an attempt that the core remembers for a while.
    pub fn longest(self) -> u64 {
        self.by_sql_ms.max(self.by_host_ms)
    }

    /// For what must not look older than it is, such as the end of an attempt after which nothing may come.
    pub fn shortest(self) -> u64 {
        self.by_sql_ms.min(self.by_host_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_journey_explains_is_no_difference() {
        let journey = Duration::from_millis(300);
        for (server_ms, ahead) in [(10_000, 0), (10_300, 0), (9_000, 1_000), (11_300, -1_000), (i64::MIN, i64::MAX)] {
            assert_eq!(ahead_ms(10_000, journey, server_ms), ahead, "{server_ms}");
        }
    }

    #[test]
    fn one_clock_that_steps_makes_nothing_younger_and_nothing_older() {
        const HOUR_US: i64 = 3_600_000_000;
        let stamps = (10 * HOUR_US, 10 * HOUR_US);
        for now in [(9 * HOUR_US, 11 * HOUR_US), (11 * HOUR_US, 9 * HOUR_US)] {
            let ages = Ages::of(now, stamps);
            assert_eq!((ages.longest(), ages.shortest()), (3_600_000, 0), "{now:?}");
        }
    }
}
