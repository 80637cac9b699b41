//! When a failed try is repeated: later each time. Pure.

use std::collections::HashMap;
use std::time::Duration;

use standin::journal::EntryId;
use tokio::time::Instant;

/// Doubles from `first` up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after the `tries`-th try in vain, counted from 1.
    pub(crate) fn after(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// Entries remembered at once. One that is forgotten is merely tried again sooner.
const WAITS_MAX: usize = 65_536;

/// Which entries wait for their next try, each by its own count.
#[derive(Debug)]
pub(crate) struct Waits {
    backoff: Backoff,
    waits: HashMap<EntryId, Wait>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    tries: u32,
    since: Instant,
    until: Instant,
}

impl Waits {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self { backoff, waits: HashMap::new() }
    }

    /// One more try in vain; `tries_at_least` is what others count of the entry.
    pub(crate) fn failed(&mut self, id: &EntryId, tries_at_least: u32, now: Instant) {
        if self.waits.len() >= WAITS_MAX && !self.waits.contains_key(id) {
            self.waits.retain(|_, wait| wait.until > now);
            if self.waits.len() >= WAITS_MAX {
                return;
            }
        }
        let wait = self.waits.entry(id.clone()).or_insert(Wait { tries: 0, since: now, until: now });
        wait.tries = wait.tries.saturating_add(1).max(tries_at_least);
        wait.until = now + self.backoff.after(wait.tries);
    }

    /// Is the entry's next try still to come?
    pub(crate) fn is_waiting(&self, id: &EntryId, now: Instant) -> bool {
        self.waits.get(id).is_some_and(|wait| now < wait.until)
    }

    /// How many tries were in vain, and since when.
    pub(crate) fn in_vain(&self, id: &EntryId) -> Option<(u32, Instant)> {
        self.waits.get(id).map(|wait| (wait.tries, wait.since))
    }

    /// The entry got somewhere.
    pub(crate) fn forget(&mut self, id: &EntryId) {
        self.waits.remove(id);
    }

    /// Forgets all but these.
    pub(crate) fn keep(&mut self, kept: impl Fn(&EntryId) -> bool) {
        self.waits.retain(|id, _| kept(id));
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.waits.clear();
    }

    /// How many wait now.
    pub(crate) fn waiting(&self, now: Instant) -> usize {
        self.waits.values().filter(|wait| now < wait.until).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

    #[test]
    fn each_try_in_vain_doubles_the_pause_up_to_the_longest() {
        let seconds: Vec<u64> = (1..=9).map(|tries| BACKOFF.after(tries).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(BACKOFF.after(u32::MAX), BACKOFF.longest);
    }

    #[tokio::test]
    async fn each_entry_waits_by_its_own_count_and_an_entry_that_got_somewhere_begins_anew() {
        let (mut waits, now) = (Waits::new(BACKOFF), Instant::now());
        let (one, other) = (EntryId::generate(), EntryId::generate());
        waits.failed(&one, 0, now);
        waits.failed(&one, 0, now);
        assert!(waits.is_waiting(&one, now + Duration::from_millis(1_999)));
        assert!(!waits.is_waiting(&one, now + Duration::from_secs(2)));
        assert!(!waits.is_waiting(&other, now));
        assert_eq!((waits.in_vain(&one), waits.waiting(now)), (Some((2, now)), 1));
        waits.forget(&one);
        waits.failed(&one, 0, now);
        assert!(!waits.is_waiting(&one, now + Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn the_attempts_that_others_counted_lengthen_the_first_pause() {
        let (mut waits, now, id) = (Waits::new(BACKOFF), Instant::now(), EntryId::generate());
        waits.failed(&id, 5, now);
        assert!(waits.is_waiting(&id, now + Duration::from_secs(15)));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let (mut waits, now) = (Waits::new(BACKOFF), Instant::now());
        for _ in 0..WAITS_MAX + 10 {
            waits.failed(&EntryId::generate(), 0, now);
        }
        assert_eq!(waits.waiting(now), WAITS_MAX);
        let later = EntryId::generate();
        waits.failed(&later, 0, now + Duration::from_secs(2));
        assert!(waits.is_waiting(&later, now + Duration::from_secs(2)), "those whose pause is over make room");
    }
}
