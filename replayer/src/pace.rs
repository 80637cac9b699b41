//! How many entries are sent at once. Pure.
//!
//! The core's knee is not known, so it is looked for by latency, as TCP Vegas looks for a path's capacity: of `n` requests that
//! take longer than the shortest one took, `n * (1 - shortest / taken)` wait inside the core. A few may wait, so that the core is
//! never idle; more gain nothing and delay live traffic. What live traffic adds to the latency makes the replay yield.
//!
//! One entry that gets no answer says nothing of the core: only two in a row do, or the probe.

use std::time::Duration;

use tokio::time::Instant;

/// Below so many that wait in the core, one more is sent at once.
const WAITING_MIN: u128 = 2;
/// Above so many, one less.
const WAITING_MAX: u128 = 5;
/// The shortest time is forgotten after this long: the core or the way to it may have changed.
const REMEMBERED: Duration = Duration::from_secs(10);
/// It is learned anew with so many times less under way, for one round: a queue of our own making must not count as the core's own time.
const LEARNS_WITH: usize = 4;

/// How many may be under way, between one and `max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    now: usize,
    max: usize,
    /// Doubles each round until the core is first seen to let requests wait.
    doubling: bool,
    round: Round,
    /// The shortest answer, and since when it counts.
    shortest: Option<(Duration, Instant)>,
    learning: Option<Learning>,
    silent_in_a_row: usize,
}

/// The shortest time is being learned anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Learning {
    /// The limit before and after.
    limit: usize,
    /// Answers still to come: those that were under way, and one round.
    answers_left: usize,
}

/// Answers since the last decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Round {
    answers: usize,
    took: Duration,
    most_at_core: usize,
}

impl Pace {
    /// Starts at one.
    pub fn new(max: usize) -> Self {
        Self {
            now: 1,
            max: max.max(1),
            doubling: true,
            round: Round::default(),
            shortest: None,
            learning: None,
            silent_in_a_row: 0,
        }
    }

    /// How many may be under way now.
    pub fn limit(&self) -> usize {
        self.now
    }

    /// The core answered after `took`, while it had `at_core` requests of ours. A whole round of answers decides.
    pub fn answered(&mut self, took: Duration, at_core: usize, now: Instant) {
        self.silent_in_a_row = 0;
        let Some(shortest) = self.learn(took, now) else { return };
        let round = &mut self.round;
        round.answers += 1;
        round.took = round.took.saturating_add(took);
        round.most_at_core = round.most_at_core.max(at_core);
        if round.answers < self.now {
            return;
        }
        let Round { answers, took, most_at_core } = std::mem::take(round);
        let all_shortest = shortest.as_nanos() * answers as u128;
        let waiting = most_at_core as u128 * took.as_nanos().saturating_sub(all_shortest) / took.as_nanos().max(1);
        // A limit that is not used shows nothing of the core.
        let used = most_at_core * 2 >= self.now;
        if waiting > WAITING_MAX {
            self.doubling = false;
            self.now = (self.now - 1).max(1);
        } else if waiting < WAITING_MIN && used {
            self.now = if self.doubling { self.now * 2 } else { self.now + 1 }.min(self.max);
        }
    }

    /// The shortest time, this answer's included; `None` while it is being learned anew.
    fn learn(&mut self, took: Duration, now: Instant) -> Option<Duration> {
        let (known, since) = self.shortest.unwrap_or((took, now));
        if now.saturating_duration_since(since) > REMEMBERED {
            self.learning = Some(Learning { limit: self.now, answers_left: self.now + self.now / LEARNS_WITH + 1 });
            self.now = (self.now / LEARNS_WITH).max(1);
            self.round = Round::default();
            self.shortest = Some((took, now));
            return None;
        }
        let shortest = known.min(took);
        self.shortest = Some((shortest, since));
        if let Some(learning) = &mut self.learning {
            learning.answers_left -= 1;
            if learning.answers_left == 0 {
                self.now = learning.limit;
                self.learning = None;
            }
            return None;
        }
        Some(shortest)
    }

    /// An entry got no answer. The second one in a row halves the pace.
    pub fn silent(&mut self) {
        self.silent_in_a_row += 1;
        if self.silent_in_a_row >= 2 {
            self.fell();
        }
    }

    /// The core is away.
    pub fn fell(&mut self) {
        self.silent_in_a_row = 0;
        self.doubling = false;
        self.round = Round::default();
        let limit = self.learning.take().map_or(self.now, |learning| learning.limit);
        self.now = (limit / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core that works on `knee` requests at once, each for `each`; further ones wait inside it.
    fn settles_at(pace: &mut Pace, knee: usize, each: Duration, rounds: usize) -> usize {
        let mut now = Instant::now();
        for _ in 0..rounds {
            let at_core = pace.limit();
            let took = each * u32::try_from(at_core.max(knee)).unwrap() / u32::try_from(knee).unwrap();
            for _ in 0..at_core {
                now += took / u32::try_from(at_core).unwrap();
                pace.answered(took, at_core, now);
            }
        }
        pace.limit()
    }

    #[tokio::test]
    async fn it_finds_the_knee_of_a_core_and_keeps_it_busy() {
        for knee in [1, 2, 4, 16, 32] {
            let mut pace = Pace::new(64);
            let found = settles_at(&mut pace, knee, Duration::from_millis(20), 500);
            assert!((knee..=knee + 8).contains(&found), "knee {knee}: {found}");
        }
        assert_eq!(settles_at(&mut Pace::new(8), 100, Duration::from_millis(20), 500), 8, "never above its bound");
    }

    #[tokio::test]
    async fn it_follows_a_core_that_becomes_faster_or_slower() {
        let mut pace = Pace::new(64);
        settles_at(&mut pace, 16, Duration::from_millis(20), 300);
        let slower = settles_at(&mut pace, 4, Duration::from_millis(20), 2_000);
        assert!((4..=12).contains(&slower), "{slower}");
        let faster = settles_at(&mut pace, 32, Duration::from_millis(5), 2_000);
        assert!((32..=40).contains(&faster), "{faster}");
    }

    #[tokio::test]
    async fn a_core_that_falls_halves_it_down_to_one() {
        let mut pace = Pace::new(64);
        settles_at(&mut pace, 32, Duration::from_millis(20), 300);
        let before = pace.limit();
        pace.fell();
        assert_eq!(pace.limit(), before / 2);
        (0..10).for_each(|_| pace.fell());
        assert_eq!(pace.limit(), 1);
    }

    #[tokio::test]
    async fn one_entry_without_an_answer_among_others_moves_nothing_and_a_core_that_falls_silent_does() {
        let (mut pace, now) = (Pace::new(8), Instant::now());
        for _ in 0..200 {
            pace.silent();
            pace.answered(Duration::from_millis(20), pace.limit(), now);
        }
        assert_eq!(pace.limit(), 8);
        pace.silent();
        pace.silent();
        assert_eq!(pace.limit(), 4);
    }
}
