//! How long instances have given no sign of life, as this process saw it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use standin::journal::InstanceRecord;
use tokio::time::Instant;

/// An instance must be silent for so long before it can be declared gone: several signs of life missed.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);
/// Instances watched at once; beyond that those looked at longest ago are forgotten, and must be watched anew.
const WATCHED_MAX: usize = 1_024;

/// What is known of an instance's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It gave no sign of life for [`SILENT_AFTER`].
    LongEnough,
    /// It gave none for so long, as far as this process knows.
    Since(Duration),
}

/// When each instance's newest sign of life was first seen here, on this process's own clock.
#[derive(Default)]
pub struct Silences(Mutex<HashMap<String, Watched>>);

struct Watched {
    boot: i64,
    beats: i64,
    since: Instant,
}

impl Silences {
    /// Takes in how the instance's row reads now.
    pub fn look(&self, instance: &InstanceRecord) -> Silence {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (boot, beats) = (instance.boot, instance.beats);
        let known = watched.get(&instance.id).filter(|known| (known.boot, known.beats) == (boot, beats));
        let since = known.map_or(now, |known| known.since);
        watched.insert(instance.id.clone(), Watched { boot, beats, since });
        if watched.len() > WATCHED_MAX {
            let newest = watched.iter().max_by_key(|(_, watched)| watched.since).map(|(id, _)| id.clone());
            newest.and_then(|id| watched.remove(&id));
        }
        let silence = now.saturating_duration_since(since);
        if silence >= SILENT_AFTER { Silence::LongEnough } else { Silence::Since(silence) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(beats: i64) -> InstanceRecord {
        let (id, seen_ago_ms) = ("lost".into(), Some(3_600_000));
        InstanceRecord { id, boot: 1, beats, started_us: 0, seen_ago_ms, gone_boot: 0, open_attempts: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn only_silence_that_was_watched_counts() {
        let silences = Silences::default();
        // An hour by the SQL server's clock proves nothing: that clock may have been set.
        assert_eq!(silences.look(&instance(7)), Silence::Since(Duration::ZERO));
        tokio::time::advance(SILENT_AFTER / 2).await;
        assert_eq!(silences.look(&instance(7)), Silence::Since(SILENT_AFTER / 2));
        tokio::time::advance(SILENT_AFTER / 2).await;
        assert_eq!(silences.look(&instance(7)), Silence::LongEnough);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_begins_the_silence_anew() {
        let silences = Silences::default();
        silences.look(&instance(7));
        tokio::time::advance(SILENT_AFTER).await;
        assert_eq!(silences.look(&instance(8)), Silence::Since(Duration::ZERO));
        let restarted = InstanceRecord { boot: 2, ..instance(8) };
        tokio::time::advance(SILENT_AFTER).await;
        assert_eq!(silences.look(&restarted), Silence::Since(Duration::ZERO));
    }
}
