//! Who sent what, and the proof that a sender is gone.

use std::time::Duration;

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::journal::{
    Act, Admitted, Change, Done, EntryId, Fenced, Grounds, Instance, InstanceRecord, JournalError, Life, Objection,
    Order, Registration,
};

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
        let unresolved = bank.journal.replay().unresolved(Duration::MAX, None, 10).await.unwrap();
        assert_eq!((unresolved.len(), unresolved[0].ended), (1, true));
        assert_eq!(bank.state(&theirs).await, Submitting, "another identity's attempt goes on");
        assert!(bank.journal.replay().own_open_attempts(&next).await.unwrap().is_empty());
        // The dead process's word, should it come after all, changes nothing.
        bank.first_attempt(&direct, Evidence::NotSent).await;
        assert_eq!(bank.state(&direct).await, OutcomeUnknown);
        assert!(bank.journal.gateway().end_predecessors(&next).await.unwrap().is_empty());
    }

    async fn all_that_a_predecessor_sent_ends_however_much_it_is(bank) {
        let mut entries = Vec::new();
        for n in 0..70 {
            bank.account(&format!("from-{n}"), 1).await;
            bank.account(&format!("to-{n}"), 0).await;
            entries.push(bank.direct(&format!("from-{n}"), &format!("to-{n}"), 1).await);
        }
        bank.journal.register_instance("gateway-1").await.unwrap();
        for entry in &entries {
            assert_eq!(bank.state(entry).await, OutcomeUnknown);
        }
    }

    async fn an_entry_that_cannot_be_read_keeps_no_successor_from_starting_and_no_other_entry_back(bank) {
        bank.two_accounts().await;
        let (broken, good) = (bank.direct("a", "b", 1).await, bank.direct("a", "b", 2).await);
        let state = async |state: &str| {
            let sql = "UPDATE entries SET state = ? WHERE id = ?";
            bank.db.exec(sql, sql::params![state, broken.id.as_str()]).await.unwrap();
        };
        state("nonsense").await;
        bank.journal.register_instance("gateway-1").await.unwrap();
        assert_eq!(bank.state(&good).await, OutcomeUnknown);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts WHERE ended_us IS NULL").await, 0);
        // As it was, so that the tables agree again.
        state("submitting").await;
    }

    async fn a_predecessors_commit_that_lands_late_is_found_by_the_next_look(bank) {
        bank.two_accounts().await;
        let next = bank.journal.register_instance("gateway-1").await.unwrap();
        let late = bank.direct("a", "b", 500).await;
        assert_eq!(bank.journal.gateway().end_predecessors(&next).await.unwrap(), std::slice::from_ref(&late.id));
        assert_eq!(bank.state(&late).await, OutcomeUnknown);
    }

    async fn a_predecessors_resend_ends_without_touching_what_is_known_by_now(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        let fence = bank.fence().await;
        bank.resend(&fence, &entry, 0).await;
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

/// An order about `gateway-2` as it reads now.
async fn declaration(bank: &Bank) -> Act {
    let InstanceRecord { id, boot, beats, .. } = bank.journal.operators().instance("gateway-2").await.unwrap().unwrap();
    Act::DeclareGone { instance: id, boot, beats, fenced: Fenced::PoweredOff }
}

fn proof() -> Grounds {
    Grounds { absence_proof: Some("powered off at the console".into()), ..Grounds::because("rack 7 burnt") }
}

on_every_engine! {
    async fn an_instance_that_was_declared_gone_leaves_unknown_outcomes_and_takes_no_more_direct_writes(bank) {
        bank.two_accounts().await;
        let lost = bank.another("gateway-2").await;
        let entry = lost.direct("a", "b", 500).await;
        let fence = lost.fence().await;
        bank.account("c", 10).await;
        bank.account("d", 10).await;
        let queued = bank.queued("c", "d", 1).await;
        assert!(matches!(bank.give(declaration(&bank).await, Grounds::because("?")).await, Err(JournalError::Objected(_))));
        let done = bank.give(declaration(&bank).await, proof()).await.unwrap();
        assert_eq!(done, Done::AttemptsEnded(vec![entry.id.clone()]));
        assert_eq!(bank.state(&entry).await, OutcomeUnknown);
        assert!(bank.journal.replay().unresolved(std::time::Duration::MAX, None, 10).await.unwrap()[0].ended, "the usual resolution may begin");
        // It comes back: it gives no sign of life, begins no attempt, and its late word changes nothing.
        assert_eq!(lost.journal.beat(&lost.instance).await.unwrap(), Life::Over);
        let direct = lost.admissions.submit(transfer("c", "d", 1)).await;
        assert!(direct.is_err() || matches!(direct, Ok(Admitted::Fresh(entry)) if entry.state == Queued));
        let claimed = lost.journal.replay().claim(&fence, &lost.instance, vec![queued.id.clone()]).await;
        assert!(matches!(claimed, Err(JournalError::DeclaredGone)), "{claimed:?}");
        assert_eq!(bank.state(&queued).await, Queued);
        bank.first_attempt(&entry, Evidence::NotSent).await;
        assert_eq!(bank.state(&entry).await, OutcomeUnknown);
        // Its next life is another one.
        let next = bank.journal.register_instance("gateway-2").await.unwrap();
        assert_eq!(bank.journal.beat(&next).await.unwrap(), Life::Current);
        assert_eq!(bank.claim(&bank.fence_after(&fence).await, &[&queued]).await.len(), 1);
    }

    async fn a_sign_of_life_after_the_look_stops_the_declaration(bank) {
        bank.two_accounts().await;
        let alive = bank.another("gateway-2").await;
        let entry = alive.direct("a", "b", 500).await;
        let order = declaration(&bank).await;
        assert_eq!(alive.journal.beat(&alive.instance).await.unwrap(), Life::Current);
        let refused = bank.give(order, proof()).await;
        assert!(matches!(refused, Err(JournalError::Objected(Objection::Changed))), "{refused:?}");
        assert_eq!(bank.state(&entry).await, Submitting, "nothing of it was done");
        alive.direct("a", "b", 1).await;
    }

    async fn a_commit_of_a_gone_instance_that_lands_late_is_found_by_the_next_look(bank) {
        bank.two_accounts().await;
        let lost = bank.another("gateway-2").await;
        let entry = lost.direct("a", "b", 500).await;
        let order = Order { act: declaration(&bank).await, grounds: proof() };
        let deed = EntryId::generate();
        for _ in 0..2 {
            bank.journal.operators().give(&deed, "op", &order, 0).await.unwrap();
        }
        assert_eq!(bank.journal.operators().audit_of("gateway-2", 10).await.unwrap().len(), 1);
        // As if its transaction had read the instance's row before the declaration, and committed after it.
        let late = "UPDATE attempts SET ended_us = NULL, result = NULL WHERE entry_id = ?";
        bank.db.exec(late, sql::params![entry.id.as_str()]).await.unwrap();
        assert_eq!(bank.journal.gateway().end_attempts_of_gone(&bank.instance).await.unwrap(), std::slice::from_ref(&entry.id));
        assert!(bank.journal.gateway().end_attempts_of_gone(&bank.instance).await.unwrap().is_empty());
        let list = bank.journal.operators().instances("", 10).await.unwrap();
        let list: Vec<_> = list.iter().map(|i| (i.id.as_str(), i.is_gone(), i.open_attempts)).collect();
        assert_eq!(list, [("gateway-1", false, 0), ("gateway-2", true, 0)]);
    }
}

/// Nothing stands still for so long in a test.
const SILENT_MS: i64 = 600_000;

on_every_engine! {
    async fn of_two_that_start_at_once_one_gets_the_last_place(bank) {
        let starts: Vec<_> = ["gateway-2", "gateway-3"].map(|id| {
            let journal = bank.journal.clone();
            tokio::spawn(async move { journal.register_among(id, 2, SILENT_MS, Vec::new()).await.unwrap() })
        }).into();
        let mut registered = 0;
        for start in starts {
            match start.await.unwrap() {
                Registration::Registered(_) => registered += 1,
                Registration::NoPlace(others) => assert_eq!(others.len(), 2, "{others:?}"),
            }
        }
        assert_eq!(registered, 1);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM instances").await, 2, "who has no place leaves no trace");
    }

    async fn a_place_is_free_when_its_holder_starts_anew_falls_silent_or_was_declared_gone(bank) {
        let journal = bank.journal.clone();
        let start = async |id: &str, silent_ms, dead| journal.register_among(id, 1, silent_ms, dead).await.unwrap();
        let Registration::NoPlace(others) = start("gateway-2", SILENT_MS, Vec::new()).await else { panic!("a second place") };
        // A newer sign of life than the one that was seen to stand still.
        assert_eq!(journal.beat(&bank.instance).await.unwrap(), Life::Current);
        assert!(matches!(start("gateway-2", SILENT_MS, others).await, Registration::NoPlace(_)));
        // Its own next life does not stand in its way.
        let Registration::Registered(next) = start("gateway-1", SILENT_MS, Vec::new()).await else { panic!("no place") };
        assert_eq!(next.boot, 2);
        let Registration::NoPlace(others) = start("gateway-2", SILENT_MS, Vec::new()).await else { panic!("a second place") };
        assert!(matches!(start("gateway-2", SILENT_MS, others).await, Registration::Registered(_)));
        // By the server's clock both are silent now; one from the future is not.
        bank.db.exec("UPDATE instances SET seen_us = seen_us - 60000000", vec![]).await.unwrap();
        assert!(matches!(start("gateway-3", 30_000, Vec::new()).await, Registration::Registered(_)));
        bank.db.exec("UPDATE instances SET seen_us = seen_us + 3600000000 WHERE id = 'gateway-3'", vec![]).await.unwrap();
        assert!(matches!(start("gateway-4", 30_000, Vec::new()).await, Registration::NoPlace(_)));
        bank.db.exec("UPDATE instances SET gone_boot = boot WHERE id = 'gateway-3'", vec![]).await.unwrap();
        assert!(matches!(start("gateway-4", 30_000, Vec::new()).await, Registration::Registered(_)));
    }
}
