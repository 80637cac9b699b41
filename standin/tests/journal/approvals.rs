//! Four eyes: an order takes effect when a second person agrees, and only while nothing has happened to what it is about.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::journal::{
    Act, Approval, ApprovalState, Change, Done, Entry, EntryId, Grounds, JournalError, Objection, Order,
};

use crate::support::*;

const DAY_MS: u64 = 86_400_000;

async fn asked(bank: &Bank, act: Act, ttl_ms: u64) -> Approval {
    let grounds =
        Grounds { risk_accepted_by: Some("head of payments".into()), ..Grounds::because("core was replaced") };
    bank.journal.operators().ask(&EntryId::generate(), "olga", &Order { act, grounds }, ttl_ms).await.unwrap()
}

async fn approve(bank: &Bank, approval: &Approval, by: &str) -> Result<(Approval, Done), JournalError> {
    bank.journal.operators().approve(&EntryId::generate(), by, &approval.id, "looked too", 0).await
}

async fn parked(bank: &Bank) -> Entry {
    let entry = bank.direct("a", "b", 500).await;
    bank.first_attempt(&entry, Evidence::NoAnswer).await;
    bank.record(Change::new(entry.id.clone(), Evidence::Unresolvable)).await.entry
}

fn refused(outcome: Result<(Approval, Done), JournalError>) -> Objection {
    match outcome {
        Err(JournalError::Objected(objection)) => objection,
        Err(err) => panic!("{err}"),
        Ok(_) => panic!("it was approved"),
    }
}

on_every_engine! {
    async fn an_order_takes_effect_when_another_person_approves_and_the_audit_names_both(bank) {
        bank.two_accounts().await;
        let entry = parked(&bank).await;
        let approval = asked(&bank, Act::WriteOff { entry: entry.id.clone() }, DAY_MS).await;
        assert_eq!((approval.state, bank.state(&entry).await), (ApprovalState::Pending, Parked));
        assert_eq!(refused(approve(&bank, &approval, "olga").await), Objection::SamePerson);
        let (done, _) = approve(&bank, &approval, "otto").await.unwrap();
        assert_eq!((done.state, done.decided_by.as_deref()), (ApprovalState::Approved, Some("otto")));
        assert_eq!(bank.state(&entry).await, WrittenOff);
        let trail = bank.journal.operators().audit_of(entry.id.as_str(), 10).await.unwrap();
        let steps: Vec<(&str, &str)> = trail.iter().map(|r| (r.action.as_str(), r.actor.as_str())).collect();
        let mut expected = [("approval.ask", "olga"), ("entry.write-off", "olga"), ("approval.approved", "otto")];
        expected[1..].sort_unstable();
        let mut steps = steps;
        steps[1..].sort_unstable();
        assert_eq!(steps, expected);
        let order = trail.iter().find(|r| r.action == "entry.write-off").unwrap();
        assert_eq!((&order.detail["approved_by"], &order.detail["why"]), (&"otto".into(), &"core was replaced".into()));
        let twice = refused(approve(&bank, &approval, "otto").await);
        assert_eq!(twice, Objection::NotPending(ApprovalState::Approved));
    }

    async fn what_changed_since_it_was_ordered_is_not_approved_any_more(bank) {
        bank.two_accounts().await;
        let entry = parked(&bank).await;
        let approval = asked(&bank, Act::Force { entry: entry.id.clone() }, DAY_MS).await;
        bank.apply(&[("a", 99_500, 1)], &[debit_row(&entry, 1), credit_row(&entry, 1)]).await;
        assert_eq!(bank.state(&entry).await, Confirmed);
        assert_eq!(refused(approve(&bank, &approval, "otto").await), Objection::Changed);
        assert_eq!(refused(approve(&bank, &approval, "otto").await), Objection::NotPending(ApprovalState::Void));
        assert_eq!(bank.state(&entry).await, Confirmed);
    }

    async fn an_approval_that_expired_or_was_rejected_is_over(bank) {
        bank.two_accounts().await;
        let entry = parked(&bank).await;
        let late = asked(&bank, Act::Retry { entry: entry.id.clone() }, 0).await;
        assert_eq!(refused(approve(&bank, &late, "otto").await), Objection::NotPending(ApprovalState::Expired));
        let unwanted = asked(&bank, Act::Retry { entry: entry.id.clone() }, DAY_MS).await;
        let pending = bank.journal.operators().approvals(Some(ApprovalState::Pending), 10).await.unwrap();
        assert!(pending == [unwanted.clone()], "what expired does not wait");
        let expired = bank.journal.operators().approvals(Some(ApprovalState::Expired), 10).await.unwrap();
        assert_eq!(expired.len(), 1);
        // Who ordered it may take it back.
        let rejected = bank.journal.operators().reject("olga", &unwanted.id, "wrong entry").await.unwrap();
        assert_eq!(rejected.state, ApprovalState::Rejected);
        assert_eq!(refused(approve(&bank, &unwanted, "otto").await), Objection::NotPending(ApprovalState::Rejected));
        assert_eq!(bank.state(&entry).await, Parked);
        assert!(matches!(bank.journal.operators().reject("otto", &EntryId::generate(), "x").await, Err(JournalError::NoSuchEntry)));
    }

    async fn a_lane_is_cleared_by_two_while_new_writes_arrive_but_not_past_a_new_contradiction(bank) {
        bank.two_accounts().await;
        let stopped = bank.queued("a", "b", 500).await;
        bank.apply(&[], &[debit_row(&stopped, 1)]).await;
        let clear = || Act::ClearLane { account: "a".into() };
        let first = asked(&bank, clear(), DAY_MS).await;
        let another = bank.queued("a", "b", 1).await;
        bank.apply(&[], &[debit_row(&another, 2)]).await;
        assert_eq!(refused(approve(&bank, &first, "otto").await), Objection::Changed);
        let second = asked(&bank, clear(), DAY_MS).await;
        bank.queued("a", "b", 1).await;
        assert!(bank.lane_is_stopped("a").await);
        approve(&bank, &second, "otto").await.unwrap();
        assert!(!bank.lane_is_stopped("a").await);
        let lanes = bank.journal.operators().stopped_lanes("", 10).await.unwrap();
        let lanes: Vec<_> = lanes.into_iter().map(|lane| (lane.account, lane.contradicted)).collect();
        assert_eq!(lanes, [("b".to_owned(), vec![stopped.id, another.id])]);
    }

    async fn asking_and_approving_find_their_own_traces_after_an_unanswered_commit(bank) {
        bank.two_accounts().await;
        let entry = parked(&bank).await;
        let order = Order { act: Act::Retry { entry: entry.id.clone() }, grounds: Grounds::because("not there") };
        let (id, deed) = (EntryId::generate(), EntryId::generate());
        for _ in 0..2 {
            bank.journal.operators().ask(&id, "olga", &order, DAY_MS).await.unwrap();
        }
        for _ in 0..2 {
            let (approval, done) = bank.journal.operators().approve(&deed, "otto", &id, "looked", 0).await.unwrap();
            assert_eq!(approval.state, ApprovalState::Approved);
            assert!(matches!(done, Done::Entry(entry) if entry.state == Queued));
        }
        assert_eq!(bank.journal.operators().audit_of(entry.id.as_str(), 10).await.unwrap().len(), 3);
    }
}
