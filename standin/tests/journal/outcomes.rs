//! What senders record: provably not sent, no answer, posted.

use schemas::entry::EntryState::*;
use schemas::entry::{Evidence, Verdict};
use sql::Tally;
use standin::admission::CoreBelief;
use standin::journal::{Act, Change, Entry, Grounds, JournalError};
use standin::rules::Reason;

use crate::support::*;

/// A replayer took the entry and its attempt `n` is under way.
async fn taken(bank: &Bank, entry: &Entry) -> i64 {
    let fence = bank.fence().await;
    bank.claim(&fence, &[entry]).await[0].attempt
}

on_every_engine! {
    async fn what_a_transaction_says_of_an_entry_carries_the_version_that_the_lane_has_after_it(bank) {
        bank.two_accounts().await;
        let of_lane = async || Some(bank.number("SELECT version AS n FROM lanes WHERE account = 'a'").await);
        let entry = bank.direct("a", "b", 1).await;
        assert_eq!(entry.lane_version, of_lane().await);
        let moved = bank.first_attempt(&entry, Evidence::NoAnswer).await;
        assert_eq!(moved.entry.lane_version, of_lane().await);
        assert!(moved.entry.lane_version > entry.lane_version, "it is in the order of its lane now");
        assert_eq!(bank.now(&entry).await.lane_version, None, "a plain read has locked no lane");
    }

    async fn a_direct_write_that_was_not_sent_is_admitted_anew_and_queued(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_000).await;
        let moved = bank.first_attempt(&entry, Evidence::NotSent).await;
        assert_eq!((moved.entry.state, moved.entry.ordered), (Queued, true));
        assert_eq!(bank.available("a").await, 0, "its own hold neither counted against it nor ended");
        assert_eq!(bank.ready().await, [entry.id]);
    }

    async fn a_direct_write_that_was_not_sent_is_declined_by_stand_in_only_while_the_core_is_away_and_its_hold_ends(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_001).await;
        let moved = bank.core_away(&entry).await;
        assert_eq!((moved.entry.state, moved.entry.reason.as_deref()), (Declined, Some(Reason::InsufficientFunds.code())));
        assert_eq!(bank.available("a").await, 100_000);
        assert_eq!(bank.number("SELECT used_minor FROM lanes WHERE account = 'a'").await, 0);
    }

    async fn with_the_core_there_what_was_not_sent_waits_for_the_core_and_nobody_is_promised_anything(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_001).await;
        let moved = bank.first_attempt(&entry, Evidence::NotSent).await;
        assert_eq!((moved.entry.state, moved.entry.ordered, moved.entry.reason), (Queued, false, None));
        assert_eq!(bank.number("SELECT used_minor FROM lanes WHERE account = 'a'").await, 0, "stand-in accepted nothing");
        assert_eq!(bank.admit(transfer("a", "b", 1)).await.state, Queued, "it has its place in the lane");
        let asked = bank.promise(&entry, CoreBelief::Available).await;
        assert_eq!((asked.state, asked.ordered, asked.version), (Queued, false, moved.entry.version));
        assert_eq!(bank.ready().await.first(), Some(&entry.id));
        let attempt = taken(&bank, &entry).await;
        let posted = bank.record(posted(&entry, &[]).ending(attempt)).await;
        assert_eq!(posted.entry.state, Posted, "the core has decided");
    }

    async fn what_waits_for_the_core_alone_is_declined_once_the_core_is_away_and_somebody_asks(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_001).await;
        bank.first_attempt(&entry, Evidence::NotSent).await;
        let asked = bank.promise(&entry, CoreBelief::Away).await;
        assert_eq!((asked.state, asked.reason.as_deref()), (Declined, Some(Reason::InsufficientFunds.code())));
        assert_eq!(bank.available("a").await, 100_000);
        assert_eq!(bank.promise(&entry, CoreBelief::Away).await.version, asked.version);
        assert!(bank.ready().await.is_empty());
    }

    async fn what_waits_for_the_core_alone_is_promised_once_the_funds_are_there(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_001).await;
        bank.first_attempt(&entry, Evidence::NotSent).await;
        bank.apply(&[("a", 200_000, 2)], &[]).await;
        let asked = bank.promise(&entry, CoreBelief::Away).await;
        assert_eq!((asked.state, asked.ordered), (Queued, true));
        assert_eq!(bank.number("SELECT used_minor FROM lanes WHERE account = 'a'").await, 100_001);
    }

    async fn what_waits_for_the_core_alone_and_was_sent_by_a_replayer_is_not_declined_while_it_may_post(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_001).await;
        bank.first_attempt(&entry, Evidence::NotSent).await;
        let attempt = taken(&bank, &entry).await;
        let asked = bank.promise(&entry, CoreBelief::Away).await;
        assert_eq!((asked.state, asked.ordered), (Submitting, false));
        let away = Change::new(entry.id.clone(), Evidence::NotSent).believing(CoreBelief::Away).ending(attempt);
        assert_eq!(bank.record(away).await.entry.state, Declined, "the core has gone, and nobody was told accepted");
    }

    async fn what_was_answered_accepted_is_not_declined_any_more(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_000).await;
        let promised = bank.promise(&entry, CoreBelief::Available).await;
        assert_eq!((promised.state, promised.ordered), (Submitting, true));
        assert_eq!(bank.admit(transfer("a", "b", 1)).await.state, Queued, "a promise closes the direct path behind it");
        let again = bank.promise(&entry, CoreBelief::Available).await;
        assert_eq!(again.version, promised.version);
        let moved = bank.first_attempt(&entry, Evidence::NotSent).await;
        assert_eq!(moved.entry.state, Queued);
        assert_eq!(bank.number("SELECT used_minor FROM lanes WHERE account = 'a'").await, 100_000, "used once");
    }

    async fn what_stand_in_would_decline_is_not_promised_while_the_core_is_asked(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 100_001).await;
        let asked = bank.promise(&entry, CoreBelief::Available).await;
        assert_eq!((asked.state, asked.ordered, asked.version), (Submitting, false, entry.version));
        assert_eq!(bank.core_away(&entry).await.entry.state, Declined, "nobody was told accepted");
    }

    async fn data_are_as_old_as_the_sql_server_says_whatever_the_gateways_clock(bank) {
        bank.two_accounts().await;
        let of_age = async |as_of_ms: i64| {
            bank.complete_up_to(now_us() + as_of_ms * 1_000).await;
            bank.admit(transfer("a", "b", 1).away()).await
        };
        // Beside the SQL server's, the gateway's clock is five days slow, right, and five days fast.
        for sql_ms in [5 * DAY_MS, 0, -5 * DAY_MS] {
            bank.sql_clock.set(sql_ms);
            for as_of_ms in [sql_ms - 5 * DAY_MS, sql_ms + 5 * DAY_MS] {
                let entry = of_age(as_of_ms).await;
                assert_eq!((entry.state, entry.reason.as_deref()), (Declined, Some(Reason::DataTooOld.code())));
            }
            assert_ne!(of_age(sql_ms).await.reason.as_deref(), Some(Reason::DataTooOld.code()));
        }
    }

    async fn two_that_were_not_sent_are_decided_one_after_the_other(bank) {
        bank.two_accounts().await;
        let (one, two) = (bank.direct("a", "b", 60_000).await, bank.direct("a", "b", 60_000).await);
        let away = |e: &Entry| Change::new(e.id.clone(), Evidence::NotSent).believing(CoreBelief::Away).ending(1);
        let changes = [&one, &two].map(away);
        bank.journal.replay().record("test", None, changes.into()).await.unwrap();
        // Both hold when the first is decided; its decline frees the second.
        assert_eq!((bank.state(&one).await, bank.state(&two).await), (Declined, Queued));
    }

    async fn two_that_are_promised_at_once_are_decided_one_after_the_other(bank) {
        bank.two_accounts().await;
        let (one, two) = (bank.direct("a", "b", 60_000).await, bank.direct("a", "b", 60_000).await);
        for entry in [&one, &two] {
            bank.first_attempt(entry, Evidence::NotSent).await;
        }
        tokio::join!(bank.promise(&one, CoreBelief::Away), bank.promise(&two, CoreBelief::Away));
        // Both hold when the first is decided; its decline frees the second.
        let states = [bank.state(&one).await, bank.state(&two).await];
        assert!(states == [Declined, Queued] || states == [Queued, Declined], "{states:?}");
    }

    async fn what_is_promised_at_once_is_promised_in_few_transactions(bank) {
        let tally = Tally::default();
        let counted = bank.with("gateway-2", sql::Options { tally: Some(tally.clone()), ..options() }).await;
        let mut entries = Vec::new();
        for n in 0..33 {
            bank.account(&format!("from-{n}"), 1).await;
            bank.account(&format!("to-{n}"), 0).await;
            entries.push(bank.direct(&format!("from-{n}"), &format!("to-{n}"), 1).await);
        }
        let before = tally.statements();
        counted.promise(&entries.pop().unwrap(), CoreBelief::Available).await;
        let one = tally.statements() - before;
        let mut promises: Vec<_> = entries.iter().map(|entry| Box::pin(counted.promise(entry, CoreBelief::Available))).collect();
        for promise in &mut promises {
            // Polled once, it waits for a transaction.
            tokio::select! {
                biased;
                early = promise => panic!("promised by nobody: {early:?}"),
                () = std::future::ready(()) => {}
            }
        }
        for promise in promises {
            assert!(promise.await.ordered);
        }
        let all = tally.statements() - before - one;
        assert!(all <= 4 * one, "{all} statements for 32 promises, {one} for one");
    }

    async fn no_answer_makes_the_outcome_unknown_and_keeps_the_place_in_the_lane(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let moved = bank.first_attempt(&entry, Evidence::NoAnswer).await;
        assert_eq!((moved.entry.state, moved.entry.ordered), (OutcomeUnknown, true));
        assert_eq!(bank.admit(transfer("a", "b", 1)).await.state, Queued);
        assert_eq!(bank.available("a").await, 99_499);
        assert!(bank.journal.gateway().any_ordered().await.unwrap());
    }

    async fn what_is_promised_and_in_flight_counts_as_catching_up(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        assert!(!bank.journal.gateway().any_ordered().await.unwrap());
        bank.promise(&entry, CoreBelief::Available).await;
        assert!(bank.journal.gateway().any_ordered().await.unwrap());
        bank.record(posted(&entry, &[]).ending(1)).await;
        assert!(!bank.journal.gateway().any_ordered().await.unwrap());
    }

    async fn the_same_outcome_recorded_again_changes_nothing(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let first = bank.record(posted(&entry, &[("a", 7)]).ending(1)).await;
        let again = bank.record(posted(&entry, &[("a", 7)]).ending(1)).await;
        assert_eq!((first.verdict, again.verdict), (Verdict::Moves(Posted), Verdict::Nothing));
        assert_eq!(first.entry, again.entry);
    }

    async fn a_refusal_ends_the_hold_and_keeps_its_code(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let refused = Change::new(entry.id.clone(), Evidence::CoreRefused).because("limit-at-core").ending(1);
        let moved = bank.record(refused).await;
        assert_eq!((moved.entry.state, moved.entry.reason.as_deref()), (Refused, Some("limit-at-core")));
        assert_eq!(bank.available("a").await, 100_000);
    }

    async fn a_late_word_about_an_ended_attempt_says_nothing_about_the_next_one(bank) {
        bank.two_accounts().await;
        for evidence in [Evidence::NotSent, Evidence::NoAnswer] {
            let entry = bank.admit(transfer("a", "b", 500)).await;
            let unsent = Change::new(entry.id.clone(), Evidence::NotSent).ending(1);
            bank.record(unsent.clone()).await;
            let attempt = taken(&bank, &entry).await;
            assert_eq!(attempt, 2);
            // The COMMIT of the first record landed unseen, or a sweep looked before it: the same is recorded again, late.
            let moved = bank.record(Change { evidence, ..unsent }).await;
            assert_eq!((moved.verdict, moved.entry.state), (Verdict::Nothing, Submitting), "attempt 2 is under way");
            assert!(bank.ready().await.is_empty());
            bank.record(posted(&entry, &[]).ending(attempt)).await;
        }
    }

    async fn absence_is_not_taken_while_an_attempt_may_be_under_way(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        // Its sender is silent: unknown, and its attempt has not ended.
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer)).await;
        let moved = bank.record(Change::new(entry.id.clone(), Evidence::Absent)).await;
        assert_eq!((moved.verdict, moved.entry.state), (Verdict::Forbidden, OutcomeUnknown));
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        let moved = bank.record(Change::new(entry.id.clone(), Evidence::Absent)).await;
        assert_eq!(moved.entry.state, Queued);
        assert_eq!(taken(&bank, &entry).await, 2);
    }

    async fn a_parked_entry_holds_its_lane_until_a_person_writes_it_off(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        bank.account("d", 10).await;
        bank.order_credits(true).await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        let parked = bank.record(Change::new(entry.id.clone(), Evidence::Unresolvable).because("outcome-unresolved")).await;
        assert_eq!((parked.entry.state, parked.entry.reason.as_deref()), (Parked, Some("outcome-unresolved")));
        let behind = bank.queued("a", "c", 1).await;
        let elsewhere = bank.queued("c", "d", 1).await;
        assert_eq!(bank.ready().await, Vec::<standin::journal::EntryId>::new(), "c is behind a's entry");
        let write_off = || Act::WriteOff { entry: entry.id.clone() };
        let grounds = Grounds { risk_accepted_by: Some("the branch".into()), ..Grounds::because("settled at the branch") };
        for _ in 0..2 {
            let gone = bank.order(write_off(), grounds.clone()).await.unwrap();
            assert_eq!((gone.state, gone.reason.as_deref()), (WrittenOff, Some("written-off")));
        }
        assert_eq!(bank.journal.operators().audit_trail(10).await.unwrap().len(), 1, "the second time it was known already");
        let again = bank.order(Act::Retry { entry: entry.id.clone() }, grounds).await;
        assert!(matches!(again, Err(JournalError::Forbidden(WrittenOff))));
        assert_eq!(bank.ready().await, std::slice::from_ref(&behind.id));
        let attempt = taken(&bank, &behind).await;
        bank.record(posted(&behind, &[]).ending(attempt)).await;
        assert_eq!(bank.ready().await, [elsewhere.id]);
    }
    async fn a_parked_entry_is_sent_again_only_by_a_person_and_only_when_no_attempt_is_open(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let retry_after = async |request_lifetime_ms| {
            let act = Act::Retry { entry: entry.id.clone() };
            bank.order_within(act, Grounds::because("not in the core's books"), request_lifetime_ms).await
        };
        let retry = || retry_after(0);
        assert!(matches!(retry().await, Err(JournalError::Forbidden(Submitting))));
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer)).await;
        assert!(matches!(retry().await, Err(JournalError::Forbidden(OutcomeUnknown))));
        bank.record(Change::new(entry.id.clone(), Evidence::Unresolvable).because("outcome-unresolved")).await;
        assert!(matches!(retry().await, Err(JournalError::AttemptOpen)));
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        assert!(matches!(retry_after(60_000).await, Err(JournalError::AttemptRecent)), "the core may still carry it out");
        let queued = retry().await.unwrap();
        assert_eq!((queued.state, queued.reason), (Queued, None));
        assert_eq!(bank.ready().await, std::slice::from_ref(&entry.id));
        assert_eq!(bank.journal.operators().audit_trail(10).await.unwrap().len(), 1);
    }
}
