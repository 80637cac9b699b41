//! Deaths at named places: ordered under load, observed, and ended by a new start.

use std::fs;
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::history::Nanos;
use crate::wait::PATIENCE;
use crate::wait::wait_for;
use crate::world::World;

/// Between two looks for the sign of a death: the absence that is excused begins with the last one that did not find it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Reads that the instances left must have answered before the dead one comes back.
const READS_OF_SURVIVORS: usize = 5;

/// An order to whichever instance passes a place for the nth time.
#[must_use = "somebody dies of it"]
pub struct Order {
    place: &'static str,
    given: Nanos,
}

impl World {
    /// Orders the first instance that passes `place` for the `nth` time from now on to die there.
    pub fn order_death(&self, place: &'static str, nth: u64) -> Order {
        let given = self.recorder.now();
        let path = self.orders().join(place);
        fs::write(&path, nth.to_string()).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        Order { place, given }
    }

    /// Waits until one instance has died of the order while all others live and answer reads, then starts it again.
    /// Only from the last look that found the order standing until it is ready again is its silence excused.
    pub async fn dies(&mut self, order: Order) -> usize {
        let Order { place, given } = order;
        let (victim, from) = self.death(place, given).await;
        let dead = self.recorder.now();
        for survivor in (0..self.locums.len()).filter(|index| *index != victim) {
            wait_for(&format!("locum {survivor} answers reads without locum {victim}"), PATIENCE, async || {
                let answered = self.recorder.reads_answered(survivor, dead);
                if answered >= READS_OF_SURVIVORS { Ok(()) } else { Err(answered) }
            })
            .await;
        }
        self.start_locum(victim).await;
        self.recorder.was_away(victim, from);
        for locum in &mut self.locums {
            assert!(!locum.has_ended(), "{place}: one dies, not more: {}", locum.last_words());
        }
        victim
    }

    /// Who died, and when the order was last seen standing. A dying process lets its connections go before anybody can know
    /// that it has ended; the sign that it takes the order comes before both.
    async fn death(&mut self, place: &str, given: Nanos) -> (usize, Nanos) {
        let hit = self.orders().join(format!("{place}.hit"));
        let until = Instant::now() + PATIENCE;
        let mut looks = interval(LOOK_EVERY);
        let mut standing = given;
        loop {
            looks.tick().await;
            let (now, victim) = (self.recorder.now(), self.locums.iter_mut().position(|locum| locum.has_ended()));
            match (hit.exists(), victim) {
                (true, Some(victim)) => return (victim, standing),
                (true, None) => {}
                (false, None) => standing = now,
                (false, Some(index)) => panic!("not of {place}: {}", self.locums[index].last_words()),
            }
            assert!(Instant::now() < until, "nobody died at {place} within {PATIENCE:?}");
        }
    }
}
