//! The replayer's side: fences, claims in lane order, attempts before bytes.

use std::time::Duration;

use std::collections::BTreeSet;

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use sql::params;
use standin::journal::{Act, Change, Claimed, Entry, EntryId, Fence, Grounds, Instance, JournalError, Resend};

use crate::support::*;

fn ids(entries: &[&Entry]) -> Vec<EntryId> {
    entries.iter().map(|entry| entry.id.clone()).collect()
}

on_every_engine! {
    async fn only_the_head_of_every_lane_it_touches_is_claimed_and_ready_says_the_same(bank) {
        for account in ["a", "b", "c", "d"] {
            bank.account(account, 1_000).await;
        }
        bank.order_credits(true).await;
        let ab = bank.queued("a", "b", 1).await;
        let bc = bank.queued("b", "c", 1).await;
        let da = bank.queued("d", "a", 1).await;
        let ab2 = bank.queued("a", "b", 1).await;
        let all = [&ab2, &da, &bc, &ab];
        let fence = bank.fence().await;
        let mut sent = Vec::new();
        for heads in [vec![&ab], vec![&bc, &da], vec![&ab2]] {
            assert_eq!(bank.ready().await, ids(&heads));
            let claimed = bank.claim(&fence, &all).await;
            let got: BTreeSet<EntryId> = claimed.iter().map(|claimed| claimed.entry.id.clone()).collect();
            assert_eq!(got, ids(&heads).into_iter().collect());
            assert!(claimed.iter().all(|c| c.attempt == 1 && c.entry.state == Submitting && c.entry.ordered));
            assert!(bank.ready().await.is_empty(), "while in flight they are before the others");
            assert!(bank.claim(&fence, &all).await.is_empty());
            let open = bank.journal.replay().own_open_attempts(&bank.instance).await.unwrap();
            assert!(open.len() == heads.len() && open.iter().all(|attempt| attempt.token == Some(fence.token)));
            for claimed in claimed {
                bank.record(posted(&claimed.entry, &[]).ending(claimed.attempt)).await;
                sent.push(claimed.entry.id);
            }
        }
        assert_eq!(sent.len(), 4);
    }

    async fn a_replay_waits_for_a_direct_write_before_it(bank) {
        bank.two_accounts().await;
        let direct = bank.direct("a", "b", 1).await;
        let queued = bank.queued("a", "b", 1).await;
        let fence = bank.fence().await;
        assert!(bank.ready().await.is_empty() && bank.claim(&fence, &[&queued]).await.is_empty());
        bank.record(posted(&direct, &[]).ending(1)).await;
        assert_eq!(bank.claim(&fence, &[&queued]).await.len(), 1);
    }

    async fn a_fence_runs_out_on_the_servers_clock_and_changes_hands_with_a_higher_token(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 1).await;
        let (mine, other) = (bank.instance.clone(), Instance { id: "other".into(), boot: 1 });
        let first = bank.journal.replay().hold_fence("replay", &mine, 60_000).await.unwrap().unwrap();
        let renewed = bank.journal.replay().hold_fence("replay", &mine, 60_000).await.unwrap().unwrap();
        assert_eq!(renewed, first, "the same owner renews");
        assert_eq!(bank.journal.replay().hold_fence("replay", &other, 60_000).await.unwrap(), None);
        assert!(bank.journal.replay().hold_fence("else", &other, 60_000).await.unwrap().is_some(), "names are apart");
        bank.journal.replay().hold_fence("replay", &mine, 1).await.unwrap().unwrap();
        let taken = wait_for_fence(&bank, &other).await;
        assert_eq!(taken.token, first.token + 1);
        assert_eq!(bank.journal.replay().hold_fence("replay", &mine, 60_000).await.unwrap(), None);

        let stale = bank.journal.replay().claim(&first, &mine, ids(&[&entry])).await;
        assert!(matches!(stale, Err(JournalError::Fenced(_))), "{stale:?}");
        let marking = Change::new(entry.id.clone(), Evidence::CorePosted);
        let stale = bank.journal.replay().record("stale", Some(first.clone()), vec![marking]).await;
        assert!(matches!(stale, Err(JournalError::Fenced(_))));
        assert!(matches!(bank.journal.replay().begin_resend(&first, &mine, &entry.id, 0).await, Err(JournalError::Fenced(_))));
        assert_eq!(bank.state(&entry).await, Queued);

        bank.journal.replay().release_fence(&first).await.unwrap();
        assert_eq!(bank.journal.replay().hold_fence("replay", &mine, 60_000).await.unwrap(), None, "a stale owner releases nothing");
        bank.journal.replay().release_fence(&taken).await.unwrap();
        assert_eq!(bank.journal.replay().hold_fence("replay", &mine, 60_000).await.unwrap().unwrap().token, taken.token + 1);
    }

    async fn the_next_holder_of_an_identity_takes_the_fence_of_a_dead_one_at_once_and_no_other_way_round(bank) {
        let replay = bank.journal.replay();
        let dead = bank.journal.register_instance("replayer-2").await.unwrap();
        let first = replay.hold_fence("replay", &dead, 60_000).await.unwrap().unwrap();
        let next = bank.journal.register_instance("replayer-2").await.unwrap();
        assert_eq!(replay.hold_fence("replay", &bank.instance, 60_000).await.unwrap(), None, "others know nothing of its death");
        let taken = replay.hold_fence("replay", &next, 60_000).await.unwrap().expect("only one process holds an identity");
        assert_eq!(taken.token, first.token + 1);
        assert_eq!(replay.hold_fence("replay", &dead, 60_000).await.unwrap(), None);
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 1).await;
        let stale = replay.claim(&first, &dead, ids(&[&entry])).await;
        assert!(matches!(stale, Err(JournalError::Fenced(_))), "{stale:?}");
    }

    async fn two_replayers_race_and_each_entry_is_claimed_once(bank) {
        let other = bank.another("replayer-2").await;
        for n in 0..12 {
            bank.account(&format!("a{n}"), 100).await;
        }
        let mut entries = Vec::new();
        for n in 0..6 {
            entries.push(bank.queued(&format!("a{}", n * 2), &format!("a{}", n * 2 + 1), 1).await.id);
        }
        // The same token in two hands is the worst case: only the entries' own states keep them apart.
        let fence = bank.fence().await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (who, fence, entries) = (if n % 2 == 0 { bank.clone() } else { other.clone() }, fence.clone(), entries.clone());
            tasks.spawn(async move { who.journal.replay().claim(&fence, &who.instance, entries).await.unwrap() });
        }
        let claimed: Vec<EntryId> = tasks.join_all().await.into_iter().flatten().map(|c| c.entry.id).collect();
        assert_eq!(claimed.len(), 6);
        assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), entries.into_iter().collect());
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts").await, 6);
    }

    async fn of_a_cancel_and_a_claim_exactly_one_wins(bank) {
        bank.two_accounts().await;
        let fence = bank.fence().await;
        let mut won = [0, 0];
        for round in 0..12 {
            let entry = bank.queued("a", "b", 100).await;
            let (canceller, replayer, fence) = (bank.clone(), bank.clone(), fence.clone());
            let id = entry.id.clone();
            let cancel = tokio::spawn(async move { canceller.journal.gateway().cancel("anna", &id).await });
            let id = entry.id.clone();
            let claim = tokio::spawn(async move {
                if round % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                replayer.journal.replay().claim(&fence, &replayer.instance, vec![id]).await.unwrap()
            });
            let (cancelled, claimed) = (cancel.await.unwrap(), claim.await.unwrap());
            match (cancelled, claimed.as_slice()) {
                (Ok(entry), []) => {
                    assert_eq!(entry.state, Cancelled);
                    won[0] += 1;
                }
                (Err(JournalError::Forbidden(Submitting)), [claimed]) => {
                    bank.record(posted(&claimed.entry, &[]).ending(claimed.attempt)).await;
                    won[1] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        eprintln!("cancelled {}, claimed {}", won[0], won[1]);
    }

    async fn a_cancel_again_is_the_same_cancel_and_is_audited_once(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 100).await;
        for _ in 0..2 {
            let cancelled = bank.order(Act::Cancel { entry: entry.id.clone() }, Grounds::because("asked by phone")).await.unwrap();
            assert_eq!(cancelled.state, Cancelled);
        }
        assert_eq!(bank.journal.operators().audit_trail(10).await.unwrap().len(), 1);
        assert!(matches!(bank.journal.gateway().cancel("op", &EntryId::generate()).await, Err(JournalError::NoSuchEntry)));
    }

    async fn a_resend_is_another_attempt_and_its_end_says_when_all_have_ended(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        let fence = bank.fence().await;
        assert_eq!(bank.journal.replay().begin_resend(&fence, &bank.instance, &entry.id, 0).await.unwrap(), Resend::Resolved, "still Submitting");
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer)).await;
        let look = async || bank.journal.replay().unresolved(Duration::MAX, None, 10).await.unwrap().pop().unwrap();
        assert!(!look().await.ended, "nobody ended attempt 1");
        bank.journal.replay().end_own_attempt(&entry.id, 1, "not_recorded").await.unwrap();
        let unresolved = look().await;
        assert!(unresolved.ended);
        assert_eq!((&unresolved.entry.id, unresolved.attempts), (&entry.id, 1));
        assert!(unresolved.first_attempt_age_ms < 60_000, "by the server's clock, whatever the sender's says");

        let claimed = bank.resend(&fence, &entry, 0).await;
        assert_eq!((claimed.attempt, claimed.entry.state), (2, OutcomeUnknown));
        assert!(!look().await.ended);
        let forbidden = bank.record(Change::new(entry.id.clone(), Evidence::Absent)).await;
        assert_eq!(forbidden.entry.state, OutcomeUnknown, "no absence while the resend is under way");
        // Nothing left this time, which says nothing about the first time.
        let moved = bank.record(Change::new(entry.id.clone(), Evidence::NotSent).ending(2)).await;
        assert_eq!(moved.entry.state, OutcomeUnknown);
        assert!(look().await.ended);
        bank.record(posted(&entry, &[])).await;
        assert!(bank.journal.replay().unresolved(Duration::MAX, None, 10).await.unwrap().is_empty());
        assert_eq!(bank.journal.replay().begin_resend(&fence, &bank.instance, &entry.id, 0).await.unwrap(), Resend::Resolved);
    }

    async fn a_locked_lane_keeps_back_its_own_entries_and_no_others_of_the_same_claim(bank) {
        if !bank.is_server() {
            return;
        }
        for account in ["a", "b", "c", "d", "e", "f"] {
            bank.account(account, 1_000).await;
        }
        let locked = bank.queued("a", "b", 1).await;
        let others = [bank.queued("c", "d", 1).await, bank.queued("e", "f", 1).await];
        let hurried = bank.hurried("replayer-2").await;
        let fence = hurried.fence().await;
        let (taken, holding) = tokio::sync::oneshot::channel();
        let (go_on, gate) = tokio::sync::oneshot::channel::<()>();
        let holder = tokio::spawn({
            let db = bank.db.clone();
            async move {
                db.transaction(move |tx| {
                    Box::pin(async move {
                        tx.query("SELECT version FROM lanes WHERE account = 'b' FOR UPDATE", vec![]).await?;
                        let _ = taken.send(());
                        let _ = gate.await;
                        Ok::<_, sql::Error>(())
                    })
                })
                .await
            }
        });
        holding.await.unwrap();
        let all = ids(&[&locked, &others[0], &others[1]]);
        let claims = hurried.journal.replay().claim_free(&fence, &hurried.instance, all.clone(), 1).await.unwrap();
        let claimed: Vec<EntryId> = claims.claimed.iter().map(|claimed| claimed.entry.id.clone()).collect();
        assert_eq!((claimed, claims.locked), (all[1..].to_vec(), vec![locked.id.clone()]));
        go_on.send(()).unwrap();
        holder.await.unwrap().unwrap();
        let again = hurried.journal.replay().claim_free(&fence, &hurried.instance, all, 1).await.unwrap();
        assert_eq!((again.claimed.len(), again.claimed[0].entry.id == locked.id, again.locked.len()), (1, true, 0));
    }

    async fn records_under_one_fence_do_not_wait_for_each_other(bank) {
        if !bank.is_server() {
            return;
        }
        for account in ["a", "b", "c", "d"] {
            bank.account(account, 1_000).await;
        }
        let (slow, quick) = (bank.queued("a", "b", 1).await, bank.queued("c", "d", 1).await);
        let fence = bank.fence().await;
        assert_eq!(bank.claim(&fence, &[&slow, &quick]).await.len(), 2);
        let other = bank.another("gateway-2").await;
        let (reading, holding) = tokio::sync::oneshot::channel();
        let (go_on, gate) = tokio::sync::oneshot::channel::<()>();
        let told = std::sync::Mutex::new(Some((reading, gate)));
        bank.books.interrupt(0, move |_| {
            let (reading, gate) = told.lock().unwrap().take().unwrap();
            Box::pin(async move {
                let _ = reading.send(());
                let _ = gate.await;
                Ok(())
            })
        });
        let recording = tokio::spawn({
            let (bank, fence, change) = (bank.clone(), fence.clone(), posted(&slow, &[("a", 1)]).ending(1));
            async move { bank.journal.replay().record("replayer", Some(fence), vec![change]).await }
        });
        holding.await.unwrap();
        // The first record is open, and still under the same fence another one commits.
        let change = posted(&quick, &[]).ending(1);
        other.journal.replay().record("replayer", Some(fence.clone()), vec![change]).await.unwrap();
        assert_eq!((bank.state(&slow).await, bank.state(&quick).await), (Submitting, Posted));
        go_on.send(()).unwrap();
        recording.await.unwrap().unwrap();
        assert_eq!(bank.state(&slow).await, Posted);
    }

    async fn what_an_ended_entry_kept_back_is_found_at_once_unless_another_lane_keeps_it_back(bank) {
        for account in ["a", "b", "c"] {
            bank.account(account, 1_000).await;
        }
        bank.order_credits(true).await;
        let first = bank.queued("a", "b", 1).await;
        let next = bank.queued("a", "b", 1).await;
        let of_c = bank.queued("c", "a", 1).await;
        let fence = bank.fence().await;
        assert_eq!(bank.claim(&fence, &[&first]).await.len(), 1);
        let (claimed, left) = bank.post_and_claim(&fence, &first, &[]).await;
        assert_eq!((claimed, left), (ids(&[&next]), vec![]), "{of_c:?} waits in a");
        assert_eq!(bank.state(&next).await, Submitting);
        let (claimed, _) = bank.post_and_claim(&fence, &next, &[]).await;
        assert_eq!(claimed, ids(&[&of_c]));
        let blocked = bank.queued("b", "c", 1).await;
        let offered = bank.queued("a", "c", 1).await;
        let (claimed, left) = bank.post_and_claim(&fence, &of_c, &[&offered]).await;
        assert_eq!((claimed, left), (ids(&[&blocked]), ids(&[&offered])), "it waits in c");
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts WHERE ended_us IS NULL").await, 1);
    }

    async fn the_commit_of_an_outcome_claims_as_many_as_asked_for_and_leaves_the_rest_to_the_next(bank) {
        for account in ["a", "b", "c", "d"] {
            bank.account(account, 1_000).await;
        }
        let first = bank.queued("a", "b", 1).await;
        let next = bank.queued("a", "b", 1).await;
        let elsewhere = bank.queued("c", "d", 1).await;
        let fence = bank.fence().await;
        bank.claim(&fence, &[&first]).await;
        let (claimed, left) = bank.post_and_claim(&fence, &first, &[&elsewhere]).await;
        assert_eq!(claimed, ids(&[&next]), "the oldest first");
        assert_eq!(left, ids(&[&elsewhere]));
        let (claimed, _) = bank.post_and_claim(&fence, &next, &[&elsewhere]).await;
        assert_eq!(claimed, ids(&[&elsewhere]));
    }

    async fn what_cannot_be_read_keeps_no_outcome_back_and_is_passed_over(bank) {
        for account in ["a", "b", "c", "d"] {
            bank.account(account, 1_000).await;
        }
        let (first, broken) = (bank.queued("a", "b", 1).await, bank.queued("c", "d", 1).await);
        let set_command = "UPDATE entries SET command = ? WHERE id = ?";
        bank.db.exec(set_command, params![b"{".to_vec(), broken.id.as_str()]).await.unwrap();
        let fence = bank.fence().await;
        bank.claim(&fence, &[&first]).await;
        let replay = bank.journal.replay();
        let change = posted(&first, &[]).ending(1);
        let recorded = replay.record_and_claim(&fence, &bank.instance, vec![change], (ids(&[&broken]), ONE)).await.unwrap();
        assert_eq!((recorded.claimed.len(), recorded.passed_over), (0, ids(&[&broken])));
        assert_eq!(bank.state(&first).await, Posted);
        // As it was, so that the tables agree again.
        let command = serde_json::to_vec(&broken.command).unwrap();
        bank.db.exec(set_command, params![command, broken.id.as_str()]).await.unwrap();
    }

    async fn outcomes_that_come_together_are_each_recorded_and_a_bad_one_fails_alone(bank) {
        for account in ["t0", "t1", "t2"] {
            bank.account(account, 0).await;
        }
        let mut entries = Vec::new();
        for n in 0..40 {
            let (from, to) = (format!("f{n}"), format!("t{}", n % 3));
            bank.account(&from, 100).await;
            entries.push(bank.queued(&from, &to, 1).await);
        }
        let (fence, broken) = (bank.fence().await, bank.queued("f0", "t0", 1).await);
        let mut posted_so_far = 0;
        while posted_so_far < entries.len() {
            let claimed = bank.claim(&fence, &entries.iter().collect::<Vec<_>>()).await;
            assert!(!claimed.is_empty());
            posted_so_far += claimed.len();
            let mut recording = tokio::task::JoinSet::new();
            for Claimed { entry, attempt, .. } in claimed {
                let (replay, fence) = (bank.journal.replay(), fence.clone());
                let change = posted(&entry, &[]).ending(attempt);
                recording.spawn(async move { replay.record(&fence.owner, Some(fence.clone()), vec![change]).await });
            }
            let nobody = Change::new(EntryId::generate(), Evidence::CorePosted);
            let (replay, owner) = (bank.journal.replay(), fence.owner.clone());
            let bad = tokio::spawn(async move { replay.record(&owner, None, vec![nobody]).await });
            for recorded in recording.join_all().await {
                assert_eq!(recorded.unwrap()[0].entry.state, Posted);
            }
            assert!(matches!(bad.await.unwrap(), Err(JournalError::NoSuchEntry)));
        }
        assert_eq!(bank.state(&broken).await, Queued);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts WHERE ended_us IS NOT NULL").await, 40);
    }

    async fn a_proof_of_absence_is_about_the_attempts_it_was_made_of(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        let fence = bank.fence().await;
        let resend = bank.resend(&fence, &entry, 0).await;
        bank.record(Change::new(entry.id.clone(), Evidence::NoAnswer).ending(resend.attempt)).await;
        let absent = |attempts| Change::new(entry.id.clone(), Evidence::Absent).of_attempts(attempts);
        assert_eq!(bank.record(absent(1)).await.entry.state, OutcomeUnknown, "the second one may have posted");
        assert_eq!(bank.record(absent(2)).await.entry.state, Queued);
    }

    async fn an_entry_that_cannot_be_read_hides_no_other_one(bank) {
        bank.two_accounts().await;
        bank.account("c", 1_000).await;
        bank.account("d", 0).await;
        let [broken, good] = [bank.queued("a", "b", 1).await, bank.queued("c", "d", 1).await];
        let command = async |command: Vec<u8>| {
            let sql = "UPDATE entries SET command = ? WHERE id = ?";
            bank.db.exec(sql, sql::params![command, broken.id.as_str()]).await.unwrap();
        };
        command(b"{".to_vec()).await;
        let fence = bank.fence().await;
        let claims = bank.journal.replay().claim_free(&fence, &bank.instance, ids(&[&broken, &good]), 1).await.unwrap();
        assert_eq!((claims.claimed[0].entry.id.clone(), claims.locked), (good.id.clone(), ids(&[&broken])));
        bank.db.exec("UPDATE entries SET state = 'outcome_unknown'", vec![]).await.unwrap();
        let unresolved = bank.journal.replay().unresolved(Duration::MAX, None, 10).await.unwrap();
        assert_eq!(unresolved.into_iter().map(|u| u.entry.id).collect::<Vec<_>>(), ids(&[&good]));
        bank.db.exec("UPDATE entries SET state = 'posted'", vec![]).await.unwrap();
        bank.sql_clock.set(20_000);
        bank.complete_up_to(now_us() + 10_000_000).await;
        let found = bank.journal.gateway().find_unconfirmed(std::time::Duration::from_micros(1), None).await.unwrap();
        assert_eq!(found.found, 1);
        // As it was, so that the tables agree again.
        command(serde_json::to_vec(&broken.command).unwrap()).await;
        let restore = "UPDATE entries SET state = ? WHERE id = ?";
        for (id, state) in [(&broken.id, "queued"), (&good.id, "submitting")] {
            bank.db.exec(restore, sql::params![state, id.as_str()]).await.unwrap();
        }
    }

    async fn a_submitting_entry_is_unresolved_once_its_sender_is_late(bank) {
        bank.two_accounts().await;
        bank.direct("a", "b", 500).await;
        assert!(bank.journal.replay().unresolved(Duration::MAX, None, 10).await.unwrap().is_empty());
        let late = bank.journal.replay().unresolved(Duration::ZERO, None, 10).await.unwrap();
        assert_eq!((late.len(), late[0].ended), (1, false));
    }

    async fn pages_of_unresolved_entries_go_on_by_id_whatever_their_states(bank) {
        bank.two_accounts().await;
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(bank.direct("a", "b", 100).await.id);
        }
        all.sort_unstable();
        let unknown = |state: &str| format!("UPDATE entries SET state = '{state}' WHERE id IN ('{}', '{}')", all[1], all[4]);
        bank.db.exec(&unknown("outcome_unknown"), vec![]).await.unwrap();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = bank.journal.replay().unresolved(Duration::ZERO, after.as_ref(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            after = Some(last.entry.id.clone());
            seen.extend(page.into_iter().map(|unresolved| unresolved.entry.id));
        }
        assert_eq!(seen, all);
        // As it was, so that the tables agree again.
        bank.db.exec(&unknown("submitting"), vec![]).await.unwrap();
    }

    async fn a_stamp_that_lies_ahead_after_the_clock_was_set_back_hides_no_entry(bank) {
        bank.two_accounts().await;
        bank.direct("a", "b", 500).await;
        let hour = Duration::from_secs(3_600);
        assert!(bank.journal.replay().unresolved(hour, None, 10).await.unwrap().is_empty());
        bank.db.exec("UPDATE entries SET updated_us = updated_us + 7200000000", vec![]).await.unwrap();
        assert_eq!(bank.journal.replay().unresolved(hour, None, 10).await.unwrap().len(), 1);
    }

    async fn the_first_attempt_is_as_old_as_the_clock_says_that_says_longest(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        // One clock was set back by an hour since its stamp, by the other a minute has passed; then the other way round.
        for [sql, host] in [["+ 3600000000", "- 60000000"], ["- 3660000000", "+ 3660000000"]] {
            let sql = format!("UPDATE attempts SET started_us = started_us {sql}, started_host_us = started_host_us {host}");
            bank.db.exec(&sql, vec![]).await.unwrap();
            let age_ms = bank.journal.replay().unresolved(Duration::MAX, None, 10).await.unwrap()[0].first_attempt_age_ms;
            assert!((60_000..3_600_000).contains(&age_ms), "{sql}: {age_ms}");
        }
    }

    async fn a_person_sends_again_only_when_both_clocks_say_that_the_last_request_is_over(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        bank.first_attempt(&entry, Evidence::NoAnswer).await;
        bank.record(Change::new(entry.id.clone(), Evidence::Unresolvable).because("outcome-unresolved")).await;
        let retry = || {
            bank.order_within(Act::Retry { entry: entry.id.clone() }, Grounds::because("not there"), 60_000)
        };
        bank.db.exec("UPDATE attempts SET ended_us = ended_us - 3600000000", vec![]).await.unwrap();
        assert!(matches!(retry().await, Err(JournalError::AttemptRecent)), "the SQL server's clock alone was set on");
        bank.db.exec("UPDATE attempts SET ended_host_us = ended_host_us - 3600000000", vec![]).await.unwrap();
        assert_eq!(retry().await.unwrap().state, Queued);
    }

    async fn a_fence_that_lies_further_ahead_than_it_is_held_was_taken_before_the_clock_was_set_back(bank) {
        let other = Instance { id: "another".into(), boot: 1 };
        bank.journal.replay().hold_fence("replay", &other, 10_000).await.unwrap().unwrap();
        assert_eq!(bank.journal.replay().hold_fence("replay", &bank.instance, 10_000).await.unwrap(), None);
        bank.db.exec("UPDATE fences SET until_ms = until_ms + 3600000", vec![]).await.unwrap();
        assert!(bank.journal.replay().hold_fence("replay", &bank.instance, 10_000).await.unwrap().is_some());
    }
}

async fn wait_for_fence(bank: &Bank, owner: &Instance) -> Fence {
    for _ in 0..500 {
        if let Some(fence) = bank.journal.replay().hold_fence("replay", owner, 60_000).await.unwrap() {
            return fence;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the fence never ran out");
}
