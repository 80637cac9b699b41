//! Accounts that the core's table does not know by their number, but by a key of its own.

use std::sync::Arc;

use ingest::NoJournal;
use read_model::*;
use serde_json::{Value as Json, json};

use crate::support::*;

fn mapping_by_id() -> String {
    let by_id = MAPPING.replace("  accounts:\n    key: [account_no]", "  accounts:\n    key: [id]");
    assert_ne!(by_id, MAPPING);
    by_id
}

fn row(id: i64, no: &str, minor: i64) -> Json {
    let mut row = account_row(no, minor, 1);
    row["id"] = json!(id);
    row
}

/// What a connector writes of a row when the log has its key alone: nothing, and defaults where a column may not be NULL.
fn key_alone(id: i64) -> Json {
    json!({"id": id, "account_no": "", "owner": "", "ccy": "", "status": "", "balance": "", "overdraft": null, "held": null,
        "last_posting": 0, "opened": 0, "updated": 0})
}

async fn quality(site: &Site, no: &str) -> Quality {
    site.reader.account(&Grant::Any, no, &Floor::none()).await.unwrap().freshness[0].quality
}

async fn until_gone(site: &Site, no: &str) {
    wait_for(no, async || {
        let seen = site.booked(no).await;
        (seen == Err(ReadError::NotFound), seen)
    })
    .await;
}

#[tokio::test]
async fn an_event_that_tells_the_rows_own_key_alone_touches_the_row_that_was_stored_under_it() {
    let site = Site::open().await;
    let core = &site.core;
    let start = || site.start_mapped("one", Arc::new(NoJournal), &mapping_by_id());
    let running = start();
    for n in 1..=4 {
        core.event("accounts", "r", json!({"id": n}), Json::Null, row(n, &format!("A{n}"), 100), "true");
    }
    core.heartbeat();
    site.until_booked("A4", 100).await;
    core.event("accounts", "u", json!({"id": 1}), Json::Null, row(1, "A1", 150), "false");
    core.event("accounts", "u", json!({"id": 2}), Json::Null, row(2, "A9", 200), "false");
    site.until_booked("A1", 150).await;
    site.until_booked("A9", 200).await;
    until_gone(&site, "A2").await;

    // What is known outlives the process.
    running.kill().await;
    let running = start();
    core.event("accounts", "d", json!({"id": 2}), key_alone(2), Json::Null, "false");
    core.event("accounts", "d", json!({"id": 3}), Json::Null, Json::Null, "false");
    until_gone(&site, "A9").await;
    until_gone(&site, "A3").await;
    // Known within one batch, too.
    core.event("accounts", "c", json!({"id": 5}), Json::Null, row(5, "A5", 1), "false");
    core.event("accounts", "d", json!({"id": 5}), key_alone(5), Json::Null, "false");
    core.event("accounts", "u", json!({"id": 1}), Json::Null, row(1, "A1", 151), "false");
    site.until_booked("A1", 151).await;
    until_gone(&site, "A5").await;
    assert_eq!(parked_events(&site.db, None, 10).await.unwrap(), []);

    core.poison_row("accounts", json!({"id": 4}));
    wait_for("A4 is in doubt", async || {
        let quality = quality(&site, "A4").await;
        (quality == Quality::Degraded, quality)
    })
    .await;
    assert_eq!(quality(&site, "A1").await, Quality::Ok, "that row only");

    core.event("accounts", "d", json!({"id": 77}), key_alone(77), Json::Null, "false");
    wait_for("a row that nobody knows", async || {
        let parked = parked_events(&site.db, None, 10).await.unwrap();
        let told =
            parked.iter().any(|event| event.reason.contains("REPLICA IDENTITY FULL") && event.entity_keys == "[]");
        (told, parked)
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_row_that_a_filter_leaves_out_ends_nothing_that_is_another_rows_by_now() {
    let site = Site::open().await;
    let core = &site.core;
    let open_only = mapping_by_id().replace("    key: [id]\n", "    key: [id]\n    where: {status: [A, F]}\n");
    let start = || site.start_mapped("one", Arc::new(NoJournal), &open_only);
    let closed = |id: i64, no: &str| {
        let mut row = row(id, no, 0);
        row["status"] = json!("C");
        row
    };
    let running = start();
    core.event("accounts", "r", json!({"id": 1}), Json::Null, row(1, "A1", 100), "true");
    core.event("accounts", "r", json!({"id": 2}), Json::Null, closed(2, "A2"), "true");
    core.heartbeat();
    site.until_booked("A1", 100).await;
    until_gone(&site, "A2").await;
    core.event("accounts", "u", json!({"id": 1}), Json::Null, closed(1, "A1"), "false");
    until_gone(&site, "A1").await;
    core.event("accounts", "u", json!({"id": 2}), Json::Null, row(2, "A1", 300), "false");
    site.until_booked("A1", 300).await;

    // That the first row feeds nothing outlives the process.
    running.kill().await;
    let running = start();
    core.event("accounts", "u", json!({"id": 1}), Json::Null, closed(1, "A1"), "false");
    core.event("accounts", "d", json!({"id": 1}), key_alone(1), Json::Null, "false");
    core.event("accounts", "c", json!({"id": 3}), Json::Null, row(3, "A3", 7), "false");
    site.until_booked("A3", 7).await;
    assert_eq!(site.booked("A1").await, Ok(300));
    core.event("accounts", "d", json!({"id": 2}), key_alone(2), Json::Null, "false");
    until_gone(&site, "A1").await;
    assert_eq!(parked_events(&site.db, None, 10).await.unwrap(), []);
    running.stop().await;
}
