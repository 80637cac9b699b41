use std::time::Duration;

use schemas::core::Capabilities;
use schemas::entry::EntryState;
use standin::journal::{EntryId, Unresolved};
use standin::resolution::Patience;
use tokio::time::Instant;

use super::*;
use crate::clock::example;

const ASKED: Capabilities = Capabilities { reference_memory_ms: None, enquiry: true, request_lifetime_ms_max: 0 };

const WATCHED_FOR: Duration = Duration::from_secs(15);

fn resolver(park_after_ms: u64) -> Resolver {
    Resolver::new(ASKED, Patience { park_after_ms, memory_margin_ms: 0 }, WATCHED_FOR)
}

fn unresolved() -> Unresolved {
    Unresolved { ended: true, ..example(EntryId::generate(), 1, 0) }
}

fn page(resolver: &mut Resolver, entries: &[Unresolved]) {
    let now_ms = resolver.now_ms();
    resolver.take_page(entries.to_vec(), now_ms);
}

fn next(resolver: &mut Resolver, now: Instant) -> Option<(&'static str, EntryId)> {
    resolver.next(now, |_| false).map(|work| (work.name(), work.id().clone()))
}

#[tokio::test]
async fn pages_follow_each_other_and_after_the_last_one_comes_the_first() {
    let mut resolver = resolver(60_000);
    let entries: Vec<Unresolved> = (0..PAGE + 1).map(|_| unresolved()).collect();
    assert_eq!(resolver.page_after(), None);
    page(&mut resolver, &entries[..PAGE]);
    assert_eq!(resolver.page_after(), Some(entries[PAGE - 1].entry.id.clone()));
    while next(&mut resolver, Instant::now()).is_some() {}
    assert!(resolver.wants_page());
    page(&mut resolver, &entries[PAGE..]);
    assert_eq!(resolver.page_after(), None);
}

#[tokio::test]
async fn an_entry_that_was_asked_about_in_vain_waits_and_the_others_have_their_turn() {
    let (mut resolver, start) = (resolver(60_000), Instant::now());
    let (silent, other) = (unresolved(), unresolved());
    let mut pauses = Vec::new();
    let mut now = start;
    for _ in 0..9 {
        while {
            page(&mut resolver, &[silent.clone(), other.clone()]);
            next(&mut resolver, now).is_some_and(|(_, id)| id != silent.entry.id)
        } {
            now += Duration::from_millis(500);
        }
        pauses.push(now.duration_since(start).as_millis());
        resolver.came(&silent.entry.id, &Came::InVain { silent: true, asked_ms: 0 }, now);
    }
    assert_eq!(pauses, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500, 63_500, 123_500]);
}

#[tokio::test]
async fn what_the_journal_did_not_take_waits_and_calls_nobody() {
    let (mut resolver, now) = (resolver(0), Instant::now());
    let entry = unresolved();
    page(&mut resolver, std::slice::from_ref(&entry));
    assert_eq!(next(&mut resolver, now), Some(("enquire", entry.entry.id.clone())));
    resolver.came(&entry.entry.id, &Came::Unrecorded { attempt: 1 }, now);
    page(&mut resolver, std::slice::from_ref(&entry));
    assert_eq!(next(&mut resolver, now), None);
    page(&mut resolver, std::slice::from_ref(&entry));
    let later = now + Duration::from_millis(500);
    assert_eq!(next(&mut resolver, later), Some(("enquire", entry.entry.id.clone())), "the core had answered");
}

#[tokio::test]
async fn patience_begins_anew_when_the_core_returns() {
    let (mut resolver, now) = (resolver(0), Instant::now());
    let entry = unresolved();
    let id = entry.entry.id.clone();
    page(&mut resolver, std::slice::from_ref(&entry));
    next(&mut resolver, now);
    resolver.came(&id, &Came::InVain { silent: true, asked_ms: 0 }, now);
    resolver.opened();
    page(&mut resolver, std::slice::from_ref(&entry));
    assert_eq!(next(&mut resolver, now), Some(("enquire", id.clone())), "asked again before a person is called");
    resolver.came(&id, &Came::InVain { silent: true, asked_ms: 0 }, now);
    page(&mut resolver, std::slice::from_ref(&entry));
    assert_eq!(next(&mut resolver, now + Duration::from_secs(1)), Some(("park", id)));
}

#[tokio::test(start_paused = true)]
async fn not_found_after_every_attempt_ended_returns_the_entry_to_the_queue() {
    let (mut resolver, now) = (resolver(60_000), Instant::now());
    let entry = unresolved();
    let id = entry.entry.id.clone();
    page(&mut resolver, std::slice::from_ref(&entry));
    assert_eq!(next(&mut resolver, now), Some(("enquire", id.clone())));
    let asked_ms = resolver.now_ms();
    tokio::time::advance(Duration::from_millis(1)).await;
    resolver.came(&id, &Came::NotFound { asked_ms }, now);
    page(&mut resolver, std::slice::from_ref(&entry));
    assert_eq!(next(&mut resolver, now), Some(("enquire", id.clone())), "only now it is known that the core runs");
    let asked_ms = resolver.now_ms();
    resolver.came(&id, &Came::NotFound { asked_ms }, now);
    page(&mut resolver, std::slice::from_ref(&entry));
    assert_eq!(next(&mut resolver, now), Some(("requeue", id)));
}

#[tokio::test(start_paused = true)]
async fn what_the_core_will_book_later_is_asked_about_and_never_sent_again() {
    let remembering = Capabilities { reference_memory_ms: Some(3_600_000), request_lifetime_ms_max: 60_000, ..ASKED };
    let patience = Patience { park_after_ms: 20_000, memory_margin_ms: 0 };
    let mut resolver = Resolver::new(remembering, patience, WATCHED_FOR);
    let entry = unresolved();
    let id = entry.entry.id.clone();
    let (start, mut steps) = (Instant::now(), Vec::new());
    loop {
        page(&mut resolver, std::slice::from_ref(&entry));
        match next(&mut resolver, Instant::now()) {
            Some(("enquire", _)) => {
                steps.push(start.elapsed().as_millis());
                let asked_ms = resolver.now_ms();
                resolver.came(&id, &Came::Pending { asked_ms }, Instant::now());
            }
            None => tokio::time::advance(Duration::from_millis(500)).await,
            other => break assert_eq!(other, Some(("park", id.clone())), "after {:?}", start.elapsed()),
        }
    }
    assert_eq!(steps, [0, 500, 1_500, 3_500, 7_500, 15_500]);
    assert!(start.elapsed() >= Duration::from_secs(20));
}

/// The journal does not know what the core will book later, and the answer may have come to another process.
#[tokio::test(start_paused = true)]
async fn a_process_that_was_not_told_what_is_pending_asks_first_and_sends_again_only_when_that_is_in_vain() {
    let remembering = Capabilities { reference_memory_ms: Some(3_600_000), request_lifetime_ms_max: 60_000, ..ASKED };
    let patience = Patience { park_after_ms: 20_000, memory_margin_ms: 0 };
    let entry = unresolved();
    let id = entry.entry.id.clone();
    for (is_told, expected) in [(true, "enquire"), (false, "resend")] {
        let mut started_anew = Resolver::new(remembering, patience, WATCHED_FOR);
        page(&mut started_anew, std::slice::from_ref(&entry));
        assert_eq!(next(&mut started_anew, Instant::now()), Some(("enquire", id.clone())));
        let asked_ms = started_anew.now_ms();
        let came = if is_told { Came::Pending { asked_ms } } else { Came::InVain { silent: true, asked_ms } };
        started_anew.came(&id, &came, Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        page(&mut started_anew, std::slice::from_ref(&entry));
        assert_eq!(next(&mut started_anew, Instant::now()), Some((expected, id.clone())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_abandoned_once_it_was_seen_silent_for_long_whatever_its_stamps_say() {
    let (mut resolver, now) = (resolver(60_000), Instant::now());
    let mut entry = unresolved();
    entry.entry.state = EntryState::Submitting;
    let mut look = |entry: &Unresolved| {
        page(&mut resolver, std::slice::from_ref(entry));
        next(&mut resolver, now)
    };
    assert_eq!(look(&entry), None, "the clock of another host may be an hour off");
    tokio::time::advance(WATCHED_FOR / 2).await;
    entry.entry.version += 1;
    assert_eq!(look(&entry), None, "it was sent anew");
    tokio::time::advance(WATCHED_FOR / 2).await;
    assert_eq!(look(&entry), None);
    tokio::time::advance(WATCHED_FOR / 2).await;
    assert_eq!(look(&entry), Some(("abandon", entry.entry.id.clone())));
}
