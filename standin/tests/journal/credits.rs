//! Credits take no place in the order of their account, unless the operation says so.

use schemas::entry::EntryState::*;
use standin::admission::CoreBelief::Away;

use crate::support::*;

async fn both_with_money(bank: &Bank) {
    bank.account("a", 1_000).await;
    bank.account("b", 1_000).await;
}

on_every_engine! {
    async fn an_account_that_is_credited_by_what_is_queued_stays_direct_for_its_own_debits(bank) {
        bank.two_accounts().await;
        let queued = bank.queued("a", "b", 100).await;
        assert_eq!(bank.number("SELECT ordered FROM lanes WHERE account = 'b'").await, 0);
        assert_eq!(bank.direct("b", "a", 5).await.state, Submitting, "a credit of it holds nothing back");
        assert_eq!(bank.admit(transfer("a", "b", 1)).await.state, Queued, "a debit behind a debit waits");
        assert_eq!(bank.ready().await, [queued.id]);
    }

    async fn a_credit_is_sent_whatever_is_queued_on_the_credited_account(bank) {
        both_with_money(&bank).await;
        let (one, other) = (bank.queued("b", "a", 100).await, bank.queued("a", "b", 100).await);
        let fence = bank.fence().await;
        assert_eq!(bank.ready().await.len(), 2);
        assert_eq!(bank.claim(&fence, &[&other, &one]).await.len(), 2, "neither is before the other");
    }

    async fn a_stopped_account_takes_no_credit_either(bank) {
        bank.two_accounts().await;
        let queued = bank.queued("a", "b", 100).await;
        bank.db.exec("UPDATE lanes SET stopped = 1 WHERE account = 'b'", vec![]).await.unwrap();
        assert_eq!(bank.admit(transfer("a", "b", 1)).await.state, Queued);
        assert_eq!(bank.ready().await, []);
        let fence = bank.fence().await;
        assert_eq!(bank.claim(&fence, &[&queued]).await.len(), 0);
        bank.db.exec("UPDATE lanes SET stopped = 0 WHERE account = 'b'", vec![]).await.unwrap();
    }

    async fn credits_keep_their_order_where_the_operation_says_so_and_what_was_admitted_before_keeps_its_place(bank) {
        both_with_money(&bank).await;
        bank.order_credits(true).await;
        let first = bank.queued("a", "b", 100).await;
        assert_eq!(bank.number("SELECT ordered FROM lanes WHERE account = 'b'").await, 1);
        assert_eq!(bank.admit(transfer("b", "a", 5)).await.state, Queued, "a debit behind a credit");
        bank.order_credits(false).await;
        let behind = bank.admit(transfer("b", "a", 5).away()).await;
        assert_eq!(bank.ready().await, std::slice::from_ref(&first.id), "the credit still stands before it");
        let fence = bank.fence().await;
        assert_eq!(bank.claim(&fence, &[&behind]).await.len(), 0);
        let claimed = bank.claim(&fence, &[&first]).await.remove(0);
        bank.record(posted(&claimed.entry, &[]).ending(claimed.attempt)).await;
        assert_eq!(bank.number("SELECT ordered FROM lanes WHERE account = 'b'").await, 2, "its two debits");
        assert_eq!(bank.promise(&bank.now(&behind).await, Away).await.state, Queued);
    }
}
