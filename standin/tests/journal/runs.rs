//! Runs: what one commit claims behind the head of a lane.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::journal::{Change, Claimed, Entry, EntryId, Fence, Resend, Room};

use crate::support::*;

/// What is claimed with this entry, up to `longest`: each with the one before it.
async fn claim_run(bank: &Bank, fence: &Fence, head: &Entry, longest: usize) -> Vec<(EntryId, Option<EntryId>)> {
    let claims = bank.journal.replay().claim_free(fence, &bank.instance, vec![head.id.clone()], longest).await.unwrap();
    assert!(claims.locked.is_empty() && claims.lost.is_empty());
    claims.claimed.into_iter().map(told).collect()
}

fn told(claimed: Claimed) -> (EntryId, Option<EntryId>) {
    (claimed.entry.id, claimed.behind)
}

/// These entries as one run.
fn run(entries: &[&Entry]) -> Vec<(EntryId, Option<EntryId>)> {
    let id = |n: usize| entries[n].id.clone();
    (0..entries.len()).map(|n| (id(n), n.checked_sub(1).map(id))).collect()
}

on_every_engine! {
    async fn a_run_is_what_stands_in_the_lane_of_one_account_behind_its_head_in_order(bank) {
        for account in ["a", "b", "c"] {
            bank.account(account, 1_000).await;
        }
        let mut of_a = Vec::new();
        for to in ["b", "c", "b", "c"] {
            of_a.push(bank.queued("a", to, 1).await);
        }
        let of_b = bank.queued("b", "a", 1).await;
        let fence = bank.fence().await;
        let claimed = claim_run(&bank, &fence, &of_a[0], 3).await;
        assert_eq!(claimed, run(&[&of_a[0], &of_a[1], &of_a[2]]));
        assert_eq!(bank.state(&of_a[3]).await, Queued);
        // Nothing is first in that lane while the run is under way, and another lane is free.
        assert_eq!(claim_run(&bank, &fence, &of_a[3], 3).await, []);
        assert_eq!(claim_run(&bank, &fence, &of_b, 3).await, run(&[&of_b]));
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts WHERE ended_us IS NULL").await, 4);
    }

    async fn where_credits_are_in_order_too_a_run_ends_before_what_another_lane_keeps_back(bank) {
        for account in ["a", "b", "c", "d"] {
            bank.account(account, 1_000).await;
        }
        bank.order_credits(true).await;
        let first = bank.queued("a", "b", 1).await;
        let elsewhere = bank.queued("d", "c", 1).await;
        let chained = bank.queued("b", "a", 1).await;
        let kept_back = bank.queued("a", "c", 1).await;
        let behind_it = bank.queued("a", "b", 1).await;
        let fence = bank.fence().await;
        assert_eq!(claim_run(&bank, &fence, &first, 9).await, run(&[&first, &chained]));
        for waits in [&elsewhere, &kept_back, &behind_it] {
            assert_eq!(bank.state(waits).await, Queued);
        }
    }

    async fn the_commit_of_an_outcome_claims_whole_runs_and_no_more_than_there_is_room_for(bank) {
        for account in ["a", "b", "c"] {
            bank.account(account, 1_000).await;
        }
        let mut of_a = Vec::new();
        for _ in 0..4 {
            of_a.push(bank.queued("a", "b", 1).await);
        }
        let of_c = [bank.queued("c", "b", 1).await, bank.queued("c", "b", 1).await];
        let fence = bank.fence().await;
        assert_eq!(claim_run(&bank, &fence, &of_a[0], 1).await, run(&[&of_a[0]]));
        let change = Change::new(of_a[0].id.clone(), Evidence::CorePosted).ending(1);
        let claim = (vec![of_c[0].id.clone()], Room { runs: 1, longest: 3 });
        let recorded = bank.journal.replay().record_and_claim(&fence, &bank.instance, vec![change], claim).await.unwrap();
        let claimed: Vec<_> = recorded.claimed.into_iter().map(told).collect();
        assert_eq!(claimed, run(&[&of_a[1], &of_a[2], &of_a[3]]), "the oldest first");
        assert_eq!(recorded.next, [of_c[0].id.clone()], "a hint names only what is first in its lane");
    }

    async fn what_a_run_leaves_unsent_goes_back_to_its_place_and_waits_for_what_is_unknown_before_it(bank) {
        for account in ["a", "b"] {
            bank.account(account, 1_000).await;
        }
        let mut of_a = Vec::new();
        for _ in 0..3 {
            of_a.push(bank.queued("a", "b", 1).await);
        }
        let fence = bank.fence().await;
        claim_run(&bank, &fence, &of_a[0], 9).await;
        let replay = bank.journal.replay();
        let unsent = of_a[1..].iter().map(|entry| Change::new(entry.id.clone(), Evidence::NotSent).ending(1)).collect();
        replay.record("replayer", None, unsent).await.unwrap();
        let unknown = Change::new(of_a[0].id.clone(), Evidence::NoAnswer).ending(1);
        replay.record("replayer", Some(fence.clone()), vec![unknown]).await.unwrap();
        assert_eq!(claim_run(&bank, &fence, &of_a[1], 9).await, []);
        let posted = Change::new(of_a[0].id.clone(), Evidence::CorePosted);
        replay.record("replayer", Some(fence.clone()), vec![posted]).await.unwrap();
        assert_eq!(claim_run(&bank, &fence, &of_a[1], 9).await, run(&[&of_a[1], &of_a[2]]));
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts WHERE ended_us IS NULL").await, 2);
    }

    async fn what_is_unknown_is_sent_again_only_when_it_is_first_in_its_lane(bank) {
        for account in ["a", "b"] {
            bank.account(account, 1_000).await;
        }
        let (sent, unsent) = (bank.queued("a", "b", 1).await, bank.queued("a", "b", 1).await);
        let fence = bank.fence().await;
        assert_eq!(claim_run(&bank, &fence, &sent, 2).await.len(), 2);
        for entry in [&sent, &unsent] {
            bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer).ending(1)).await;
        }
        let replay = bank.journal.replay();
        let waits = replay.begin_resend(&fence, &bank.instance, &unsent.id, 0).await.unwrap();
        assert_eq!(waits, Resend::Waits, "the core may have the one before it, or not");
        assert_eq!(bank.resend(&fence, &sent, 0).await.attempt, 2);
        bank.record(Change::new(sent.id.clone(), Evidence::CorePosted).ending(2)).await;
        assert_eq!(bank.resend(&fence, &unsent, 0).await.attempt, 2);
    }

    async fn what_cannot_be_read_behind_the_head_of_a_lane_does_not_keep_the_head_back(bank) {
        for account in ["a", "b"] {
            bank.account(account, 1_000).await;
        }
        let (head, broken) = (bank.queued("a", "b", 1).await, bank.queued("a", "b", 1).await);
        let set_command = "UPDATE entries SET command = ? WHERE id = ?";
        bank.db.exec(set_command, sql::params![b"{".to_vec(), broken.id.as_str()]).await.unwrap();
        let fence = bank.fence().await;
        assert_eq!(claim_run(&bank, &fence, &head, 9).await, run(&[&head]));
        let command = serde_json::to_vec(&broken.command).unwrap();
        bank.db.exec(set_command, sql::params![command, broken.id.as_str()]).await.unwrap();
    }
}
