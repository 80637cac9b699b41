//! How connections are shared and replaced, and what is known of an answer that got lost with one.

use sql::{Db, Error, Options, params};
use std::time::Duration;

use crate::INSERT_LANE;
use crate::support::{Fixture, Held, cutting_proxy, engines, servers, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_pool_answers_before_a_connection_is_free() {
    for engine in engines() {
        let options = Options { connections_max: 1, acquire_timeout: Duration::from_millis(300), ..Options::default() };
        let f = Fixture::open(&engine, options).await;
        f.lane("a", 1).await;
        let holder = Held::update(&f.db, "a", 1).await;
        let outcome: Result<(), Error> = f.db.transaction(|_| Box::pin(async { Ok(()) })).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{engine}: {outcome:?}");
        holder.end().await.unwrap();
        f.lane("b", 1).await;
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_does_not_wait_for_a_writers_connection() {
    // In memory SQLite has one connection for everything.
    for engine in engines().into_iter().filter(|engine| engine != "memory") {
        let acquire_timeout = Duration::from_millis(300);
        let f = Fixture::open(&engine, Options { connections_max: 1, acquire_timeout, ..Options::default() }).await;
        f.lane("a", 1).await;
        let writer = Held::update(&f.db, "a", 5).await;
        assert_eq!(f.used("a").await, 0, "{engine}");
        writer.end().await.unwrap();
        assert_eq!(f.used("a").await, 5, "{engine}");
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_ends_its_transaction_only() {
    for server in servers() {
        let f = Fixture::open(&server, Options::default()).await;
        f.lane("a", 1).await;
        let killer = f.another(Options::default()).await;
        let outcome =
            f.db.transaction::<(), Error>(move |tx| {
                Box::pin(async move {
                    tx.exec("UPDATE lanes SET used = 1 WHERE account = ?", params!["a"]).await?;
                    let id: i64 = tx.query_one("SELECT CONNECTION_ID() AS id", vec![]).await?.get("id")?;
                    let _ = killer.exec(&format!("KILL {id}"), vec![]).await;
                    tx.exec("UPDATE lanes SET used = 2 WHERE account = ?", params!["a"]).await.map(drop)
                })
            })
            .await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{server}: {outcome:?}");
        wait_for("rollback", async || {
            let used = f.used("a").await;
            (used == 0, used)
        })
        .await;
        assert_eq!(f.db.exec("UPDATE lanes SET used = 3 WHERE account = ?", params!["a"]).await, Ok(1));
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooled_connection_that_died_is_replaced_unseen() {
    for server in servers() {
        let f = Fixture::open(&server, Options { connections_max: 1, ..Options::default() }).await;
        f.lane("a", 1).await;
        let killer = f.another(Options::default()).await;
        for _ in 0..2 {
            let id: i64 = f.db.query("SELECT CONNECTION_ID() AS id", vec![]).await.unwrap()[0].get("id").unwrap();
            let _ = killer.exec(&format!("KILL {id}"), vec![]).await;
            let sql = "UPDATE lanes SET used = used + 1 WHERE account = ?";
            let outcome = f.db.transaction(move |tx| Box::pin(async move { tx.exec(sql, params!["a"]).await })).await;
            assert_eq!(outcome, Ok(1), "{server}");
            let id: i64 = f.db.query("SELECT CONNECTION_ID() AS id", vec![]).await.unwrap()[0].get("id").unwrap();
            let _ = killer.exec(&format!("KILL {id}"), vec![]).await;
            assert!(f.used("a").await > 0);
        }
        f.remove().await;
    }
}

/// The packet as it travels: length, number, COM_QUERY, text. "READ COMMITTED" must pass.
const COMMIT_PACKET: &str = "\x07\0\0\0\x03COMMIT";

/// Opens the fixture's database through a proxy that cuts when it sees `word`.
async fn behind_proxy(f: &Fixture, server: &str, word: &'static str, pass_on: bool) -> Db {
    let proxy = cutting_proxy(server, word, pass_on).await;
    let name = f.url.rsplit('/').next().unwrap();
    Db::open(&format!("{proxy}/{name}"), Options::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_commit_is_unknown_whether_it_landed_or_not() {
    for server in servers() {
        for landed in [true, false] {
            let f = Fixture::open(&server, Options::default()).await;
            f.lane("a", 1).await;
            let db = behind_proxy(&f, &server, COMMIT_PACKET, landed).await;
            let sql = "UPDATE lanes SET used = 1 WHERE account = ?";
            let outcome = db.transaction(move |tx| Box::pin(async move { tx.exec(sql, params!["a"]).await })).await;
            assert!(matches!(outcome, Err(Error::CommitUnknown(_))), "{server}: {outcome:?}");
            assert_eq!(f.used("a").await, i64::from(landed), "{server}");
            f.remove().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_before_commit_left_nothing() {
    for server in servers() {
        let f = Fixture::open(&server, Options::default()).await;
        f.lane("a", 1).await;
        let db = behind_proxy(&f, &server, "SELECT 'cut here'", true).await;
        let outcome = db
            .transaction::<(), Error>(|tx| {
                Box::pin(async move {
                    tx.exec("UPDATE lanes SET used = 1 WHERE account = ?", params!["a"]).await?;
                    tx.query("SELECT 'cut here'", vec![]).await.map(drop)
                })
            })
            .await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{server}: {outcome:?}");
        wait_for("rollback", async || {
            let used = f.used("a").await;
            (used == 0, used)
        })
        .await;
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_autocommit_write_without_answer_is_unknown_unless_it_left_nothing() {
    for server in servers() {
        let f = Fixture::open(&server, Options::default()).await;
        let db = behind_proxy(&f, &server, "cut-after-this", true).await;
        let outcome = db.exec(INSERT_LANE, params!["cut-after-this"]).await;
        match outcome {
            Err(Error::CommitUnknown(_)) => {}
            // Where a write has a transaction of its own (TiDB), no COMMIT was sent yet: then nothing may be kept.
            Err(Error::Unavailable(_)) => assert_eq!(f.lanes().await, 0, "{server}"),
            other => panic!("{server}: {other:?}"),
        }
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_is_unavailable() {
    let outcome = Db::open("mysql://root:hidden@127.0.0.1:1/x", Options::default()).await;
    let err = outcome.map(|_| ()).unwrap_err();
    assert!(matches!(err, Error::Unavailable(_)), "{err:?}");
    assert!(!err.to_string().contains("hidden"));
    for url in ["mysql://root@127.0.0.1:1", "postgres://x", "mysql://root:hidden@:x/y"] {
        let err = Db::open(url, Options::default()).await.map(|_| ()).unwrap_err();
        assert!(matches!(err, Error::Configuration(_)) && !err.to_string().contains("hidden"), "{url}: {err:?}");
    }
}
