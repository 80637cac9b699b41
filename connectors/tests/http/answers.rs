//! What an answer means: the declared rules of core-sim, and everything that is not declared.

use std::sync::{Arc, Mutex};

use locum_connectors::http::CORE_SIM;
use locum_connectors::{CoreConnector, Heard, LegsMatch, Probe, legs_match};
use schemas::core::{CoreLeg, Enquiry, Outcome, Posting, Unsent};

use crate::peer::*;

fn posting() -> Posting {
    Posting { core_id: Some("P-7".into()), numbers: vec![("A-1".into(), 41), ("B-2".into(), 12)] }
}

async fn outcome_of(answer: &str) -> Outcome {
    post_answered(CORE_SIM, &transfer(), answer).await.0
}

async fn enquiry_of(answer: &str) -> Enquiry {
    enquiry_answered(CORE_SIM, "LOC1", answer).await.0
}

#[tokio::test]
async fn a_declared_acceptance_is_posted_with_its_numbers() {
    for status in [200, 201] {
        assert_eq!(outcome_of(&json(status, BOOKED)).await, Outcome::Posted(posting()));
    }
}

#[tokio::test]
async fn each_declared_code_is_a_refusal_with_our_reason() {
    let core = core_sim("http://127.0.0.1:1");
    for (code, reason) in [
        ("INSUFFICIENT_FUNDS", "insufficient-funds"),
        ("ACCOUNT_FROZEN", "account-frozen"),
        ("ACCOUNT_CLOSED", "account-closed"),
        ("UNKNOWN_ACCOUNT", "payee-not-available"),
        ("CURRENCY_MISMATCH", "currency-mismatch"),
        ("INVALID_AMOUNT", "invalid-amount"),
    ] {
        let outcome = outcome_of(&json(422, &format!(r#"{{"code":"{code}"}}"#))).await;
        assert_eq!(outcome, Outcome::Refused { code: code.into() });
        assert_eq!(core.refusal_reason("transfer", code), Some(reason));
    }
    assert_eq!(core.refusal_reason("transfer", "NO_IDEA"), None);
    assert_eq!(core.refusal_reason("freeze", "ACCOUNT_FROZEN"), None);
}

#[tokio::test]
async fn a_known_reference_is_a_duplicate() {
    assert_eq!(outcome_of(&json(409, r#"{"code":"DUPLICATE_REFERENCE"}"#)).await, Outcome::Duplicate);
}

#[tokio::test]
async fn an_acceptance_of_other_legs_is_to_be_looked_up_like_a_duplicate() {
    for other in [BOOKED.replace("10.50", "10.51"), BOOKED.replace("B-2", "C-3"), BOOKED.replace("\"D\"", "\"C\"")] {
        assert_eq!(outcome_of(&json(200, &other)).await, Outcome::Duplicate);
    }
}

#[tokio::test]
async fn a_core_that_declares_it_did_nothing_is_not_sent_and_is_not_away() {
    let outcome = outcome_of(&json(503, r#"{"code":"READ_ONLY"}"#)).await;
    assert!(matches!(outcome, Outcome::NotSent { why: Unsent::NotDone, .. }), "{outcome:?}");
}

/// The simulated core as one that repeats the reference in each answer and cannot be asked.
fn echoing(echo: &str) -> String {
    CORE_SIM.replace("      posting:\n", &format!("      echo: {echo}\n      posting:\n"))
}

#[tokio::test]
async fn where_the_core_repeats_the_reference_an_answer_to_another_request_is_unknown() {
    let answers = [
        (201, BOOKED.to_owned()),
        (422, r#"{"reference":"LOC1","code":"ACCOUNT_CLOSED"}"#.to_owned()),
        (409, r#"{"reference":"LOC1","code":"DUPLICATE_REFERENCE"}"#.to_owned()),
        (503, r#"{"reference":"LOC1","code":"READ_ONLY"}"#.to_owned()),
    ];
    for (status, body) in answers {
        let yaml = echoing("{body: /reference}");
        let (ours, _) = post_answered(&yaml, &transfer(), &json(status, &body)).await;
        assert!(!is_unknown(&ours), "{status}: {ours:?}");
        for another in [body.replace("LOC1", "LOC2"), body.replace("reference", "other")] {
            let (outcome, _) = post_answered(&yaml, &transfer(), &json(status, &another)).await;
            assert!(is_unknown(&outcome), "{another}: {outcome:?}");
        }
        let yaml = echoing("{header: X-Reference}");
        let with = |reference: &str| {
            json(status, &body).replace("Content-Length", &format!("X-Reference: {reference}\r\nContent-Length"))
        };
        let (ours, _) = post_answered(&yaml, &transfer(), &with("LOC1")).await;
        assert!(!is_unknown(&ours), "{status}: {ours:?}");
        for answer in [with("LOC2"), json(status, &body)] {
            let (outcome, _) = post_answered(&yaml, &transfer(), &answer).await;
            assert!(is_unknown(&outcome), "{answer}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn where_the_core_repeats_the_reference_nothing_found_of_another_reference_is_not_understood() {
    let yaml = CORE_SIM.replace("      not-found:", "      echo: {body: /reference}\n      not-found:");
    let (found, _) = enquiry_answered(&yaml, "LOC1", &json(404, r#"{"code":"NOT_FOUND","reference":"LOC1"}"#)).await;
    assert_eq!(found, Enquiry::NotFound);
    for body in [r#"{"code":"NOT_FOUND","reference":"LOC2"}"#, r#"{"code":"NOT_FOUND"}"#] {
        let (found, _) = enquiry_answered(&yaml, "LOC1", &json(404, body)).await;
        assert!(matches!(found, Enquiry::NotUnderstood { .. }), "{body}: {found:?}");
    }
}

#[tokio::test]
async fn a_core_that_cannot_be_asked_may_declare_that_duplicate_means_posted() {
    let yaml =
        without_enquiry(&CORE_SIM.replace("      duplicate:", "      duplicate-means: posted\n      duplicate:"));
    let (outcome, _) = post_answered(&yaml, &transfer(), &json(409, r#"{"code":"DUPLICATE_REFERENCE"}"#)).await;
    assert_eq!(outcome, Outcome::Posted(Posting::default()));
}

#[tokio::test]
async fn what_is_not_declared_is_unknown() {
    let html = "<html>Service page</html>";
    let refused = r#"{"code":"INSUFFICIENT_FUNDS"}"#;
    let deep = format!(r#"{{"status":"BOOKED","x":{}1{}}}"#, "[".repeat(20), "]".repeat(20));
    let oversized = format!(r#"{{"status":"BOOKED","x":"{}"}}"#, "x".repeat(70_000));
    for (what, answer) in [
        ("a page with 200", response(200, "text/html", html)),
        ("a page that says JSON", json(200, html)),
        ("an acceptance that does not say JSON", response(201, "text/plain", BOOKED)),
        ("JSON of another shape", json(200, r#"{"ok":true}"#)),
        ("an acceptance without numbers", json(201, r#"{"status":"BOOKED","reference":"LOC1","posting_id":"P"}"#)),
        ("an acceptance of another reference", json(201, &BOOKED.replace("LOC1", "LOC2"))),
        ("an amount that is none", json(201, &BOOKED.replace("\"10.50\"", "1e1"))),
        ("an acceptance with a status of failure", json(500, BOOKED)),
        ("202", json(202, BOOKED)),
        ("204", "HTTP/1.1 204 X\r\n\r\n".to_owned()),
        ("a proxy's 404", response(404, "text/html", html)),
        ("a 404 in JSON", json(404, r#"{"code":"NOT_FOUND"}"#)),
        ("500", json(500, r#"{"code":"INTERNAL"}"#)),
        ("a proxy's 502", response(502, "text/html", html)),
        ("another 503", json(503, r#"{"code":"OVERLOADED"}"#)),
        ("a refusal code that is not declared", json(422, r#"{"code":"BAD_MOOD"}"#)),
        ("a refusal with another status", json(400, refused)),
        ("a refusal in a page", response(422, "text/html", refused)),
        ("a duplicate key", json(201, &BOOKED.replace("{\"posting", "{\"status\":\"REFUSED\",\"posting"))),
        ("a document and more", json(201, &format!("{BOOKED}{{}}"))),
        ("too deep", json(201, &deep)),
        ("oversized", json(201, &oversized)),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
    ] {
        let outcome = outcome_of(&answer).await;
        assert!(is_unknown(&outcome), "{what}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_that_fits_two_kinds_is_unknown() {
    let yaml = CORE_SIM.replace("[{status: [422], code: /code}]", "[{status: [422, 201], code: /code}]");
    let both = BOOKED.replace("{\"posting", "{\"code\":\"ACCOUNT_CLOSED\",\"posting");
    let (outcome, _) = post_answered(&yaml, &transfer(), &json(201, &both)).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn no_reason_shows_what_an_answer_held() {
    for answer in [json(500, r#"{"name":"CANARY"}"#), response(200, "text/html", "CANARY"), json(200, "CANARY")] {
        let shown = format!("{:?}", outcome_of(&answer).await);
        assert!(!shown.contains("CANARY"), "{shown}");
    }
}

#[tokio::test]
async fn the_request_is_what_the_contract_says_whatever_its_texts_hold() {
    let hostile = "a\"},{\"amount\":\"9\\ \u{1F600}\r\n{currency}";
    let (_, received) = post_answered(CORE_SIM, &transfer_with("LOC1", hostile), &json(201, BOOKED)).await;
    assert!(received.head.starts_with("POST /api/postings HTTP/1.1\r\n"), "{}", received.head);
    let expected = serde_json::json!({
        "reference": "LOC1", "debit_account": "A-1", "credit_account": "B-2", "amount": "10.50", "currency": "EUR",
        "text": hostile, "accepted_at": "2026-03-01T10:20:30.5Z", "value_date": "2026-03-02",
    });
    assert_eq!(received.json(), expected);
}

#[tokio::test]
async fn a_request_that_does_not_fit_its_form_is_not_sent_and_can_be_found_out_before() {
    let core = core_sim("http://127.0.0.1:1");
    let mut request = transfer();
    assert_eq!(core.check(&request), Ok(()));
    request.fields.retain(|(name, _)| name != "remittance");
    assert_eq!(core.check(&request), Ok(()));
    request.fields.retain(|(name, _)| name != "to_account");
    assert_eq!(core.check(&request), Err("field to_account is missing or of another kind".into()));
    assert!(is_not_sent(&core.post(&request, PATIENT).await));
    request.operation = "levitate".into();
    assert!(!core.offers("levitate") && core.check(&request).is_err());
}

#[tokio::test]
async fn an_enquiry_finds_a_posting_with_legs_to_compare() {
    let (found, received) = enquiry_answered(CORE_SIM, "LOC1", &json(200, BOOKED)).await;
    assert!(received.head.starts_with("GET /api/postings/LOC1 HTTP/1.1\r\n"), "{}", received.head);
    let legs = vec![
        CoreLeg { account: "A-1".into(), amount_minor: -1050 },
        CoreLeg { account: "B-2".into(), amount_minor: 1050 },
    ];
    assert_eq!(found, Enquiry::Posted { posting: posting(), legs });
    assert_eq!(legs_match(&transfer(), &found), LegsMatch::Same);
    let other = enquiry_of(&json(200, &BOOKED.replace("10.50", "99.00"))).await;
    assert_eq!(legs_match(&transfer(), &other), LegsMatch::Other);
}

#[tokio::test]
async fn an_enquiry_finds_a_kept_refusal_or_nothing() {
    let refused = enquiry_of(&json(200, r#"{"status":"REFUSED","code":"ACCOUNT_CLOSED"}"#)).await;
    assert_eq!(refused, Enquiry::Refused { code: "ACCOUNT_CLOSED".into() });
    assert_eq!(enquiry_of(&json(404, r#"{"code":"NOT_FOUND"}"#)).await, Enquiry::NotFound);
}

#[tokio::test]
async fn an_empty_list_may_say_that_there_is_nothing() {
    let yaml = CORE_SIM
        .replace("found: [{status: [200], when: {/status: BOOKED}}]", "found: [{status: [200], exists: /items/0}]")
        .replace(
            "not-found: [{status: [404], when: {/code: NOT_FOUND}}]",
            "not-found: [{status: [200], empty: /items}]",
        );
    for nothing in [r#"{"items":[]}"#, r#"{"items":null}"#] {
        assert_eq!(enquiry_answered(&yaml, "LOC1", &json(200, nothing)).await.0, Enquiry::NotFound, "{nothing}");
    }
    for unclear in [r#"{}"#, r#"{"items":0}"#, r#"{"items":[null]}"#, r#"{"items":false}"#, "[]"] {
        let (found, _) = enquiry_answered(&yaml, "LOC1", &json(200, unclear)).await;
        assert!(matches!(found, Enquiry::NotUnderstood { .. }), "{unclear}: {found:?}");
    }
}

#[tokio::test]
async fn only_a_declared_not_found_says_that_there_is_nothing() {
    for answer in [
        response(404, "text/html", "<html>404</html>"),
        json(404, r#"{"error":"no route"}"#),
        response(404, "text/plain", r#"{"code":"NOT_FOUND"}"#),
        json(200, r#"{"code":"NOT_FOUND"}"#),
        json(200, r#"{"status":"REFUSED","code":"BAD_MOOD"}"#),
        json(200, r#"{"status":"PENDING"}"#),
        json(200, &BOOKED.replace("LOC1", "LOC2")),
        json(503, r#"{"code":"READ_ONLY"}"#),
    ] {
        let found = enquiry_of(&answer).await;
        assert!(matches!(found, Enquiry::NotUnderstood { .. }), "{answer}: {found:?}");
    }
}

#[tokio::test]
async fn a_reference_stays_one_segment_of_the_path() {
    let (_, received) = enquiry_answered(CORE_SIM, "a/../b?c#d é%", &json(404, "{}")).await;
    assert!(received.head.starts_with("GET /api/postings/a%2F..%2Fb%3Fc%23d%20%C3%A9%25 HTTP"), "{}", received.head);
    for nothing in ["", ".", ".."] {
        let found = core_sim("http://127.0.0.1:1").enquire("transfer", nothing, PATIENT).await;
        assert!(matches!(&found, Enquiry::NotUnderstood { reason } if reason.contains("path")), "{found:?}");
    }
}

#[tokio::test]
async fn a_probe_tells_up_from_read_only_from_down() {
    for (answer, expected) in [
        (json(200, r#"{"status":"UP"}"#), Some(Probe::Up)),
        (json(200, r#"{"status":"READ_ONLY"}"#), Some(Probe::ReadOnly)),
        (json(200, r#"{"status":"DIZZY"}"#), None),
        (json(503, r#"{"status":"UP"}"#), None),
        (response(200, "text/html", "UP"), None),
    ] {
        let (listener, url) = Listener::start().await;
        let core = core_sim(&url);
        let (probe, (received, _peer)) = tokio::join!(core.probe(PATIENT), listener.answer(&answer));
        assert!(received.head.starts_with("GET /health HTTP/1.1\r\n"));
        match expected {
            Some(expected) => assert_eq!(probe, expected),
            None => assert!(matches!(probe, Probe::Down { .. }), "{answer}: {probe:?}"),
        }
    }
}

/// What a listener hears of the answer to [`transfer`].
async fn heard_of(yaml: &str, answer: &str) -> Heard {
    let (listener, url) = Listener::start().await;
    let all: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let told = Arc::clone(&all);
    let core = build(config(yaml, &url)).heard_by(Arc::new(move |heard| told.lock().unwrap().push(heard)));
    let (_, _) = tokio::join!(core.post(&transfer(), PATIENT), listener.answer(answer));
    let heard = all.lock().unwrap().pop();
    heard.expect("an answer was heard")
}

#[tokio::test]
async fn a_listener_hears_which_rule_fits() {
    let heard = heard_of(CORE_SIM, &json(201, BOOKED)).await;
    assert_eq!(
        (heard.fits.as_slice(), heard.what.as_str()),
        (&["post.accepted[0]".to_owned()][..], "status 201, application/json; charset=utf-8")
    );
    assert!(heard.places.contains(&("/status".to_owned(), "\"BOOKED\"".to_owned())), "{heard:?}");
    let refused = heard_of(CORE_SIM, &json(422, r#"{"code":"ACCOUNT_FROZEN"}"#)).await;
    assert_eq!(refused.fits, ["post.refused[0]"]);
}

#[tokio::test]
async fn a_listener_hears_what_keeps_the_nearest_rules_from_fitting() {
    let heard = heard_of(CORE_SIM, &json(422, r#"{"code":"LIMIT","token":"abc"}"#)).await;
    assert!(heard.fits.is_empty());
    let (rule, misses) = &heard.misses[0];
    assert_eq!(rule, "post.refused[0]");
    assert!(misses[0].contains("\"LIMIT\"") && misses[0].contains("`refusals`"), "{misses:?}");
    assert!(!format!("{heard:?}").contains("abc"), "{heard:?}");
    let queued = heard_of(CORE_SIM, &json(201, r#"{"status":"QUEUED"}"#)).await;
    assert_eq!(
        queued.misses[0],
        ("post.accepted[0]".to_owned(), vec!["/status is \"QUEUED\", not \"BOOKED\"".to_owned()])
    );
    let page = heard_of(CORE_SIM, &response(502, "text/html", "<html>")).await;
    assert!(page.what.contains("502") && page.what.contains("text/html") && page.places.is_empty(), "{page:?}");
}
