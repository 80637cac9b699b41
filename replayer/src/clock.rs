//! When this process first saw each fact, on its monotonic clock. A new attempt by anyone resets what was seen of the entry.

use std::collections::HashMap;
use std::time::Duration;

use standin::journal::{Entry, EntryId, Unresolved};
use standin::resolution::UnknownOutcome;
use tokio::time::Instant;

/// What this process has seen of unknown outcomes. After a restart it starts over, which only makes it wait longer.
#[derive(Debug)]
pub(crate) struct Observations {
    started: Instant,
    seen: HashMap<EntryId, Seen>,
    /// Entries that were Submitting at the last look: at which version, and since when.
    submitting: HashMap<EntryId, (i64, Instant)>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    since_ms: i64,
    /// When the first attempt was recorded; counts for the core's memory only.
    first_attempt_ms: i64,
    /// How many attempts there were when the rest was seen.
    attempts: i64,
    /// How many of them might have posted when their end was seen.
    doubtful: i64,
    ended_ms: Option<i64>,
    /// When the core first answered something that was begun after that.
    heard_ms: Option<i64>,
    not_found_asked_ms: Option<i64>,
    /// The core said last that it will book it later.
    is_pending: bool,
}

/// Entries observed at once; further ones wait until others have ended.
const OBSERVED_MAX: usize = 65_536;

impl Observations {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), seen: HashMap::new(), submitting: HashMap::new() }
    }

    /// Milliseconds since this observer began. Earlier moments are negative.
    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Takes in what the journal said of an entry, and answers with what the resolution needs to know. `read_from_ms` is a
    /// moment before the journal was read: ages in its answer grow from there.
    pub(crate) fn observe(&mut self, entry: &Unresolved, read_from_ms: i64) -> UnknownOutcome {
        let now_ms = self.now_ms();
        let first_attempt_ms = read_from_ms.saturating_sub_unsigned(entry.first_attempt_age_ms);
        let fresh = Seen {
            since_ms: now_ms,
            first_attempt_ms,
            attempts: entry.attempts,
            doubtful: entry.doubtful,
            ended_ms: None,
            heard_ms: None,
            not_found_asked_ms: None,
            is_pending: false,
        };
        let seen = self.seen.entry(entry.entry.id.clone()).or_insert(fresh);
        if seen.attempts != entry.attempts {
            // Sent again since then, from the queue or by another replayer. What was seen of earlier attempts proves
            // nothing any more.
            let Seen { since_ms, doubtful, ended_ms, heard_ms, .. } = *seen;
            *seen = Seen { since_ms, doubtful, ended_ms, heard_ms, ..fresh };
        }
        if seen.doubtful != entry.doubtful {
            // An attempt that posts nothing leaves the end of the others where it was. Any other has an end of its own.
            (seen.doubtful, seen.ended_ms, seen.heard_ms) = (entry.doubtful, None, None);
        }
        // Of two readings of one clock over a wire the earlier is the careful one.
        seen.first_attempt_ms = seen.first_attempt_ms.min(first_attempt_ms);
        // The time counts from our own first look at the end, never from a stamp of another host.
        match seen.ended_ms {
            Some(_) if entry.ended => {}
            _ => {
                seen.ended_ms = entry.ended.then_some(now_ms);
                // What the core said before the end proves nothing.
                (seen.heard_ms, seen.not_found_asked_ms) = (None, None);
            }
        }
        UnknownOutcome {
            first_attempt_ms: seen.first_attempt_ms,
            lifetime_from_ms: seen.heard_ms,
            not_found_asked_ms: seen.not_found_asked_ms,
            in_vain: false,
            since_ms: seen.since_ms,
        }
    }

    /// The core was asked at `asked_ms` and had nothing.
    pub(crate) fn not_found(&mut self, id: &EntryId, asked_ms: i64) {
        self.heard(id, asked_ms);
        if let Some(seen) = self.seen.get_mut(id) {
            (seen.not_found_asked_ms, seen.is_pending) = (Some(asked_ms), false);
        }
    }

    /// The core answered to what was begun at `asked_ms` that it has the entry and will book it later. What it has lives, so its lifetime counts
    /// anew from here, and what was not found before proves nothing any more.
    pub(crate) fn pending(&mut self, id: &EntryId, asked_ms: i64) {
        let now_ms = self.now_ms();
        if let Some(seen) = self.seen.get_mut(id) {
            let has_ended = seen.ended_ms.is_some_and(|ended_ms| asked_ms >= ended_ms);
            seen.heard_ms = has_ended.then_some(now_ms);
            (seen.not_found_asked_ms, seen.is_pending) = (None, true);
        }
    }

    /// Did the core say last, to this process, that it will book the entry later? The journal does not know.
    pub(crate) fn is_pending(&self, id: &EntryId) -> bool {
        self.seen.get(id).is_some_and(|seen| seen.is_pending)
    }

    /// The core answered something about the entry that was begun at `asked_ms`.
    pub(crate) fn heard(&mut self, id: &EntryId, asked_ms: i64) {
        let now_ms = self.now_ms();
        if let Some(seen) = self.seen.get_mut(id)
            && seen.ended_ms.is_some_and(|ended_ms| asked_ms >= ended_ms)
        {
            seen.heard_ms.get_or_insert(now_ms);
        }
    }

    /// For how long this process has seen the entry Submitting by one and the same attempt.
    pub(crate) fn submitting_for(&mut self, entry: &Entry) -> Duration {
        let fresh = (entry.version, Instant::now());
        let seen = self.submitting.entry(entry.id.clone()).or_insert(fresh);
        if seen.0 != entry.version {
            *seen = fresh;
        }
        seen.1.elapsed()
    }

    /// May this entry be observed? What is remembered is bounded.
    pub(crate) fn has_room_for(&self, id: &EntryId) -> bool {
        self.seen.len().max(self.submitting.len()) < OBSERVED_MAX
            || self.seen.contains_key(id)
            || self.submitting.contains_key(id)
    }

    /// Forgets entries that are not unresolved any more.
    pub(crate) fn keep(&mut self, unresolved: impl Fn(&EntryId) -> bool) {
        self.seen.retain(|id, _| unresolved(id));
        self.submitting.retain(|id, _| unresolved(id));
    }
}

#[cfg(test)]
pub(crate) use tests::example;

#[cfg(test)]
mod tests {
    use schemas::entry::EntryState;
    use schemas::money::Currency;
    use standin::journal::Transfer;

    use super::*;

    pub(crate) fn example(id: EntryId, attempts: i64, first_attempt_age_ms: u64) -> Unresolved {
        let entry = Entry {
            core_ref: id.to_string(),
            id,
            version: 1,
            principal: "p".into(),
            operation: "transfer".into(),
            idempotency_key: "k".into(),
            fingerprint: Vec::new(),
            command: Transfer {
                from_account: "a".into(),
                to_account: "b".into(),
                amount_minor: 1,
                currency: Currency::parse("EUR").unwrap(),
                remittance: None,
                unknown: Default::default(),
            },
            state: EntryState::OutcomeUnknown,
            ordered: true,
            reserved_day: None,
            lane_version: None,
            contradicted: false,
            reason: None,
            core_id: None,
            accepted_us: 0,
            business_day: 0,
            updated_us: 0,
        };
        Unresolved { entry, first_attempt_age_ms, attempts, doubtful: attempts, ended: true }
    }

    fn unresolved(attempts: i64, first_attempt_age_ms: u64) -> Unresolved {
        example(EntryId::parse("0123456789abcdef0123456789abcdef").unwrap(), attempts, first_attempt_age_ms)
    }

    #[test]
    fn what_was_seen_of_earlier_attempts_proves_nothing_of_a_further_one() {
        let mut seen = Observations::new();
        let start_ms = seen.now_ms();
        let id = unresolved(1, 0).entry.id;
        let first = seen.observe(&unresolved(1, 500), start_ms);
        assert_eq!(first.first_attempt_ms, start_ms - 500);
        seen.not_found(&id, start_ms + 9_000);
        assert_eq!(seen.observe(&unresolved(1, 500), start_ms).not_found_asked_ms, Some(start_ms + 9_000));
        let sent_again = seen.observe(&unresolved(2, 900), start_ms);
        assert_eq!(sent_again.not_found_asked_ms, None);
        assert_eq!(sent_again.lifetime_from_ms, None, "the core was not heard since its end");
        assert_eq!(sent_again.first_attempt_ms, start_ms - 900, "the first is the first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lifetime_counts_from_when_the_core_was_heard_after_the_end() {
        let mut seen = Observations::new();
        let open = Unresolved { ended: false, ..unresolved(1, 0) };
        let (id, start_ms) = (open.entry.id.clone(), seen.now_ms());
        seen.observe(&open, start_ms);
        seen.not_found(&id, start_ms);
        tokio::time::advance(Duration::from_millis(100)).await;
        let ended = seen.observe(&unresolved(1, 0), start_ms);
        assert_eq!((ended.lifetime_from_ms, ended.not_found_asked_ms), (None, None), "said before the end");
        seen.heard(&id, start_ms + 99);
        assert_eq!(seen.observe(&unresolved(1, 0), start_ms).lifetime_from_ms, None, "begun before the end");
        // The core was stopped when it was asked: the answer took its time.
        tokio::time::advance(Duration::from_millis(5_000)).await;
        seen.not_found(&id, start_ms + 100);
        let heard = seen.observe(&unresolved(1, 0), start_ms);
        assert_eq!((heard.lifetime_from_ms, heard.not_found_asked_ms), (Some(start_ms + 5_100), Some(start_ms + 100)));
        tokio::time::advance(Duration::from_millis(1_000)).await;
        seen.not_found(&id, start_ms + 5_200);
        assert_eq!(seen.observe(&unresolved(1, 0), start_ms).lifetime_from_ms, heard.lifetime_from_ms, "once");
        let posts_nothing = Unresolved { attempts: 2, doubtful: 1, ..unresolved(2, 0) };
        assert_eq!(seen.observe(&posts_nothing, start_ms).lifetime_from_ms, heard.lifetime_from_ms);
        assert_eq!(seen.observe(&unresolved(2, 0), start_ms).lifetime_from_ms, None, "another may be on its way");
    }

    #[tokio::test(start_paused = true)]
    async fn the_lifetime_of_what_the_core_will_book_later_counts_from_when_it_last_said_so() {
        let mut seen = Observations::new();
        let start_ms = seen.now_ms();
        let id = unresolved(1, 0).entry.id;
        seen.observe(&unresolved(1, 0), start_ms);
        seen.not_found(&id, start_ms);
        for said_ms in [1_000, 9_000] {
            tokio::time::advance(Duration::from_millis(said_ms)).await;
            let asked_ms = seen.now_ms();
            seen.pending(&id, asked_ms);
            let known = seen.observe(&unresolved(1, 0), start_ms);
            assert_eq!((known.lifetime_from_ms, known.not_found_asked_ms), (Some(asked_ms), None));
            assert!(seen.is_pending(&id));
        }
        let asked_ms = seen.now_ms() + 1;
        seen.not_found(&id, asked_ms);
        let known = seen.observe(&unresolved(1, 0), start_ms);
        assert_eq!((known.lifetime_from_ms, known.not_found_asked_ms), (Some(start_ms + 10_000), Some(asked_ms)));
        assert!(!seen.is_pending(&id));
        seen.pending(&id, asked_ms);
        seen.observe(&unresolved(2, 0), start_ms);
        assert!(!seen.is_pending(&id), "said of an earlier attempt");
        let open = Unresolved { ended: false, ..unresolved(2, 0) };
        seen.observe(&open, start_ms);
        seen.pending(&id, asked_ms + 1);
        let known = seen.observe(&open, start_ms);
        assert_eq!(known.lifetime_from_ms, None, "another attempt may be on its way");
    }

    #[test]
    fn the_first_attempt_never_grows_younger() {
        let mut seen = Observations::new();
        let start_ms = seen.now_ms();
        seen.observe(&unresolved(1, 60_000), start_ms);
        let after_the_clock_stepped_back = seen.observe(&unresolved(1, 0), start_ms);
        assert_eq!(after_the_clock_stepped_back.first_attempt_ms, start_ms - 60_000);
    }
    #[test]
    fn an_attempt_is_as_old_as_its_stamps_say_however_old_that_is() {
        const AGES_MS: [u64; 3] = [0, 1 << 44, u64::MAX];
        for age_ms in AGES_MS {
            let mut seen = Observations::new();
            let start_ms = seen.now_ms();
            let first = seen.observe(&unresolved(1, age_ms), start_ms);
            assert_eq!(first.first_attempt_ms, start_ms.saturating_sub_unsigned(age_ms), "{age_ms}");
        }
    }
}
