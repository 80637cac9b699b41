//! What each class promises about references, and the core's named refusals.

use serde_json::{Value as Json, json};

use crate::support::{Core, call, on_every_engine, transfer, transfer_but, wait_for};

fn code(answer: &(u16, String)) -> (u16, String) {
    let body: Json = serde_json::from_str(&answer.1).unwrap();
    (answer.0, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_posting_answers_with_both_legs_and_moves_the_money() {
    on_every_engine(
        async |core: Core| {
            let (status, body) = core.post(&transfer("R1")).await.unwrap();
            let body: Json = serde_json::from_str(&body).unwrap();
            let legs = json!([
                {"account": "100000000001", "number": 1, "direction": "D", "amount": "10.50"},
                {"account": "100000000002", "number": 1, "direction": "C", "amount": "10.50"},
            ]);
            assert_eq!((status, &body["legs"]), (201, &legs));
            let (_, account) = core.get(&core.bank, "/api/accounts/100000000001").await;
            assert_eq!((&account["balance"], &account["last_posting"]), (&json!("989.50"), &json!(1)));
            let posting = core.ledger().await["postings"][0].clone();
            assert_eq!((&posting["value_date"], &posting["text"]), (&json!("2026-01-02"), &json!("rent")));
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn an_idempotent_core_answers_a_known_reference_with_the_first_outcome() {
    on_every_engine(
        async |core: Core| {
            let first = core.post(&transfer("R1")).await.unwrap();
            let again = core.post(&transfer("R1")).await.unwrap();
            assert_eq!((again.0, &again.1), (200, &first.1));
            let other = core.post(&transfer_but("R1", "amount", "10.51")).await.unwrap();
            assert_eq!(code(&other), (409, "DUPLICATE_REFERENCE".to_owned()));
            let refused = core.post(&transfer_but("R2", "amount", "5000.00")).await.unwrap();
            assert_eq!(code(&refused), (422, "INSUFFICIENT_FUNDS".to_owned()));
            call(&core.control, "POST", "/branch-posting", &transfer_back("4500.00")).await.unwrap();
            assert_eq!(core.post(&transfer_but("R2", "amount", "5000.00")).await.unwrap(), refused);
            assert_eq!(core.times_posted("R1").await, 1);
        },
        &[],
    )
    .await;
}

fn transfer_back(amount: &str) -> String {
    let mut body = transfer_but("", "amount", amount);
    body["debit_account"] = json!("100000000002");
    body["credit_account"] = json!("100000000001");
    body.as_object_mut().unwrap().remove("reference");
    body.to_string()
}

#[tokio::test]
async fn equal_requests_at_the_same_time_post_once() {
    on_every_engine(
        async |core: Core| {
            let answers = futures_util::future::join_all((0..8).map(|_| core.post(&TRANSFER))).await;
            let mut statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().0).collect();
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
            assert_eq!(core.times_posted("R1").await, 1);
        },
        &[],
    )
    .await;
}

static TRANSFER: std::sync::LazyLock<Json> = std::sync::LazyLock::new(|| transfer("R1"));

#[tokio::test]
async fn a_forgotten_reference_posts_again() {
    on_every_engine(
        async |core: Core| {
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
            call(&core.control, "POST", "/forget", "").await.unwrap();
            assert_eq!(core.enquire("R1").await.0, 200, "enquiries remember");
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 200);
            assert_eq!(core.times_posted("R1").await, 2);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn the_memory_ends_after_the_configured_seconds() {
    on_every_engine(
        async |core: Core| {
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
            let posted_again = async || (core.post(&TRANSFER).await.unwrap().0 == 201).then_some(());
            wait_for("the end of the memory", posted_again).await;
        },
        &["--reference-memory-s", "1"],
    )
    .await;
}

#[tokio::test]
async fn an_enquiry_core_posts_twice_and_tells_of_postings_and_refusals() {
    on_every_engine(
        async |core: Core| {
            assert_eq!(core.enquire("R1").await.0, 404);
            let (_, first) = core.post(&transfer("R1")).await.unwrap();
            let first: Json = serde_json::from_str(&first).unwrap();
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
            core.post(&transfer_but("R1", "amount", "9999.00")).await.unwrap();
            let (status, told) = core.enquire("R1").await;
            assert_eq!((status, &told["status"], &told["times_posted"]), (200, &json!("BOOKED"), &json!(2)));
            assert_eq!((&told["legs"], &told["posting_id"]), (&first["legs"], &first["posting_id"]));
            core.post(&transfer_but("R2", "amount", "9999.00")).await.unwrap();
            let (status, told) = core.enquire("R2").await;
            assert_eq!(
                (status, &told["status"], &told["code"]),
                (200, &json!("REFUSED"), &json!("INSUFFICIENT_FUNDS"))
            );
        },
        &["--class", "enquiry"],
    )
    .await;
}

#[tokio::test]
async fn a_core_of_class_neither_posts_twice_and_answers_no_enquiry() {
    on_every_engine(
        async |core: Core| {
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
            assert_eq!(core.times_posted("R1").await, 2);
            assert_eq!(core.enquire("R1").await.0, 501);
        },
        &["--class", "neither"],
    )
    .await;
}

#[tokio::test]
async fn the_enquiry_of_an_idempotent_core_can_be_switched_off() {
    on_every_engine(async |core: Core| assert_eq!(core.enquire("R1").await.0, 501), &["--enquiry", "false"]).await;
}

#[tokio::test]
async fn each_refusal_has_its_name_and_posts_nothing() {
    on_every_engine(
        async |core: Core| {
            for (path, account) in [("freeze", "100000000003"), ("close", "100000000004")] {
                let (status, body) = call(&core.control, "POST", &format!("/{path}/{account}"), "").await.unwrap();
                assert_eq!(status, 200, "{body}");
            }
            for (index, (field, value, expected)) in [
                ("amount", "1000.01", "INSUFFICIENT_FUNDS"),
                ("debit_account", "100000000003", "ACCOUNT_FROZEN"),
                ("credit_account", "100000000004", "ACCOUNT_CLOSED"),
                ("credit_account", "100000000099", "UNKNOWN_ACCOUNT"),
                ("currency", "USD", "CURRENCY_MISMATCH"),
                ("amount", "0.00", "INVALID_AMOUNT"),
                ("amount", "-1.00", "INVALID_AMOUNT"),
                ("amount", "1.005", "INVALID_AMOUNT"),
            ]
            .into_iter()
            .enumerate()
            {
                let answer = core.post(&transfer_but(&format!("R{index}"), field, value)).await.unwrap();
                assert_eq!(code(&answer), (422, expected.to_owned()), "{field} {value}");
            }
            assert_eq!(core.ledger().await["postings"], json!([]));
            call(&core.control, "POST", "/unfreeze/100000000003", "").await.unwrap();
            let thawed = transfer_but("R9", "debit_account", "100000000003");
            assert_eq!(core.post(&thawed).await.unwrap().0, 201);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_request_is_malformed() {
    on_every_engine(
        async |core: Core| {
            let long = "x".repeat(36);
            let mut bodies = vec!["{".to_owned(), "[]".to_owned(), transfer_back("1.00")];
            for (field, value) in
                [("reference", ""), ("reference", &long), ("amount", "1e3"), ("currency", "eur"), ("surprise", "x")]
            {
                bodies.push(transfer_but("R1", field, value).to_string());
            }
            bodies.push(transfer_but("R1", "credit_account", "100000000001").to_string());
            for body in bodies {
                let answer = call(&core.bank, "POST", "/api/postings", &body).await.unwrap();
                assert_eq!(code(&answer), (400, "MALFORMED".to_owned()), "{body}");
            }
            assert_eq!(core.enquire("R1").await.0, 404);
        },
        &[],
    )
    .await;
}
