//! Killed connections, lost answers to COMMIT, and many transactions at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use sql::{BoxFuture, Db, Tx};
use standin::journal::{Act, Admissions, Admitted, Change, Grounds, JournalError};

use crate::proxy::losing_commits;
use crate::support::*;

/// Kills, from outside, the connection whose transaction reads the books next but `skip`.
fn kill_at(bank: &Bank, killer: Db, skip: u32) -> Arc<AtomicBool> {
    let killed = Arc::new(AtomicBool::new(false));
    let told = killed.clone();
    bank.books.interrupt(skip, move |tx| {
        let (killer, told) = (killer.clone(), told.clone());
        Box::pin(async move {
            let id: i64 = tx.query_one("SELECT CONNECTION_ID() AS id", vec![]).await?.get("id")?;
            killer.query(&format!("KILL {id}"), vec![]).await.ok();
            told.store(true, Ordering::SeqCst);
            Ok(())
        })
    });
    killed
}

/// A statement that no engine takes: the transaction can only fail, and whatever it had written goes with it.
fn failing(tx: &mut Tx) -> BoxFuture<'_, Result<(), sql::Error>> {
    Box::pin(async move { tx.exec("INSERT INTO nowhere VALUES (1)", vec![]).await.map(drop) })
}

fn away() -> BoxFuture<'static, Result<(), sql::Error>> {
    Box::pin(async { Err(sql::Error::Unavailable("test".into())) })
}

on_every_engine! {
    async fn an_admission_that_dies_midway_leaves_nothing_and_the_key_is_free(bank) {
        bank.two_accounts().await;
        // Two runs together and one alone.
        let books = bank.books.clone();
        bank.books.interrupt(1, move |tx| {
            let books = books.clone();
            Box::pin(async move {
                let last = books.clone();
                books.interrupt(1, move |tx| {
                    last.interrupt(1, failing);
                    failing(tx)
                });
                failing(tx).await
            })
        });
        let failed = bank.admissions.submit(transfer("a", "b", 1).key("k")).await;
        assert!(matches!(failed, Err(JournalError::Sql(sql::Error::Statement { .. }))), "{failed:?}");
        for table in ["entries", "legs", "lanes", "attempts", "transitions"] {
            assert_eq!(bank.number(&format!("SELECT COUNT(*) AS n FROM {table}")).await, 0, "{table}");
        }
        bank.admit(transfer("a", "b", 2).key("k")).await;
    }

    async fn a_store_that_is_away_fails_a_whole_batch_at_once(bank) {
        bank.two_accounts().await;
        let books = bank.books.clone();
        bank.books.interrupt(0, move |_| {
            books.interrupt(0, move |_| away());
            away()
        });
        let failed = bank.admissions.submit(transfer("a", "b", 1)).await;
        assert!(matches!(failed, Err(JournalError::Sql(sql::Error::Unavailable(_)))), "{failed:?}");
    }

    async fn a_killed_connection_leaves_nothing_behind_and_the_work_is_done_once(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        let killer = Db::open(&bank.url, options()).await.unwrap();
        let killed = kill_at(&bank, killer.clone(), 1);
        let entry = bank.admit(transfer("a", "b", 500).key("k")).await;
        assert!(killed.load(Ordering::SeqCst));
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 1);
        assert_eq!(bank.number("SELECT next_seq FROM lanes WHERE account = 'a'").await, 2);
        let killed = kill_at(&bank, killer, 0);
        let change = posted(&entry, &[("a", 1)]).ending(1);
        // The group that met it left nothing. The outcome was then recorded alone.
        bank.record(change).await;
        assert!(killed.load(Ordering::SeqCst));
        assert_eq!(bank.state(&entry).await, Posted);
        assert!(bank.journal.replay().own_open_attempts(&bank.instance).await.unwrap().is_empty());
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM transitions WHERE state = 'posted'").await, 1);
    }

    async fn an_admission_whose_commit_goes_unanswered_is_fresh_exactly_once(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        let (url, losses) = losing_commits(&bank.url).await;
        let far = bank.through(&url, "gateway-2").await;
        for lost in [1, 2, 3] {
            losses.store(lost, Ordering::SeqCst);
            let entry = far.admit(transfer("a", "b", 1)).await;
            assert_eq!((entry.state, losses.load(Ordering::SeqCst)), (Submitting, 0));
        }
        losses.store(1, Ordering::SeqCst);
        let declined = far.admit(transfer("a", "b", 900_000).away()).await;
        assert_eq!(declined.state, Declined);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 4);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM attempts").await, 3);
    }

    async fn a_commit_that_stays_unanswered_is_never_told_as_a_failure(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        let (url, losses) = losing_commits(&bank.url).await;
        let far = bank.through(&url, "gateway-2").await;
        losses.store(1_000, Ordering::SeqCst);
        let unknown = far.admissions.submit(transfer("a", "b", 1).key("k")).await;
        assert!(unknown.as_ref().is_err_and(JournalError::is_commit_unknown), "{unknown:?}");
        losses.store(0, Ordering::SeqCst);
        assert!(matches!(bank.submit(transfer("a", "b", 1).key("k")).await, Admitted::Known(_)));
        // Nobody sends it: the sweep of own attempts returns it to the queue.
        let orphan = far.journal.replay().own_open_attempts(&far.instance).await.unwrap().pop().unwrap();
        let moved = far.record(Change::new(orphan.id, Evidence::NotSent).ending(orphan.n)).await;
        assert_eq!(moved.entry.state, Queued);
    }

    async fn records_cancels_and_controls_whose_commit_goes_unanswered_act_once(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        let (url, losses) = losing_commits(&bank.url).await;
        let far = bank.through(&url, "gateway-2").await;
        let lose = || losses.store(1, Ordering::SeqCst);

        let entry = bank.direct("a", "b", 500).await;
        lose();
        assert_eq!(far.first_attempt(&entry, Evidence::NotSent).await.entry.state, Queued);
        lose();
        let cancelled = far.order(Act::Cancel { entry: entry.id.clone() }, Grounds::because("asked")).await.unwrap();
        assert_eq!(cancelled.state, Cancelled);
        lose();
        far.journal.operators().set_limits("op", &limits(), None, "why not").await.unwrap();
        lose();
        far.clear("a", "looked").await;
        let trail = bank.journal.operators().audit_trail(10).await.unwrap();
        let actions: Vec<&str> = trail.iter().map(|a| a.action.as_str()).collect();
        assert_eq!(actions, ["lane.clear", "limits.set", "entry.cancel"], "each human action once");

        let fence = bank.fence().await;
        let queued = bank.queued("a", "b", 1).await;
        lose();
        let claim = far.journal.replay().claim(&fence, &far.instance, vec![queued.id.clone()]).await;
        assert!(claim.as_ref().is_err_and(JournalError::is_commit_unknown), "{claim:?}");
        let own = far.journal.replay().own_open_attempts(&far.instance).await.unwrap();
        assert_eq!((own.len(), &own[0].id), (1, &queued.id), "the sweep finds what the claim did not see");
        far.record(Change::new(queued.id.clone(), Evidence::NotSent).ending(own[0].n)).await;
        assert_eq!(bank.ready().await, [queued.id]);
        let boot = far.instance.boot;
        lose();
        let next = far.journal.register_instance("gateway-2").await.unwrap();
        assert!(next.boot > boot, "counting a boot twice is harmless");
    }

    async fn thirty_two_at_once_in_both_directions_all_end_without_an_error(bank) {
        bank.account("a", 1_000_000).await;
        bank.account("b", 1_000_000).await;
        let fence = bank.fence().await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..32 {
            // A writer of its own each: no batch orders them.
            let (admissions, task) = Admissions::new(bank.journal.clone(), bank.instance.clone());
            tokio::spawn(task.run());
            let (bank, fence) = (bank.clone(), fence.clone());
            tasks.spawn(async move {
                let (from, to) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
                for round in 0..3 {
                    let write = if (n + round) % 3 == 0 { transfer(from, to, 1) } else { transfer(from, to, 1).away() };
                    let entry = fresh(admissions.submit(write).await.unwrap());
                    match entry.state {
                        Submitting => {
                            let change = posted(&entry, &[]).ending(1);
                            bank.journal.replay().record("test", None, vec![change]).await.unwrap();
                        }
                        Queued if round == 0 => {
                            match bank.journal.gateway().cancel("anna", &entry.id).await {
                                Ok(_) | Err(JournalError::Forbidden(Submitting | Posted)) => {}
                                Err(err) => panic!("{err}"),
                            }
                        }
                        _ => {
                            let claimed = bank.journal.replay().claim(&fence, &bank.instance, vec![entry.id]).await.unwrap();
                            for claimed in claimed {
                                let change = posted(&claimed.entry, &[]).ending(claimed.attempt);
                                bank.journal.replay().record("test", Some(fence.clone()), vec![change]).await.unwrap();
                            }
                        }
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 96);
    }

    async fn ingest_and_gateways_on_the_same_accounts_do_not_block_each_other(bank) {
        bank.account("a", 1_000_000).await;
        bank.account("b", 1_000_000).await;
        let mut entries = Vec::new();
        for n in 0..24 {
            let (from, to) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
            entries.push(bank.direct(from, to, 100).await);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for entry in entries.clone() {
            let bank = bank.clone();
            tasks.spawn(async move {
                bank.record(posted(&entry, &[]).ending(1)).await;
            });
        }
        let ingest = bank.clone();
        tasks.spawn(async move {
            let mut last = 0;
            for pair in entries.chunks(2) {
                last += 2;
                let rows: Vec<_> = pair.iter().flat_map(|e| [debit_row(e, last), credit_row(e, last)]).collect();
                // Rows of one account carry one number each: give the second entry of a pair its own.
                let rows: Vec<_> = rows
                    .into_iter()
                    .enumerate()
                    .map(|(i, row)| {
                        let posting_no = last - 1 + i as i64 / 2;
                        let row_key = format!("{}/{posting_no}", row.account);
                        standin::journal::LegSeen { posting_no: Some(posting_no), row_key, ..row }
                    })
                    .collect();
                ingest.apply(&[("a", 1_000_000, last), ("b", 1_000_000, last)], &rows).await;
            }
        });
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let by_lanes = "SELECT account FROM lanes WHERE held_minor <> 0";
        let by_legs = "SELECT account FROM legs WHERE released_at IS NULL";
        for sql in [by_lanes, by_legs] {
            assert_eq!(bank.db.query(sql, Vec::new()).await.unwrap().len(), 0, "{sql}");
        }
        assert_eq!(bank.journal.operators().ended().await.unwrap(), [(Confirmed, 24)].into());
    }

    async fn transactions_of_different_lanes_do_not_wait_for_each_other_on_small_tables(bank) {
        if !bank.is_server() {
            return;
        }
        bank.two_accounts().await;
        bank.account("c", 1_000).await;
        bank.account("d", 0).await;
        let (ours, theirs) = (bank.direct("a", "b", 1).await, bank.direct("c", "d", 1).await);
        let other = bank.another("gateway-2").await;
        let (reached, holding) = tokio::sync::oneshot::channel();
        let (go_on, gate) = tokio::sync::oneshot::channel::<()>();
        let told = std::sync::Mutex::new(Some((reached, gate)));
        bank.books.interrupt(0, move |_| {
            let (reached, gate) = told.lock().unwrap().take().unwrap();
            Box::pin(async move {
                let _ = reached.send(());
                let _ = gate.await;
                Ok(())
            })
        });
        let recording = {
            let (bank, change) = (bank.clone(), posted(&ours, &[("a", 1)]).ending(1));
            tokio::spawn(async move { bank.record(change).await })
        };
        holding.await.unwrap();
        // Lanes and entry of `ours` are locked until we say so.
        let meanwhile = async {
            other.record(posted(&theirs, &[("c", 1)]).ending(1)).await;
            other.admit(transfer("c", "d", 1)).await;
            let queued = other.queued("c", "d", 1).await;
            other.apply(&[("c", 999, 1)], &[debit_row(&theirs, 1), credit_row(&theirs, 1)]).await;
            let fence = other.fence().await;
            other.claim(&fence, &[&queued]).await;
            other.journal.gateway().cancel("anna", &queued.id).await.unwrap();
        };
        tokio::time::timeout(std::time::Duration::from_secs(15), meanwhile).await.expect("it waited for a foreign lane");
        go_on.send(()).unwrap();
        assert_eq!(recording.await.unwrap().entry.state, Posted);
    }
}
