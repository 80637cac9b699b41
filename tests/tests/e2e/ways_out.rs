//! Where no machine can end something, people do, with the commands of the runbook.

use http::Method;
use locum_tests::bank::Class;
use locum_tests::history::{End, Transfer};
use locum_tests::wait::wait_for;
use locum_tests::world::{CHANNEL, Locum, OPERATOR, PATIENCE, Plan, SECOND_OPERATOR, World};
use serde_json::{Value as Json, json};

use crate::rest;

const FROM: &str = "100000000001";
const TO: &str = "100000000002";

fn transfer() -> Transfer {
    let (from, to, currency) = (FROM.to_owned(), TO.to_owned(), "EUR".to_owned());
    Transfer { from, to, amount_minor: 100_00, currency, remittance: Some("rent".to_owned()) }
}

/// What a command of an operator answers.
async fn done(locum: &Locum, operator: &str, arguments: &[&str]) -> Json {
    locum.order_of(operator, arguments).await.unwrap_or_else(|err| panic!("locum {arguments:?}: {err}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_branch_keyed_by_hand_is_linked_by_two_people_and_never_posted_again() {
    let world = World::start(Plan { four_eyes: &["link"], ..Plan::default() }).await;
    let locum = &world.locums[0];
    world.core.fault(json!({"kind": "refuse"})).await;
    let answer = match world.client(0).submit_once("keyed-by-hand", &transfer()).await {
        End::Answered(answer) if answer.status == 202 => answer,
        end => panic!("{end:?}"),
    };
    let id = answer.text("transfer_id").unwrap_or_else(|| panic!("{}", answer.body));

    let slip = json!({
        "reference": "SLIP-4711", "debit_account": FROM, "credit_account": TO, "amount": "100.00", "currency": "EUR",
        "text": "rent, keyed by hand",
    });
    world.core.order(Method::POST, "/branch-posting", Some(&slip)).await;
    let postings = [posting(locum, FROM).await, posting(locum, TO).await];
    let link = ["queue", "link", id, "--posting", &postings[0], "--posting", &postings[1], "--reason", "slip 4711"];
    let asked = done(locum, OPERATOR, &link).await;
    let approval = asked["id"].as_str().unwrap_or_else(|| panic!("{asked}"));
    assert_eq!(
        done(locum, OPERATOR, &["queue", "show", id]).await["state"],
        "queued",
        "nothing is done before the second person"
    );
    let listed = done(locum, SECOND_OPERATOR, &["approvals", "list"]).await;
    assert_eq!(listed["approvals"][0]["id"], approval, "{listed}");
    let approve = ["approvals", "approve", approval, "--reason", "saw the slip"];
    let alone = locum.order_of(OPERATOR, &approve).await.expect_err("one person");
    assert!(alone.contains("second person"), "{alone}");
    done(locum, SECOND_OPERATOR, &approve).await;
    let linked = done(locum, OPERATOR, &["queue", "show", id]).await;
    assert_eq!(linked["state"], "confirmed", "the change data show both rows: {linked}");

    world.core.heal().await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    let books = world.core.books().await;
    let references: Vec<_> = books.postings.iter().map(|posting| posting.core_ref.as_deref()).collect();
    assert_eq!(references, [Some("SLIP-4711"); 2], "posted once, by hand");
    let shown = locum.channel(CHANNEL).get(&format!("/v1/transfers/{id}")).await.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(shown.body["status"], "COMPLETED", "{}", shown.body);
    let audit = world.operate(0, Method::GET, "/admin/v1/audit", None).await.to_string();
    assert!(
        [OPERATOR, SECOND_OPERATOR, "slip 4711", "saw the slip"].iter().all(|word| audit.contains(word)),
        "{audit}"
    );
    world.end().await;
}

/// The number of an account's one transaction.
async fn posting(locum: &Locum, account: &str) -> String {
    let mut http = locum.channel(CHANNEL);
    wait_for(&format!("the posting of {account} is served"), PATIENCE, async || {
        let answer = http.get(&format!("/v1/accounts/{account}/transactions")).await?;
        let id = answer.body["transactions"][0]["transaction_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| answer.body.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_lost_with_its_disk_is_declared_gone_and_what_it_left_open_is_found_out() {
    // A core that can only be asked: absence needs the end of every attempt, and nobody but a person knows of that one.
    let mut world = World::start(Plan { class: Class::Enquiry, locums: 2, ..Plan::default() }).await;
    world.core.fault(json!({"kind": "hang", "scope": "postings"})).await;
    let mut client = world.client(0);
    let sending = tokio::spawn(async move { client.submit("lost", &transfer(), PATIENCE).await });
    wait_for("the core has the request", PATIENCE, async || match world.core.hits().await {
        0 => Err("no request"),
        _ => Ok(()),
    })
    .await;
    let lost = world.recorder.now();
    world.locums[0].kill();
    world.locums[0].lose_state();
    world.core.heal().await;
    let answer = sending.await.unwrap_or_else(|err| panic!("{err}")).unwrap_or_else(|| panic!("no answer"));
    assert_eq!((answer.status, answer.text("status")), (202, Some("PROCESSING")), "{}", answer.body);
    let id = answer.text("transfer_id").unwrap_or_else(|| panic!("{}", answer.body)).to_owned();

    let survivor = &world.locums[1];
    let instances = done(survivor, OPERATOR, &["instance", "list"]).await;
    let open = |instance: &&Json| instance["open_attempts"].as_i64() > Some(0);
    let instance = instances["instances"].as_array().and_then(|all| all.iter().find(open));
    let instance = instance.and_then(|it| it["id"].as_str()).unwrap_or_else(|| panic!("{instances}"));
    let declare = ["instance", "declare-gone", instance, "--fenced", "process-dead", "--proof", "killed by this test"];
    let declare = [&declare[..], &["--reason", "its disk is lost"]].concat();
    let early = survivor.order_of(OPERATOR, &declare).await.expect_err("nobody has watched it yet");
    assert!(early.contains("sign of life"), "{early}");
    let left = wait_for("its silence was watched for long enough", PATIENCE, async || {
        survivor.order_of(OPERATOR, &declare).await
    })
    .await;
    assert_eq!(left["attempts_ended_of"], json!([id]), "{left}");

    world.start_locum(0).await;
    world.recorder.was_away(0, lost);
    rest::judge(&world, PATIENCE).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}
