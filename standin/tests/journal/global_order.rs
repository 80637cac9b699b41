//! One order of all transfers, where the operation asks for it: nothing overtakes, on whatever account.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::journal::{Change, Entry};
use standin::rules::{OperationRules, Order};

use crate::support::*;

async fn order(bank: &Bank, order: Order) {
    bank.rule(OperationRules { order, ..OperationRules::default() }).await;
}

/// Four accounts with money, and one order of all transfers.
async fn one_order(bank: &Bank) {
    for account in ["a", "b", "c", "d"] {
        bank.account(account, 1_000).await;
    }
    order(bank, Order::Global).await;
}

async fn places_of_all(bank: &Bank) -> (i64, i64) {
    let of = |column| format!("SELECT {column} FROM lanes WHERE account = '*'");
    (bank.number(&of("ordered")).await, bank.number(&of("direct")).await)
}

on_every_engine! {
    async fn transfers_of_different_accounts_are_sent_in_the_order_in_which_they_came(bank) {
        one_order(&bank).await;
        let (first, second) = (bank.queued("c", "d", 1).await, bank.queued("a", "b", 1).await);
        let fence = bank.fence().await;
        assert_eq!(bank.ready().await, std::slice::from_ref(&first.id));
        assert_eq!(bank.claim(&fence, &[&second]).await.len(), 0, "what came first is not decided yet");
        let claimed = bank.claim(&fence, &[&first]).await.remove(0);
        assert_eq!(bank.claim(&fence, &[&second]).await.len(), 0);
        bank.record(posted(&claimed.entry, &[]).ending(claimed.attempt)).await;
        assert_eq!(bank.ready().await, std::slice::from_ref(&second.id));
        assert_eq!(places_of_all(&bank).await, (1, 0));
    }

    async fn with_the_core_there_a_transfer_waits_for_what_is_queued_anywhere_and_goes_direct_when_nothing_is(bank) {
        one_order(&bank).await;
        let one = bank.direct("a", "b", 1).await;
        bank.direct("c", "d", 1).await;
        assert_eq!(places_of_all(&bank).await, (0, 2), "what is under way does not keep the next one back");
        let queued = bank.queued("a", "b", 1).await;
        assert_eq!(bank.admit(transfer("d", "c", 1)).await.state, Queued);
        assert_eq!(bank.ready().await, [], "direct ones are before it");
        bank.record(posted(&one, &[]).ending(1)).await;
        assert_eq!(bank.ready().await, [], "one of them still is");
        assert_eq!(bank.state(&queued).await, Queued);
    }

    async fn a_run_goes_over_several_accounts_in_order(bank) {
        one_order(&bank).await;
        let mut queued: Vec<Entry> = Vec::new();
        for (from, to) in [("c", "d"), ("a", "b"), ("d", "a"), ("c", "b")] {
            queued.push(bank.queued(from, to, 1).await);
        }
        let fence = bank.fence().await;
        let heads = vec![queued[0].id.clone()];
        let claims = bank.journal.replay().claim_free(&fence, &bank.instance, heads, 3).await.unwrap();
        let told = claims.claimed.iter().map(|claimed| (&claimed.entry.id, claimed.behind.as_ref()));
        let wanted = (0..3).map(|n| (&queued[n].id, n.checked_sub(1).map(|before| &queued[before].id)));
        assert_eq!(told.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
        let posted = claims.claimed.iter().map(|one| Change::new(one.entry.id.clone(), Evidence::CorePosted).ending(1));
        let room = standin::journal::Room { runs: 1, longest: 3 };
        let replay = bank.journal.replay();
        let recorded =
            replay.record_and_claim(&fence, &bank.instance, posted.collect(), (vec![], room)).await.unwrap();
        let next: Vec<_> = recorded.claimed.iter().map(|claimed| &claimed.entry.id).collect();
        assert_eq!(next, [&queued[3].id], "the commit of their outcomes claims what is next of all");
    }

    async fn the_change_events_confirm_it_and_the_end_of_its_hold_is_the_same(bank) {
        one_order(&bank).await;
        let entry = bank.queued("a", "b", 100).await;
        assert_eq!(bank.available("a").await, 900);
        let fence = bank.fence().await;
        let claimed = bank.claim(&fence, &[&entry]).await.remove(0);
        bank.record(posted(&claimed.entry, &[]).ending(claimed.attempt)).await;
        bank.apply(&[("a", 900, 1), ("b", 1_100, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        assert_eq!(bank.state(&entry).await, Confirmed);
        assert_eq!((bank.available("a").await, places_of_all(&bank).await), (900, (0, 0)));
        assert_eq!(bank.number("SELECT held_minor FROM lanes WHERE account = 'a'").await, 0);
    }

    async fn what_contradicts_stops_its_accounts_and_not_the_order_of_all(bank) {
        one_order(&bank).await;
        let refused = bank.direct("a", "b", 1).await;
        bank.first_attempt(&refused, Evidence::CoreRefused).await;
        bank.apply(&[], &[debit_row(&refused, 1), credit_row(&refused, 1)]).await;
        assert!(bank.lane_is_stopped("a").await && bank.lane_is_stopped("b").await);
        assert!(!bank.lane_is_stopped("*").await);
        assert_eq!(bank.direct("c", "d", 1).await.state, Submitting);
    }

    async fn what_was_admitted_before_the_order_keeps_the_order_of_its_accounts_and_so_does_what_comes_after_it(bank) {
        one_order(&bank).await;
        order(&bank, Order::Account).await;
        let before = bank.queued("a", "b", 1).await;
        order(&bank, Order::Global).await;
        let (behind, elsewhere) = (bank.queued("a", "b", 1).await, bank.queued("c", "d", 1).await);
        let fence = bank.fence().await;
        assert_eq!(bank.claim(&fence, &[&behind]).await.len(), 0, "the first one of its account is not sent yet");
        assert_eq!(bank.claim(&fence, &[&elsewhere]).await.len(), 0, "it is behind that one in the order of all");
        assert_eq!(bank.ready().await, std::slice::from_ref(&before.id));
        let claimed = bank.claim(&fence, &[&before]).await.remove(0);
        bank.record(posted(&claimed.entry, &[]).ending(claimed.attempt)).await;
        assert_eq!(bank.ready().await, std::slice::from_ref(&behind.id));
        order(&bank, Order::Account).await;
        let last = bank.queued("d", "c", 1).await;
        assert!(bank.ready().await.contains(&last.id), "it joined no order of all");
    }

    async fn no_account_may_have_the_name_of_the_lane_of_all(bank) {
        one_order(&bank).await;
        for (from, to) in [("*", "a"), ("a", "*")] {
            assert_eq!(bank.submit(transfer(from, to, 1)).await, standin::journal::Admitted::NoSuchAccount);
        }
    }
}
