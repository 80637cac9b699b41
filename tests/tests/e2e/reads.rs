//! Change data from the core's MariaDB through Debezium and Kafka to an answer.

use std::time::Duration;

use http::Method;
use locum_tests::client::{Http, HttpAnswer, http};
use locum_tests::wait::wait_for;
use locum_tests::world::{CHANNEL, FIRST_CUSTOMER, OPERATOR, PATIENCE, Plan, World};
use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;

use crate::rest;

const ACCOUNT: &str = "100000000001";
const OTHER: &str = "100000000002";

async fn balances(http: &mut Http, account: &str) -> HttpAnswer {
    let path = format!("/v1/accounts/{account}/balances");
    http.get(&path).await.unwrap_or_else(|err| panic!("{path}: {err}"))
}

async fn shows(http: &mut Http, account: &str, booked: &str) -> HttpAnswer {
    wait_for(&format!("{account} shows {booked}"), PATIENCE, async || {
        let answer = balances(http, account).await;
        let told = format!("{} {:?} {}", answer.status, answer.headers, answer.body);
        if answer.body["booked"] == booked { Ok(answer) } else { Err(told) }
    })
    .await
}

async fn by_hand(world: &World, sql: &str) {
    let mut db = world.core.database().connect().await;
    db.query_drop(sql).await.unwrap_or_else(|err| panic!("{sql}: {err}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_changed_in_the_core_by_hand_is_shown_with_its_position_and_age() {
    let world = World::start(Plan::default()).await;
    let mut http = world.locums[0].channel(CHANNEL);
    let before = balances(&mut http, ACCOUNT).await;
    assert_eq!(before.body["booked"], "1000.00", "{}", before.body);
    assert_eq!(world.locums[0].source().await["core_heartbeats"], false);

    by_hand(&world, &format!("UPDATE accounts SET balance = 1234.56 WHERE account_no = '{ACCOUNT}'")).await;
    shows(&mut http, ACCOUNT, "1234.56").await;
    let after = quality(&mut http, ACCOUNT, "ok").await;

    assert_eq!(after.body["available"], "1234.56", "{}", after.body);
    assert_eq!(after.header("service-mode"), "normal");
    assert_eq!(after.header("cache-control"), "no-store");
    assert_ne!(after.header("data-position"), before.header("data-position"));
    assert_ne!(after.header("etag"), before.header("etag"));
    let age: i64 = after.header("data-age").parse().unwrap_or_else(|err| panic!("{:?}: {err}", after.headers));
    assert!((0..60).contains(&age), "{age}");
    let as_of = after.header("data-as-of").parse::<jiff::Timestamp>();
    assert!(as_of.is_ok(), "{:?}", after.headers);

    let path = format!("/v1/accounts/{ACCOUNT}/balances");
    let with = [("min-position", after.header("data-position"))];
    let again = http.request(Method::GET, &path, &with, None).await.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!((again.status.as_u16(), &again.body["booked"]), (200, &json!("1234.56")), "{}", again.body);
    let with = [("if-none-match", again.header("etag"))];
    let unchanged = http.request(Method::GET, &path, &with, None).await.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(unchanged.status, 304);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_does_not_exist_and_one_of_somebody_else_are_the_same_404() {
    let world = World::start(Plan::default()).await;
    let mut first = world.locums[0].channel(FIRST_CUSTOMER);
    let own = balances(&mut first, ACCOUNT).await;
    assert_eq!(own.status, 200, "{}", own.body);
    let (foreign, unknown) = (balances(&mut first, OTHER).await, balances(&mut first, "999999999999").await);
    assert_eq!((foreign.status.as_u16(), unknown.status.as_u16()), (404, 404), "{} {}", foreign.body, unknown.body);
    for member in ["code", "title", "detail"] {
        assert_eq!(foreign.body[member], unknown.body[member]);
    }

    let mut nobody = http(world.locums[0].address(), None);
    assert_eq!(balances(&mut nobody, ACCOUNT).await.status, 401);
    let body = json!({"from_account": OTHER, "to_account": ACCOUNT, "amount": "1.00", "currency": "EUR"});
    let key = [("idempotency-key", "foreign")];
    let stolen = first.request(Method::POST, "/v1/transfers", &key, Some(&body)).await;
    let stolen = stolen.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(stolen.status, 404, "{}", stolen.body);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_snapshot_an_account_is_not_loaded_and_never_unknown() {
    let mut world = World::start(Plan { connected: false, ..Plan::default() }).await;
    let mut http = world.locums[0].channel(CHANNEL);
    let early = balances(&mut http, ACCOUNT).await;
    assert_eq!((early.status.as_u16(), &early.body["code"]), (503, &json!("not-loaded")), "{}", early.body);
    assert!(!early.header("retry-after").is_empty(), "{:?}", early.headers);
    let body = json!({"from_account": ACCOUNT, "to_account": OTHER, "amount": "1.00", "currency": "EUR"});
    let key = [("idempotency-key", "early")];
    let write = http.request(Method::POST, "/v1/transfers", &key, Some(&body)).await;
    let write = write.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!((write.status.as_u16(), &write.body["code"]), (503, &json!("not-loaded")), "{}", write.body);

    world.connect().await;
    wait_for("the snapshot is served", PATIENCE, async || {
        let answer = balances(&mut http, ACCOUNT).await;
        match answer.status.as_u16() {
            200 => Ok(()),
            503 => Err(answer.body.to_string()),
            _ => panic!("{} {}", answer.status, answer.body),
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_halts_and_its_rows_are_gone_after_the_rebuild() {
    let mut world = World::start(Plan::default()).await;
    let mut http = world.locums[0].channel(CHANNEL);
    by_hand(
        &world,
        &format!(
            "INSERT INTO postings (account_no, posting_no, leg, amount, ccy, booked_at, value_date, text) \
             VALUES ('{ACCOUNT}', 1, 'C', 5, 'EUR', NOW(6), CURDATE(), 'by hand')"
        ),
    )
    .await;
    transactions(&mut http, 1).await;
    by_hand(&world, "TRUNCATE TABLE postings").await;
    let reason = world.locums[0].halted().await;
    assert!(reason.contains("postings was truncated"), "{reason}");
    assert!(reason.contains("locum source rebuild corebank"), "{reason}");
    transactions(&mut http, 1).await;

    let prefix = format!("{}_again", world.name);
    world.connect_as(&prefix).await;
    world.locums[0].rebuild(&prefix, "postings were truncated").await;
    transactions(&mut http, 0).await;
    by_hand(&world, &format!("UPDATE accounts SET balance = 88.00 WHERE account_no = '{ACCOUNT}'")).await;
    shows(&mut http, ACCOUNT, "88.00").await;
    world.end().await;
}

async fn transactions(http: &mut Http, wanted: usize) {
    let path = format!("/v1/accounts/{ACCOUNT}/transactions");
    wait_for(&format!("{wanted} transactions are served"), PATIENCE, async || {
        let answer = http.get(&path).await?;
        let served = answer.body["transactions"].as_array().map(Vec::len);
        if served == Some(wanted) { Ok(()) } else { Err(format!("{} {}", answer.status, answer.body)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_and_redis_are_killed_and_every_change_is_shown_once_they_are_back() {
    let world = World::start(Plan::default()).await;
    let mut http = world.locums[0].channel(CHANNEL);
    by_hand(&world, &format!("UPDATE accounts SET balance = 5.00 WHERE account_no = '{ACCOUNT}'")).await;
    shows(&mut http, ACCOUNT, "5.00").await;
    world.connector_keeps_its_place().await;

    let (kafka, redis) = (world.stack.kill("kafka").await, world.stack.kill("redis").await);
    by_hand(&world, &format!("UPDATE accounts SET balance = 6.00 WHERE account_no = '{ACCOUNT}'")).await;
    let meanwhile = quality(&mut http, ACCOUNT, "stale").await;
    assert_eq!(meanwhile.body["booked"], "5.00", "served on, and told to be old: {}", meanwhile.body);

    redis.end();
    kafka.end();
    shows(&mut http, ACCOUNT, "6.00").await;
    quality(&mut http, ACCOUNT, "ok").await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_topic_marks_its_account_and_stops_nobody_else() {
    let mut world = World::start(Plan::default()).await;
    let mut http = world.locums[0].channel(CHANNEL);
    let topic = format!("{}.{}.accounts", world.name, world.core.database().name());
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", world.stack.address("KAFKA_BOOTSTRAP"))
        .create()
        .unwrap_or_else(|err| panic!("{err}"));
    let key = json!({"account_no": ACCOUNT}).to_string();
    let record = FutureRecord::to(&topic).key(&key).payload("{\"before\": garbage");
    let sent = producer.send(record, Duration::from_secs(10)).await;
    sent.unwrap_or_else(|(err, _)| panic!("{topic}: {err}"));

    quality(&mut http, ACCOUNT, "degraded").await;
    by_hand(&world, &format!("UPDATE accounts SET balance = 77.00 WHERE account_no = '{OTHER}'")).await;
    shows(&mut http, OTHER, "77.00").await;
    quality(&mut http, OTHER, "ok").await;
    let told = world.operate(0, Method::GET, "/admin/v1/parked-events", None).await;
    let parked = &told["parked_events"][0];
    assert_eq!((parked["topic"].as_str(), told["parked_events"][1].is_null()), (Some(&*topic), true), "{told}");
    assert!(parked["touches"].to_string().contains(ACCOUNT) && parked["reason"].is_string(), "{told}");

    let record = FutureRecord::<(), _>::to(&topic).payload("nobody knows whose this is");
    let sent = producer.send(record, Duration::from_secs(10)).await;
    sent.unwrap_or_else(|(err, _)| panic!("{topic}: {err}"));
    quality(&mut http, OTHER, "degraded").await;
    let trust = json!({"action": "trust", "reason": "a producer of ours, gone astray"});
    let trusted = world.operate(0, Method::POST, "/admin/v1/sources/corebank/actions", Some(&trust)).await;
    assert_eq!(trusted["changed"], true);
    quality(&mut http, OTHER, "ok").await;
    assert_eq!(balances(&mut http, ACCOUNT).await.header("data-quality"), "degraded", "that one was named");
    let audit = world.operate(0, Method::GET, "/admin/v1/audit", None).await;
    assert_eq!(audit["audit"][0]["action"], "source.trust", "{audit}");

    let locum = &world.locums[0];
    let order = async |arguments: &[&str]| {
        locum.order_of(OPERATOR, arguments).await.unwrap_or_else(|err| panic!("{arguments:?}: {err}"))
    };
    let event = told["parked_events"][0]["event"].as_str().unwrap_or_else(|| panic!("{told}"));
    let shown = order(&["parked-events", "show", "corebank", event]).await;
    assert_eq!(shown["reason"], parked["reason"], "{shown}");
    for mistyped in [["corebank", "--with-reason=no such"], ["corebank", "no.such/0@1"], ["nowhere", "--all"]] {
        let arguments = [&["parked-events", "retry", "--reason=x"], &mistyped[..]].concat();
        let said = locum.order_of(OPERATOR, &arguments).await.expect_err("nothing is parked there");
        assert!(said.contains("404"), "{said}");
    }
    order(&["parked-events", "retry", "corebank", event, "--reason", "tried as it is"]).await;
    wait_for("the event was tried and failed again", PATIENCE, async || {
        let shown = order(&["parked-events", "show", "corebank", event]).await;
        if shown["ordered"] == false { Ok(()) } else { Err(shown) }
    })
    .await;
    assert_eq!(balances(&mut http, ACCOUNT).await.header("data-quality"), "degraded", "garbage stays garbage");
    order(&["parked-events", "discard", "corebank", event, "--reason", "not the core's"]).await;
    quality(&mut http, ACCOUNT, "ok").await;
    what_the_mapping_did_not_know_is_applied_once_it_is_mended(&mut world).await;
    world.end().await;
}

async fn what_the_mapping_did_not_know_is_applied_once_it_is_mended(world: &mut World) {
    for balance in ["55.00", "66.00"] {
        let sql = format!("UPDATE accounts SET status = 'D', balance = {balance} WHERE account_no = '{ACCOUNT}'");
        by_hand(world, &sql).await;
    }
    let reason = wait_for("both changes are parked, the second behind the first", PATIENCE, async || {
        let told = world.operate(0, Method::GET, "/admin/v1/parked-events", None).await;
        let parked = told["parked_events"].as_array().into_iter().flatten();
        let of_it = parked.filter(|event| event["touches"].to_string().contains(ACCOUNT));
        let mut reasons: Vec<_> = of_it.filter_map(|event| event["reason"].as_str()).collect();
        reasons.sort_unstable();
        match reasons[..] {
            [own, "queued behind a parked event of its key"] => Ok(own.to_owned()),
            _ => Err(told),
        }
    })
    .await;
    let doubtful = quality(&mut world.locums[0].channel(CHANNEL), ACCOUNT, "degraded").await;
    assert_ne!(doubtful.body["booked"], "66.00", "{reason}");

    world.change_mapping("C: closed", "C: closed, D: frozen");
    world.drain_and_restart_locum(0).await;
    let retry =
        ["parked-events", "retry", "corebank", "--with-reason", &reason, "--reason", "code D is in the mapping"];
    world.locums[0].command(&retry).await.unwrap_or_else(|said| panic!("{retry:?}: {said}"));
    let healed = quality(&mut world.locums[0].channel(CHANNEL), ACCOUNT, "ok").await;
    assert_eq!(healed.body["booked"], "66.00", "{}", healed.body);
    rest::same_as_the_core(world).await;
}

async fn quality(http: &mut Http, account: &str, wanted: &str) -> HttpAnswer {
    wait_for(&format!("{account} is {wanted}"), PATIENCE, async || {
        let answer = balances(http, account).await;
        let quality = answer.header("data-quality").to_owned();
        if answer.status == 200 && quality == wanted { Ok(answer) } else { Err(format!("{} {quality}", answer.status)) }
    })
    .await
}
