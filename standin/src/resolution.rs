//! What may be done about an outcome nobody knows: the fourth step of the write protocol.
//!
//! Never a blind resend. A resend needs a core that remembers references; a return to the queue needs proof of absence:
//! every attempt ended, the core's longest request lifetime past, and only then a negative authoritative enquiry.

use failpoints::{Flaw, flawed};
use schemas::core::Capabilities;

/// What is known of an entry whose outcome is unknown. Times in milliseconds on one monotonic scale of the observer; what was before
/// its beginning is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnknownOutcome {
    /// When the first attempt was recorded.
    pub first_attempt_ms: i64,
    /// From when the core's longest lifetime of a request counts: the core answered something that was begun after the last attempt was known
    /// to have ended. A process that is stopped reads nothing, so until it is heard a request may wait unread. `None` also while
    /// any attempt may still be under way; a lease that ran out proves nothing.
    pub lifetime_from_ms: Option<i64>,
    /// When the last enquiry that found nothing was asked.
    pub not_found_asked_ms: Option<i64>,
    /// The last try got no usable answer: silence, an undeclared answer, or one that settles nothing.
    pub in_vain: bool,
    /// When the entry became unknown.
    pub since_ms: i64,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Ask the core; what it found settles the entry, *not found* is recorded with the time it was asked.
    Enquire,
    /// Send the same reference again: the core posts it once.
    Resend,
    /// Absence is proven: back to the queue.
    Requeue,
    /// Nothing to do before this moment, unless a change event comes first.
    WaitUntil(i64),
    /// A person decides.
    Park,
}

/// How long things may take before a person is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Patience {
    /// After this long without a resolution the entry is parked.
    pub park_after_ms: u64,
    /// Taken off the core's declared memory of references, for clocks and journeys.
    pub memory_margin_ms: u64,
}

/// The next step for an unknown outcome at `now_ms`.
pub fn resolve(core: &Capabilities, entry: &UnknownOutcome, patience: &Patience, now_ms: i64) -> Step {
    let lifetime_ms = if flawed(Flaw::AbsentAtOnce) { 0 } else { core.request_lifetime_ms_max };
    let absent_from = entry.lifetime_from_ms.map(|from| from.saturating_add_unsigned(lifetime_ms));
    let park_at = entry.since_ms.saturating_add_unsigned(patience.park_after_ms);
    if core.enquiry && entry.not_found_asked_ms.is_some_and(|asked| absent_from.is_some_and(|from| asked >= from)) {
        return Step::Requeue;
    }
    // At least one try was in vain before a person is called, and nothing is tried for ever.
    if entry.in_vain && now_ms >= park_at {
        return Step::Park;
    }
    if core.enquiry && entry.not_found_asked_ms.is_none() && !entry.in_vain {
        return Step::Enquire;
    }
    if remembers(core, entry.first_attempt_ms, patience, now_ms) {
        return Step::Resend;
    }
    match absent_from {
        Some(from) if core.enquiry && now_ms >= from => Step::Enquire,
        _ if core.enquiry && entry.in_vain => Step::Enquire,
        _ if now_ms >= park_at => Step::Park,
        Some(from) if core.enquiry => Step::WaitUntil(from.min(park_at)),
        _ => Step::WaitUntil(park_at),
    }
}

/// Does the core still remember the first attempt when a request that leaves at `now_ms` takes effect?
pub fn remembers(core: &Capabilities, first_attempt_ms: i64, patience: &Patience, now_ms: i64) -> bool {
    remembered_until(core, first_attempt_ms, patience).is_some_and(|until_ms| now_ms < until_ms)
}

/// The latest moment for a request that must take effect while the core still remembers the first attempt. `None`: never.
///
/// Asked when a resend is decided, and again by its sender: no byte may leave later, because a stopped process wakes and
/// goes on from where it was. The request's own lifetime in the core comes off the memory.
pub fn remembered_until(core: &Capabilities, first_attempt_ms: i64, patience: &Patience) -> Option<i64> {
    let memory_ms = core.reference_memory_ms?.saturating_mul(if flawed(Flaw::MemoryIsForEver) { 1_000 } else { 1 });
    let for_ms = memory_ms.checked_sub(patience.memory_margin_ms)?;
    Some(first_attempt_ms.saturating_add_unsigned(for_ms.checked_sub(core.request_lifetime_ms_max)?))
}

impl UnknownOutcome {
    /// Can no attempt that was known at `at_ms` take effect any more? Then all have ended, the core was heard, and the longest lifetime is over.
    pub fn is_quiet(&self, core: &Capabilities, at_ms: i64) -> bool {
        self.lifetime_from_ms.is_some_and(|from| from.saturating_add_unsigned(core.request_lifetime_ms_max) <= at_ms)
    }
}

/// One recorded attempt, as far as the refusal of another one asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Its number, from 1.
    pub n: i64,
    /// No earlier attempt could take effect any more when this one was recorded. True of the first attempt, of every attempt from
    /// the queue, and of a resend when its sender had seen it ([`UnknownOutcome::is_quiet`]).
    pub alone: bool,
    /// Whether it can still take effect.
    pub end: AttemptEnd,
}

/// What is known of an attempt's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptEnd {
    /// Its sender has not ended it.
    Open,
    /// It ended, and it has posted or may still post: its answer said so, or it had none.
    MayPost,
    /// The core refused it, or no byte of it left: it posts nothing.
    Harmless,
}

/// What the core refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// This attempt: it was the answer to it.
    Attempt(i64),
    /// Some attempt with this reference: it was the answer to an enquiry.
    Reference {
        /// Attempts up to this number could take no effect any more when the core was asked; 0 = that is not known of any.
        quiet_up_to: i64,
    },
}

/// Does a refusal end its entry? Only when no other attempt can post. Otherwise it is no answer.
///
/// A core that keeps no refusals under their references may refuse one attempt and post another: an earlier one that was late, or a
/// resend by another process. No clock is read here, because the attempts come from hosts with clocks of their own.
pub fn refusal_settles(refused: Refused, attempts: &[Attempt]) -> bool {
    let harmless = |attempt: &Attempt| attempt.end == AttemptEnd::Harmless;
    match refused {
        Refused::Attempt(n) => {
            // What came before an attempt that was alone is over.
            let since = attempts.iter().filter(|attempt| attempt.alone).map(|attempt| attempt.n).max().unwrap_or(0);
            attempts.iter().filter(|attempt| attempt.n >= since && attempt.n != n).all(harmless)
        }
        Refused::Reference { quiet_up_to } => {
            attempts.len() <= 1 || attempts.iter().all(|attempt| attempt.n <= quiet_up_to || harmless(attempt))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { park_after_ms: 60_000, memory_margin_ms: 1_000 };
    const FRESH: UnknownOutcome = UnknownOutcome {
        first_attempt_ms: 0,
        lifetime_from_ms: None,
        not_found_asked_ms: None,
        in_vain: false,
        since_ms: 0,
    };

    fn core(reference_memory_ms: Option<u64>, enquiry: bool) -> Capabilities {
        Capabilities { reference_memory_ms, enquiry, request_lifetime_ms_max: 5_000 }
    }

    #[test]
    fn an_enquiry_comes_before_any_resend() {
        assert_eq!(resolve(&core(Some(10_000), true), &FRESH, &PATIENCE, 1), Step::Enquire);
    }

    #[test]
    fn not_found_proves_absence_only_after_the_longest_lifetime() {
        let core = core(None, true);
        let early = UnknownOutcome { lifetime_from_ms: Some(100), not_found_asked_ms: Some(5_099), ..FRESH };
        assert_eq!(resolve(&core, &early, &PATIENCE, 5_099), Step::WaitUntil(5_100));
        assert_eq!(resolve(&core, &early, &PATIENCE, 5_100), Step::Enquire);
        let late = UnknownOutcome { not_found_asked_ms: Some(5_100), ..early };
        assert_eq!(resolve(&core, &late, &PATIENCE, 5_101), Step::Requeue);
    }

    #[test]
    fn an_attempt_that_may_still_be_under_way_is_never_absent() {
        let entry = UnknownOutcome { not_found_asked_ms: Some(50_000), ..FRESH };
        assert_eq!(resolve(&core(None, true), &entry, &PATIENCE, 59_999), Step::WaitUntil(60_000));
        assert_eq!(resolve(&core(None, true), &entry, &PATIENCE, 60_000), Step::Park);
    }

    #[test]
    fn a_core_that_gives_no_usable_answer_is_asked_again_until_a_person_is_called() {
        for lifetime_from_ms in [None, Some(10)] {
            let entry = UnknownOutcome { lifetime_from_ms, in_vain: true, ..FRESH };
            assert_eq!(resolve(&core(None, true), &entry, &PATIENCE, 59_999), Step::Enquire);
            assert_eq!(resolve(&core(None, true), &entry, &PATIENCE, 60_000), Step::Park);
            let not_asked = UnknownOutcome { in_vain: false, ..entry };
            assert_eq!(resolve(&core(None, true), &not_asked, &PATIENCE, 60_000), Step::Enquire, "once at least");
        }
        let entry = UnknownOutcome { lifetime_from_ms: Some(10), in_vain: true, ..FRESH };
        let remembering = core(Some(3_600_000), false);
        assert_eq!(resolve(&remembering, &entry, &PATIENCE, 59_999), Step::Resend);
        assert_eq!(resolve(&remembering, &entry, &PATIENCE, 60_000), Step::Park, "not for as long as it remembers");
        assert_eq!(
            resolve(&core(Some(10_000), true), &entry, &PATIENCE, 20),
            Step::Resend,
            "the answer to it may be clear"
        );
    }

    #[test]
    fn references_are_trusted_only_within_the_declared_memory_less_a_margin() {
        let entry = UnknownOutcome { lifetime_from_ms: Some(10), ..FRESH };
        let core = core(Some(10_000), false);
        assert_eq!(resolve(&core, &entry, &PATIENCE, 3_999), Step::Resend);
        assert_eq!(resolve(&core, &entry, &PATIENCE, 4_000), Step::WaitUntil(60_000));
    }

    fn attempts<const N: usize>(all: [(bool, AttemptEnd); N]) -> Vec<Attempt> {
        (1..).zip(all).map(|(n, (alone, end))| Attempt { n, alone, end }).collect()
    }

    #[test]
    fn the_refusal_of_an_attempt_settles_only_when_no_other_can_still_post() {
        use AttemptEnd::{Harmless, MayPost, Open};
        let settles = |n, all: &[Attempt]| refusal_settles(Refused::Attempt(n), all);
        assert!(settles(1, &attempts([(true, Harmless)])));
        assert!(!settles(2, &attempts([(true, Open), (false, Harmless)])), "the first may still be under way");
        assert!(!settles(2, &attempts([(true, MayPost), (false, Harmless)])), "the first may be in the core's hands");
        assert!(settles(2, &attempts([(true, MayPost), (true, Harmless)])), "the first was over before");
        assert!(!settles(1, &attempts([(true, Harmless), (false, Open)])), "it was sent again, and that may post");
        assert!(!settles(1, &attempts([(true, Harmless), (false, MayPost)])));
        assert!(settles(1, &attempts([(true, Harmless), (false, Harmless)])), "both were refused");
        assert!(!settles(3, &attempts([(true, MayPost), (true, MayPost), (false, Harmless)])));
    }

    #[test]
    fn a_refusal_found_by_an_enquiry_may_be_that_of_any_attempt() {
        use AttemptEnd::{Harmless, MayPost};
        let settles = |quiet_up_to, all: &[Attempt]| refusal_settles(Refused::Reference { quiet_up_to }, all);
        assert!(settles(0, &attempts([(true, MayPost)])), "there was only one");
        let resent = attempts([(true, MayPost), (true, MayPost)]);
        assert!(!settles(0, &resent), "it may be the first that was refused, and the second that posts");
        assert!(!settles(1, &resent), "sent again since the core was asked");
        assert!(settles(2, &resent));
        assert!(settles(0, &attempts([(true, Harmless), (false, Harmless)])));
    }

    #[test]
    fn nothing_comes_any_more_a_lifetime_after_the_last_end() {
        let core = core(None, true);
        assert!(!FRESH.is_quiet(&core, i64::MAX));
        let ended = UnknownOutcome { lifetime_from_ms: Some(100), ..FRESH };
        assert!(!ended.is_quiet(&core, 5_099) && ended.is_quiet(&core, 5_100));
    }

    #[test]
    fn a_core_with_neither_waits_for_its_change_event_and_then_for_a_person() {
        let entry = UnknownOutcome { lifetime_from_ms: Some(10), ..FRESH };
        assert_eq!(resolve(&core(None, false), &entry, &PATIENCE, 59_999), Step::WaitUntil(60_000));
        assert_eq!(resolve(&core(None, false), &entry, &PATIENCE, 60_000), Step::Park);
    }
}
