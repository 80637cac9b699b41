//! Who leads a source deletes the delete markers that nothing needs any more, if it is told for how long they are needed.

use std::sync::Arc;

use ingest::NoJournal;
use read_model::*;
use serde_json::{Value as Json, json};

use crate::support::*;

async fn count(site: &Site, table: &str) -> i64 {
    let rows = site.db.query(&format!("SELECT COUNT(*) AS n FROM {table}"), vec![]).await.unwrap();
    rows[0].get("n").unwrap()
}

async fn until(site: &Site, what: &str, table: &str, n: i64) {
    wait_for(what, async || {
        let seen = count(site, table).await;
        (seen == n, seen)
    })
    .await;
}

#[tokio::test]
async fn old_delete_markers_go_while_a_process_leads_that_is_told_for_how_long_they_are_needed() {
    let site = Site::open().await;
    let running = site.start("one");
    site.core.snapshot_account("A1", 100);
    site.core.heartbeat();
    site.until_booked("A1", 100).await;
    for n in [1, 2] {
        site.core.posting("A1", n, "D", 5, "");
    }
    let key = json!({"account_no": "A1", "posting_no": 1});
    site.core.event("postings", "d", key, posting_row("A1", 1, "D", 5, ""), Json::Null, "false");
    site.core.heartbeat();
    until(&site, "a note of the marker", "delete_markers", 1).await;
    until(&site, "both postings", "transaction_rows", 2).await;
    wait_for("the first load and the age of the data", async || {
        let seen = site.status().await.map(|status| (status.loaded, status.as_of_ms));
        (seen.is_some_and(|(loaded, as_of_ms)| loaded && as_of_ms.is_some()), seen)
    })
    .await;
    let older = "UPDATE delete_markers SET noted_ms = noted_ms - ?";
    site.db.exec(older, sql::params![40 * 86_400_000_i64]).await.unwrap();
    running.stop().await;

    // Nobody said for how long they are needed.
    let running = site.start("two");
    site.core.account("A1", 250, 2);
    site.until_booked("A1", 250).await;
    running.stop().await;
    assert_eq!(count(&site, "delete_markers").await, 1);

    let running = site.start_changed("three", Arc::new(NoJournal), MAPPING, |options| {
        options.delete_markers_days = Some(30);
    });
    until(&site, "no note", "delete_markers", 0).await;
    assert_eq!(count(&site, "transaction_rows").await, 1);
    running.stop().await;
}
