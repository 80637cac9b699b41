//! Which path a new write takes, and what its key is worth.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use sql::params;
use standin::journal::{Admitted, Entry, Write};
use standin::rules::Reason;

use crate::support::*;

on_every_engine! {
    async fn a_new_write_on_idle_lanes_with_the_core_there_goes_direct_with_an_open_attempt(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 500).await;
        assert!(!entry.ordered);
        let open = bank.journal.replay().own_open_attempts(&bank.instance).await.unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!((&open[0].id, open[0].n, open[0].token), (&entry.id, 1, None));
        assert_eq!(bank.available("a").await, 99_500);
        assert_eq!(bank.available("b").await, 0, "a credit raises nothing before its row");
    }

    async fn with_the_core_away_a_write_is_queued_and_holds(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 500).await;
        assert!(entry.ordered);
        assert!(bank.journal.replay().own_open_attempts(&bank.instance).await.unwrap().is_empty());
        assert_eq!(bank.available("a").await, 99_500);
    }

    async fn behind_a_queued_entry_a_write_is_queued_whatever_it_believes(bank) {
        bank.two_accounts().await;
        bank.account("c", 1_000).await;
        bank.queued("a", "b", 500).await;
        bank.order_credits(true).await;
        for (from, to) in [("a", "c"), ("c", "a")] {
            let entry = bank.admit(transfer(from, to, 1)).await;
            assert_eq!(entry.state, Queued, "{from} > {to}");
        }
        bank.account("d", 10).await;
        bank.account("e", 10).await;
        bank.direct("d", "e", 1).await;
    }

    async fn the_same_key_with_the_same_body_is_known_and_with_another_is_refused(bank) {
        bank.two_accounts().await;
        let first = bank.admit(transfer("a", "b", 500).key("k")).await;
        match bank.submit(transfer("a", "b", 500).key("k")).await {
            Admitted::Known(entry) => assert_eq!(*entry, kept(&first)),
            other => panic!("{other:?}"),
        }
        assert_eq!(bank.submit(transfer("a", "b", 501).key("k")).await, Admitted::KeyReused(first.id));
        let stranger = Write { principal: "bert".into(), ..transfer("a", "b", 501).key("k") };
        assert!(matches!(bank.submit(stranger).await, Admitted::Fresh(_)), "a key is its principal's own");
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 2);
    }

    async fn one_key_many_times_in_one_batch_and_on_two_instances_makes_exactly_one_entry(bank) {
        bank.two_accounts().await;
        let other = bank.another("gateway-2").await;
        for round in 0..3 {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..24_i64 {
                let admissions = [&bank, &other][n as usize % 2].admissions.clone();
                let write = transfer("a", "b", 100 + n % 3).key(&format!("k{round}"));
                tasks.spawn(async move { admissions.submit(write).await.unwrap() });
            }
            let all = tasks.join_all().await;
            let winner = all.iter().find_map(|a| if let Admitted::Fresh(e) = a { Some(e.clone()) } else { None }).unwrap();
            assert_eq!(all.iter().filter(|a| matches!(a, Admitted::Fresh(_))).count(), 1);
            assert_eq!(all.iter().filter(|a| **a == Admitted::Known(Box::new(kept(&winner)))).count(), 7);
            assert_eq!(all.iter().filter(|a| **a == Admitted::KeyReused(winner.id.clone())).count(), 16);
        }
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 3);
    }

    async fn a_write_that_runs_again_after_an_unknown_commit_finds_itself(bank) {
        bank.two_accounts().await;
        let write = transfer("a", "b", 500);
        let first = bank.admit(write.clone()).await;
        assert_eq!(bank.admit(write).await, kept(&first));
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 1);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts").await, 1);
    }

    async fn a_write_that_a_replayer_took_before_its_admission_was_known_is_not_sent_a_second_time(bank) {
        bank.two_accounts().await;
        let write = transfer("a", "b", 500).away();
        let entry = bank.admit(write.clone()).await;
        let fence = bank.fence().await;
        assert_eq!(bank.claim(&fence, &[&entry]).await.len(), 1);
        // The COMMIT of the admission landed, its answer did not: the gateway runs it again and must not take it for unsent.
        match bank.submit(write).await {
            Admitted::Known(entry) => assert_eq!((entry.state, entry.ordered), (Submitting, true)),
            other => panic!("{other:?}"),
        }
    }

    async fn a_decline_is_kept_though_limits_and_balances_change(bank) {
        bank.account("a", 100).await;
        bank.account("b", 0).await;
        let poor = bank.admit(transfer("a", "b", 101).away().key("poor")).await;
        assert_eq!((poor.state, poor.reason.as_deref()), (Declined, Some(Reason::InsufficientFunds.code())));
        let unknown = bank.admit(transfer("a", "nobody", 1).away().key("unknown")).await;
        assert_eq!(unknown.reason.as_deref(), Some(Reason::PayeeNotAvailable.code()));
        bank.db.exec("UPDATE books SET booked = 100000 WHERE account = 'a'", vec![]).await.unwrap();
        bank.account("nobody", 0).await;
        for (write, first) in [
            (transfer("a", "b", 101).away().key("poor"), poor),
            (transfer("a", "nobody", 1).away().key("unknown"), unknown),
        ] {
            assert_eq!(bank.submit(write).await, Admitted::Known(Box::new(kept(&first))));
        }
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM legs").await, 0);
    }

    async fn stale_data_tighten_the_limit_and_then_close_stand_in(bank) {
        bank.account("a", 10_000_000).await;
        bank.account("b", 0).await;
        bank.journal.operators().set_limits("op", &limited_to(1_000), None, "test").await.unwrap();
        for (age_s, amount, reason) in [
            (7_200, 501, Some(Reason::DailyLimitExceeded)),
            (7_200, 500, None),
            (400_000, 1, Some(Reason::DataTooOld)),
        ] {
            let as_of = now_us() - age_s * 1_000_000;
            bank.db.exec("UPDATE source SET as_of_us = ?", params![as_of]).await.unwrap();
            let entry = bank.admit(transfer("a", "b", amount).away()).await;
            assert_eq!(entry.reason.as_deref(), reason.map(Reason::code), "{amount} at {age_s} s");
        }
    }

    async fn a_lane_that_somebody_keeps_locked_fails_its_own_writes_and_no_others(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        bank.account("c", 10).await;
        bank.account("d", 10).await;
        bank.admit(transfer("a", "b", 1).away()).await;
        let (locked, is_locked) = tokio::sync::oneshot::channel();
        let (free, freed) = tokio::sync::oneshot::channel::<()>();
        let db = bank.db.clone();
        let stuck = tokio::spawn(async move {
            db.transaction::<_, sql::Error>(move |tx| {
                Box::pin(async move {
                    tx.exec("UPDATE lanes SET stopped = stopped WHERE account = 'a'", vec![]).await?;
                    let _ = locked.send(());
                    let _ = freed.await;
                    Ok(())
                })
            })
            .await
        });
        is_locked.await.unwrap();
        let hurried = bank.hurried("gateway-2").await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let admissions = hurried.admissions.clone();
            let from = if n % 2 == 0 { "a" } else { "c" };
            tasks.spawn(async move { (from, admissions.submit(transfer(from, "d", 1).away()).await) });
        }
        for (from, admitted) in tasks.join_all().await {
            assert_eq!(admitted.is_ok(), from == "c", "{from}: {admitted:?}");
        }
        let _ = free.send(());
        stuck.await.unwrap().unwrap();
        assert_eq!(bank.admit(transfer("a", "d", 1).away()).await.state, Queued);
    }

    async fn what_a_newer_version_kept_with_an_entry_is_read_and_confirmed_and_not_sent(bank) {
        bank.two_accounts().await;
        let entry = bank.queued("a", "b", 5).await;
        let row = bank.db.query("SELECT command FROM entries", vec![]).await.unwrap().remove(0);
        let command: Vec<u8> = row.get("command").unwrap();
        let newer = String::from_utf8(command).unwrap().replace('}', r#","purpose":{"code":"SALA"}}"#);
        bank.db.exec("UPDATE entries SET command = ?", params![newer.clone().into_bytes()]).await.unwrap();
        let read = bank.now(&entry).await;
        assert_eq!((&read.command.to_account, read.command.amount_minor), (&entry.command.to_account, 5));
        assert!(standin::settle::post_request(&entry).is_ok());
        let refused = standin::settle::post_request(&read).unwrap_err().to_string();
        assert!(refused.contains("newer version"), "{refused}");
        assert_eq!(serde_json::to_string(&read.command).unwrap(), newer, "nothing of it is lost");
        let fence = bank.fence().await;
        assert_eq!(bank.claim(&fence, &[&entry]).await.len(), 1);
        bank.apply(&[("a", 99_995, 1)], &[debit_row(&read, 1), credit_row(&read, 1)]).await;
        assert_eq!(bank.state(&entry).await, Confirmed);
    }

    async fn what_an_admission_was_decided_on_is_kept_with_the_entry(bank) {
        bank.two_accounts().await;
        bank.journal.operators().set_limits("op", &limited_to(70_000), None, "test").await.unwrap();
        bank.queued("a", "b", 60_000).await;
        let declined = bank.admit(transfer("a", "b", 10_001).away()).await;
        let decision = async |entry: &Entry| bank.journal.operators().detail(&entry.id).await.unwrap().unwrap().decision.unwrap();
        let kept = decision(&declined).await;
        assert_eq!((&kept["v"], &kept["path"], &kept["outcome"]), (&1.into(), &"stand-in".into(), &"daily-limit-exceeded".into()));
        assert_eq!((&kept["limits_version"], &kept["business_day"]), (&2.into(), &declined.business_day.into()));
        assert!(kept["data_age_s"].as_i64().is_some_and(|age| age >= 0));
        let debit = &kept["legs"][0];
        assert_eq!((&debit["lane"]["held_minor"], &debit["lane"]["used_count"]), (&60_000.into(), &1.into()));
        assert_eq!((&debit["account"]["booked_minor"], &debit["account"]["status"]), (&100_000.into(), &"active".into()));
        bank.account("c", 10).await;
        let direct = bank.direct("c", "opened-in-the-branch", 1).await;
        let kept = decision(&direct).await;
        assert_eq!((&kept["path"], &kept["outcome"]), (&"direct".into(), &"accepted".into()));
        assert!(kept["legs"][1].get("account").is_none(), "{kept}");
        bank.first_attempt(&direct, Evidence::NotSent).await;
        let kept = decision(&direct).await;
        assert_eq!((&kept["path"], &kept["outcome"]), (&"stand-in".into(), &"payee-not-available".into()));
    }

    async fn a_write_whose_admission_panics_fails_alone_however_often_it_comes(bank) {
        bank.two_accounts().await;
        bank.books.panic_at("poison");
        for _ in 0..3 {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..16 {
                let admissions = bank.admissions.clone();
                let write = if n == 5 { transfer("a", "poison", 1).key("poison") } else { transfer("a", "b", 1) };
                tasks.spawn(async move { admissions.submit(write).await });
            }
            let failed: Vec<_> = tasks.join_all().await.into_iter().filter_map(Result::err).collect();
            assert!(failed.len() == 1 && failed[0].is_commit_unknown(), "{failed:?}");
        }
    }

    async fn one_bad_write_does_not_fail_its_neighbours(bank) {
        bank.two_accounts().await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..16 {
            let admissions = bank.admissions.clone();
            let write = match n {
                5 => transfer("a", "b", -1),
                7 => transfer("a", "a", 1),
                // SQLite knows no lengths.
                9 if bank.is_server() => transfer("a", "b", 1).key(&"k".repeat(300)),
                _ => transfer("a", "b", 1),
            };
            tasks.spawn(async move { admissions.submit(write).await });
        }
        let failed = tasks.join_all().await.into_iter().filter(Result::is_err).count();
        assert_eq!(failed, if bank.is_server() { 3 } else { 2 });
    }
}
