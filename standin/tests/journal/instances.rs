//! Who sent what, and the proof that a sender is gone.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::journal::{Change, Instance};

use crate::support::*;

on_every_engine! {
    async fn the_next_holder_of_an_identity_ends_what_its_predecessor_sent(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        bank.account("d", 10).await;
        let direct = bank.direct("a", "b", 500).await;
        let neighbour = bank.another("gateway-2").await;
        let theirs = neighbour.direct("c", "d", 1).await;
        assert_eq!(bank.instance, Instance { id: "gateway-1".into(), boot: 1 });
        let next = bank.journal.register_instance("gateway-1").await.unwrap();
        assert_eq!(next.boot, 2);
        let now = bank.now(&direct).await;
        assert_eq!((now.state, now.ordered), (OutcomeUnknown, true));
        let unresolved = bank.journal.unresolved(0, None, 10).await.unwrap();
        assert_eq!((unresolved.len(), unresolved[0].ended), (1, true));
        assert_eq!(bank.state(&theirs).await, Submitting, "another identity's attempt goes on");
        assert!(bank.journal.own_open_attempts(&next).await.unwrap().is_empty());
        // The dead process's word, should it come after all, changes nothing.
        bank.first_attempt(&direct, Evidence::NotSent).await;
        assert_eq!(bank.state(&direct).await, OutcomeUnknown);
        assert!(bank.journal.end_predecessors(&next).await.unwrap().is_empty());
    }

    async fn a_predecessors_commit_that_lands_late_is_found_by_the_next_look(bank) {
        bank.two_accounts().await;
        let next = bank.journal.register_instance("gateway-1").await.unwrap();
        let late = bank.direct("a", "b", 500).await;
        assert_eq!(bank.journal.end_predecessors(&next).await.unwrap(), std::slice::from_ref(&late.id));
        assert_eq!(bank.state(&late).await, OutcomeUnknown);
    }

    async fn a_predecessors_resend_ends_without_touching_what_is_known_by_now(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        let fence = bank.fence().await;
        bank.journal.begin_resend(&fence, &bank.instance, &entry.id, 0).await.unwrap().unwrap();
        bank.record(posted(&entry, &[])).await;
        bank.journal.register_instance("gateway-1").await.unwrap();
        assert_eq!(bank.state(&entry).await, Posted);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts WHERE ended_us IS NULL").await, 0);
    }

    async fn a_successor_and_a_sender_that_records_at_once_do_not_block_each_other(bank) {
        bank.two_accounts().await;
        for _ in 0..6 {
            let mut entries = Vec::new();
            for _ in 0..4 {
                entries.push(bank.admit(transfer("a", "b", 1)).await);
            }
            let successor = bank.clone();
            let registered = tokio::spawn(async move { successor.journal.register_instance("gateway-1").await });
            let mut records = tokio::task::JoinSet::new();
            for entry in entries.clone() {
                let sender = bank.clone();
                records.spawn(async move { sender.record(posted(&entry, &[]).ending(1)).await });
            }
            records.join_all().await;
            registered.await.unwrap().unwrap();
            for entry in entries {
                if bank.state(&entry).await != Posted {
                    bank.record(Change::new(entry.id.clone(), Evidence::CorePosted)).await;
                }
            }
        }
    }
}
