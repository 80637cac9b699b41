//! One suite for every engine: what callers of this crate may rely on. See `support` for the engines it runs on.
#![allow(missing_docs)]

// The workspace's members know this crate as `sql`.
extern crate locum_sql as sql;

#[path = "conformance/connections.rs"]
mod connections;
#[path = "conformance/locks.rs"]
mod locks;
#[path = "conformance/migrations.rs"]
mod migrations;
mod peer;
#[path = "conformance/scripted.rs"]
mod scripted;
mod support;

use sql::{BatchUpdate, Db, Error, Insert, Options, Policy, Upsert, Value, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use support::{Failure, Fixture, Held, engines, servers, wait_for};
use tokio::sync::{Notify, oneshot};

/// A test per behaviour, run on each engine in turn; the name of the engine is printed for failures.
macro_rules! on_every_engine {
    ($($name:ident => $case:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for engine in engines() {
                println!("engine {engine}");
                let fixture = Fixture::open(&engine, Options::default()).await;
                $case(&fixture).await;
                fixture.remove().await;
            }
        }
    )*};
}

on_every_engine! {
    affected_rows_are_matched_rows => matched_rows;
    a_duplicate_is_told_and_leaves_the_transaction_usable => duplicate;
    newer_rows_win_under_any_order => converges;
    create_or_lock_waits_for_the_first_and_sees_its_commit => create_or_lock;
    an_error_rolls_back => rolls_back;
    a_failed_transaction_cannot_commit => poisoned;
    a_dropped_caller_does_not_cancel => dropped_caller;
    a_panic_rolls_back => panics;
    a_conditional_update_holds_its_limit => exact_limit;
    text_and_bytes_come_back_as_they_were => round_trip;
    a_wrong_kind_names_its_column => wrong_kind;
    migrations_run_once => migrations::once;
    tables_of_a_newer_release_are_refused_and_left_alone => migrations::newer;
    migrations_of_concurrent_starters_do_not_collide => migrations::concurrently;
    replace_overwrites_and_keep_does_not => replace_and_keep;
    a_batch_update_sets_adds_and_guards => batch_update;
    rows_inserted_at_once_are_new_or_none_is_kept => insert;
    the_servers_clock_is_readable => clock;
    in_lists_and_pairs => lists;
    a_plain_read_does_not_see_uncommitted_rows => isolation;
    sums_are_integers => sums;
    a_connection_may_send_any_number_of_different_statements => many_statements;
}

async fn many_statements(f: &Fixture) {
    f.lane("a", 10).await;
    let counted: Result<i64, Error> =
        f.db.transaction(|tx| {
            Box::pin(async move {
                let mut counted = 0;
                for length in 1..=120 {
                    let list = sql::placeholders(length);
                    let statement = format!("SELECT COUNT(*) AS n FROM lanes WHERE account IN ({list})");
                    counted += tx.query_one(&statement, vec!["a".into(); length]).await?.get::<i64>("n")?;
                }
                Ok(counted)
            })
        })
        .await;
    assert_eq!(counted, Ok(120));
}

async fn matched_rows(f: &Fixture) {
    f.lane("a", 10).await;
    let same = "UPDATE lanes SET used = 0 WHERE account = ?";
    assert_eq!(f.db.exec(same, params!["a"]).await, Ok(1));
    assert_eq!(f.db.exec(same, params!["b"]).await, Ok(0));
    let in_tx = f.db.transaction(move |tx| Box::pin(async move { tx.exec(same, params!["a"]).await })).await;
    assert_eq!(in_tx, Ok(1));
}

const INSERT_LANE: &str = "INSERT INTO lanes (account, version, used, lim) VALUES (?, 1, 0, 5)";

async fn duplicate(f: &Fixture) {
    assert_eq!(f.db.exec(INSERT_LANE, params!["a"]).await, Ok(1));
    assert_eq!(f.db.exec(INSERT_LANE, params!["a"]).await, Err(Error::Duplicate));
    let outcome: Result<(), Error> =
        f.db.transaction(|tx| {
            Box::pin(async move {
                tx.exec(INSERT_LANE, params!["b"]).await?;
                assert_eq!(tx.exec(INSERT_LANE, params!["a"]).await, Err(Error::Duplicate));
                tx.exec(INSERT_LANE, params!["c"]).await.map(drop)
            })
        })
        .await;
    assert_eq!(outcome, Ok(()));
    let rows = f.db.query("SELECT account FROM lanes ORDER BY account", vec![]).await.unwrap();
    assert_eq!(rows.len(), 3);
}

fn document(id: &[u8], version: u8, body: &str) -> Vec<Value> {
    params![id, [0, version], body.as_bytes(), body]
}

fn newer() -> Upsert {
    Upsert::new("documents", &["id", "version", "body", "note"], &["id"], Policy::Newer("version"))
}

async fn converges(f: &Fixture) {
    // 0x7f < 0x80 as bytes: a signed comparison would get this wrong.
    let versions = [1, 0x7f, 0x80, 0xff, 2];
    for (key, rotation) in [(b"k0", 0), (b"k1", 1), (b"k2", 2), (b"k3", 3), (b"k4", 4)] {
        let mut order = versions;
        order.rotate_left(rotation);
        for (half, twice) in [(&order[..3], false), (&order[2..], true)] {
            let mut batch = newer();
            half.iter().for_each(|v| batch.push(document(key, *v, &format!("body {v}"))));
            if twice {
                half.iter().rev().for_each(|v| batch.push(document(key, *v, &format!("body {v}"))));
            }
            f.db.transaction(move |tx| Box::pin(async move { tx.upsert(batch).await })).await.unwrap();
        }
    }
    let rows = f.db.query("SELECT version, body, note FROM documents", vec![]).await.unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(row.get::<Vec<u8>>("version").unwrap(), [0, 0xff]);
        assert_eq!(row.get::<&[u8]>("body").unwrap(), b"body 255");
        assert_eq!(row.get::<String>("note").unwrap(), "body 255");
    }
}

fn create_lane() -> Upsert {
    let columns = &["account", "version", "used", "lim"];
    Upsert::new("lanes", columns, &["account"], Policy::KeepExisting).row(params!["a", 1, 0, 9])
}

async fn create_or_lock(f: &Fixture) {
    let (locked, is_locked) = oneshot::channel();
    let second_started = Arc::new(Notify::new());
    let (db, other, started) = (f.db.clone(), f.db.clone(), second_started.clone());
    let looks = if f.is_memory() { 0 } else { 50 };
    let first = tokio::spawn(async move {
        db.transaction::<(), Error>(move |tx| {
            Box::pin(async move {
                tx.upsert(create_lane()).await?;
                locked.send(()).unwrap();
                started.notified().await;
                // As much as the second does to reach the lock, many times; it must wait there, or it would read 0 below. In
                // memory SQLite has one connection for everything, so nothing can be asked beside the transaction.
                for _ in 0..looks {
                    other.query("SELECT 1 AS one", vec![]).await?;
                }
                tx.exec("UPDATE lanes SET used = 7 WHERE account = ?", params!["a"]).await.map(drop)
            })
        })
        .await
    });
    is_locked.await.unwrap();
    second_started.notify_one();
    let seen =
        f.db.transaction::<i64, Error>(|tx| {
            Box::pin(async move {
                tx.upsert(create_lane()).await?;
                tx.query_one("SELECT used FROM lanes WHERE account = ? FOR UPDATE", params!["a"]).await?.get("used")
            })
        })
        .await;
    first.await.unwrap().unwrap();
    assert_eq!(seen, Ok(7));
}

async fn rolls_back(f: &Fixture) {
    f.lane("a", 10).await;
    let outcome: Result<(), Failure> =
        f.db.transaction(|tx| {
            Box::pin(async move {
                tx.exec("UPDATE lanes SET used = 5 WHERE account = ?", params!["a"]).await?;
                Err(Failure::Declined)
            })
        })
        .await;
    assert_eq!(outcome, Err(Failure::Declined));
    assert_eq!(f.used("a").await, 0);
}

async fn poisoned(f: &Fixture) {
    f.lane("a", 10).await;
    let outcome: Result<(), Error> =
        f.db.transaction(|tx| {
            Box::pin(async move {
                tx.exec("UPDATE lanes SET used = 5 WHERE account = ?", params!["a"]).await?;
                let _ = tx.exec("UPDATE nowhere SET used = 5", vec![]).await;
                Ok(())
            })
        })
        .await;
    assert!(matches!(outcome, Err(Error::Statement { .. })), "{outcome:?}");
    wait_for("rollback", async || (f.used("a").await == 0, ())).await;
}

async fn dropped_caller(f: &Fixture) {
    f.lane("a", 10).await;
    let (inside, is_inside) = oneshot::channel();
    let go = Arc::new(Notify::new());
    let (db, gate) = (f.db.clone(), go.clone());
    let caller = tokio::spawn(async move {
        db.transaction::<(), Error>(move |tx| {
            Box::pin(async move {
                tx.exec("UPDATE lanes SET used = 3 WHERE account = ?", params!["a"]).await?;
                inside.send(()).unwrap();
                gate.notified().await;
                tx.exec("UPDATE lanes SET used = used + 1 WHERE account = ?", params!["a"]).await.map(drop)
            })
        })
        .await
    });
    is_inside.await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    go.notify_one();
    wait_for("commit", async || {
        let used = f.used("a").await;
        (used == 4, used)
    })
    .await;
}

async fn panics(f: &Fixture) {
    f.lane("a", 10).await;
    let db = f.db.clone();
    let caller = tokio::spawn(async move {
        db.transaction::<(), Error>(|tx| {
            Box::pin(async move {
                tx.exec("UPDATE lanes SET used = 3 WHERE account = ?", params!["a"]).await?;
                panic!("a fault of ours (expected in this test)")
            })
        })
        .await
    });
    assert!(caller.await.unwrap_err().is_panic());
    f.lane("b", 10).await;
    assert_eq!(f.used("a").await, 0);
    wait_for("the row's lock is gone", async || {
        let outcome = f.db.exec("UPDATE lanes SET lim = 2 WHERE account = ?", params!["a"]).await;
        (outcome == Ok(1), outcome)
    })
    .await;
}

async fn exact_limit(f: &Fixture) {
    f.lane("a", 50).await;
    let accepted = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..32).map(|_| tokio::spawn(draw(f.db.clone(), accepted.clone()))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 50);
    assert_eq!(f.used("a").await, 50);
}

async fn draw(db: Db, accepted: Arc<AtomicU32>) {
    let sql = "UPDATE lanes SET used = used + ? WHERE account = ? AND used + ? <= lim";
    for _ in 0..10 {
        let outcome = loop {
            match db.transaction(move |tx| Box::pin(async move { tx.exec(sql, params![1, "a", 1]).await })).await {
                Err(err) if err.is_retryable() => continue,
                outcome => break outcome,
            }
        };
        accepted.fetch_add(u32::try_from(outcome.unwrap()).unwrap(), Ordering::Relaxed);
    }
}

async fn round_trip(f: &Fixture) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let key: Vec<u8> = (200..=255).chain(0..8).collect();
    let note = "Zoë 支付 🏦 '\"\\%";
    let sql = "INSERT INTO documents (id, version, body, note) VALUES (?, ?, ?, ?)";
    f.db.exec(sql, params![key.clone(), [1u8], every_byte.clone(), note]).await.unwrap();
    f.db.exec(sql, params![[7u8], [1u8], Vec::new(), None::<String>]).await.unwrap();
    let read = "SELECT id, body, note FROM documents WHERE id = ?";
    let row = f.db.query(read, params![key.clone()]).await.unwrap().remove(0);
    assert_eq!(row.get::<Vec<u8>>("id").unwrap(), key);
    assert_eq!(row.get::<Vec<u8>>("body").unwrap(), every_byte);
    assert_eq!(row.get::<String>("note").unwrap(), note);
    let row = f.db.query(read, params![[7u8]]).await.unwrap().remove(0);
    assert_eq!(row.get::<Option<String>>("note").unwrap(), None);
    assert_eq!(row.get::<Vec<u8>>("body").unwrap(), b"");
    f.lane("Abc", 1).await;
    f.lane("abc", 2).await;
    let rows = f.db.query("SELECT lim FROM lanes WHERE account = ?", params!["ABC"]).await.unwrap();
    assert!(rows.is_empty(), "text is compared byte for byte");
    let rows = f.db.query("SELECT lim FROM lanes WHERE account = ?", params!["abc"]).await.unwrap();
    assert_eq!(rows[0].get::<u32>("lim"), Ok(2));
    let extremes = "UPDATE lanes SET used = ?, lim = ? WHERE account = ?";
    f.db.exec(extremes, params![i64::MIN, i64::MAX, "abc"]).await.unwrap();
    let rows = f.db.query("SELECT used, lim FROM lanes WHERE account = ?", params!["abc"]).await.unwrap();
    assert_eq!((rows[0].get("used"), rows[0].get("lim")), (Ok(i64::MIN), Ok(i64::MAX)));
}

async fn wrong_kind(f: &Fixture) {
    f.lane("a", -1).await;
    let row = f.db.query("SELECT account, lim FROM lanes", vec![]).await.unwrap().remove(0);
    let wrong = |column: &str, expected, found| Error::Column { column: column.into(), expected, found };
    assert_eq!(row.get::<i64>("account"), Err(wrong("account", "i64", "text")));
    assert_eq!(row.get::<u64>("lim"), Err(wrong("lim", "u64", "integer")));
    assert_eq!(row.at::<String>(1), Err(wrong("lim", "text", "integer")));
    assert_eq!(row.get::<i64>("gone"), Err(wrong("gone", "i64", "no such column")));
    assert_eq!(format!("{:?}", params!["secret", 1]), "[text, integer]");
}

async fn replace_and_keep(f: &Fixture) {
    let upsert = |policy, used: i64| {
        Upsert::new("lanes", &["account", "version", "used", "lim"], &["account"], policy).row(params!["a", 1, used, 9])
    };
    for (policy, used, then) in [(Policy::KeepExisting, 1, 1), (Policy::Replace, 2, 2), (Policy::KeepExisting, 3, 2)] {
        let one = upsert(policy, used);
        f.db.transaction(move |tx| Box::pin(async move { tx.upsert(one).await })).await.unwrap();
        assert_eq!(f.used("a").await, then);
    }
    let narrow = upsert(Policy::Replace, 1).row(params!["b"]);
    let outcome = f.db.transaction(move |tx| Box::pin(async move { tx.upsert(narrow).await })).await;
    assert!(matches!(outcome, Err(Error::Configuration(_))));
    let mut many = Upsert::new("lanes", &["account", "version", "used", "lim"], &["account"], Policy::Replace);
    (0..2_500).for_each(|n| many.push(params![format!("many {n}"), 1, n, 9]));
    f.db.transaction(move |tx| Box::pin(async move { tx.upsert(many).await })).await.unwrap();
    let rows = f.db.query("SELECT COUNT(*) AS n FROM lanes", vec![]).await.unwrap();
    assert_eq!(rows[0].get::<u64>("n"), Ok(2_501));
}

fn move_lanes() -> BatchUpdate {
    BatchUpdate::new("lanes").key("account").add("used").set("version").guard("version")
}

async fn batch_update(f: &Fixture) {
    f.lane("a", 10).await;
    f.lane("A", 10).await;
    f.lane("b", 2).await;
    let all = move_lanes().row(params!["a", 3, 2, 1]).row(params!["A", 4, 2, 1]).row(params!["b", 3, 2, 7]);
    let given = all.len();
    let matched = f.db.transaction(move |tx| Box::pin(async move { tx.batch_update(all).await })).await;
    assert_eq!((given, matched), (3, Ok(2)), "b is at another version");
    assert_eq!((f.used("a").await, f.used("A").await, f.used("b").await), (3, 4, 0));
    let stale = move_lanes().row(params!["a", 1, 2, 1]).row(params!["b", 1, 2, 1]);
    let matched = f.db.transaction(move |tx| Box::pin(async move { tx.batch_update(stale).await })).await;
    assert_eq!(matched, Ok(1), "the version of a has moved on");
    let none = BatchUpdate::new("lanes").key("account").set("used");
    assert_eq!(f.db.transaction(move |tx| Box::pin(async move { tx.batch_update(none).await })).await, Ok(0));

    let pair = BatchUpdate::new("lanes").key("account").key("lim").set("used");
    let pair = pair.row(params!["a", 10, 8]).row(params!["A", 11, 8]);
    let matched = f.db.transaction(move |tx| Box::pin(async move { tx.batch_update(pair).await })).await;
    assert_eq!((matched, f.used("a").await, f.used("A").await), (Ok(1), 8, 4));

    let documents = newer().row(document(b"\xff\x80k", 1, "one")).row(document(b"\xff\x81k", 1, "two"));
    f.db.transaction(move |tx| Box::pin(async move { tx.upsert(documents).await })).await.unwrap();
    let bodies = BatchUpdate::new("documents").key("id").set("body").set("note").guard("version");
    let bodies = bodies.row(params![b"\xff\x80k", b"\x00\xff\xfe", None::<String>, [0u8, 1]]).row(params![
        b"\xff\x81k",
        b"\xf0\x28\x8c",
        "🏦",
        [0u8, 1]
    ]);
    assert_eq!(f.db.transaction(move |tx| Box::pin(async move { tx.batch_update(bodies).await })).await, Ok(2));
    let rows = f.db.query("SELECT body, note FROM documents ORDER BY id", vec![]).await.unwrap();
    assert_eq!(rows[0].get::<Vec<u8>>("body").unwrap(), b"\x00\xff\xfe");
    assert_eq!(rows[0].get::<Option<String>>("note").unwrap(), None);
    assert_eq!(rows[1].get::<Vec<u8>>("body").unwrap(), b"\xf0\x28\x8c");
    assert_eq!(rows[1].get::<String>("note").unwrap(), "🏦");
}

async fn insert(f: &Fixture) {
    let columns = &["account", "version", "used", "lim"];
    let rows = |accounts: std::ops::Range<i64>| {
        let mut insert = Insert::new("lanes", columns);
        accounts.for_each(|n| insert.push(params![format!("new {n}"), 1, n, -n]));
        insert
    };
    for more in [0..1, 1..3, 3..20, 20..2_300] {
        let end = more.end;
        let insert = rows(more);
        f.db.transaction(move |tx| Box::pin(async move { tx.insert(insert).await })).await.unwrap();
        let row =
            f.db.query("SELECT COUNT(*) AS n, SUM(used + lim) AS zero FROM lanes", vec![]).await.unwrap().remove(0);
        assert_eq!((row.get::<i64>("n"), row.get::<i64>("zero")), (Ok(end), Ok(0)));
    }
    for twice in [rows(5..6), rows(2_299..2_302)] {
        let outcome: Result<(), Error> =
            f.db.transaction(move |tx| Box::pin(async move { tx.insert(twice).await })).await;
        assert_eq!(outcome, Err(Error::Duplicate));
    }
    let mut unnamed = Insert::new("lanes", columns);
    unnamed.push(params![None::<String>, 1, 1, 1]);
    let outcome = f.db.transaction(move |tx| Box::pin(async move { tx.insert(unnamed).await })).await;
    assert!(matches!(outcome, Err(Error::Configuration(_))));
    assert_eq!(f.used("new 2299").await, 2_299);
    let none = Insert::new("lanes", columns);
    assert_eq!(f.db.transaction(move |tx| Box::pin(async move { tx.insert(none).await })).await, Ok(()));
}

async fn clock(f: &Fixture) {
    let rows = f.db.query("SELECT {now_ms} AS now", vec![]).await.unwrap();
    let now = u128::from(rows[0].get::<u64>("now").unwrap());
    let ours = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(now.abs_diff(ours) < 60_000, "{now} is not near {ours}");
    assert!(matches!(f.db.query("SELECT {never}", vec![]).await, Err(Error::Configuration(_))));
}

async fn lists(f: &Fixture) {
    f.lane("a", 1).await;
    f.lane("b", 2).await;
    let sql = format!("SELECT account FROM lanes WHERE account IN ({})", sql::placeholders(2));
    assert_eq!(f.db.query(&sql, params!["a", "c"]).await.unwrap().len(), 1);
    let sql = format!("SELECT account FROM lanes WHERE account IN ({})", sql::placeholders(0));
    assert_eq!(f.db.query(&sql, vec![]).await.unwrap().len(), 0);
    let sql = format!("SELECT account FROM lanes WHERE (account, lim) IN ({})", sql::rows(2, 2));
    assert_eq!(f.db.query(&sql, params!["a", 1, "b", 1]).await.unwrap().len(), 1);
    let sql = "SELECT account FROM lanes WHERE (account, lim) > (?, ?) ORDER BY account, lim LIMIT ?";
    assert_eq!(f.db.query(sql, params!["a", 1, 5]).await.unwrap().len(), 1);
}

async fn isolation(f: &Fixture) {
    f.lane("a", 10).await;
    let writer = Held::update(&f.db, "a", 3).await;
    if !f.is_memory() {
        // In memory reads share the writer, and so wait instead.
        assert_eq!(f.used("a").await, 0);
    }
    writer.end().await.unwrap();
    assert_eq!(f.used("a").await, 3);
}

async fn sums(f: &Fixture) {
    f.lane("a", 5).await;
    f.lane("b", 6).await;
    let sql = "SELECT SUM(lim) AS lim, COALESCE(SUM(used), 0) AS used, COUNT(*) AS n, MAX(account) AS last FROM lanes";
    let row = f.db.query(sql, vec![]).await.unwrap().remove(0);
    assert_eq!((row.get::<i64>("lim"), row.get::<i64>("used"), row.get::<u32>("n")), (Ok(11), Ok(0), Ok(2)));
    assert_eq!(row.get::<String>("last").unwrap(), "b");
    let row = f.db.query("SELECT SUM(lim) AS lim FROM lanes WHERE lim > 99", vec![]).await.unwrap().remove(0);
    assert_eq!(row.get::<Option<i64>>("lim"), Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_fit_is_refused_without_being_told() {
    for server in servers() {
        let f = Fixture::open(&server, Options::default()).await;
        let long = "secret".repeat(40);
        for (sql, value) in [
            (INSERT_LANE, Value::from(long.as_str())),
            ("SELECT nowhere FROM lanes WHERE account = ?", "secret".into()),
        ] {
            let err = f.db.exec(sql, vec![value]).await.unwrap_err();
            assert!(matches!(err, Error::Statement { .. }), "{server}: {err:?}");
            assert!(!format!("{err} {err:?}").contains("secret"), "{server}: {err:?}");
        }
        f.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_recorded_once_each() {
    for server in servers() {
        let folder = std::env::temp_dir().join(format!("locum_sql_record_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let f =
            Fixture::open(&server, Options { record_statements_to: Some(folder.clone()), ..Options::default() }).await;
        let files = || std::fs::read_dir(&folder).unwrap().count();
        for n in [1, 2, 7] {
            let mut upsert = newer();
            (0..n).for_each(|i| upsert.push(document(&[i], 1, "x")));
            f.db.transaction(move |tx| Box::pin(async move { tx.upsert(upsert).await })).await.unwrap();
        }
        let before = files();
        f.used_by_list(3).await;
        f.used_by_list(4).await;
        assert_eq!(files(), before + 1);
        let texts: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect();
        assert_eq!(texts.iter().filter(|t| t.contains("INTO documents")).count(), 1, "{texts:?}");
        assert!(texts.iter().any(|t| t.starts_with("CREATE TABLE lanes")));
        f.remove().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

impl Fixture {
    async fn used_by_list(&self, n: usize) {
        let sql = format!("SELECT used FROM lanes WHERE lim IN ({})", sql::placeholders(n));
        self.db.query(&sql, vec![Value::Int(1); n]).await.unwrap();
    }
}
