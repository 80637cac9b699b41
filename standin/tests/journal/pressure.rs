//! Too much at once: writes that wait too long, lanes that everybody wants, connections that run out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use sql::Db;
use standin::journal::{Admitted, Change, JournalError};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::support::*;

/// Stops the transaction that reads the books next but `skip`, until it is let go.
fn hold_at(bank: &Bank, skip: u32) -> (Arc<Notify>, Arc<Notify>) {
    let (is_there, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (there, go) = (is_there.clone(), go_on.clone());
    bank.books.interrupt(skip, move |_| {
        let (there, go) = (there.clone(), go.clone());
        Box::pin(async move {
            there.notify_one();
            go.notified().await;
            Ok(())
        })
    });
    (is_there, go_on)
}

on_every_engine! {
    async fn a_write_whose_time_is_up_before_it_is_taken_is_never_admitted(bank) {
        bank.two_accounts().await;
        let (is_there, go_on) = hold_at(&bank, 0);
        let admissions = bank.admissions.clone();
        let first = tokio::spawn(async move { admissions.submit(transfer("a", "b", 1)).await });
        is_there.notified().await;
        let late = bank.admissions.submit_by(transfer("a", "b", 2).key("late"), Instant::now()).await;
        assert!(matches!(late, Err(JournalError::TooLate)), "{late:?}");
        go_on.notify_one();
        fresh(first.await.unwrap().unwrap());
        // Whatever was in the queue before this one has been looked at.
        bank.admit(transfer("a", "b", 3)).await;
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 2);
        bank.admit(transfer("a", "b", 4).key("late")).await;
    }

    async fn a_write_that_was_taken_in_time_is_answered_however_long_it_takes(bank) {
        bank.two_accounts().await;
        let (is_there, go_on) = hold_at(&bank, 0);
        let admissions = bank.admissions.clone();
        let deadline = Instant::now() + std::time::Duration::from_millis(200);
        let first = tokio::spawn(async move { admissions.submit_by(transfer("a", "b", 1), deadline).await });
        tokio::select! {
            () = is_there.notified() => {}
            // A machine that was too slow even to begin: the other test is about that.
            () = tokio::time::sleep_until(deadline) => {
                go_on.notify_one();
                return drop(first.await);
            }
        }
        tokio::time::sleep_until(deadline).await;
        go_on.notify_one();
        fresh(first.await.unwrap().unwrap());
    }

    async fn a_lane_that_is_only_read_is_locked_like_one_that_is_written(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        bank.queued("a", "b", 1).await;
        // With its lanes locked: whose the accounts are is known from before.
        let (is_there, go_on) = hold_at(&bank, 0);
        let admissions = bank.admissions.clone();
        let poor = tokio::spawn(async move { admissions.submit(transfer("a", "b", 100_001).away()).await });
        is_there.notified().await;
        let hurried = Db::open(&bank.url, sql::Options { lock_wait: sql::Options::default().lock_wait, ..options() });
        let hurried = hurried.await.unwrap();
        for account in ["a", "b"] {
            let taken = hurried
                .transaction::<_, sql::Error>(move |tx| {
                    Box::pin(async move {
                        let lock = "SELECT version FROM lanes WHERE account = ? FOR UPDATE";
                        tx.query_one(lock, sql::params![account]).await.map(drop)
                    })
                })
                .await;
            assert!(taken.as_ref().is_err_and(sql::Error::is_lock_timeout), "{account}: {taken:?}");
        }
        go_on.notify_one();
        assert_eq!(fresh(poor.await.unwrap().unwrap()).state, Declined);
    }

    async fn lanes_that_nobody_had_yet_are_made_once_by_many_at_once(bank) {
        let other = bank.another("gateway-2").await;
        for n in 0..6 {
            bank.account(&format!("n{n}"), 1_000).await;
        }
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..24_usize {
            let admissions = [&bank, &other][n % 2].admissions.clone();
            let (from, to) = (format!("n{}", n % 6), format!("n{}", (n * 5 + 1) % 6));
            let write = transfer(&from, if from == to { "n-new" } else { &to }, 1);
            tasks.spawn(async move { admissions.submit(write).await });
        }
        for admitted in tasks.join_all().await {
            assert!(matches!(admitted, Ok(Admitted::Fresh(_))), "{admitted:?}");
        }
    }

    async fn outcomes_of_one_busy_account_leave_connections_to_admit_with(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        bank.account("c", 1_000).await;
        bank.account("d", 0).await;
        let few = sql::Options { connections_max: 4, acquire_timeout: sql::Options::default().acquire_timeout, ..options() };
        let few = bank.with("gateway-2", few).await;
        let mut entries = Vec::new();
        for _ in 0..12 {
            entries.push(bank.direct("a", "b", 1).await);
        }
        // With its lanes locked: whose the accounts are is known from before.
        let (is_there, go_on) = hold_at(&bank, 0);
        let admissions = bank.admissions.clone();
        let holder = tokio::spawn(async move { admissions.submit(transfer("a", "b", 1)).await });
        is_there.notified().await;
        let begun = Arc::new(AtomicU32::new(0));
        let mut records = tokio::task::JoinSet::new();
        for entry in &entries {
            let (journal, begun) = (few.journal.clone(), begun.clone());
            let change = Change::new(entry.id.clone(), Evidence::NoAnswer).ending(1);
            records.spawn(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                journal.replay().record("test", None, vec![change]).await
            });
        }
        while begun.load(Ordering::SeqCst) < 12 {
            tokio::task::yield_now().await;
        }
        for _ in 0..16 {
            few.admit(transfer("c", "d", 1)).await;
        }
        go_on.notify_one();
        fresh(holder.await.unwrap().unwrap());
        for recorded in records.join_all().await {
            assert_eq!(recorded.unwrap()[0].entry.state, OutcomeUnknown);
        }
    }
}
