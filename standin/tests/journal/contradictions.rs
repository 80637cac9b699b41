//! Evidence against an entry's state changes nothing in silence.

use schemas::entry::EntryState::*;
use schemas::entry::{Evidence, Verdict};
use schemas::money::Currency;
use standin::journal::{Change, Confirmed as Done, EntryId, JournalError, LegSeen};

use crate::support::*;

on_every_engine! {
    async fn one_posted_leg_of_an_entry_that_must_not_post_stops_its_lanes_and_is_a_break(bank) {
        for (n, state) in [(1, Queued), (2, Cancelled), (3, Declined)] {
            let (from, to) = (format!("from{n}"), format!("to{n}"));
            bank.account(&from, 100).await;
            bank.account(&to, 0).await;
            let entry = match state {
                Declined => bank.admit(transfer(&from, &to, 101).away()).await,
                _ => bank.queued(&from, &to, 50).await,
            };
            if state == Cancelled {
                bank.journal.gateway().cancel("anna", &entry.id).await.unwrap();
            }
            let done = bank.apply(&[], &[debit_row(&entry, 1)]).await;
            assert_eq!(done, Done { entries: 0, breaks: 1 }, "{state}");
            let now = bank.now(&entry).await;
            assert_eq!((now.state, now.contradicted), (state, true));
            if state != Declined {
                assert!(bank.lane_is_stopped(&from).await && bank.lane_is_stopped(&to).await, "{state}");
            }
            if state == Queued {
                for account in [&from, &to] {
                    bank.clear(account, "too soon").await;
                }
                let fence = bank.fence().await;
                assert!(bank.ready().await.is_empty(), "what is booked already is not sent, even past a cleared stop");
                assert!(bank.claim(&fence, &[&entry]).await.is_empty());
                let cancel = bank.journal.gateway().cancel("anna", &entry.id).await;
                assert!(matches!(cancel, Err(JournalError::Forbidden(Queued))), "{cancel:?}");
            }
            bank.apply(&[], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
            assert_eq!(bank.state(&entry).await, state);
        }
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM breaks").await, 6);
    }

    async fn a_posting_of_a_refused_entry_is_a_break(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::CoreRefused).await;
        let done = bank.apply(&[("a", 99_500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        assert_eq!((done.entries, done.breaks), (0, 2));
        let now = bank.now(&entry).await;
        assert_eq!((now.state, now.contradicted), (Refused, true));
        assert!(bank.lane_is_stopped("a").await && bank.lane_is_stopped("b").await);
        assert_eq!(bank.available("a").await, 99_500);
        assert_eq!(bank.journal.operators().backlog().await.unwrap().contradicted, 1);
    }

    async fn a_second_row_for_one_leg_is_a_break_and_stops_the_lanes(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.apply(&[("a", 99_500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        for _ in 0..2 {
            bank.apply(&[("a", 99_000, 2)], &[debit_row(&entry, 2)]).await;
        }
        let backlog = bank.journal.operators().backlog().await.unwrap();
        assert_eq!((backlog.breaks, backlog.contradicted), (1, 1));
        assert!(bank.lane_is_stopped("a").await);
        let behind = bank.admit(transfer("a", "b", 1)).await;
        assert_eq!(behind.state, Queued, "a stopped lane takes no direct writes");
        assert!(bank.ready().await.is_empty());
        let fence = bank.fence().await;
        assert!(bank.claim(&fence, &[&behind]).await.is_empty());
        for account in ["a", "b"] {
            bank.clear(account, "looked at it").await;
        }
        assert_eq!(bank.claim(&fence, &[&behind]).await.len(), 1);
    }

    async fn a_row_that_books_something_else_is_a_break(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let row = debit_row(&entry, 1);
        for wrong in [
            LegSeen { amount_minor: 501, row_key: "x".into(), ..row.clone() },
            LegSeen { account: "c".into(), row_key: "y".into(), ..row.clone() },
            LegSeen { currency: Currency::parse("USD").unwrap(), row_key: "z".into(), ..row.clone() },
        ] {
            assert_eq!(bank.apply(&[], &[wrong]).await, Done { entries: 0, breaks: 1 });
        }
        assert_eq!(bank.journal.operators().backlog().await.unwrap().breaks, 3);
        assert!(bank.now(&entry).await.contradicted);
    }

    async fn foreign_references_are_ignored_and_lost_ones_of_ours_are_a_break(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let foreign = LegSeen { core_ref: "BRANCH-17".into(), ..debit_row(&entry, 1) };
        assert_eq!(bank.apply(&[("a", 99_500, 1)], &[foreign]).await, Done::default());
        let lost = LegSeen { core_ref: bank.journal.gateway().reference(&EntryId::generate()), ..debit_row(&entry, 1) };
        assert_eq!(bank.apply(&[], &[lost]).await, Done { entries: 0, breaks: 1 });
        assert!(!bank.now(&entry).await.contradicted);
    }

    async fn what_the_books_show_outweighs_every_word_that_it_was_not_posted(bank) {
        bank.two_accounts().await;
        bank.account("c", 1_000).await;
        for (n, evidence) in [(1, Evidence::NotSent), (2, Evidence::CoreRefused), (3, Evidence::Absent)] {
            let entry = bank.direct("a", "b", 100).await;
            if evidence == Evidence::Absent {
                bank.first_attempt(&entry, Evidence::NoAnswer).await;
            }
            let before = bank.state(&entry).await;
            // One leg has been seen, the other one is on its way.
            bank.apply(&[], &[debit_row(&entry, n)]).await;
            let word = Change::new(entry.id.clone(), evidence);
            let moved = bank.record(if evidence == Evidence::Absent { word } else { word.ending(1) }).await;
            assert_eq!((moved.verdict, moved.entry.state), (Verdict::Contradicts, before), "{evidence:?}");
            assert!(moved.entry.contradicted && bank.lane_is_stopped("a").await);
            bank.apply(&[("a", 100_000 - 100 * n, n)], &[credit_row(&entry, n)]).await;
            assert_eq!(bank.state(&entry).await, Confirmed);
            assert_eq!(bank.available("a").await, 100_000 - 100 * n);
            for account in ["a", "b"] {
                bank.clear(account, "looked").await;
            }
        }
    }

    async fn a_refusal_of_a_posted_entry_is_flagged(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.record(posted(&entry, &[]).ending(1)).await;
        let moved = bank.record(Change::new(entry.id.clone(), Evidence::CoreRefused).because("no")).await;
        assert_eq!((moved.verdict, moved.entry.state), (Verdict::Contradicts, Posted));
        assert_eq!((moved.entry.contradicted, moved.entry.reason), (true, None));
        assert!(bank.lane_is_stopped("a").await && bank.lane_is_stopped("b").await);
    }
}
