//! A refusal ends its entry only when no other attempt can post.

use std::time::Duration;

use schemas::core::Enquiry;
use schemas::entry::EntryState::*;
use schemas::entry::{EntryState, Evidence, Verdict};
use standin::journal::{Act, Change, Confirmed, Entry, Grounds, LegSeen, RefusalSeen};
use standin::settle::after_enquiry;

use crate::support::*;

/// A gateway's entry that a replayer gave up for abandoned and sends again: attempt 1 is open, and so is 2.
async fn sent_again(bank: &Bank, alone_after: i64) -> Entry {
    let entry = bank.direct("a", "b", 500).await;
    bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer)).await;
    resend(bank, &entry, alone_after).await;
    entry
}

async fn resend(bank: &Bank, entry: &Entry, alone_after: i64) -> i64 {
    let fence = bank.fence().await;
    bank.resend(&fence, entry, alone_after).await.attempt
}

fn refused(entry: &Entry, n: i64) -> Change {
    Change::new(entry.id.clone(), Evidence::CoreRefused).because("funds").ending(n)
}

/// What the core's books say of an entry, and of a reference that no entry has.
fn seen(entry: &Entry) -> Vec<RefusalSeen> {
    let of = |core_ref: &str| RefusalSeen { core_ref: core_ref.to_owned(), code: "funds".to_owned() };
    vec![of(&entry.core_ref), of("INVOICE 7")]
}

/// One apply transaction with these refusals; answers how many entries it ended.
async fn refuse(bank: &Bank, entry: &Entry) -> usize {
    refuse_beside(bank, entry, Vec::new()).await.1
}

/// The same, with what the core booked.
async fn refuse_beside(bank: &Bank, entry: &Entry, booked: Vec<LegSeen>) -> (Confirmed, usize) {
    let (journal, seen) = (bank.journal.clone(), seen(entry));
    let told = bank.db.transaction(move |tx| {
        Box::pin(async move { journal.confirmations().confirm_and_refuse(tx, &booked, &seen, &[]).await })
    });
    told.await.unwrap()
}

async fn news(bank: &Bank, entry: &Entry) -> Vec<bool> {
    let (journal, seen) = (bank.journal.clone(), seen(entry));
    let news =
        bank.db.transaction(move |tx| Box::pin(async move { journal.confirmations().refusals_news(tx, &seen).await }));
    news.await.unwrap()
}

on_every_engine! {
    async fn a_late_refusal_does_not_end_an_entry_of_which_a_resend_may_post(bank) {
        bank.two_accounts().await;
        let entry = sent_again(&bank, 0).await;
        let moved = bank.record(refused(&entry, 1)).await;
        assert_eq!((moved.verdict, moved.entry.state, moved.entry.reason), (Verdict::Nothing, OutcomeUnknown, None));
        assert_eq!(bank.available("a").await, 99_500, "its hold stands");
        assert_eq!(bank.record(posted(&entry, &[]).ending(2)).await.entry.state, Posted);
        assert!(!bank.now(&entry).await.contradicted);
    }

    async fn a_late_refusal_does_not_contradict_what_a_resend_has_posted(bank) {
        bank.two_accounts().await;
        let entry = sent_again(&bank, 0).await;
        bank.record(posted(&entry, &[]).ending(2)).await;
        let moved = bank.record(refused(&entry, 1)).await;
        assert_eq!((moved.verdict, moved.entry.state, moved.entry.contradicted), (Verdict::Nothing, Posted, false));
        assert!(!bank.lane_is_stopped("a").await);
    }

    async fn a_late_refusal_before_anybody_sent_again_still_ends_the_entry(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer)).await;
        let moved = bank.record(refused(&entry, 1)).await;
        assert_eq!((moved.entry.state, moved.entry.reason.as_deref()), (Refused, Some("funds")));
    }

    async fn an_entry_of_which_every_attempt_was_refused_is_refused(bank) {
        bank.two_accounts().await;
        for order in [[1, 2], [2, 1]] {
            let entry = sent_again(&bank, 0).await;
            let states = [bank.record(refused(&entry, order[0])).await, bank.record(refused(&entry, order[1])).await];
            assert_eq!(states.map(|moved| moved.entry.state), [OutcomeUnknown, Refused]);
        }
    }

    async fn the_refusal_of_a_resend_counts_once_the_first_attempt_can_post_no_more(bank) {
        bank.two_accounts().await;
        for (alone_after, state) in [(1, Refused), (0, OutcomeUnknown)] {
            let entry = bank.direct("a", "b", 500).await;
            bank.first_attempt(&entry, Evidence::NoAnswer).await;
            assert_eq!(resend(&bank, &entry, alone_after).await, 2);
            assert_eq!(bank.record(refused(&entry, 2)).await.entry.state, state);
        }
    }

    async fn what_was_seen_of_one_attempt_says_nothing_of_another_that_came_meanwhile(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        resend(&bank, &entry, 1).await;
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer).ending(2)).await;
        assert_eq!(resend(&bank, &entry, 1).await, 3, "by an observer who knows of the first only");
        assert_eq!(bank.record(refused(&entry, 3)).await.entry.state, OutcomeUnknown);
        let look = bank.journal.replay().unresolved(Duration::MAX, None, 10).await.unwrap().pop().unwrap();
        assert_eq!((look.attempts, look.doubtful, look.ended), (3, 2, true), "the refused one posts nothing");
    }

    async fn a_refusal_found_by_an_enquiry_settles_the_only_attempt_or_those_that_are_over(bank) {
        bank.two_accounts().await;
        let found = Enquiry::Refused { code: "funds".into() };
        let enquired = |entry: &Entry, quiet_up_to| after_enquiry(entry, &found, quiet_up_to, |_| None).remove(0);
        let only = bank.direct("a", "b", 500).await;
        bank.first_attempt(&only, Evidence::NoAnswer).await;
        assert_eq!(bank.record(enquired(&only, 0)).await.entry.state, Refused);

        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        resend(&bank, &entry, 1).await;
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer).ending(2)).await;
        assert_eq!(bank.record(enquired(&entry, 0)).await.entry.state, OutcomeUnknown);
        assert_eq!(bank.record(enquired(&entry, 1)).await.entry.state, OutcomeUnknown, "the second may have posted since");
        assert_eq!(bank.record(enquired(&entry, 2)).await.entry.state, Refused);
    }

    async fn a_refusal_in_the_cores_books_ends_the_only_attempt_and_frees_its_hold(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        assert_eq!(news(&bank, &entry).await, [true, false]);
        assert_eq!(refuse(&bank, &entry).await, 1);
        let now = bank.now(&entry).await;
        assert_eq!((now.state, now.reason.as_deref(), bank.available("a").await), (Refused, Some("funds"), 100_000));
        assert_eq!((refuse(&bank, &entry).await, news(&bank, &entry).await), (0, vec![false, false]), "known by now");
        // Its sender hears the same, and then it is known already.
        assert_eq!(bank.record(refused(&entry, 1)).await.verdict, Verdict::Nothing);
    }

    async fn a_refusal_in_the_cores_books_ends_nothing_of_which_another_attempt_may_post(bank) {
        bank.two_accounts().await;
        let entry = sent_again(&bank, 0).await;
        assert_eq!(refuse(&bank, &entry).await, 0);
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (OutcomeUnknown, 99_500));
        bank.record(posted(&entry, &[]).ending(2)).await;
        assert_eq!(refuse(&bank, &entry).await, 0);
        assert_eq!((bank.state(&entry).await, bank.now(&entry).await.contradicted), (Posted, false));
    }

    async fn a_refusal_in_the_cores_books_says_nothing_against_what_is_not_posted_or_was_keyed_by_hand(bank) {
        bank.two_accounts().await;
        let cancelled = bank.queued("a", "b", 1).await;
        bank.journal.gateway().cancel("anna", &cancelled.id).await.unwrap();
        let declined = bank.admit(transfer("a", "b", 100_001).away()).await;
        let (queued, keyed) = (bank.queued("a", "b", 1).await, bank.queued("a", "b", 1).await);
        let act = Act::Link { entry: keyed.id.clone(), postings: vec!["T-1".into()] };
        bank.order(act, Grounds::because("keyed, N.N.")).await.unwrap();
        for (entry, state) in [(&cancelled, Cancelled), (&declined, Declined), (&queued, Queued), (&keyed, Posted)] {
            assert_eq!(refuse(&bank, entry).await, 0);
            let now = bank.now(entry).await;
            assert_eq!((now.state, now.contradicted), (state, false));
        }
        assert!(!bank.lane_is_stopped("a").await);
        assert_eq!(bank.ready().await, [queued.id]);
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 0);
    }

    async fn a_refusal_and_a_posting_of_one_batch_are_weighed_together_and_what_is_booked_is_not_refused(bank) {
        bank.two_accounts().await;
        bank.account("c", 1_000).await;
        let (refused, booked) = (bank.direct("a", "b", 500).await, bank.direct("c", "b", 7).await);
        let rows = vec![debit_row(&booked, 1), credit_row(&booked, 1)];
        let (done, ended) = refuse_beside(&bank, &refused, rows).await;
        assert_eq!((done.entries, done.breaks, ended), (1, 0, 1));
        assert_eq!((bank.state(&refused).await, bank.state(&booked).await), (Refused, EntryState::Confirmed));
        let both = bank.direct("a", "b", 5).await;
        let (done, ended) = refuse_beside(&bank, &both, vec![debit_row(&both, 2), credit_row(&both, 2)]).await;
        assert_eq!((done.entries, done.breaks, ended), (1, 0, 0));
        let now = bank.now(&both).await;
        assert_eq!((now.state, now.contradicted), (EntryState::Confirmed, true));
    }

    async fn a_refusal_that_contradicts_does_so_once(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        refuse(&bank, &entry).await;
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 1);
        let act = Act::Adopt { entry: entry.id.clone(), debit_posting_no: None };
        let proof = Grounds { posted_proof: Some("statement 7".into()), ..Grounds::because("looked, N.N.") };
        bank.order(act, proof).await.unwrap();
        for account in ["a", "b"] {
            bank.clear(account, "looked").await;
        }
        // The same row again, after a rewind or in a new generation.
        refuse(&bank, &entry).await;
        let now = bank.now(&entry).await;
        assert_eq!((now.state, now.contradicted), (EntryState::Confirmed, false));
        assert!(!bank.lane_is_stopped("a").await);
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 0);
    }

    async fn a_refusal_of_what_the_core_has_posted_contradicts_it(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        assert_eq!(refuse(&bank, &entry).await, 0);
        let now = bank.now(&entry).await;
        assert_eq!((now.state, now.contradicted), (Posted, true));
        assert!(bank.lane_is_stopped("a").await && bank.lane_is_stopped("b").await);
    }
}
