//! What the rounds of the arm failover come to. Pure.

use std::time::Duration;

use crate::report::Better::{Lower, LowerInEachRound};
use crate::report::Row;
use crate::rounds::Pairs;
use crate::window::{Kind, Window, held};

/// By then Locum has answered a write: its default, which the worlds keep.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);
/// The quantile of the control that an overshoot is measured by.
const FAR: f64 = 0.9999;
/// How many times that an overshoot may be.
const OVERSHOOT_MAX: f64 = 3.0;
/// The share of a proxy's worst read that Locum's may take.
const READS_MAX: f64 = 1.0 / 15.0;

/// One side of a round: control, killed, stopped.
pub type Seen = [Window; 3];

/// The rounds so far.
#[derive(Debug)]
pub struct Outcome {
    name: String,
    rate: u32,
    errors: Pairs,
    overshoot: Pairs,
    reads: [Pairs; 2],
    /// The least share that each side's controls answered in time: Locum, then the proxies.
    done: [f64; 3],
}

impl Outcome {
    /// Without a round yet.
    pub fn new(name: &str, rate: u32) -> Self {
        let (errors, overshoot, reads) = <(Pairs, Pairs, [Pairs; 2])>::default();
        Self { name: name.to_owned(), rate, errors, overshoot, reads, done: [1.0; 3] }
    }

    /// Adds a round.
    pub fn push(&mut self, locum: &Seen, proxies: [&Seen; 2]) {
        let [control, killed, stopped] = locum;
        self.errors.push((killed.errors() + stopped.errors()) as f64, control.errors() as f64);
        let overshoot = worst(locum, Kind::Write).saturating_sub(WRITE_DEADLINE);
        self.overshoot.push(ms(overshoot), ms(control.quantile(FAR)));
        for (pairs, proxy) in self.reads.iter_mut().zip(proxies) {
            pairs.push(ms(worst(locum, Kind::Read)), ms(worst(proxy, Kind::Read)));
        }
        for (done, seen) in self.done.iter_mut().zip([locum, proxies[0], proxies[1]]) {
            *done = done.min(seen[0].share_done());
        }
    }

    /// The rows of all rounds. Where a control did not carry the load, its row says so and is not met.
    pub fn rows(&self, proxies: [&'static str; 2]) -> Vec<Row> {
        let alone = self.done[0];
        let without = "Locum without a fault";
        let mut rows = vec![
            self.row(alone, |arm| Row::none(arm, "errors", without, &self.errors)),
            self.row(alone, |arm| {
                let goal = (LowerInEachRound, OVERSHOOT_MAX);
                Row::new(arm, "overshoot, p99.99 ms", without, &self.overshoot, goal)
            }),
        ];
        for ((pairs, proxy), done) in self.reads.iter().zip(proxies).zip(&self.done[1..]) {
            let row = |arm| {
                let row = Row::new(arm, "worst read ms", proxy, pairs, (Lower, READS_MAX));
                Row { goal: "<= 1/15".to_owned(), ..row }
            };
            rows.push(self.row(alone.min(*done), row));
        }
        rows
    }

    fn row(&self, done: f64, make: impl FnOnce(String) -> Row) -> Row {
        let row = make(format!("{}, {}", self.name, carried(self.rate, done)));
        Row { met: row.met && held(done), ..row }
    }
}

/// What was done of what was offered.
pub fn carried(rate: u32, done: f64) -> String {
    let saturated = if held(done) { "" } else { ", saturated" };
    format!("{:.0} of {rate}/s{saturated}", f64::from(rate) * done)
}

/// The longest under either fault.
fn worst([_, killed, stopped]: &Seen, kind: Kind) -> Duration {
    killed.worst(kind).max(stopped.worst(kind))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{Sample, WARM_UP};

    /// A read and a write that took so long.
    fn window(read_ms: u64, write_ms: u64) -> Window {
        let mut window = Window::of(Duration::from_secs(9));
        for (kind, took_ms) in [(Kind::Read, read_ms), (Kind::Write, write_ms)] {
            window.add(
                Sample { due: WARM_UP, kind, took: Duration::from_millis(took_ms), well: true, direct: false },
                None,
            );
        }
        window
    }

    fn rows(locum: Seen, proxy: Seen) -> Vec<Row> {
        let mut outcome = Outcome::new("failover", 4_000);
        outcome.push(&locum, [&proxy, &proxy]);
        outcome.rows(["nginx", "HAProxy"])
    }

    #[test]
    fn the_worse_fault_counts_and_an_overshoot_begins_at_the_deadline() {
        let rows =
            rows([window(1, 10), window(4, 2_012), window(2, 1_500)], [window(3, 1), window(20, 1), window(100, 1)]);
        let figures: Vec<_> = rows.iter().map(|row| (row.locum, row.peer, row.met)).collect();
        assert_eq!(figures, [(0.0, 0.0, true), (12.0, 10.0, true), (4.0, 100.0, true), (4.0, 100.0, true)]);
        assert_eq!(rows[2].arm, "failover, 4000 of 4000/s");
    }

    #[test]
    fn a_control_that_did_not_carry_the_load_meets_no_goal_and_says_so() {
        let slow = Duration::from_secs(9).as_millis() as u64;
        let rows = rows([window(1, 10), window(4, 10), window(2, 10)], [window(slow, 1), window(99, 1), window(99, 1)]);
        assert!(rows[0].met && rows[1].met && !rows[2].met && !rows[3].met);
        assert_eq!(rows[2].arm, "failover, 2000 of 4000/s, saturated");
    }

    #[test]
    fn one_error_is_too_many() {
        let mut killed = window(1, 1);
        killed.add(
            Sample { due: WARM_UP, kind: Kind::Read, took: Duration::ZERO, well: false, direct: false },
            Some("torn"),
        );
        let rows = rows([window(1, 1), killed, window(1, 1)], [window(1, 1), window(1, 1), window(1, 1)]);
        assert_eq!((rows[0].locum, rows[0].met, rows[0].goal.as_str()), (1.0, false, "= 0"));
    }
}
