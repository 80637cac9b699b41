//! Pauses between the tries of a transaction that met a conflict.

use std::time::Duration;

use crate::host::Host;

/// Longest first pause.
const FIRST_MAX: Duration = Duration::from_millis(4);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Bounds and paces the tries of one transaction. Two transactions that met once would meet again if both ran again at
/// once. So each further try waits for a random time, at most twice as long as the one before.
#[derive(Debug)]
pub struct Again {
    tries_max: u32,
    tries: u32,
    host: Host,
}

impl Again {
    /// At most `tries_max` tries, the first included.
    pub fn at_most(tries_max: u32) -> Self {
        Again { tries_max, tries: 1, host: Host::default() }
    }

    /// With pauses by the chance of this host.
    pub fn on(self, host: &Host) -> Self {
        Again { host: host.clone(), ..self }
    }

    /// The number of the current try, from 1.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Waits before the next try; false at once when there is none left.
    pub async fn wait(&mut self) -> bool {
        if self.tries >= self.tries_max {
            return false;
        }
        tokio::time::sleep(pause(self.tries, self.host.chance())).await;
        self.tries += 1;
        true
    }
}

/// The pause after try number `tries`: somewhere between nothing and the longest one, as `random` falls.
fn pause(tries: u32, random: u64) -> Duration {
    let longest =
        FIRST_MAX.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random % nanos.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_grow_up_to_a_bound() {
        for tries in 1..40 {
            assert!(pause(tries, u64::MAX - 7) < PAUSE_MAX);
            assert_eq!(pause(tries, 0), Duration::ZERO);
        }
        let longest = |tries| (0..1_000).map(|n| pause(tries, n * 1_000_003)).max();
        assert!(longest(1) <= Some(FIRST_MAX) && longest(1) < longest(3) && longest(3) < longest(6));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_try_is_not_followed_by_another() {
        let mut again = Again::at_most(3);
        assert!(again.wait().await && again.wait().await && !again.wait().await);
        assert_eq!(again.tries(), 3);
        assert!(!Again::at_most(1).wait().await);
    }
}
