//! Which queued entries are claimed next. Pure: a hint in front of the claim, which decides.
//!
//! An entry that the core does not take waits by itself. Only its own lanes wait with it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use standin::journal::EntryId;
use tokio::time::Instant;

use crate::backoff::{Backoff, Waits};

/// After an answer *not done*: the account may be locked for hours.
const DECLINED: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
/// After a locked lane, a refused connection, or none that was free.
const PASSING: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };
/// An entry is tried at least so often before a person is called.
const TRIES_MIN: u32 = 3;
/// Factor by which a person is called later while the core takes nothing else either: the core may be the cause, not the
/// entry.
const WHILE_NOTHING_IS_TAKEN: u32 = 6;
/// Successors remembered; the next look at the queue finds the others.
const SUCCESSORS_MAX: usize = 1_024;

/// The queue as this replayer sees it.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Found by the last look, oldest first.
    ready: VecDeque<EntryId>,
    /// Behind entries that were posted since.
    successors: VecDeque<EntryId>,
    declined: Waits,
    passing: Waits,
    last_taken: Option<Instant>,
    park_after: Duration,
    /// Most entries of one look.
    look_max: usize,
    /// The last look found as many as it may: there are more.
    more: bool,
}

impl Queue {
    /// A look at the journal finds `look_max` entries at most.
    pub(crate) fn new(park_after: Duration, look_max: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            successors: VecDeque::new(),
            declined: Waits::new(DECLINED),
            passing: Waits::new(PASSING),
            last_taken: None,
            park_after,
            look_max,
            more: false,
        }
    }

    /// What a look at the journal found.
    pub(crate) fn offer(&mut self, ready: Vec<EntryId>) {
        self.more = ready.len() >= self.look_max;
        self.ready = ready.into();
    }

    /// What became ready behind an entry.
    pub(crate) fn follow(&mut self, successors: Vec<EntryId>) {
        let room = SUCCESSORS_MAX.saturating_sub(self.successors.len());
        self.successors.extend(successors.into_iter().take(room));
    }

    /// Is a look due: to fill `room` places, or before the known part of a longer queue is used up?
    pub(crate) fn wants_look(&self, room: usize) -> bool {
        let known = self.ready.len() + self.successors.len();
        known < room || (self.more && known < self.look_max / 4)
    }

    /// The next entries to claim, at most `room`; by turns a successor and one of the look, so that neither a long lane nor the
    /// many short ones wait for the others.
    pub(crate) fn take(&mut self, room: usize, now: Instant, is_busy: impl Fn(&EntryId) -> bool) -> Vec<EntryId> {
        let (mut taken, mut known) = (Vec::new(), HashSet::new());
        let mut successor_next = true;
        while taken.len() < room {
            let (first, second) = match successor_next {
                true => (&mut self.successors, &mut self.ready),
                false => (&mut self.ready, &mut self.successors),
            };
            let Some(id) = first.pop_front().or_else(|| second.pop_front()) else { break };
            let waits = self.declined.is_waiting(&id, now) || self.passing.is_waiting(&id, now);
            if !waits && !is_busy(&id) && known.insert(id.clone()) {
                taken.push(id);
                successor_next = !successor_next;
            }
        }
        taken
    }

    /// Has the core declined to take this entry, and not taken it since?
    pub(crate) fn was_declined(&self, id: &EntryId) -> bool {
        self.declined.in_vain(id).is_some()
    }

    /// Is the next try of this entry the last one before a person is called?
    pub(crate) fn is_last_try(&self, id: &EntryId, now: Instant) -> bool {
        let Some((tries, since)) = self.declined.in_vain(id) else { return false };
        let others_went = self.last_taken.is_some_and(|taken| taken > since);
        let patience = self.park_after * if others_went { 1 } else { WHILE_NOTHING_IS_TAKEN };
        tries + 1 >= TRIES_MIN && now.saturating_duration_since(since) >= patience
    }

    /// The core took this entry, or refused it: it is not of the queue any more.
    pub(crate) fn taken(&mut self, id: &EntryId, now: Instant) {
        self.left(id);
        self.last_taken = Some(now);
    }

    /// This entry is not of the queue any more.
    pub(crate) fn left(&mut self, id: &EntryId) {
        self.declined.forget(id);
        self.passing.forget(id);
    }

    /// The core declined to take this entry for now, at its `attempt`; the journal's count survives a change of the replayer.
    pub(crate) fn declined(&mut self, id: &EntryId, attempt: i64, now: Instant) {
        self.declined.failed(id, u32::try_from(attempt).unwrap_or(0), now);
    }

    /// Something else kept this entry from being sent, which will pass.
    pub(crate) fn passed_over(&mut self, id: &EntryId, now: Instant) {
        self.passing.failed(id, 0, now);
    }

    /// The core is there again: what waited for that waits no more.
    pub(crate) fn core_returned(&mut self) {
        self.passing.clear();
    }

    /// Another replayer has the queue now.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.park_after, self.look_max);
    }

    /// How many entries are set aside.
    pub(crate) fn aside(&self, now: Instant) -> usize {
        self.declined.waiting(now) + self.passing.waiting(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARK_AFTER: Duration = Duration::from_secs(600);

    fn ids(n: usize) -> Vec<EntryId> {
        (0..n).map(|_| EntryId::generate()).collect()
    }

    fn queue_of(ids: &[EntryId]) -> Queue {
        let mut queue = Queue::new(PARK_AFTER, 8);
        queue.offer(ids.to_vec());
        queue
    }

    fn take(queue: &mut Queue, room: usize, now: Instant) -> Vec<EntryId> {
        queue.take(room, now, |_| false)
    }

    #[tokio::test]
    async fn an_entry_that_the_core_declines_waits_longer_each_time_and_the_others_go_on() {
        let (ids, start) = (ids(3), Instant::now());
        let mut queue = queue_of(&ids);
        let mut pauses = Vec::new();
        let mut now = start;
        for attempt in 1..=8 {
            queue.declined(&ids[0], attempt, now);
            queue.offer(ids.clone());
            assert_eq!(take(&mut queue, 3, now), ids[1..]);
            let mut pause = 0;
            while {
                queue.offer(vec![ids[0].clone()]);
                take(&mut queue, 1, now).is_empty()
            } {
                now += Duration::from_secs(1);
                pause += 1;
            }
            pauses.push(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test]
    async fn a_person_is_called_after_some_tries_and_the_whole_patience_if_the_core_took_others() {
        let (id, other, start) = (EntryId::generate(), EntryId::generate(), Instant::now());
        let mut queue = Queue::new(PARK_AFTER, 8);
        assert!(!queue.is_last_try(&id, start));
        queue.declined(&id, 1, start);
        queue.taken(&other, start + Duration::from_secs(1));
        assert!(!queue.is_last_try(&id, start + PARK_AFTER), "tried once only");
        queue.declined(&id, 2, start);
        assert!(!queue.is_last_try(&id, start + PARK_AFTER - Duration::from_secs(1)));
        assert!(queue.is_last_try(&id, start + PARK_AFTER));
        queue.taken(&id, start + PARK_AFTER);
        assert!(!queue.is_last_try(&id, start + PARK_AFTER * 2));
    }

    #[tokio::test]
    async fn while_the_core_takes_nothing_at_all_a_person_is_called_much_later() {
        let (id, start) = (EntryId::generate(), Instant::now());
        let mut queue = Queue::new(PARK_AFTER, 8);
        (1..=9).for_each(|attempt| queue.declined(&id, attempt, start));
        assert!(!queue.is_last_try(&id, start + PARK_AFTER * 5));
        assert!(queue.is_last_try(&id, start + PARK_AFTER * 6));
    }

    #[tokio::test]
    async fn a_long_lane_and_many_short_ones_go_by_turns() {
        let (short, long, now) = (ids(4), ids(4), Instant::now());
        let mut queue = queue_of(&short);
        queue.follow(long.clone());
        let taken = take(&mut queue, 4, now);
        assert_eq!(taken, [long[0].clone(), short[0].clone(), long[1].clone(), short[1].clone()]);
        assert!(!queue.wants_look(4) && queue.wants_look(5));
    }

    #[tokio::test]
    async fn a_longer_queue_is_looked_at_before_its_known_part_is_used_up() {
        let now = Instant::now();
        let mut queue = queue_of(&ids(8));
        take(&mut queue, 6, now);
        assert!(!queue.wants_look(1));
        take(&mut queue, 1, now);
        assert!(queue.wants_look(1), "one of eight is left, and there are more");
        queue.offer(ids(1));
        assert!(!queue.wants_look(1), "there are no more");
    }

    #[tokio::test]
    async fn an_entry_under_way_or_offered_twice_is_taken_once() {
        let (ids, now) = (ids(3), Instant::now());
        let mut queue = queue_of(&ids);
        queue.follow(vec![ids[1].clone()]);
        let taken = queue.take(9, now, |id| *id == ids[0]);
        assert_eq!(taken, [ids[1].clone(), ids[2].clone()]);
    }

    #[tokio::test]
    async fn what_waited_for_the_core_goes_at_once_when_it_returns_and_what_it_declined_does_not() {
        let (ids, now) = (ids(2), Instant::now());
        let mut queue = queue_of(&ids);
        queue.passed_over(&ids[0], now);
        queue.declined(&ids[1], 1, now);
        assert_eq!(queue.aside(now), 2);
        queue.core_returned();
        assert_eq!(take(&mut queue, 2, now), ids[..1]);
    }
}
