//! Whether a rate stays what it was: counts over time, and the rates of their first and their last tenth. Pure.

use std::time::Duration;

/// How many were done by which time, in the order of time.
#[derive(Debug, Clone, Default)]
pub struct Counts(Vec<(Duration, u64)>);

impl Counts {
    /// Adds a look.
    pub fn push(&mut self, at: Duration, done: u64) {
        self.0.push((at, done));
    }

    /// The first look that saw something done.
    pub fn first(&self) -> Option<Duration> {
        self.0.iter().find(|(_, done)| *done > 0).map(|(at, _)| *at)
    }

    /// How many were done by the last look.
    pub fn last(&self) -> u64 {
        self.0.last().map_or(0, |(_, done)| *done)
    }

    /// Done a second in each tenth of the time from the first thing done to the last look.
    pub fn tenths(&self) -> Option<[f64; 10]> {
        let (from, until) = (self.first()?.as_secs_f64(), self.0.last()?.0.as_secs_f64());
        let tenth = (until - from) / 10.0;
        let bound = |n: usize| self.done_by(from + tenth * n as f64);
        (tenth > 0.0).then(|| std::array::from_fn(|n| (bound(n + 1) - bound(n)) / tenth))
    }

    /// How many were done by then; between two looks, evenly.
    fn done_by(&self, at: f64) -> f64 {
        let after = self.0.partition_point(|(look, _)| look.as_secs_f64() < at);
        let point = |n: usize| self.0.get(n).map(|(look, done)| (look.as_secs_f64(), *done as f64));
        match (after.checked_sub(1).and_then(point), point(after)) {
            (Some((before, done)), Some((look, more))) => done + (more - done) * (at - before) / (look - before),
            (Some((_, done)), None) | (None, Some((_, done))) => done,
            (None, None) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(done: impl Fn(u64) -> u64) -> Counts {
        let mut counts = Counts::default();
        (0..=100).for_each(|second| counts.push(Duration::from_secs(second), done(second)));
        counts
    }

    #[test]
    fn a_steady_rate_is_the_same_in_each_tenth() {
        let tenths = counts(|second| 7 + second * 50).tenths().unwrap();
        assert!(tenths.iter().all(|rate| (rate - 50.0).abs() < 0.001), "{tenths:?}");
    }

    #[test]
    fn the_time_before_the_first_does_not_count_and_a_slower_end_shows() {
        let counts = counts(|second| match second {
            0..50 => 0,
            50..75 => 1 + (second - 50) * 100,
            _ => 2_501 + (second - 75) * 50,
        });
        let tenths = counts.tenths().unwrap();
        assert_eq!(counts.first(), Some(Duration::from_secs(50)));
        assert!((tenths[0] - 100.0).abs() < 0.001 && (tenths[9] - 50.0).abs() < 0.001, "{tenths:?}");
    }

    #[test]
    fn what_was_never_done_has_no_rate() {
        assert!(counts(|_| 0).tenths().is_none() && Counts::default().tenths().is_none());
    }
}
