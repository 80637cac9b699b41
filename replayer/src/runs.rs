//! Runs: claimed entries that are sent one after the other, without a commit in between. Pure.
//!
//! An entry of a run goes once the core has posted the one before it: nothing that comes later takes a posting back. After a refusal it
//! goes once that refusal is recorded. After anything else the rest of the run goes back to the queue, unsent.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use standin::journal::{Claimed, EntryId, Fence, Room};
use tokio::time::Instant;

/// Entries of one run, at most. So many may be unsent and in doubt if the process dies.
const LONGEST: usize = 32;
/// A run should not take longer: an entry that is claimed and waits can be neither declined nor cancelled.
const SHOULD_TAKE: Duration = Duration::from_millis(300);
/// What still waits after so long goes back: the core has become slow.
const OVERDUE: Duration = Duration::from_millis(600);
/// So many answers make up the usual time of one.
const SMOOTHED_BY: u32 = 8;
/// Runs that wait for a place at the core, at most, for each place.
const AHEAD_MAX: u128 = 4;

/// Claimed entries that are not sent yet.
pub(crate) struct Runs {
    longest: usize,
    /// How long the core usually takes; `None`: it has answered nothing yet.
    usual: Option<Duration>,
    /// How long the journal usually takes to record an answer and to claim what is next.
    commit: Option<Duration>,
    /// By the entry before it in its run.
    behind: HashMap<EntryId, Waiting>,
    /// What may go as soon as there is room.
    free: VecDeque<Waiting>,
}

struct Waiting {
    claimed: Claimed,
    fence: Fence,
    since: Instant,
}

impl Waiting {
    fn is_overdue(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > OVERDUE
    }
}

impl Runs {
    /// `resolvable`: what became of an entry can be found out by asking the core or by sending it again. If it cannot, each unsent entry
    /// of a process that died is a person's work, so runs have one entry.
    pub(crate) fn new(resolvable: bool) -> Self {
        let longest = if resolvable { LONGEST } else { 1 };
        Self { longest, usual: None, commit: None, behind: HashMap::new(), free: VecDeque::new() }
    }

    /// Room for this many runs of the length that the core can do in time.
    pub(crate) fn room(&self, runs: usize) -> Room {
        let in_time = self.usual.map_or(1, |usual| SHOULD_TAKE.as_micros() / usual.as_micros().max(1));
        let longest = usize::try_from(in_time).unwrap_or(usize::MAX).clamp(1, self.longest);
        Room { runs, longest }
    }

    /// How many runs are claimed beyond those that the core has places for, so that no place stays empty while the journal commits.
    /// `None`: none, and what is not recorded yet keeps its place, because nothing could be found out about it.
    pub(crate) fn ahead(&self, places: usize) -> Option<usize> {
        if self.longest == 1 {
            return None;
        }
        let (Some(usual), Some(commit)) = (self.usual, self.commit) else { return Some(0) };
        let places = places as u128;
        let ahead = (places * commit.as_micros()).div_ceil(usual.as_micros().max(1)).min(places * AHEAD_MAX);
        Some(usize::try_from(ahead).unwrap_or(usize::MAX))
    }

    /// The core answered after so long.
    pub(crate) fn answered(&mut self, took: Duration) {
        self.usual = Some(smoothed(self.usual, took));
    }

    /// An answer was recorded after so long.
    pub(crate) fn recorded(&mut self, took: Duration) {
        self.commit = Some(smoothed(self.commit, took));
    }

    /// This one waits for the entry before it, if it has one, and else only for a place at the core.
    pub(crate) fn wait(&mut self, claimed: Claimed, fence: &Fence, now: Instant) {
        let before = claimed.behind.clone();
        let waiting = Waiting { claimed, fence: fence.clone(), since: now };
        match before {
            Some(before) => drop(self.behind.insert(before, waiting)),
            None => self.free.push_back(waiting),
        }
    }

    /// How many wait only for a place at the core.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Does anything wait for this entry?
    pub(crate) fn is_followed(&self, id: &EntryId) -> bool {
        self.behind.contains_key(id)
    }

    /// The core has decided this entry for good: what waits for it is free.
    pub(crate) fn goes_on(&mut self, id: &EntryId) {
        self.free.extend(self.behind.remove(id));
    }

    /// The next entry to send under this fence. What is not to be sent any more comes in `Err`, with all behind it.
    pub(crate) fn next(&mut self, fence: &Fence, now: Instant) -> Option<Result<Claimed, Vec<Claimed>>> {
        let waiting = self.free.pop_front()?;
        if waiting.fence == *fence && !waiting.is_overdue(now) {
            return Some(Ok(waiting.claimed));
        }
        let mut rest = self.break_off(&waiting.claimed.entry.id);
        rest.push(waiting.claimed);
        Some(Err(rest))
    }

    /// All that waits for this entry, directly or not. It waits no more.
    pub(crate) fn break_off(&mut self, id: &EntryId) -> Vec<Claimed> {
        let mut rest = Vec::new();
        let mut last = id.clone();
        while let Some(waiting) = self.behind.remove(&last) {
            last = waiting.claimed.entry.id.clone();
            rest.push(waiting.claimed);
        }
        rest
    }

    /// All that is free. It waits no more, and neither does what is behind it.
    pub(crate) fn break_off_free(&mut self) -> Vec<Claimed> {
        let free: Vec<Claimed> = self.free.drain(..).map(|waiting| waiting.claimed).collect();
        let behind: Vec<Claimed> = free.iter().flat_map(|claimed| self.break_off(&claimed.entry.id)).collect();
        free.into_iter().chain(behind).collect()
    }

    /// All that has waited for too long.
    pub(crate) fn break_off_overdue(&mut self, now: Instant) -> Vec<Claimed> {
        let overdue =
            self.behind.iter().filter(|(_, waiting)| waiting.is_overdue(now)).map(|(before, _)| before.clone());
        let overdue: BTreeSet<EntryId> = overdue.collect();
        overdue.iter().filter_map(|before| self.behind.remove(before)).map(|waiting| waiting.claimed).collect()
    }
}

fn smoothed(usual: Option<Duration>, took: Duration) -> Duration {
    (usual.unwrap_or(took) * (SMOOTHED_BY - 1) + took) / SMOOTHED_BY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::example;

    const MS: Duration = Duration::from_millis(1);

    fn fence(token: i64) -> Fence {
        Fence { name: "replay".into(), owner: "one:1".into(), token }
    }

    /// A run of so many, the first of them under way; the ids in order.
    fn waiting(runs: &mut Runs, entries: usize, now: Instant) -> Vec<EntryId> {
        let ids: Vec<EntryId> = (0..entries).map(|_| EntryId::generate()).collect();
        for (n, id) in ids.iter().enumerate() {
            let behind = n.checked_sub(1).map(|before| ids[before].clone());
            let claimed = Claimed { entry: example(id.clone(), 1, 0).entry, attempt: 1, behind };
            runs.wait(claimed, &fence(1), now);
        }
        assert_eq!(next(runs, 1, now), Some(Ok(ids[0].clone())));
        ids
    }

    fn ids(claimed: Vec<Claimed>) -> Vec<EntryId> {
        claimed.into_iter().map(|claimed| claimed.entry.id).collect()
    }

    fn next(runs: &mut Runs, token: i64, now: Instant) -> Option<Result<EntryId, usize>> {
        let next = runs.next(&fence(token), now)?;
        Some(next.map(|claimed| claimed.entry.id).map_err(|rest| rest.len()))
    }

    #[tokio::test]
    async fn each_goes_when_the_one_before_it_is_decided() {
        let (mut runs, now) = (Runs::new(true), Instant::now());
        let ids = waiting(&mut runs, 3, now);
        assert_eq!(next(&mut runs, 1, now), None);
        runs.goes_on(&ids[0]);
        assert_eq!(next(&mut runs, 1, now), Some(Ok(ids[1].clone())));
        assert_eq!(next(&mut runs, 1, now), None);
        assert!(runs.is_followed(&ids[1]) && !runs.is_followed(&ids[2]));
    }

    #[tokio::test]
    async fn what_breaks_off_takes_all_behind_it_along() {
        let (mut runs, now) = (Runs::new(true), Instant::now());
        let (broken, whole) = (waiting(&mut runs, 4, now), waiting(&mut runs, 2, now));
        assert_eq!(ids(runs.break_off(&broken[0])), broken[1..]);
        runs.goes_on(&whole[0]);
        assert_eq!(ids(runs.break_off_free()), whole[1..]);
        assert!(!runs.is_followed(&broken[0]) && !runs.is_followed(&whole[0]));
    }

    #[tokio::test]
    async fn nothing_goes_under_another_fence_or_after_its_time() {
        let (mut runs, now) = (Runs::new(true), Instant::now());
        let (fenced, late, overdue) =
            (waiting(&mut runs, 3, now), waiting(&mut runs, 3, now), waiting(&mut runs, 3, now));
        runs.goes_on(&fenced[0]);
        assert_eq!(next(&mut runs, 2, now), Some(Err(2)));
        runs.goes_on(&late[0]);
        let then = now + OVERDUE + MS;
        assert_eq!(next(&mut runs, 1, then), Some(Err(2)));
        assert_eq!(runs.break_off_overdue(now + OVERDUE).len(), 0);
        let mut given_back = ids(runs.break_off_overdue(then));
        given_back.sort();
        assert_eq!(given_back, overdue[1..]);
    }

    #[test]
    fn as_much_is_claimed_ahead_as_the_core_does_during_a_commit() {
        let mut runs = Runs::new(true);
        assert_eq!(runs.ahead(8), Some(0), "nothing is known yet");
        runs.answered(10 * MS);
        runs.recorded(15 * MS);
        assert_eq!(runs.ahead(8), Some(12));
        (0..100).for_each(|_| runs.recorded(1_000 * MS));
        assert_eq!(runs.ahead(8), Some(32));
        assert_eq!(Runs::new(false).ahead(8), None);
    }

    #[test]
    fn a_run_is_as_long_as_the_core_is_fast_and_of_one_where_nothing_can_be_found_out() {
        let mut runs = Runs::new(true);
        assert_eq!(runs.room(4), Room { runs: 4, longest: 1 }, "nothing is known of the core");
        runs.answered(30 * MS);
        assert_eq!(runs.room(1).longest, 10);
        (0..100).for_each(|_| runs.answered(MS));
        assert_eq!(runs.room(1).longest, LONGEST);
        (0..100).for_each(|_| runs.answered(400 * MS));
        assert_eq!(runs.room(1).longest, 1);
        let mut blind = Runs::new(false);
        blind.answered(MS);
        assert_eq!(blind.room(1).longest, 1);
    }
}
