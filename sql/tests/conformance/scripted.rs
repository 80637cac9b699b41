//! What TiDB answers under contention, after DDL and when nodes die, played by a scripted peer; and what is made of it.

use sql::{Db, Error, Migration, Options, params};
use std::time::Duration;

use crate::peer::{Cell, Peer, Say, Script};

const UPDATE: &str = "UPDATE lanes SET used = 1 WHERE account = ?";
const GAVE_UP: Say = Say::Error(1105, "HY000", "pessimistic lock retry limit reached");
const LOCKED: Say = Say::Error(1205, "HY000", "Lock wait timeout exceeded; try restarting transaction");
const NO_TABLE: Say = Say::Error(1146, "42S02", "Table 'bank.schema_versions' doesn't exist");

fn options() -> Options {
    // For a check by TiDB's own parser.
    let record_statements_to = std::env::var_os("LOCUM_TEST_RECORD_TO").map(Into::into);
    Options { statement_timeout: Duration::from_millis(300), record_statements_to, ..Options::default() }
}

async fn open(peer: &Peer) -> Db {
    Db::open(peer.url(), options()).await.unwrap()
}

/// One transaction with one update.
async fn update(db: &Db) -> Result<u64, Error> {
    db.transaction(|tx| Box::pin(async move { tx.exec(UPDATE, params!["a"]).await })).await
}

#[tokio::test]
async fn a_lock_that_tidb_gave_up_is_a_conflict_and_its_generic_code_alone_is_not() {
    let other = Say::Error(1105, "HY000", "unexpected resource for account DE89");
    let peer = Peer::start(Script::tidb().then("UPDATE", [GAVE_UP, other])).await;
    let db = open(&peer).await;
    assert_eq!(update(&db).await, Err(Error::Retryable { code: 1105 }));
    let refused = update(&db).await.unwrap_err();
    assert!(matches!(&refused, Error::Statement { code: 1105, .. }), "{refused:?}");
    assert!(!refused.to_string().contains("DE89"), "the server's words may hold values: {refused}");
    assert_eq!(update(&db).await, Ok(1));
}

#[tokio::test]
async fn every_conflict_of_tidb_before_commit_is_run_again() {
    let codes = [9007, 8005, 8022, 8002, 8027, 8028, 8113, 9004, 9006, 8229, 1205, 1213];
    let peer =
        Peer::start(Script::tidb().then("UPDATE", codes.map(|code| Say::Error(code, "HY000", "conflict")))).await;
    let db = open(&peer).await;
    for code in codes {
        assert_eq!(update(&db).await, Err(Error::Retryable { code: i32::from(code) }));
    }
    assert_eq!(update(&db).await, Ok(1));
}

#[tokio::test]
async fn a_commit_is_refused_by_proof_only() {
    let commits = [
        (Say::Error(9007, "HY000", "Write conflict"), true),
        (Say::Error(8022, "HY000", "KV error safe to retry"), true),
        (GAVE_UP, true),
        (Say::Error(1105, "HY000", "rpc error: code = Unavailable"), false),
        (Say::Error(9004, "HY000", "Resolve lock timeout"), false),
        (Say::Error(9002, "HY000", "TiKV server timeout"), false),
        (Say::Error(8229, "HY000", "TTL manager has timed out"), false),
        (Say::Goodbye, false),
        (Say::Nothing, false),
    ];
    let answers = commits.iter().map(|(say, _)| say.clone()).collect::<Vec<_>>();
    let peer = Peer::start(Script::tidb().then("COMMIT", answers)).await;
    let db = open(&peer).await;
    for (say, refused) in commits {
        let outcome = update(&db).await.unwrap_err();
        assert_eq!(outcome.is_retryable(), refused, "{say:?}: {outcome:?}");
        assert!(refused || matches!(outcome, Error::CommitUnknown(_)), "{say:?}: {outcome:?}");
    }
    assert_eq!(update(&db).await, Ok(1));
}

#[tokio::test]
async fn the_lock_of_a_dead_connection_is_waited_for_within_bounds_and_told_as_a_lock() {
    let peer = Peer::start(Script::tidb().then("UPDATE", [LOCKED, Say::Nothing, LOCKED])).await;
    let db = open(&peer).await;
    let told = update(&db).await.unwrap_err();
    assert!(told.is_lock_timeout() && told.is_retryable(), "{told:?}");
    assert!(told.to_string().contains("a row lock was not given up in time"), "{told}");
    // A node that waits for longer than it was told to is given up together with its connection.
    assert!(matches!(update(&db).await, Err(Error::Unavailable(_))));
    // An autocommit write would wait for as long as the dead lock may live; in a transaction it waits like all others.
    assert_eq!(db.exec(UPDATE, params!["a"]).await, Err(Error::Retryable { code: 1205 }));
    assert_eq!(db.exec(UPDATE, params!["a"]).await, Ok(1));
    let used = peer.heard("UPDATE").into_iter().map(|heard| heard.connection).collect::<Vec<_>>();
    let last = peer.on_connection(used[3]);
    let last: Vec<_> = last.iter().rev().take(3).rev().map(String::as_str).collect();
    assert_eq!(last, ["START TRANSACTION", UPDATE, "COMMIT"]);
    assert!(used.windows(2).all(|pair| pair[0] != pair[1]), "a connection was used after an error: {used:?}");
}

#[tokio::test]
async fn a_single_write_on_tidb_is_in_doubt_only_once_its_commit_was_sent() {
    let script = Script::tidb().then("UPDATE", [Say::Goodbye]).then("COMMIT", [Say::Goodbye]);
    let peer = Peer::start(script).await;
    let db = open(&peer).await;
    let lost = db.exec(UPDATE, params!["a"]).await;
    assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
    let lost = db.exec(UPDATE, params!["a"]).await;
    assert!(matches!(lost, Err(Error::CommitUnknown(_))), "{lost:?}");
    assert_eq!(peer.heard("UPDATE").len(), 2, "a write is never run again here");
}

#[tokio::test]
async fn time_on_tidb_is_the_clusters_inside_and_outside_a_transaction() {
    let now = Say::Rows(vec!["now"], vec![vec![Cell::Int(1_790_000_000_000)]]);
    let peer = Peer::start(Script::tidb().always("tidb_current_ts", now)).await;
    let db = open(&peer).await;
    let clock = "SELECT {now_ms} AS now";
    let single = db.query(clock, vec![]).await.unwrap();
    assert_eq!(single[0].get("now"), Ok(1_790_000_000_000_i64));
    let inside = db.transaction(move |tx| Box::pin(async move { tx.query_one(clock, vec![]).await }));
    assert_eq!(inside.await.unwrap().get("now"), Ok(1_790_000_000_000_i64));
    db.query("SELECT 1", vec![]).await.unwrap();
    let asked = peer.heard("AS now");
    assert!(asked.iter().all(|heard| !heard.statement.contains("NOW(3)")), "a node's own clock: {asked:?}");
    let statements = peer.on_connection(asked[0].connection);
    let after_settings = statements.iter().position(|s| s == "START TRANSACTION").unwrap();
    let shape: Vec<&str> = statements[after_settings..].iter().map(|s| s.split(' ').next().unwrap()).collect();
    assert_eq!(shape, ["START", "SELECT", "ROLLBACK", "START", "SELECT", "COMMIT", "SELECT"], "{statements:?}");
}

#[tokio::test]
async fn a_read_that_tidb_gives_up_is_run_again() {
    let script =
        Script::tidb().then("SELECT used", [Say::Error(9006, "HY000", "GC life time is shorter"), Say::Goodbye]);
    let peer = Peer::start(script).await;
    let db = open(&peer).await;
    assert!(db.query("SELECT used FROM lanes", vec![]).await.is_err(), "a fresh connection that dies is no stale one");
    assert!(db.query("SELECT used FROM lanes", vec![]).await.is_ok());
    assert_eq!(peer.heard("SELECT used").len(), 3);
}

#[tokio::test]
async fn every_session_asks_for_the_guarantees_that_our_statements_rely_on() {
    let peer = Peer::start(Script::tidb()).await;
    let db = open(&peer).await;
    update(&db).await.unwrap();
    let session = peer.heard("tidb_lock_unchanged_keys");
    for wanted in [
        "tidb_txn_mode = 'pessimistic'",
        "READ COMMITTED",
        "tidb_lock_unchanged_keys = ON",
        "tidb_constraint_check_in_place_pessimistic = ON",
        "tidb_read_staleness = ''",
        "tidb_low_resolution_tso = OFF",
        "tidb_guarantee_linearizability = ON",
        "tidb_idle_transaction_timeout = 5",
    ] {
        assert_eq!(peer.heard(wanted).len(), session.len(), "{wanted}");
    }
}

#[tokio::test]
async fn a_setting_that_this_version_does_not_know_is_left_out_and_the_others_stay() {
    let unknown = Say::Error(1193, "HY000", "Unknown system variable 'tidb_lock_unchanged_keys'");
    let peer = Peer::start(Script::tidb().always("tidb_lock_unchanged_keys", unknown)).await;
    assert_eq!(update(&open(&peer).await).await, Ok(1));
    assert!(!peer.heard("SET tidb_read_staleness = ''").is_empty());
    let denied = Say::Error(1227, "42000", "Access denied");
    let peer = Peer::start(Script::tidb().always("tidb_read_staleness", denied)).await;
    let refused = Db::open(peer.url(), options()).await.map(drop);
    assert!(refused.is_err(), "a guarantee that is refused is not gone without");
}

const TABLES: &[Migration] = &[
    Migration { version: 1, statements: &["CREATE TABLE lanes (account {text:64} NOT NULL PRIMARY KEY)"] },
    Migration { version: 2, statements: &["CREATE INDEX lanes_account ON lanes (account)"] },
];

#[tokio::test]
async fn tables_that_other_nodes_see_late_are_waited_for() {
    let changed = |code| Say::Error(code, "HY000", "Information schema is changed during the execution");
    let script = Script::tidb()
        .then("SELECT COALESCE", [NO_TABLE, changed(8113), NO_TABLE])
        .then("CREATE TABLE lanes", [changed(8028)])
        .then("CREATE INDEX", [NO_TABLE, Say::Error(1072, "42000", "Key column 'account' doesn't exist in table")])
        .then("INSERT INTO schema_versions", [changed(8028), NO_TABLE]);
    let peer = Peer::start(script).await;
    open(&peer).await.migrate("test", TABLES).await.unwrap();
    assert_eq!(peer.heard("INSERT INTO schema_versions").len(), 4);
}

#[tokio::test]
async fn a_table_that_never_comes_is_told() {
    let peer = Peer::start(Script::tidb().always("SELECT COALESCE", NO_TABLE)).await;
    let options = Options { schema_wait: Duration::from_millis(250), ..options() };
    let db = Db::open(peer.url(), options).await.unwrap();
    let told = db.migrate("test", TABLES).await.unwrap_err();
    assert!(matches!(&told, Error::Statement { code: 1146, .. }), "{told:?}");
    assert!(peer.heard("SELECT COALESCE").len() > 1);
}

#[tokio::test]
async fn elsewhere_a_missing_table_is_told_at_once() {
    let peer = Peer::start(Script::mariadb().always("SELECT COALESCE", NO_TABLE)).await;
    let told = open(&peer).await.migrate("test", TABLES).await.unwrap_err();
    assert!(matches!(&told, Error::Statement { code: 1146, .. }), "{told:?}");
    assert_eq!(peer.heard("SELECT COALESCE").len(), 1);
}
