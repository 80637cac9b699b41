//! The embedded core's change log, as Debezium would have written it.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::support::{Core, Place, transfer, transfer_but};

async fn changes(core: &Core, query: &str) -> Vec<Json> {
    let (status, records) = core.get(&core.control, &format!("/changes?{query}")).await;
    assert_eq!(status, 200, "{records}");
    let records = records.as_array().unwrap().iter();
    records.filter(|record| !record["topic"].as_str().unwrap().starts_with("__debezium")).cloned().collect()
}

#[tokio::test]
async fn first_rows_are_snapshot_records() {
    let place = Place::embedded();
    let core = Core::start(&place, &[]).await;
    let records = changes(&core, "after=0").await;
    assert_eq!(records.len(), 6, "2 customers, 4 accounts");
    let (first, last) = (&records[0], &records[5]);
    assert_eq!(first["topic"], "core.corebank.customers");
    assert_eq!(last["key"], json!({"account_no": "100000000004"}));
    let value = &last["value"];
    assert_eq!((&value["op"], &value["before"], &value["transaction"]), (&json!("r"), &Json::Null, &Json::Null));
    assert_eq!(value["after"]["balance"], "AYag", "1000.00 as a Decimal in base64");
    let source = &value["source"];
    assert_eq!((&source["snapshot"], &source["connector"]), (&json!("true"), &json!("mariadb")));
    assert_eq!((&source["file"], &source["pos"]), (&json!("sim-bin.000001"), &last["position"]));
    drop(core);
    place.remove().await;
}

#[tokio::test]
async fn the_order_of_the_log_is_the_order_of_commits() {
    let place = Place::embedded();
    let core = Core::start(&place, &["--request-lifetime-ms", "60000"]).await;
    let posts = (0..40_u64).map(|n| {
        let mut body = transfer_but(&format!("R{n}"), "debit_account", &core_sim::account_no(n % 4));
        body["credit_account"] = json!(core_sim::account_no((n + 1) % 4));
        let core = &core;
        async move { core.post(&body).await.unwrap() }
    });
    futures_util::future::join_all(posts).await;

    let mut rows: HashMap<Json, Json> = HashMap::new();
    let (mut open, mut position, mut booked_at, mut seen) = (None, 0, 0, 0);
    for record in changes(&core, "after=0&limit=5000").await {
        let value = &record["value"];
        assert!(record["position"].as_i64().unwrap() > position, "positions rise");
        position = record["position"].as_i64().unwrap();
        match (value["status"].as_str(), value["op"].as_str()) {
            (Some("BEGIN"), _) => {
                assert_eq!(open.replace((value["id"].clone(), 0)), None, "transactions do not overlap");
            }
            (Some(_), _) => {
                assert_eq!((value["id"].clone(), value["event_count"].as_i64().unwrap()), open.take().unwrap());
            }
            (None, Some("r")) => {}
            (None, _) => {
                let (id, count) = open.as_mut().unwrap();
                *count += 1;
                assert_eq!((&value["transaction"]["id"], &value["transaction"]["total_order"]), (&*id, &json!(count)));
                seen += 1;
            }
        }
        if record["topic"] == "core.corebank.accounts" {
            let before = rows.insert(record["key"].clone(), value["after"].clone()).unwrap_or_default();
            assert_eq!(value["before"], before, "each image follows from the last");
        } else if record["topic"] == "core.corebank.postings" {
            let booked = value["after"]["booked_at"].as_i64().unwrap();
            assert!(booked >= booked_at, "nothing is booked before what the log has already");
            booked_at = booked;
        }
    }
    assert_eq!((seen, open), (160, None));
    drop(core);
    place.remove().await;
}

#[tokio::test]
async fn a_refusal_leaves_no_trace_in_the_log() {
    let place = Place::embedded();
    let core = Core::start(&place, &[]).await;
    assert_eq!(core.post(&transfer_but("R1", "amount", "5000")).await.unwrap().0, 422);
    assert_eq!(changes(&core, "after=6").await, Vec::<Json>::new());
    drop(core);
    place.remove().await;
}

#[tokio::test]
async fn a_waiting_reader_hears_of_a_posting_and_of_heartbeats() {
    let place = Place::embedded();
    let core = Core::start(&place, &[]).await;
    let (_, beat) = core.get(&core.control, "/changes?after=6&wait_ms=20000").await;
    assert_eq!(beat[0]["topic"], "__debezium-heartbeat.core");
    assert!(beat[0]["value"]["ts_ms"].is_i64());
    let listen = async {
        let mut after = beat[0]["position"].clone();
        loop {
            let (_, records) = core.get(&core.control, &format!("/changes?after={after}&limit=1&wait_ms=20000")).await;
            if records[0]["topic"] == "core.transaction" {
                return records[0]["value"]["status"].clone();
            }
            after = records[0]["position"].clone();
        }
    };
    let (heard, posted) = tokio::join!(listen, core.post(&TRANSFER));
    assert_eq!((heard, posted.unwrap().0), (json!("BEGIN"), 201));
    drop(core);
    place.remove().await;
}

static TRANSFER: std::sync::LazyLock<Json> = std::sync::LazyLock::new(|| transfer("R1"));

#[tokio::test]
async fn positions_go_on_after_a_kill() {
    let place = Place::embedded();
    let mut core = Core::start(&place, &[]).await;
    core.post(&transfer("R1")).await.unwrap();
    let last = changes(&core, "after=0").await.last().unwrap()["position"].as_i64().unwrap();
    core.kill();
    let core = Core::start(&place, &[]).await;
    core.post(&transfer("R2")).await.unwrap();
    let next = changes(&core, &format!("after={last}")).await;
    assert_eq!(next.len(), 6, "BEGIN, two postings, two accounts, END");
    drop(core);
    place.remove().await;
}

#[tokio::test]
async fn a_core_on_a_server_keeps_no_change_log() {
    let Some(place) = Place::served() else { return };
    let core = Core::start(&place, &[]).await;
    assert_eq!(core.get(&core.control, "/changes").await.0, 501);
    drop(core);
    place.remove().await;
}
