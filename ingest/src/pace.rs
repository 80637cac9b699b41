//! How many records one apply transaction takes. Pure.
//!
//! A batch that fails is tried again in halves. So a batch that is too much for the store, or for the locks of others, is
//! not tried whole for ever, and a single record that the store refuses is found. While the lanes of accounts are held,
//! admission waits for them. So a batch that holds them for long makes the next one smaller, and one that would lock too
//! much is cut.

use std::time::Duration;

/// The first batch of a leader: nobody knows yet how fast the store is.
const START: usize = 500;
/// For so long an apply may hold lanes: a third of the time that an admission waits for one.
const HELD_MAX: Duration = Duration::from_millis(300);
/// Batches are not made smaller than this for slowness alone.
const SLOW_MIN: usize = 50;

/// The size of the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    records: usize,
    max: usize,
    /// Up to where batches grow: slowly, after one that would have locked too much.
    ceiling: usize,
}

impl Pace {
    /// Starts small; never more than `max` records.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { records: START.min(max), max, ceiling: max }
    }

    /// Records of the next batch.
    pub(crate) fn records(self) -> usize {
        self.records
    }

    /// A batch of so many records failed and may succeed in parts.
    pub(crate) fn failed(&mut self, records: usize) {
        self.records = (records / 2).max(1);
    }

    /// A batch of so many records would have locked too much.
    pub(crate) fn crowded(&mut self, records: usize) {
        self.failed(records);
        self.ceiling = self.records;
    }

    /// A batch was committed; it held lanes for so long.
    pub(crate) fn applied(&mut self, held: Duration) {
        self.ceiling = self.ceiling.saturating_add(self.ceiling / 8 + 1).min(self.max);
        self.records = if held > HELD_MAX {
            (self.records / 2).max(SLOW_MIN.min(self.records))
        } else if held < HELD_MAX / 2 {
            self.records.saturating_mul(2).min(self.ceiling)
        } else {
            self.records
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_halved_down_to_one_record_and_grows_again() {
        let mut pace = Pace::new(5_000);
        pace.failed(400);
        assert_eq!(pace.records(), 200);
        (0..20).for_each(|_| pace.failed(pace.records()));
        assert_eq!(pace.records(), 1);
        (0..20).for_each(|_| pace.applied(Duration::ZERO));
        assert_eq!(pace.records(), 5_000);
    }

    #[test]
    fn who_holds_lanes_for_long_takes_less_next_time() {
        let mut pace = Pace::new(5_000);
        pace.applied(HELD_MAX * 2);
        assert_eq!(pace.records(), START / 2);
        pace.applied(HELD_MAX);
        assert_eq!(pace.records(), START / 2, "long enough");
        (0..20).for_each(|_| pace.applied(HELD_MAX * 2));
        assert_eq!(pace.records(), SLOW_MIN);
        pace.failed(1);
        pace.applied(HELD_MAX * 2);
        assert_eq!(pace.records(), 1);
    }

    #[test]
    fn what_would_lock_too_many_lanes_is_halved_and_grows_slowly_again() {
        let mut pace = Pace::new(5_000);
        pace.crowded(400);
        assert_eq!(pace.records(), 200);
        pace.applied(Duration::ZERO);
        assert_eq!(pace.records(), 226);
        pace.crowded(226);
        assert_eq!(pace.records(), 113);
        (0..60).for_each(|_| pace.applied(Duration::ZERO));
        assert_eq!(pace.records(), 5_000, "once the crowd is over");
        (0..20).for_each(|_| pace.crowded(pace.records()));
        assert_eq!(pace.records(), 1);
    }
}
