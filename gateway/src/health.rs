//! What one gateway believes of the core's health, and how fast it changes its mind. Pure.

use schemas::core::{Outcome, Unsent};

/// Health of the core as one observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Answers.
    Available,
    /// Failed to answer lately, not often enough to give up.
    Suspect,
    /// Do not try; probes only.
    Unavailable,
    /// Probes succeed again; not trusted yet.
    Recovering,
}

impl Health {
    /// The name in metrics and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Available => "available",
            Health::Suspect => "suspect",
            Health::Unavailable => "unavailable",
            Health::Recovering => "recovering",
        }
    }
}

/// Something that was seen of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A usable answer to a request. A refusal is one, and so is a declared *not done*: it is about that request alone.
    Answered,
    /// Provably nothing could be sent: the connection was refused. Counts at once.
    Refused,
    /// A request was sent and no usable answer came, or its connection broke before anything was sent.
    NoAnswer,
    /// A probe came back well.
    ProbeUp,
    /// A probe was answered: the core takes no postings now. The core itself says so, so it counts at once.
    ProbeReadOnly,
    /// A probe failed.
    ProbeDown,
}

impl Signal {
    /// What the outcome of one request says of the core; our own congestion says nothing.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Posted(_) | Outcome::Refused { .. } | Outcome::Duplicate | Outcome::Pending => {
                Some(Self::Answered)
            }
            // The core answered for this request, perhaps for its account. Other customers' requests may go through.
            Outcome::NotSent { why: Unsent::NotDone, .. } => Some(Self::Answered),
            Outcome::NotSent { why: Unsent::CoreAway, .. } => Some(Self::Refused),
            Outcome::NotSent { why: Unsent::NotTried, .. } => None,
            // It counts as a request without an answer: one alone changes nothing.
            Outcome::NotSent { why: Unsent::ConnectionLost, .. } | Outcome::Unknown { .. } => Some(Self::NoAnswer),
        }
    }
}

/// When the mind changes. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Consecutive requests or probes without an answer before the core counts as away.
    pub failures_max: u32,
    /// Clean probes in a row before it counts as back.
    pub clean_probes_min: u32,
    /// A fall within this time of the last one doubles the clean probes asked for: a flapping core stays away longer.
    pub flap_window_ms: u64,
    /// Bound of that doubling.
    pub clean_probes_max: u32,
    /// A core that is there is heard at least so often: the time between two probes and the longest that one may take.
    pub heard_every_ms: u64,
}

impl Default for HealthPolicy {
    /// Away after 3 failures; back after 3 clean probes, doubling up to 96 while falls come within 10 minutes. Heard every 1.25 s.
    fn default() -> Self {
        Self {
            failures_max: 3,
            clean_probes_min: 3,
            flap_window_ms: 600_000,
            clean_probes_max: 96,
            heard_every_ms: 1_250,
        }
    }
}

/// The observer.
#[derive(Debug, Clone)]
pub struct CoreHealth {
    policy: HealthPolicy,
    health: Health,
    failures: u32,
    clean: u32,
    clean_wanted: u32,
    fell_at_ms: Option<u64>,
    heard_at_ms: Option<u64>,
}

impl CoreHealth {
    /// Starts as recovering: the first clean probes decide, so a gateway that starts during an outage stands in at once.
    pub fn new(policy: HealthPolicy) -> Self {
        let health = Health::Recovering;
        Self { policy, health, failures: 0, clean: 0, clean_wanted: 1, fell_at_ms: None, heard_at_ms: None }
    }

    /// What is believed now.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Has the core said nothing for `waited_ms`, or for longer than one that is there can be silent?
    pub fn is_silent(&self, waited_ms: u64, now_ms: u64) -> bool {
        let silent_ms = self.heard_at_ms.map(|at| now_ms.saturating_sub(at));
        silent_ms.is_none_or(|silent_ms| silent_ms >= waited_ms.min(self.policy.heard_every_ms))
    }

    /// Takes in a signal at `now_ms` of a monotonic clock; `true` when the health changed.
    pub fn step(&mut self, signal: Signal, now_ms: u64) -> bool {
        let before = self.health;
        if matches!(signal, Signal::Answered | Signal::ProbeUp) {
            self.heard_at_ms = Some(now_ms);
        }
        match (self.health, signal) {
            (Health::Available | Health::Suspect, Signal::Answered | Signal::ProbeUp) => {
                self.failures = 0;
                self.health = Health::Available;
            }
            (Health::Available | Health::Suspect, Signal::Refused | Signal::ProbeReadOnly) => self.fall(now_ms),
            (Health::Available | Health::Suspect, Signal::NoAnswer | Signal::ProbeDown) => {
                self.failures += 1;
                self.health = Health::Suspect;
                if self.failures >= self.policy.failures_max {
                    self.fall(now_ms);
                }
            }
            (Health::Unavailable | Health::Recovering, Signal::ProbeUp) => {
                self.clean += 1;
                self.health = Health::Recovering;
                if self.clean >= self.clean_wanted {
                    self.failures = 0;
                    self.health = Health::Available;
                }
            }
            // A late answer to a request of before the fall proves nothing about now.
            (Health::Unavailable | Health::Recovering, Signal::Answered) => {}
            (Health::Recovering, Signal::Refused | Signal::NoAnswer | Signal::ProbeDown | Signal::ProbeReadOnly) => {
                self.fall(now_ms);
            }
            (Health::Unavailable, _) => self.clean = 0,
        }
        before != self.health
    }

    fn fall(&mut self, now_ms: u64) {
        // Failing while recovering is the same fall going on, not another one.
        if self.health != Health::Recovering || self.fell_at_ms.is_none() {
            let flapping = self.fell_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < self.policy.flap_window_ms);
            self.clean_wanted = if flapping {
                (self.clean_wanted * 2).min(self.policy.clean_probes_max)
            } else {
                self.policy.clean_probes_min
            };
            self.fell_at_ms = Some(now_ms);
        }
        (self.health, self.failures, self.clean) = (Health::Unavailable, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Signal::*;

    fn available() -> CoreHealth {
        let mut health = CoreHealth::new(HealthPolicy::default());
        health.step(ProbeUp, 0);
        assert_eq!(health.health(), Health::Available);
        health
    }

    #[test]
    fn a_refused_connection_counts_at_once() {
        let mut health = available();
        assert!(health.step(Refused, 1));
        assert_eq!(health.health(), Health::Unavailable);
    }

    #[test]
    fn requests_that_the_core_declares_not_done_never_take_the_gateway_into_stand_in() {
        let not_done = Outcome::NotSent { why: Unsent::NotDone, reason: "status 429".into() };
        let mut health = available();
        for at in 0..1_000 {
            health.step(Signal::of(&not_done).unwrap(), at);
            assert_eq!(health.health(), Health::Available);
        }
    }

    #[test]
    fn a_core_that_books_later_is_there() {
        let mut health = available();
        for at in 0..1_000 {
            health.step(Signal::of(&Outcome::Pending).unwrap(), at);
            assert_eq!(health.health(), Health::Available);
        }
    }

    #[test]
    fn a_connection_that_breaks_before_a_byte_was_sent_counts_only_with_others() {
        let lost = Outcome::NotSent { why: Unsent::ConnectionLost, reason: "reset".into() };
        let mut health = available();
        health.step(Signal::of(&lost).unwrap(), 1);
        assert_ne!(health.health(), Health::Unavailable);
        health.step(Answered, 2);
        for at in 3..6 {
            health.step(Signal::of(&lost).unwrap(), at);
        }
        assert_eq!(health.health(), Health::Unavailable);
    }

    #[test]
    fn a_core_that_says_it_is_read_only_counts_at_once_however_many_requests_it_still_answers() {
        let mut health = available();
        health.step(Answered, 1);
        assert!(health.step(ProbeReadOnly, 2));
        assert_eq!(health.health(), Health::Unavailable);
        health.step(ProbeUp, 3);
        health.step(ProbeReadOnly, 4);
        assert_eq!(health.health(), Health::Unavailable);
    }

    #[test]
    fn single_failures_between_answers_never_switch() {
        let mut health = available();
        for at in 0..1_000 {
            health.step(NoAnswer, at);
            health.step(NoAnswer, at);
            assert_ne!(health.health(), Health::Unavailable);
            health.step(Answered, at);
        }
        assert_eq!(health.health(), Health::Available);
    }

    #[test]
    fn it_takes_several_clean_probes_to_come_back_and_one_failure_to_start_over() {
        let mut health = available();
        health.step(Refused, 1);
        health.step(ProbeUp, 2);
        health.step(ProbeUp, 3);
        health.step(ProbeDown, 4);
        health.step(ProbeUp, 5);
        health.step(ProbeUp, 6);
        assert_eq!(health.health(), Health::Recovering);
        health.step(ProbeUp, 7);
        assert_eq!(health.health(), Health::Available);
    }

    #[test]
    fn a_core_is_silent_that_said_nothing_for_a_whole_wait_or_for_longer_than_its_probes_take() {
        let mut health = CoreHealth::new(HealthPolicy::default());
        assert!(health.is_silent(0, 0), "it was never heard");
        health.step(ProbeUp, 1_000);
        health.step(NoAnswer, 1_200);
        assert!(!health.is_silent(500, 1_499));
        assert!(health.is_silent(500, 1_500));
        assert!(!health.is_silent(60_000, 2_249));
        assert!(health.is_silent(60_000, 2_250));
        health.step(Answered, 2_300);
        assert!(!health.is_silent(500, 2_400));
    }

    #[test]
    fn a_flapping_core_is_trusted_ever_later() {
        let mut health = available();
        let mut wanted = Vec::new();
        let mut now = 1;
        for _ in 0..8 {
            health.step(Refused, now);
            let mut probes = 0;
            while health.health() != Health::Available {
                now += 500;
                health.step(ProbeUp, now);
                probes += 1;
            }
            wanted.push(probes);
        }
        assert_eq!(wanted, [3, 6, 12, 24, 48, 96, 96, 96]);
    }

    #[test]
    fn a_late_answer_does_not_bring_it_back() {
        let mut health = available();
        health.step(Refused, 1);
        assert!(!health.step(Answered, 2));
        assert_eq!(health.health(), Health::Unavailable);
    }
}
