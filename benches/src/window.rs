//! What was seen of one run of an open loop. Pure.

use std::time::Duration;

/// Of each run the first second warms up: connections are made in it. Its errors count, its times do not.
pub const WARM_UP: Duration = Duration::from_secs(1);
/// A run that answers less than this share of its requests by its end is saturated.
const HELD: f64 = 0.99;

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of one account.
    Read,
    /// A transfer.
    Write,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When it was due, from the beginning.
    pub due: Duration,
    /// What it is.
    pub kind: Kind,
    /// From then to its answer.
    pub took: Duration,
    /// Whether it was answered as it should be.
    pub well: bool,
    /// Whether it is a write that the core answered, not one that was queued.
    pub direct: bool,
}

/// All requests of one run.
#[derive(Debug, Clone, Default)]
pub struct Window {
    lasts: Duration,
    samples: Vec<Sample>,
    /// The first reason why a request was not answered well.
    pub why: Option<String>,
}

impl Window {
    /// A run of this length, without a request yet.
    pub fn of(lasts: Duration) -> Self {
        Self { lasts, ..Self::default() }
    }

    /// Adds a request, and why it was not answered well.
    pub fn add(&mut self, sample: Sample, why: Option<&str>) {
        self.samples.push(sample);
        if self.why.is_none() {
            self.why = why.map(str::to_owned);
        }
    }

    /// Requests that were not answered well.
    pub fn errors(&self) -> usize {
        self.samples.iter().filter(|sample| !sample.well).count()
    }

    /// The share of requests that were answered well before the run's end. Under saturation it falls.
    pub fn share_done(&self) -> f64 {
        let done = self.samples.iter().filter(|sample| sample.well && sample.due + sample.took <= self.lasts).count();
        done as f64 / self.samples.len() as f64
    }

    /// The longest of one kind.
    pub fn worst(&self, kind: Kind) -> Duration {
        self.warm().filter(|sample| sample.kind == kind).map(|sample| sample.took).max().unwrap_or_default()
    }

    /// How long all but this share of the requests took at most.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut took: Vec<Duration> = self.warm().map(|sample| sample.took).collect();
        took.sort_unstable();
        let rank = (share * took.len() as f64).ceil() as usize;
        took.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The share of the writes due from the end of the warm-up to `until` that the core answered.
    pub fn share_direct(&self, until: Duration) -> f64 {
        let writes = || self.warm().filter(|sample| sample.kind == Kind::Write && sample.due < until);
        writes().filter(|sample| sample.direct).count() as f64 / writes().count() as f64
    }

    /// From when on the core answered every write: when the last one was due that it did not answer. `None`: there are writes that it did
    /// not answer within `settled` of the end, so that nobody knows whether it is over.
    pub fn direct_from(&self, settled: Duration) -> Option<Duration> {
        let writes = self.samples.iter().filter(|sample| sample.kind == Kind::Write && !sample.direct);
        let last = writes.map(|sample| sample.due).max().unwrap_or_default();
        (last + settled <= self.lasts).then_some(last)
    }

    fn warm(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.due >= WARM_UP)
    }
}

/// Whether a run that answered this share by its end carried its load.
pub fn held(share_done: f64) -> bool {
    share_done >= HELD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(took_ms: impl Iterator<Item = u64>) -> Window {
        let mut window = Window::of(Duration::from_secs(11));
        for (n, ms) in took_ms.enumerate() {
            let due = WARM_UP + Duration::from_millis(n as u64);
            let sample = Sample { due, kind: Kind::Read, took: Duration::from_millis(ms), well: true, direct: false };
            window.add(sample, None);
        }
        window
    }

    #[test]
    fn a_quantile_is_a_time_that_was_seen() {
        let quantiles = |n| [0.5, 0.99, 0.9999].map(|share| window(1..=n).quantile(share).as_millis());
        assert_eq!(quantiles(10_000), [5_000, 9_900, 9_999]);
        assert_eq!(quantiles(10), [5, 10, 10]);
        assert_eq!(quantiles(0), [0, 0, 0]);
    }

    #[test]
    fn times_of_the_warm_up_do_not_count_and_its_errors_do() {
        let mut window = window([2, 3].into_iter());
        let cold =
            Sample { due: Duration::ZERO, kind: Kind::Read, took: Duration::from_secs(9), well: false, direct: false };
        window.add(cold, Some("torn"));
        assert_eq!((window.worst(Kind::Read), window.errors()), (Duration::from_millis(3), 1));
        assert_eq!((window.worst(Kind::Write), window.why.as_deref()), (Duration::ZERO, Some("torn")));
    }

    #[test]
    fn answers_after_the_end_show_that_the_load_was_not_carried() {
        assert!(held(window((0..1_000).map(|_| 5)).share_done()));
        // Each waits a little longer than the one before it.
        let share = window((0..10_000).map(|n| n / 5)).share_done();
        assert!((0.8..0.9).contains(&share) && !held(share), "{share}");
    }

    #[test]
    fn writes_are_direct_from_the_last_one_on_that_was_queued() {
        let mut window = Window::of(Duration::from_secs(20));
        for second in 1..20 {
            let due = Duration::from_secs(second);
            let direct = !(5..=9).contains(&second);
            window.add(Sample { due, kind: Kind::Write, took: Duration::ZERO, well: true, direct }, None);
        }
        let settled = Duration::from_secs(2);
        assert_eq!(window.direct_from(settled), Some(Duration::from_secs(9)));
        assert_eq!([5, 9].map(|until| window.share_direct(Duration::from_secs(until))), [1.0, 0.5]);
        let late =
            Sample { due: Duration::from_secs(19), kind: Kind::Write, took: Duration::ZERO, well: true, direct: false };
        window.add(late, None);
        assert_eq!(window.direct_from(settled), None);
    }
}
