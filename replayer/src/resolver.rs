//! Unknown outcomes: which of them is worked on next, and how. Decides; `inquiry` acts.
//!
//! The unresolved entries are gone through page by page, from the lowest id to the highest and again from the lowest: each has
//! its turn, and no more than a page of them is held. An entry that gets no usable answer waits longer each time, alone.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use schemas::core::Capabilities;
use schemas::entry::EntryState;
use standin::journal::{EntryId, Unresolved};
use standin::resolution::{Patience, Step, UnknownOutcome, resolve};
use tokio::time::Instant;

use crate::backoff::{Backoff, Waits};
use crate::clock::Observations;
use crate::inquiry::{Came, Work};
use crate::metrics::RESOLUTION_STEPS_TOTAL;

/// Entries of one page.
pub(crate) const PAGE: usize = 256;
/// After an answer that settles nothing, or none.
const IN_VAIN: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(60) };

/// Between two tries to send what has others before it in its lanes.
const BEHIND: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_millis(250) };

/// What this replayer knows of unknown outcomes.
pub(crate) struct Resolver {
    core: Capabilities,
    patience: Patience,
    watched_for: Duration,
    seen: Observations,
    /// The core gave no usable answer.
    waits: Waits,
    /// The journal did not take what it gave.
    blocked: Waits,
    /// Others are before it in its lanes.
    behind: Waits,
    page: VecDeque<Unresolved>,
    /// When the page was asked for.
    read_from_ms: i64,
    /// Where the next page begins; `None`: at the lowest id.
    after: Option<EntryId>,
    /// Met since the last beginning.
    met: HashSet<EntryId>,
    /// Since when entries may be worked on without a break. Patience does not count time in which nobody could ask.
    open_since_ms: i64,
}

impl Resolver {
    /// `watched_for`: an entry that is Submitting is abandoned once it was seen so for this long.
    pub(crate) fn new(core: Capabilities, patience: Patience, watched_for: Duration) -> Self {
        let seen = Observations::new();
        let open_since_ms = seen.now_ms();
        Self {
            core,
            patience,
            watched_for,
            seen,
            waits: Waits::new(IN_VAIN),
            blocked: Waits::new(IN_VAIN),
            behind: Waits::new(BEHIND),
            page: VecDeque::new(),
            read_from_ms: open_since_ms,
            after: None,
            met: HashSet::new(),
            open_since_ms,
        }
    }

    /// Now, on the clock of the observations.
    pub(crate) fn now_ms(&self) -> i64 {
        self.seen.now_ms()
    }

    /// Is the page worked off?
    pub(crate) fn wants_page(&self) -> bool {
        self.page.is_empty()
    }

    /// After which entry the next page begins.
    pub(crate) fn page_after(&self) -> Option<EntryId> {
        self.after.clone()
    }

    /// The page that was asked for at `read_from_ms`.
    pub(crate) fn take_page(&mut self, page: Vec<Unresolved>, read_from_ms: i64) {
        // Entries that cannot be read are left out of a page, so a full one may come a little short.
        let was_last = page.len() < PAGE / 2;
        for unresolved in page {
            let id = &unresolved.entry.id;
            self.after = Some(id.clone());
            if self.seen.has_room_for(id) {
                self.met.insert(id.clone());
                self.page.push_back(unresolved);
            }
        }
        self.read_from_ms = read_from_ms;
        if was_last {
            let met = std::mem::take(&mut self.met);
            self.seen.keep(|id| met.contains(id));
            self.waits.keep(|id| met.contains(id));
            self.blocked.keep(|id| met.contains(id));
            self.behind.keep(|id| met.contains(id));
            self.after = None;
        }
    }

    /// The next entry of the page with something to be done about it now.
    pub(crate) fn next(&mut self, now: Instant, is_busy: impl Fn(&EntryId) -> bool) -> Option<Work> {
        while let Some(unresolved) = self.page.pop_front() {
            let id = &unresolved.entry.id;
            if is_busy(id) || self.blocked.is_waiting(id, now) {
                continue;
            }
            if unresolved.entry.state == EntryState::Submitting {
                if self.seen.submitting_for(&unresolved.entry) < self.watched_for {
                    continue;
                }
                return Some(Work::Abandon(unresolved.entry));
            }
            let known = self.known(&unresolved);
            let step = match resolve(&self.core, &known, &self.patience, self.seen.now_ms()) {
                // The core has it: only the enquiry tells its end, and to send it again could at best change nothing. After a new start this is not
                // known until the core says it again: it is asked first, and sent to again only if that gets no usable answer.
                Step::Resend if self.core.enquiry && self.seen.is_pending(id) => Step::Enquire,
                step => step,
            };
            let waits = self.waits.is_waiting(&unresolved.entry.id, now);
            let work = match step {
                Step::Enquire | Step::Resend if waits => continue,
                Step::Resend if self.behind.is_waiting(&unresolved.entry.id, now) => continue,
                Step::WaitUntil(_) => continue,
                Step::Enquire => Work::Enquire(unresolved, known),
                Step::Resend => Work::Resend(unresolved, known),
                Step::Requeue => Work::Requeue(unresolved),
                Step::Park => Work::Park(unresolved.entry),
            };
            metrics::counter!(RESOLUTION_STEPS_TOTAL, "step" => work.name()).increment(1);
            return Some(work);
        }
        None
    }

    fn known(&mut self, unresolved: &Unresolved) -> UnknownOutcome {
        let seen = self.seen.observe(unresolved, self.read_from_ms);
        UnknownOutcome {
            in_vain: self.waits.in_vain(&unresolved.entry.id).is_some(),
            since_ms: seen.since_ms.max(self.open_since_ms),
            ..seen
        }
    }

    /// What the work on an entry came to.
    pub(crate) fn came(&mut self, id: &EntryId, came: &Came, now: Instant) {
        match came {
            Came::Settled => {
                self.waits.forget(id);
                self.blocked.forget(id);
                self.behind.forget(id);
            }
            Came::Waits => self.behind.failed(id, 0, now),
            Came::NotFound { asked_ms } => {
                self.waits.forget(id);
                self.seen.not_found(id, *asked_ms);
            }
            Came::Pending { asked_ms } => {
                self.waits.failed(id, 0, now);
                self.seen.pending(id, *asked_ms);
            }
            Came::InVain { silent, asked_ms } => {
                self.waits.failed(id, 0, now);
                if !silent {
                    self.seen.heard(id, *asked_ms);
                }
            }
            Came::Unrecorded { .. } | Came::Lost(_) | Came::Failed(_) => self.blocked.failed(id, 0, now),
        }
    }

    /// From now on entries may be worked on again: the core returned, or the replay was resumed.
    pub(crate) fn opened(&mut self) {
        self.waits.clear();
        self.open_since_ms = self.seen.now_ms();
    }

    /// Another replayer may have acted: what was seen so far is forgotten.
    pub(crate) fn clear(&mut self) {
        self.seen.keep(|_| false);
        self.met.clear();
        self.page.clear();
        self.blocked.clear();
        self.behind.clear();
        self.after = None;
        self.opened();
    }
}

#[cfg(test)]
mod tests;
