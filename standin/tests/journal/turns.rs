//! What waits only for its turn, with the core there: the core decides about it, and stand-in's day is not used for it.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::admission::CoreBelief::{Available, Away};
use standin::journal::{Change, Entry};
use standin::rules::Reason;

use crate::support::*;

/// An account with so much a day, of which one cent is used by an entry that is queued before everything else.
async fn busy(bank: &Bank, per_day_minor: i64) -> Entry {
    bank.two_accounts().await;
    bank.journal.operators().set_limits("op", &limited_to(per_day_minor), None, "test").await.unwrap();
    bank.queued("a", "b", 1).await
}

async fn used(bank: &Bank) -> (i64, i64) {
    let of = async |column: &str| bank.number(&format!("SELECT {column} FROM lanes WHERE account = 'a'")).await;
    (of("used_minor").await, of("used_count").await)
}

/// Sends what is ready and has the core post it, until nothing is ready.
async fn replay(bank: &Bank) {
    let fence = bank.fence().await;
    loop {
        let ids = bank.ready().await;
        if ids.is_empty() {
            return;
        }
        for claimed in bank.journal.replay().claim(&fence, &bank.instance, ids).await.unwrap() {
            bank.record(posted(&claimed.entry, &[]).ending(claimed.attempt)).await;
        }
    }
}

on_every_engine! {
    async fn what_waits_for_its_turn_is_neither_promised_nor_charged_and_no_limit_of_the_day_declines_it(bank) {
        busy(&bank, 100).await;
        for amount in [500, 500, 200_000] {
            let waits = bank.admit(transfer("a", "b", amount)).await;
            assert_eq!((waits.state, waits.ordered, waits.reason), (Queued, false, None));
        }
        assert_eq!(used(&bank).await, (1, 1));
        assert_eq!(bank.available("a").await, 100_000 - 1 - 500 - 500 - 200_000, "each holds what the core may post");
        replay(&bank).await;
        assert_eq!(used(&bank).await, (1, 1), "only stand-in's own");
        assert_eq!(bank.direct("a", "b", 1).await.state, Submitting);
    }

    async fn a_promise_with_the_core_there_reserves_the_day_until_the_core_has_decided(bank) {
        busy(&bank, 1_000).await;
        let (first, second) = (bank.admit(transfer("a", "b", 500)).await, bank.admit(transfer("a", "b", 500)).await);
        let promised = bank.promise(&first, Available).await;
        assert!(promised.ordered);
        assert_eq!(bank.promise(&first, Available).await.version, promised.version);
        assert_eq!(used(&bank).await, (501, 2), "once");
        assert!(!bank.promise(&second, Available).await.ordered, "promises never exceed the limit");
        let declined = bank.admit(transfer("a", "b", 500).away()).await;
        assert_eq!(declined.reason.as_deref(), Some(Reason::DailyLimitExceeded.code()));
        replay(&bank).await;
        assert_eq!(used(&bank).await, (1, 1), "given back");
        bank.apply(&[("a", 98_999, 3)], &[debit_row(&first, 2), credit_row(&first, 2)]).await;
        assert_eq!((bank.state(&first).await, used(&bank).await), (Confirmed, (1, 1)), "and not twice");
    }

    async fn what_the_core_refuses_in_its_turn_is_given_back_and_what_a_client_cancels_is_not(bank) {
        let before = busy(&bank, 1_000).await;
        let (refused, cancelled) = (bank.admit(transfer("a", "b", 20)).await, bank.admit(transfer("a", "b", 300)).await);
        for entry in [&refused, &cancelled] {
            bank.promise(entry, Available).await;
        }
        bank.journal.gateway().cancel("anna", &cancelled.id).await.unwrap();
        bank.journal.gateway().cancel("anna", &before.id).await.unwrap();
        let fence = bank.fence().await;
        let attempt = bank.claim(&fence, &[&refused]).await[0].attempt;
        let change = Change::new(refused.id.clone(), Evidence::CoreRefused).ending(attempt);
        for _ in 0..2 {
            bank.record(change.clone()).await;
        }
        assert_eq!((bank.state(&refused).await, used(&bank).await), (Refused, (301, 2)));
    }

    async fn once_the_core_falls_away_what_waits_is_promised_by_the_limits_of_the_day_and_charged_for_good(bank) {
        busy(&bank, 1_000).await;
        let (first, second) = (bank.admit(transfer("a", "b", 600)).await, bank.admit(transfer("a", "b", 600)).await);
        assert!(bank.promise(&first, Away).await.ordered);
        let declined = bank.promise(&second, Away).await;
        assert_eq!((declined.state, declined.reason.as_deref()), (Declined, Some(Reason::DailyLimitExceeded.code())));
        assert_eq!(used(&bank).await, (601, 2));
        replay(&bank).await;
        assert_eq!((bank.state(&first).await, used(&bank).await), (Posted, (601, 2)));
    }

    async fn what_was_reserved_yesterday_is_not_given_back_today(bank) {
        bank.noon(-1).await;
        busy(&bank, 1_000).await;
        let waits = bank.admit(transfer("a", "b", 500)).await;
        bank.promise(&waits, Available).await;
        bank.noon(0).await;
        bank.queued("a", "b", 700).await;
        replay(&bank).await;
        assert_eq!((bank.state(&waits).await, used(&bank).await), (Posted, (700, 1)));
    }
}
