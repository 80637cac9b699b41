//! Who waits for whose rows, for how long, and how that ends.

use sql::{Error, Options, params};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::move_lanes;
use crate::support::{Fixture, Held, servers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_falls_silent_gives_its_rows_back() {
    for server in servers() {
        let options = Options { idle_transaction_max: Duration::from_secs(1), ..Options::default() };
        let f = Fixture::open(&server, options).await;
        f.lane("a", 1).await;
        let stopped = Held::update(&f.db, "a", 1).await;
        let begun = Instant::now();
        let taken = async || f.db.exec("UPDATE lanes SET used = 2 WHERE account = ?", params!["a"]).await;
        while let Err(err) = taken().await {
            assert!(begun.elapsed() < Duration::from_secs(60), "{server}: still locked: {err}");
        }
        println!("{server}: free after {:?}", begun.elapsed());
        let woken = stopped.end().await;
        assert!(woken.is_err(), "{server}: what was rolled back must not look committed");
        let used = f.db.query("SELECT used FROM lanes WHERE account = 'a'", vec![]).await.unwrap();
        assert_eq!(used[0].get::<i64>("used"), Ok(2), "{server}");
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_wait_ends_as_retryable() {
    for server in servers() {
        let f = Fixture::open(&server, Options { lock_wait: Duration::from_secs(1), ..Options::default() }).await;
        f.lane("a", 1).await;
        let holder = Held::update(&f.db, "a", 1).await;
        let waiting = f.db.transaction(|tx| {
            Box::pin(async move { tx.exec("UPDATE lanes SET used = 2 WHERE account = ?", params!["a"]).await })
        });
        // The servers' own patience is 50 s.
        let outcome = tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it goes on waiting");
        assert!(matches!(&outcome, Err(err) if err.is_retryable()), "{server}: {outcome:?}");
        holder.end().await.unwrap();
        assert_eq!(f.used("a").await, 1);
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_update_waits_for_no_rows_but_its_own() {
    for server in servers() {
        let f = Fixture::open(&server, Options::default()).await;
        for account in ["a", "b", "c", "d"] {
            f.lane(account, 10).await;
        }
        let holder = Held::update(&f.db, "b", 1).await;
        let others = move_lanes().row(params!["a", 3, 2, 1]).row(params!["c", 4, 2, 1]);
        let matched = f.db.transaction(move |tx| Box::pin(async move { tx.batch_update(others).await })).await;
        assert_eq!(matched, Ok(2), "{server}");
        holder.end().await.unwrap();
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_ends_as_retryable_and_one_side_commits() {
    for server in servers() {
        let f = Fixture::open(&server, Options::default()).await;
        f.lane("a", 1).await;
        f.lane("b", 1).await;
        let met = Arc::new(tokio::sync::Barrier::new(2));
        let side = |first: &'static str, then: &'static str| {
            let (db, met) = (f.db.clone(), met.clone());
            tokio::spawn(async move {
                let sql = "UPDATE lanes SET used = used + 1 WHERE account = ?";
                db.transaction::<u64, Error>(move |tx| {
                    Box::pin(async move {
                        tx.exec(sql, params![first]).await?;
                        met.wait().await;
                        tx.exec(sql, params![then]).await
                    })
                })
                .await
            })
        };
        let (one, two) = (side("a", "b"), side("b", "a"));
        let outcomes = [one.await.unwrap(), two.await.unwrap()];
        println!("{server}: {outcomes:?}");
        let committed = outcomes.iter().filter(|o| o.is_ok()).count();
        let retryable = outcomes.iter().filter(|o| matches!(o, Err(err) if err.is_retryable())).count();
        assert_eq!(committed + retryable, 2, "{server}: {outcomes:?}");
        assert!(retryable > 0, "{server}: {outcomes:?}");
        assert_eq!(f.used("a").await, i64::try_from(committed).unwrap());
        f.remove().await;
    }
}
