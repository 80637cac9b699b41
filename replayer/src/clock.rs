//! Since when this observer has known something, on its own monotonic clock.

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
    /// By the wall clock's word the first attempt was this long before our first look; counts for the core's memory only.
    age_at_first_look_ms: u64,
    ended_ms: Option<u64>,
    not_found_asked_ms: Option<u64>,
    paused_until_ms: u64,
}

/// Between two resends of one entry.
const RESEND_PAUSE_MS: u64 = 1_000;

impl Observations {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), seen: HashMap::new() }
    }

    /// Milliseconds on this observer's clock, starting well above zero so that earlier moments have room.
    pub(crate) fn now_ms(&self) -> u64 {
        const ORIGIN_MS: u64 = 1 << 42;
        ORIGIN_MS + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 4)
    }

    /// Takes in what the journal says of an entry, and answers with what the resolution needs to know.
    pub(crate) fn observe(&mut self, entry: &Unresolved, wall_us: i64) -> UnknownOutcome {
        let now_ms = self.now_ms();
        let age_ms = u64::try_from(wall_us.saturating_sub(entry.first_attempt_us) / 1_000).unwrap_or(0);
        let seen = self.seen.entry(entry.entry.id.clone()).or_insert(Seen {
            since_ms: now_ms,
            age_at_first_look_ms: age_ms,
            ended_ms: None,
            not_found_asked_ms: None,
            paused_until_ms: 0,
        });
        // The moment counts from our first look at the end, never from a stamp somebody wrote.
        seen.ended_ms = entry.ended.then(|| seen.ended_ms.unwrap_or(now_ms));
        UnknownOutcome {
            first_attempt_ms: seen.since_ms.saturating_sub(seen.age_at_first_look_ms),
            ended_ms: seen.ended_ms,
            not_found_asked_ms: seen.not_found_asked_ms,
            since_ms: seen.since_ms,
        }
    }

    /// The core was asked at `asked_ms` and had nothing.
    pub(crate) fn not_found(&mut self, id: &EntryId, asked_ms: u64) {
        if let Some(seen) = self.seen.get_mut(id) {
            seen.not_found_asked_ms = Some(asked_ms);
        }
    }

    /// A new attempt begins: endings and enquiries before it prove nothing any more. The next one waits a while.
    pub(crate) fn attempt_begins(&mut self, id: &EntryId) {
        let now_ms = self.now_ms();
        if let Some(seen) = self.seen.get_mut(id) {
            (seen.ended_ms, seen.not_found_asked_ms) = (None, None);
            seen.paused_until_ms = now_ms + RESEND_PAUSE_MS;
        }
    }

    /// Was this entry resent a moment ago?
    pub(crate) fn is_paused(&self, id: &EntryId) -> bool {
        self.seen.get(id).is_some_and(|seen| self.now_ms() < seen.paused_until_ms)
    }

    /// Forgets entries that are not unresolved any more.
    pub(crate) fn keep_only(&mut self, entries: &[Unresolved]) {
        let ids: std::collections::HashSet<&EntryId> = entries.iter().map(|e| &e.entry.id).collect();
        self.seen.retain(|id, _| ids.contains(id));
    }
}
