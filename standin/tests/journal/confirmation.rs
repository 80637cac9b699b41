//! M2: a hold counts until the served balance includes it, neither twice nor not at all.

use std::time::Duration;

use schemas::entry::EntryState::{Confirmed as Confirmed_, OutcomeUnknown, Posted, Queued, Submitting};
use schemas::entry::Evidence;
use standin::journal::{Confirmed, EntryId, LegSeen, ToLock, Write};

use tokio::sync::oneshot;

use crate::ledger::version;
use crate::support::*;

on_every_engine! {
    async fn a_posting_whose_change_event_does_not_come_is_a_break_once_the_change_data_are_complete(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        let find = async || bank.journal.gateway().find_unconfirmed(Duration::from_micros(1), None).await.unwrap().found;
        assert_eq!(find().await, 0, "the change data may be late");
        bank.sql_clock.set(20_000);
        bank.complete_up_to(now_us() + 10_000_000).await;
        assert_eq!((find().await, find().await), (1, 0), "found once");
        let backlog = bank.journal.operators().backlog().await.unwrap();
        assert_eq!((backlog.by_state[&Posted], backlog.breaks, backlog.contradicted), (1, 1, 0));
        bank.apply(&[("a", 99_500, 1), ("b", 500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        assert_eq!(bank.state(&entry).await, Confirmed_, "late is still confirmed");
        assert_eq!(bank.journal.operators().backlog().await.unwrap().by_state[&Posted], 0);
    }

    async fn a_source_whose_clock_is_ahead_makes_no_break_of_what_is_late(bank) {
        const MINUTE_MS: i64 = 60_000;
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        let found_after = async |minutes: i64| {
            bank.sql_clock.set(minutes * MINUTE_MS);
            // The source's clock is an hour ahead.
            bank.complete_up_to(now_us() + (minutes + 60) * MINUTE_MS * 1_000).await;
            bank.journal.gateway().find_unconfirmed(Duration::from_secs(120), None).await.unwrap().found
        };
        assert_eq!((found_after(3).await, found_after(63).await), (0, 1));
    }

    async fn entries_that_cannot_be_judged_yet_hide_no_break_behind_them(bank) {
        bank.account("doubtful", 100_000).await;
        bank.two_accounts().await;
        bank.db.exec("UPDATE books SET in_doubt = 1 WHERE account = 'doubtful'", vec![]).await.unwrap();
        for _ in 0..100 {
            // In the first shard, so that they fill the first page.
            let entry = bank.admit(Write { id: EntryId::generate(), ..transfer("doubtful", "b", 1) }).await;
            bank.record(posted(&entry, &[]).ending(1)).await;
        }
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        bank.sql_clock.set(20_000);
        bank.complete_up_to(now_us() + 10_000_000).await;
        let within = Duration::from_micros(1);
        let first = bank.journal.gateway().find_unconfirmed(within, None).await.unwrap();
        assert_eq!(first.found, 0);
        let second = bank.journal.gateway().find_unconfirmed(within, first.next_after).await.unwrap();
        assert_eq!((second.found, second.next_after), (1, None));
    }

    async fn the_backlog_tells_how_long_the_oldest_entry_has_waited(bank) {
        bank.two_accounts().await;
        assert_eq!(bank.journal.operators().backlog().await.unwrap().oldest_open, Duration::ZERO);
        let first = bank.queued("a", "b", 1).await;
        bank.queued("a", "b", 1).await;
        let backlog = bank.journal.operators().backlog().await.unwrap();
        assert_eq!(backlog.by_state[&Queued], 2);
        let age = Duration::from_millis(u64::try_from((now_us() - first.accepted_us) / 1_000 + 1).unwrap());
        assert!(backlog.oldest_open <= age, "{:?} of {age:?}", backlog.oldest_open);
        // Both stamp and now are the SQL server's: the clock of the host that made the entry's id says nothing.
        bank.sql_clock.set(3_600_000);
        assert!(bank.journal.operators().backlog().await.unwrap().oldest_open >= Duration::from_secs(3_600));
    }

    async fn the_cores_answer_releases_the_hold_only_if_the_served_balance_includes_the_number(bank) {
        bank.two_accounts().await;
        let early = bank.direct("a", "b", 500).await;
        let moved = bank.record(posted(&early, &[("a", 1), ("b", 1)]).ending(1)).await;
        assert_eq!((moved.entry.state, moved.entry.core_id.as_deref()), (Posted, Some("core-1")));
        assert_eq!(bank.available("a").await, 99_500);
        bank.apply(&[("a", 99_500, 1)], &[]).await;
        assert_eq!(bank.available("a").await, 99_500);
        assert_eq!(bank.held_against("a", version(0)).await, 500, "an older balance still lacks it");

        // The balance row overtook the core's answer.
        let late = bank.direct("a", "b", 300).await;
        bank.apply(&[("a", 99_200, 2)], &[]).await;
        assert_eq!(bank.available("a").await, 98_900);
        bank.record(posted(&late, &[("a", 2), ("b", 2)]).ending(1)).await;
        assert_eq!(bank.available("a").await, 99_200);
    }

    async fn legs_confirm_in_any_order_and_duplicates_are_harmless(bank) {
        bank.two_accounts().await;
        for (n, credit_first) in [(1, true), (2, false)] {
            let entry = bank.direct("a", "b", 500).await;
            bank.record(posted(&entry, &[]).ending(1)).await;
            let mut rows = [debit_row(&entry, n), credit_row(&entry, n)];
            if credit_first {
                rows.reverse();
            }
            bank.apply(&[], &rows[..1]).await;
            assert_eq!(bank.state(&entry).await, Posted);
            bank.apply(&[], &rows[..1]).await;
            assert_eq!(bank.state(&entry).await, Posted);
            let done = bank.apply(&[("a", 100_000 - 500 * n, n), ("b", 500 * n, n)], &rows).await;
            assert_eq!(done, Confirmed { entries: 1, breaks: 0 });
            assert_eq!(bank.state(&entry).await, Confirmed_);
            let again = bank.apply(&[("a", 100_000 - 500 * n, n)], &rows).await;
            assert_eq!(again, Confirmed::default());
            assert_eq!(bank.available("a").await, 100_000 - 500 * n);
        }
    }

    async fn the_hold_ends_once_in_the_transaction_whose_balance_includes_it_whichever_row_comes_first(bank) {
        bank.two_accounts().await;
        // Posting first, balance later.
        let one = bank.direct("a", "b", 500).await;
        bank.record(posted(&one, &[]).ending(1)).await;
        bank.apply(&[], &[debit_row(&one, 1), credit_row(&one, 1)]).await;
        assert_eq!((bank.state(&one).await, bank.available("a").await), (Confirmed_, 99_500));
        bank.apply(&[("a", 99_500, 1)], &[]).await;
        assert_eq!(bank.available("a").await, 99_500);
        // Balance first, posting later, the number known from the core's answer.
        let two = bank.direct("a", "b", 300).await;
        bank.record(posted(&two, &[("a", 2)]).ending(1)).await;
        bank.apply(&[("a", 99_200, 2)], &[]).await;
        assert_eq!(bank.available("a").await, 99_200);
        bank.apply(&[], &[debit_row(&two, 2), credit_row(&two, 2)]).await;
        assert_eq!((bank.state(&two).await, bank.available("a").await), (Confirmed_, 99_200));
        // Both in one transaction.
        let three = bank.direct("a", "b", 200).await;
        bank.record(posted(&three, &[]).ending(1)).await;
        bank.apply(&[("a", 99_000, 3)], &[debit_row(&three, 3), credit_row(&three, 3)]).await;
        assert_eq!(bank.available("a").await, 99_000);
        // Readers of every older balance still count what that balance lacks.
        for (n, lacks) in [(0, 1_000), (1, 500), (2, 200), (3, 0)] {
            assert_eq!(bank.held_against("a", version(n)).await, lacks, "against balance {n}");
        }
    }

    async fn a_balance_that_comes_before_its_posting_and_without_the_cores_answer_counts_twice_never_not_at_all(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        bank.apply(&[("a", 99_500, 1)], &[]).await;
        // Nobody knows yet that posting 1 is this entry's: the debit is in the balance and still held.
        assert_eq!(bank.available("a").await, 99_000);
        bank.apply(&[], &[debit_row(&entry, 1)]).await;
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (OutcomeUnknown, 99_500));
        bank.apply(&[], &[credit_row(&entry, 1)]).await;
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Confirmed_, 99_500));
    }

    async fn an_unknown_outcome_is_confirmed_by_its_change_events_and_frees_its_lane(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        let behind = bank.queued("a", "b", 1).await;
        bank.apply(&[("a", 99_500, 1), ("b", 500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        assert_eq!(bank.state(&entry).await, Confirmed_);
        assert_eq!(bank.ready().await, [behind.id]);
        assert_eq!(bank.available("a").await, 99_499);
    }

    async fn a_change_event_that_overtakes_the_cores_answer_confirms_and_the_answer_is_no_news(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.apply(&[("a", 99_500, 1), ("b", 500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        bank.record(posted(&entry, &[("a", 1), ("b", 1)]).ending(1)).await;
        let now = bank.now(&entry).await;
        assert_eq!((now.state, now.contradicted, now.core_id.as_deref()), (Confirmed_, false, Some("core-1")));
        assert_eq!(bank.available("a").await, 99_500);
    }

    async fn a_record_that_races_the_balance_still_ends_the_hold(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        // While the outcome is being recorded, after it read the old balance, ingest applies the new one. The second of
        // the two must see what the first did.
        let ((read, has_read), (begun, has_begun)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
        let between = std::sync::Mutex::new(Some((read, has_begun)));
        let (gate, db) = (bank.another("gateway-2").await, bank.db.clone());
        gate.books.interrupt(0, move |_| {
            let ((read, has_begun), db) = (between.lock().unwrap().take().unwrap(), db.clone());
            Box::pin(async move {
                read.send(()).unwrap();
                has_begun.await.unwrap();
                // As much as ingest does to reach the journal's locks, several times; it must not get past them.
                for _ in 0..100 {
                    db.query("SELECT 1 AS one", vec![]).await?;
                }
                Ok(())
            })
        });
        let recording = {
            let (gate, change) = (gate.clone(), posted(&entry, &[("a", 1), ("b", 1)]).ending(1));
            tokio::spawn(async move { gate.record(change).await })
        };
        has_read.await.unwrap();
        let ingest = bank.clone();
        let applied = tokio::spawn(async move { ingest.apply(&[("a", 99_500, 1)], &[]).await });
        begun.send(()).unwrap();
        recording.await.unwrap();
        applied.await.unwrap();
        assert_eq!(bank.available("a").await, 99_500, "the debit is in the balance and must not be held as well");
    }

    async fn how_much_a_confirmation_locks_is_known_before_it_locks_any(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let count = async |rows: Vec<LegSeen>, accounts: &[&str]| {
            let accounts: Vec<String> = accounts.iter().map(|account| (*account).to_owned()).collect();
            let journal = bank.journal.clone();
            let count = bank.db.transaction(move |tx| {
                Box::pin(async move { journal.confirmations().to_lock(tx, &rows, &accounts).await })
            });
            let ToLock { lanes, entries } = count.await.unwrap();
            (lanes, entries)
        };
        assert_eq!(count(vec![], &["a", "b", "c"]).await, (1, 0), "of changed accounts those with a hold");
        assert_eq!(count(vec![credit_row(&entry, 1)], &["b"]).await, (2, 1), "of a booked entry both");
        assert_eq!(count(vec![credit_row(&entry, 1), debit_row(&entry, 1)], &["a", "b"]).await, (2, 1), "each once");
        let strange = LegSeen { core_ref: "of-another-system".into(), ..credit_row(&entry, 1) };
        assert_eq!(count(vec![strange], &["b"]).await, (0, 0));
        bank.apply(&[("a", 99_500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
    }

    async fn an_apply_that_is_rolled_back_confirms_and_releases_nothing(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let rows = [debit_row(&entry, 1), credit_row(&entry, 1)];
        let failed = bank.try_apply(&[("a", 99_500, 1)], &rows, Err(sql::Error::Unavailable("test".into()))).await;
        assert!(failed.is_err());
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Submitting, 99_500));
        bank.apply(&[("a", 99_500, 1)], &rows).await;
        assert_eq!((bank.state(&entry).await, bank.available("a").await), (Confirmed_, 99_500));
    }
}
