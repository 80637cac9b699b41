//! A core whose acceptance has no word of its own: what is there, a header, and a list of codes tell its answers apart.

use locum_connectors::{CoreConnector, Probe};
use schemas::core::{Outcome, Posting};

use crate::peer::*;

const YAML: &str = include_str!("savings_core.yaml");
const STORED: &str = "X-Served-From-Cache: true";

async fn outcome_of(answer: &str) -> Outcome {
    post_answered(YAML, &transfer(), answer).await.0
}

fn errors(codes: &[&str]) -> String {
    let errors: Vec<_> = codes.iter().map(|code| serde_json::json!({"globalCode": code, "args": []})).collect();
    serde_json::json!({"httpStatusCode": "403", "globalCode": "domain.rule", "errors": errors}).to_string()
}

#[tokio::test]
async fn numbers_that_are_there_accept_whatever_they_are() {
    for (id, body) in [
        ("61", r#"{"savingsId":21,"resourceId":61}"#),
        ("0", r#"{"savingsId":0,"resourceId":0}"#),
        ("x", r#"{"savingsId":"y","resourceId":"x","changes":{}}"#),
    ] {
        let posting = Posting { core_id: Some(id.into()), numbers: Vec::new() };
        assert_eq!(outcome_of(&json(200, body)).await, Outcome::Posted(posting), "{body}");
    }
    for body in [
        r#"{"resourceId":61}"#,
        r#"{"savingsId":21,"resourceId":null}"#,
        r#"{"savingsId":"","resourceId":61}"#,
        r#"{"savingsId":[],"resourceId":61}"#,
        r#"{"savingsId":{},"resourceId":61}"#,
        "{}",
        "[]",
        "null",
    ] {
        let outcome = outcome_of(&json(200, body)).await;
        assert!(is_unknown(&outcome), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_header_tells_a_stored_answer_from_a_new_one() {
    let accepted = json(200, r#"{"savingsId":21,"resourceId":61}"#);
    let stored = outcome_of(&with_header(&accepted, STORED)).await;
    assert_eq!(stored, Outcome::Posted(Posting::default()), "it tells nothing but that this request was posted");
    for unclear in ["X-Served-From-Cache: false", "X-Served-From-Cache:", "X-Served-From-Cache: TRUE"] {
        let outcome = outcome_of(&with_header(&accepted, unclear)).await;
        assert!(is_unknown(&outcome), "{unclear}: {outcome:?}");
    }
    let twice = with_header(&with_header(&accepted, STORED), STORED);
    assert!(is_unknown(&outcome_of(&twice).await), "a header that comes twice says nothing");
}

#[tokio::test]
async fn a_declared_code_refuses_wherever_it_stands_in_the_list() {
    let (funds, frozen) = ("error.msg.account.balance.insufficient", "error.msg.account.blocked");
    for (codes, refused) in [
        (&[funds][..], Some(funds)),
        (&["validation.msg.other", funds], Some(funds)),
        (&[frozen, funds], Some(frozen)),
        (&["validation.msg.other"], None),
        (&[], None),
    ] {
        let outcome = outcome_of(&json(403, &errors(codes))).await;
        match refused {
            Some(code) => assert_eq!(outcome, Outcome::Refused { code: code.into() }, "{codes:?}"),
            None => assert!(is_unknown(&outcome), "{codes:?}: {outcome:?}"),
        }
    }
    for other in [
        json(500, &errors(&[funds])),
        json(403, &format!(r#"{{"globalCode":"{funds}"}}"#)),
        json(403, &format!(r#"{{"errors":{{"globalCode":"{funds}"}}}}"#)),
        json(403, &format!(r#"{{"errors":[["{funds}"]]}}"#)),
        json(403, &format!(r#"{{"errors":"{funds}"}}"#)),
    ] {
        let outcome = outcome_of(&other).await;
        assert!(is_unknown(&outcome), "{other}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_code_may_have_a_text_behind_it() {
    let yaml = YAML
        .replace("exists: /errors, code: /errors/*/globalCode", "code: {at: /message, until: \":\"}")
        .replace("error.msg.account.blocked", "BANK-3001");
    for (message, is_refused) in [
        ("BANK-3001: Account is blocked: for all", true),
        ("BANK-3001 : spaced", true),
        ("BANK-3001", true),
        ("BANK-30011: another", false),
        ("Note: BANK-3001", false),
        (": BANK-3001", false),
        ("", false),
    ] {
        let body = serde_json::json!({"message": message}).to_string();
        let (outcome, _) = post_answered(&yaml, &transfer(), &json(400, &body)).await;
        assert_eq!(outcome == Outcome::Refused { code: "BANK-3001".into() }, is_refused, "{message}: {outcome:?}");
        assert!(is_refused || is_unknown(&outcome), "{message}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_request_still_under_way_there_is_unknown() {
    let (_, received) = post_answered(YAML, &transfer(), &json(425, "{}")).await;
    let request = String::from_utf8(received.body).unwrap();
    assert!(is_unknown(&outcome_of(&json(425, &request)).await), "it answers with the request itself");
}

#[tokio::test]
async fn an_answer_with_two_content_types_is_unknown() {
    let accepted = json(200, r#"{"savingsId":21,"resourceId":61}"#);
    for second in ["Content-Type: text/html", "Content-Type: application/json"] {
        let outcome = outcome_of(&with_header(&accepted, second)).await;
        assert!(is_unknown(&outcome), "{second}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_probe_may_ask_for_what_is_there() {
    for (body, is_up) in [(r#"[{"id":1}]"#, true), ("[]", false), (r#"[{"id":null}]"#, false)] {
        let (listener, url) = Listener::start().await;
        let core = build(config(YAML, &url));
        let answer = json(200, body);
        let (probe, _) = tokio::join!(core.probe(PATIENT), listener.answer(&answer));
        assert_eq!(probe == Probe::Up, is_up, "{body}: {probe:?}");
    }
}
