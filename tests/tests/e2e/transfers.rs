//! One transfer at a time, watched from admission to confirmation.

use std::time::Duration;

use http::Method;
use locum_tests::client::Http;
use locum_tests::history::{End, Transfer};
use locum_tests::wait::wait_for;
use locum_tests::world::{CHANNEL, PATIENCE, Plan, World};
use serde_json::{Value as Json, json};

use crate::rest;

const FROM: &str = "100000000001";
const TO: &str = "100000000002";

fn transfer(amount_minor: i64) -> Transfer {
    let (from, to, currency) = (FROM.to_owned(), TO.to_owned(), "EUR".to_owned());
    Transfer { from, to, amount_minor, currency, remittance: Some("rent".to_owned()) }
}

async fn balances(http: &mut Http, account: &str) -> Json {
    let path = format!("/v1/accounts/{account}/balances");
    http.get(&path).await.unwrap_or_else(|err| panic!("{path}: {err}")).body
}

fn three(body: &Json) -> [&str; 3] {
    ["booked", "pending", "available"].map(|member| body[member].as_str().unwrap_or("missing"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_transfer_is_held_until_its_change_event_and_confirmed_by_it() {
    let world = World::start(Plan::default()).await;
    let mut client = world.client(0);
    let mut http = world.locums[0].channel(CHANNEL);
    world.connector_keeps_its_place().await;
    // Change data stands still meanwhile, so that what is in between can be looked at.
    let silence = world.stack.freeze("connect").await;

    let End::Answered(answer) = client.submit_once("rent-1", &transfer(100_50)).await else { panic!("no answer") };
    assert_eq!((answer.status, answer.text("status")), (201, Some("COMPLETED")), "{}", answer.body);
    assert_eq!(answer.text("accepted_by"), Some("core"), "{}", answer.body);
    assert_eq!(three(&balances(&mut http, FROM).await), ["1000.00", "100.50", "899.50"]);
    assert_eq!(three(&balances(&mut http, TO).await), ["1000.00", "0.00", "1000.00"], "credits wait for their row");
    let id = answer.text("transfer_id").unwrap_or_default().to_owned();
    let entry = world.operate(0, Method::GET, &format!("/admin/v1/entries/{id}"), None).await;
    assert_eq!(entry["state"], "posted", "{entry}");

    silence.end();
    wait_for("the change event releases the hold", PATIENCE, async || {
        let (from, to) = (balances(&mut http, FROM).await, balances(&mut http, TO).await);
        let (from, to) = (three(&from).map(str::to_owned), three(&to).map(str::to_owned));
        let counted_twice = from[0] == "899.50" && from[2] == "799.00";
        let not_counted = from[0] == "1000.00" && from[2] == "1000.00";
        assert!(!counted_twice && !not_counted, "the hold counts exactly until the balance has it: {from:?}");
        let done = from == ["899.50", "0.00", "899.50"] && to == ["1100.50", "0.00", "1100.50"];
        if done { Ok(()) } else { Err(format!("{from:?} {to:?}")) }
    })
    .await;
    rest::all_confirmed(&world).await;
    let entry = world.operate(0, Method::GET, &format!("/admin/v1/entries/{id}"), None).await;
    assert_eq!(entry["state"], "confirmed", "{entry}");
    let End::Answered(shown) = client.look("rent-1", &transfer(100_50)).await else { panic!("no answer") };
    assert_eq!((shown.status, shown.text("status")), (200, Some("COMPLETED")), "{}", shown.body);

    rest::judge(&world, Duration::from_secs(10)).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_core_is_away_a_transfer_is_accepted_declined_repeated_and_cancelled() {
    let mut world = World::start(Plan::default()).await;
    let mut client = world.client(0);
    world.core.kill();

    let End::Answered(first) = client.submit_once("k1", &transfer(600_00)).await else { panic!("no answer") };
    assert_eq!((first.status, first.text("status")), (202, Some("PROCESSING")), "{}", first.body);
    assert_eq!((first.text("accepted_by"), &first.body["cancellable"]), (Some("stand-in"), &json!(true)));
    let End::Answered(again) = client.submit_once("k1", &transfer(600_00)).await else { panic!("no answer") };
    assert_eq!((again.status, again.text("transfer_id")), (202, first.text("transfer_id")), "{}", again.body);
    let End::Answered(too_much) = client.submit_once("k2", &transfer(600_00)).await else { panic!("no answer") };
    assert_eq!((too_much.status, too_much.text("code")), (422, Some("insufficient-funds")), "{}", too_much.body);
    let End::Answered(second) = client.submit_once("k3", &transfer(50_00)).await else { panic!("no answer") };
    assert_eq!(second.status, 202, "{}", second.body);

    let mut http = world.locums[0].channel(CHANNEL);
    assert_eq!(three(&balances(&mut http, FROM).await), ["1000.00", "650.00", "350.00"]);
    let path = format!("/v1/transfers/{}/cancellation", second.text("transfer_id").unwrap_or_default());
    let cancelled = http.request(Method::POST, &path, &[], None).await.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(
        (cancelled.status.as_u16(), &cancelled.body["status"]),
        (200, &json!("CANCELLED")),
        "{}",
        cancelled.body
    );
    assert_eq!(three(&balances(&mut http, FROM).await), ["1000.00", "600.00", "400.00"]);
    let body = json!({"from_account": FROM, "to_account": TO, "amount": "601.00", "currency": "EUR"});
    let reused = http.request(Method::POST, "/v1/transfers", &[("idempotency-key", "k1")], Some(&body)).await;
    let reused = reused.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!((reused.status.as_u16(), &reused.body["code"]), (422, &json!("idempotency-key-reused")));
    assert_eq!(reused.body["safe_to_use_new_key"], json!(false), "{}", reused.body);
    assert_eq!(reused.body["transfer_id"].as_str(), first.text("transfer_id"), "{}", reused.body);

    world.core.restart().await;
    rest::all_confirmed(&world).await;
    rest::judge(&world, PATIENCE).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_a_write_makes_a_read_of_another_instance_include_it() {
    let mut world = World::start(Plan { locums: 2, ..Plan::default() }).await;
    world.core.kill();
    let mut writer = world.locums[0].channel(CHANNEL);
    let headers = [("idempotency-key", "positioned")];
    let body = transfer(10_00).body();
    // An answer does not wait long for its position; the same key is answered the same again.
    let position = wait_for("an answer with a position", PATIENCE, async || {
        let answer = writer.request(Method::POST, "/v1/transfers", &headers, Some(&body)).await?;
        let position = answer.header("data-position").to_owned();
        if answer.status == 202 && !position.is_empty() { Ok(position) } else { Err(format!("{answer:?}")) }
    })
    .await;

    let mut reader = world.locums[1].channel(CHANNEL);
    let path = format!("/v1/accounts/{FROM}/balances");
    let read = reader.request(Method::GET, &path, &[("min-position", position.as_str())], None).await;
    let read = read.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(three(&read.body), ["1000.00", "10.00", "990.00"], "{read:?}");

    world.core.restart().await;
    rest::all_confirmed(&world).await;
    world.end().await;
}
