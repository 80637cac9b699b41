//! A core that runs PostgreSQL, read through the shipped template. Each test does several things to one bank, because a bank
//! with its connector takes long to build.

use http::Method;
use locum_tests::postgres::PostgresBank;
use locum_tests::wait::{PATIENCE, wait_for};
use locum_tests::world::CHANNEL;

const TABLES: &str = include_str!("core.sql");
const MAPPING: &str = include_str!("mapping.yaml");
/// The way on that a halt must name.
const REBUILD: &str = "locum source rebuild corebank";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_postgresql_core_writes_is_served_through_the_shipped_template() {
    let bank = PostgresBank::start(TABLES, MAPPING).await;
    bank.serves("A1", "100.00", "ok").await;
    assert_eq!(bank.locum.source().await["core_heartbeats"], true);
    bank.sql("UPDATE accounts SET balance = 101.5 WHERE account_no = 'A1'").await;
    bank.serves("A1", "101.50", "ok").await;

    rows_of_a_partitioned_table_are_served_under_its_name(&bank).await;
    rows_without_a_key_feed_transactions_and_nothing_else(&bank).await;
    an_update_without_its_large_value_is_parked_and_healed_by_a_whole_row(&bank).await;
    rows_known_by_another_key_than_their_own_are_found_again(&bank).await;
    tables_read_again_by_signal_change_nothing_while_rows_change(&bank).await;
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_log_of_a_postgresql_core_halts_and_is_mended_by_a_rebuild() {
    let mut bank = PostgresBank::start(TABLES, MAPPING).await;
    a_truncated_table_halts_and_its_rows_are_gone_after_the_rebuild(&mut bank).await;
    another_snapshot_halts_and_deleted_rows_are_gone_after_the_rebuild(&mut bank).await;
    a_core_restored_to_an_earlier_time_is_never_served_as_ok_before_the_rebuild(&mut bank).await;
    a_promoted_core_halts_although_nothing_of_its_log_is_missing(&mut bank).await;
    bank.end().await;
}

async fn rows_of_a_partitioned_table_are_served_under_its_name(bank: &PostgresBank) {
    bank.shows_transactions("A1", &["1", "2"]).await;
    bank.sql("CREATE TABLE postings_long_ago PARTITION OF postings FOR VALUES FROM ('1990-01-01') TO ('2000-01-01')")
        .await;
    bank.sql("INSERT INTO postings VALUES (3, 'A1', 7, 'EUR', '2025-06-06'), (4, 'A1', 8, 'EUR', '1999-06-06')").await;
    bank.shows_transactions("A1", &["1", "2", "3", "4"]).await;
    bank.sql("DELETE FROM postings WHERE id = 3").await;
    bank.shows_transactions("A1", &["1", "2", "4"]).await;
    let unmapped = &bank.locum.source().await["unmapped_events"];
    assert!(!unmapped.to_string().contains("postings"), "each row comes once, under the table's name: {unmapped}");
}

async fn rows_without_a_key_feed_transactions_and_nothing_else(bank: &PostgresBank) {
    bank.sql("INSERT INTO fees VALUES ('fee-2', 'A2', -2, 'EUR', now())").await;
    bank.shows_transactions("A2", &["fee-1", "fee-2"]).await;
    let parked = bank.parks(1).await;
    let reason = parked[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("primary key"), "{reason}");
    let served = bank.served("S1").await;
    assert_ne!(served.0, 200, "no row of it is served: {served:?}");
    bank.serves("A1", "101.50", "ok").await;

    let reason = "the table has no key; its rows are not to be served";
    let topic = parked[0]["topic"].as_str().unwrap_or_default();
    let at = format!("{topic}/{}@{}", parked[0]["partition"], parked[0]["offset"]);
    let order = ["parked-events", "discard", "corebank", &at, "--reason", reason];
    bank.locum.command(&order).await.unwrap_or_else(|said| panic!("{order:?}: {said}"));
    bank.parks(0).await;
}

async fn an_update_without_its_large_value_is_parked_and_healed_by_a_whole_row(bank: &PostgresBank) {
    bank.serves("LARGE", "1.00", "ok").await;
    bank.sql("UPDATE accounts SET balance = 2 WHERE account_no = 'LARGE'").await;
    bank.serves("LARGE", "1.00", "degraded").await;
    let parked = bank.parks(1).await;
    assert!(parked[0]["reason"].to_string().contains("product"), "{parked:?}");
    bank.sql("UPDATE accounts SET balance = 3, product = repeat('q', 100) WHERE account_no = 'LARGE'").await;
    bank.serves("LARGE", "3.00", "ok").await;
    bank.parks(0).await;
}

async fn rows_known_by_another_key_than_their_own_are_found_again(bank: &PostgresBank) {
    bank.sql("UPDATE loans SET balance = 11 WHERE id = 1").await;
    bank.serves("L1", "11.00", "ok").await;
    bank.sql("UPDATE loans SET account_no = 'L22', balance = 12 WHERE id = 2").await;
    bank.serves("L22", "12.00", "ok").await;
    // The store tells the new number at once, and the tiers forget the old one a moment later.
    is_gone(bank, "L2").await;
    bank.sql("DELETE FROM loans WHERE id IN (2, 3)").await;
    is_gone(bank, "L22").await;
    is_gone(bank, "L3").await;
    bank.parks(0).await;
    bank.serves("L4", "10.00", "ok").await;
}

async fn is_gone(bank: &PostgresBank, account: &str) {
    wait_for(&format!("{account} is gone"), PATIENCE, async || {
        let served = bank.served(account).await;
        if served.0 == 404 { Ok(()) } else { Err(format!("{served:?}")) }
    })
    .await;
}

async fn tables_read_again_by_signal_change_nothing_while_rows_change(bank: &PostgresBank) {
    let applied = bank.locum.source().await["events_applied"].as_i64().unwrap_or_default();
    bank.sql(
        "INSERT INTO debezium_signal VALUES \
         ('again', 'execute-snapshot', '{\"data-collections\": [\"public.accounts\"], \"type\": \"incremental\"}')",
    )
    .await;
    let mut cents = 0;
    let windows = "SELECT count(*) FROM debezium_signal WHERE type = 'snapshot-window-close'";
    wait_for("the connector has read the table again", PATIENCE, async || {
        cents += 1;
        bank.sql(&format!(
            "UPDATE accounts SET balance = 200 + {cents} / 100.0 WHERE account_no IN ('A1', 'A150', 'A300')"
        ))
        .await;
        let closed = bank.sql(windows).await;
        let seen = bank.locum.source().await["events_applied"].as_i64().unwrap_or_default();
        if closed != "0" && seen > applied + 290 { Ok(()) } else { Err(format!("{closed} windows, {seen} events")) }
    })
    .await;
    let wanted = format!("{}.{:02}", 200 + cents / 100, cents % 100);
    for account in ["A1", "A150", "A300"] {
        bank.serves(account, &wanted, "ok").await;
    }
    bank.serves("A2", "100.00", "ok").await;
    bank.parks(0).await;
    let source = bank.locum.source().await;
    assert!(source["halted"].is_null(), "{source}");
}

async fn a_truncated_table_halts_and_its_rows_are_gone_after_the_rebuild(bank: &mut PostgresBank) {
    bank.shows_transactions("A2", &["fee-1"]).await;
    bank.sql("TRUNCATE fees").await;
    let reason = bank.locum.halted().await;
    assert!(reason.contains("fees was truncated") && reason.contains(REBUILD), "{reason}");
    assert_eq!(bank.transactions("A2").await, ["fee-1"], "what was served goes on");
    let refused = bank.locum.command(&["source", "resume", "corebank", "--reason", "try"]).await;
    assert!(refused.as_ref().is_err_and(|said| said.contains(REBUILD)), "{refused:?}");

    let positioned = bank.locum.channel(CHANNEL).get("/v1/accounts/A1/balances").await;
    let positioned = positioned.unwrap_or_else(|err| panic!("{err}"));
    bank.rebuild(&format!("{}_b", bank.name), "fees were truncated").await;
    bank.serves("A1", "100.00", "ok").await;
    assert!(bank.transactions("A2").await.is_empty(), "the rows that were truncated are gone");
    let headers = [("min-position", positioned.header("data-position"))];
    let later = bank.locum.channel(CHANNEL).request(Method::GET, "/v1/accounts/A1/balances", &headers, None).await;
    assert_eq!(later.unwrap_or_else(|err| panic!("{err}")).status, 410, "a position of the old generation");
}

async fn another_snapshot_halts_and_deleted_rows_are_gone_after_the_rebuild(bank: &mut PostgresBank) {
    let connector = format!("{}_b", bank.name);
    bank.serves("A7", "100.00", "ok").await;
    bank.forget(&connector).await;
    bank.sql("DELETE FROM accounts WHERE account_no = 'A7'").await;
    bank.connect(&connector).await;
    let reason = bank.locum.halted().await;
    assert!(reason.contains("another snapshot") && reason.contains(REBUILD), "{reason}");
    bank.serves("A7", "100.00", "stale").await;

    bank.rebuild(&format!("{}_c", bank.name), "the connector lost its offsets").await;
    bank.serves("A1", "100.00", "ok").await;
    assert_eq!(bank.served("A7").await.0, 404);
}

async fn a_core_restored_to_an_earlier_time_is_never_served_as_ok_before_the_rebuild(bank: &mut PostgresBank) {
    let connector = format!("{}_c", bank.name);
    bank.committed(&connector).await;
    bank.stack.save("postgres-core").await;
    bank.sql("UPDATE accounts SET balance = 500 WHERE account_no = 'A1'").await;
    bank.serves("A1", "500.00", "ok").await;
    bank.beats().await;
    bank.committed(&connector).await;
    bank.stack.restore("postgres-core").await;
    bank.sql("UPDATE accounts SET balance = 7 WHERE account_no = 'A2'").await;
    // The connector goes on from where it was, and the core's log is not there yet: nothing comes.
    bank.serves("A1", "500.00", "stale").await;
    // Now the log has grown beyond that place. What was written before stays unsent.
    bank.sql("SELECT pg_switch_wal()").await;
    let reason = bank.locum.halted().await;
    // Which one depends on how far the log has come when the connector is connected again.
    let told = ["does not follow the last one", "went back", "another change of a row"]
        .iter()
        .any(|word| reason.contains(word));
    assert!(told && reason.contains(REBUILD), "{reason}");
    bank.serves("A2", "100.00", "stale").await;

    bank.rebuild(&format!("{}_d", bank.name), "the core was restored").await;
    bank.serves("A1", "100.00", "ok").await;
    bank.serves("A2", "7.00", "ok").await;
}

async fn a_promoted_core_halts_although_nothing_of_its_log_is_missing(bank: &mut PostgresBank) {
    bank.committed(&format!("{}_d", bank.name)).await;
    bank.promote().await;
    let reason = bank.locum.halted().await;
    assert!(reason.contains("timeline") && reason.contains(REBUILD), "{reason}");
    bank.sql("UPDATE accounts SET balance = 8 WHERE account_no = 'A2'").await;
    bank.serves("A2", "7.00", "stale").await;

    bank.rebuild(&format!("{}_e", bank.name), "the core was promoted").await;
    bank.serves("A2", "8.00", "ok").await;
}
