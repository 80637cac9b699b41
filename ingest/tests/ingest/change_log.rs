//! The embedded core's change log over real HTTP, answered as `core-sim` answers.

use std::sync::{Arc, Mutex};

use ingest::{FeedOptions, NoJournal, Options};
use read_model::*;
use serde_json::{Value as Json, json};
use sql::Db;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{account_row, mapping, now_ms, wait_for};

type Log = Arc<Mutex<Vec<Json>>>;

fn push(log: &Log, topic: &str, key: Json, value: Json) {
    let mut log = log.lock().unwrap();
    // Positions have gaps: spent heartbeats are deleted.
    let position = 10 * (log.len() as i64 + 1);
    log.push(json!({"position": position, "topic": topic, "key": key, "value": value}));
}

fn account(log: &Log, balance_minor: i64, snapshot: &str) {
    let position = log.lock().unwrap().len();
    let value = json!({"before": null, "after": account_row("A1", balance_minor, 0), "op": "r", "ts_ms": now_ms(),
        "source": {"connector": "mariadb", "name": "core", "ts_ms": now_ms(), "snapshot": snapshot, "db": "corebank",
        "table": "accounts", "server_id": 1, "gtid": null, "file": "sim-bin.000001", "pos": position, "row": 0}});
    push(log, "core.corebank.accounts", json!({"account_no": "A1"}), value);
}

/// One request per connection, `after` honoured. A client may open a connection that it does not use.
async fn serve(log: Log) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, log.clone()));
        }
    });
    format!("http://{address}")
}

async fn answer(mut stream: TcpStream, log: Log) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let after = head.split("after=").nth(1).and_then(|rest| rest.split(['&', ' ']).next()).unwrap();
    let after: i64 = after.parse().unwrap();
    let found: Vec<Json> =
        log.lock().unwrap().iter().filter(|r| r["position"].as_i64().unwrap() > after).cloned().collect();
    if found.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let body = Json::Array(found).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await
}

#[tokio::test]
async fn the_embedded_core_is_followed_and_gone_on_with_after_a_restart() {
    let log = Log::default();
    account(&log, 100, "true");
    push(&log, "core.transaction", json!({"id": "t"}), json!({"status": "BEGIN", "id": "t", "ts_ms": now_ms()}));
    let beat = || json!({"ts_ms": now_ms()});
    push(&log, "__debezium-heartbeat.core", json!({"serverName": "core"}), beat());
    let url = serve(log.clone()).await;
    let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
    migrate(&db).await.unwrap();
    let reader = Reader::new(db.clone(), Tiers::none(), ReaderOptions::default());
    for (round, minor) in [100, 200].into_iter().enumerate() {
        let (shutdown, stop) = watch::channel(false);
        let options = Options::new("one", mapping(), FeedOptions::ChangeLog { url: url.clone() });
        let task = tokio::spawn(options.build(db.clone(), Tiers::none(), Arc::new(NoJournal)).run(stop));
        wait_for("the balance", async || {
            let read = reader.account(&Grant::Any, "A1", &Floor::none()).await;
            let seen = read.map(|r| (r.value.balance.as_ref().unwrap().row.booked_minor, r.freshness[0].quality));
            (seen == Ok((minor, Quality::Ok)), seen)
        })
        .await;
        shutdown.send(true).unwrap();
        task.await.unwrap();
        if round == 0 {
            account(&log, 200, "false");
            push(&log, "__debezium-heartbeat.core", json!({"serverName": "core"}), beat());
        }
    }
    let applied = offsets(&db, "corebank").await.unwrap();
    assert_eq!((applied.len(), applied[0].1), (1, 51));
}
