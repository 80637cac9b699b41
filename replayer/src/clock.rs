//! Since when this observer has known something, on its own monotonic clock. Proofs are about the attempts there were: a further
//! attempt, whoever made it, begins them anew.

use std::collections::HashMap;

use standin::journal::{EntryId, Unresolved};
use standin::resolution::UnknownOutcome;
use tokio::time::Instant;

/// What this process has seen of unknown outcomes. After a restart it starts over, which only makes it wait longer.
#[derive(Debug)]
pub(crate) struct Observations {
    started: Instant,
    seen: HashMap<EntryId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    since_ms: u64,
    /// When the first attempt was recorded; counts for the core's memory only.
    first_attempt_ms: u64,
    /// How many attempts there were when the rest was seen.
    attempts: i64,
    ended_ms: Option<u64>,
    not_found_asked_ms: Option<u64>,
    not_understood: bool,
    paused_until_ms: u64,
}

/// Between two resends of one entry.
const RESEND_PAUSE_MS: u64 = 1_000;
/// Between two enquiries about an entry of which the core says what we do not understand.
const ODD_PAUSE_MS: u64 = 5_000;

impl Observations {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), seen: HashMap::new() }
    }

    /// Milliseconds on this observer's clock, starting well above zero so that earlier moments have room.
    pub(crate) fn now_ms(&self) -> u64 {
        const ORIGIN_MS: u64 = 1 << 42;
        ORIGIN_MS + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 4)
    }

    /// Takes in what the journal said of an entry, and answers with what the resolution needs to know. `read_from_ms` is a
    /// moment before the journal was read: ages in its answer grow from there.
    pub(crate) fn observe(&mut self, entry: &Unresolved, read_from_ms: u64) -> UnknownOutcome {
        let now_ms = self.now_ms();
        let first_attempt_ms = read_from_ms.saturating_sub(entry.first_attempt_age_ms);
        let fresh = Seen {
            since_ms: now_ms,
            first_attempt_ms,
            attempts: entry.attempts,
            ended_ms: None,
            not_found_asked_ms: None,
            not_understood: false,
            paused_until_ms: 0,
        };
        let seen = self.seen.entry(entry.entry.id.clone()).or_insert(fresh);
        if seen.attempts != entry.attempts {
            // Sent again since, from the queue or by another replayer: what was seen of earlier attempts proves nothing any more.
            *seen = Seen { since_ms: seen.since_ms, paused_until_ms: seen.paused_until_ms, ..fresh };
        }
        // Of two readings of one clock over a wire the earlier is the careful one.
        seen.first_attempt_ms = seen.first_attempt_ms.min(first_attempt_ms);
        // The moment counts from our first look at the end, never from a stamp somebody wrote.
        seen.ended_ms = entry.ended.then(|| seen.ended_ms.unwrap_or(now_ms));
        UnknownOutcome {
            first_attempt_ms: seen.first_attempt_ms,
            ended_ms: seen.ended_ms,
            not_found_asked_ms: seen.not_found_asked_ms,
            not_understood: seen.not_understood,
            since_ms: seen.since_ms,
        }
    }

    /// The core was asked at `asked_ms` and had nothing.
    pub(crate) fn not_found(&mut self, id: &EntryId, asked_ms: u64) {
        if let Some(seen) = self.seen.get_mut(id) {
            seen.not_found_asked_ms = Some(asked_ms);
            seen.not_understood = false;
        }
    }

    /// The core was asked, and its answer is none of the declared ones. It is asked again after a while.
    pub(crate) fn not_understood(&mut self, id: &EntryId) {
        let now_ms = self.now_ms();
        if let Some(seen) = self.seen.get_mut(id) {
            seen.not_understood = true;
            seen.paused_until_ms = now_ms + ODD_PAUSE_MS;
        }
    }

    /// A resend begins: the next one waits a while.
    pub(crate) fn resend_begins(&mut self, id: &EntryId) {
        let now_ms = self.now_ms();
        if let Some(seen) = self.seen.get_mut(id) {
            seen.paused_until_ms = now_ms + RESEND_PAUSE_MS;
        }
    }

    /// Was this entry sent again, or asked about in vain, a moment ago?
    pub(crate) fn is_paused(&self, id: &EntryId) -> bool {
        self.seen.get(id).is_some_and(|seen| self.now_ms() < seen.paused_until_ms)
    }

    /// Forgets entries that are not unresolved any more.
    pub(crate) fn keep_only(&mut self, entries: &[Unresolved]) {
        let ids: std::collections::HashSet<&EntryId> = entries.iter().map(|e| &e.entry.id).collect();
        self.seen.retain(|id, _| ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use schemas::entry::EntryState;
    use schemas::money::Currency;
    use standin::journal::{Entry, Transfer};

    use super::*;

    fn unresolved(attempts: i64, first_attempt_age_ms: u64) -> Unresolved {
        let id = EntryId::parse("0123456789abcdef0123456789abcdef").unwrap();
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
            contradicted: false,
            reason: None,
            core_id: None,
            accepted_us: 0,
            business_day: 0,
            updated_us: 0,
        };
        Unresolved { entry, first_attempt_age_ms, attempts, ended: true }
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
        seen.not_understood(&id);
        let sent_again = seen.observe(&unresolved(2, 900), start_ms);
        assert_eq!((sent_again.not_found_asked_ms, sent_again.not_understood), (None, false));
        assert!(sent_again.ended_ms >= first.ended_ms, "its end counts from now");
        assert_eq!(sent_again.first_attempt_ms, start_ms - 900, "the first is the first");
    }

    #[test]
    fn the_first_attempt_never_grows_younger() {
        let mut seen = Observations::new();
        let start_ms = seen.now_ms();
        seen.observe(&unresolved(1, 60_000), start_ms);
        let after_the_clock_stepped_back = seen.observe(&unresolved(1, 0), start_ms);
        assert_eq!(after_the_clock_stepped_back.first_attempt_ms, start_ms - 60_000);
    }
}
