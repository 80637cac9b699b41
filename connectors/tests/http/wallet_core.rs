//! A ledger that counts in integers with a precision beside them, and what else a request may hold.

use locum_connectors::{Field, LegsMatch, PostRequest, legs_match};
use schemas::core::{Enquiry, Outcome, Posting};
use schemas::money::Currency;

use crate::peer::*;

const YAML: &str = include_str!("wallet_core.yaml");
const APPLIED: &str = r#"{"transaction_id":"txn_7","status":"APPLIED","reference":"LOC1","precise_amount":1050,
    "amount":10.5,"precision":100,"currency":"EUR","source":"A-1","destination":"B-2","meta_data":{}}"#;

fn in_currency(minor: i64, code: &str) -> PostRequest {
    let mut request = transfer();
    request.fields.retain(|(name, _)| name != "amount");
    request.fields.push(("amount".into(), Field::Money { minor, currency: Currency::parse(code).unwrap() }));
    request
}

#[tokio::test]
async fn its_answers_are_told_apart() {
    let outcome_of = async |answer: &str| post_answered(YAML, &transfer(), answer).await.0;
    let posting = Posting { core_id: Some("txn_7".into()), numbers: Vec::new() };
    assert_eq!(outcome_of(&json(201, APPLIED)).await, Outcome::Posted(posting.clone()));
    let failed = |code: &str| format!(r#"{{"error":"…","error_detail":{{"code":"{code}"}}}}"#);
    assert_eq!(outcome_of(&json(409, &failed("TXN_DUPLICATE_REFERENCE"))).await, Outcome::Duplicate);
    for code in ["TXN_INSUFFICIENT_FUNDS", "TXN_NOT_FOUND"] {
        assert_eq!(outcome_of(&json(400, &failed(code))).await, Outcome::Refused { code: code.into() });
    }
    for unknown in [json(500, &failed("TXN_DUPLICATE_REFERENCE")), json(201, &APPLIED.replace("APPLIED", "VOID"))] {
        assert!(is_unknown(&outcome_of(&unknown).await), "{unknown}");
    }

    let (found, _) = enquiry_answered(YAML, "LOC1", &json(200, APPLIED)).await;
    assert_eq!(legs_match(&transfer(), &found), LegsMatch::Same);
    let (nothing, _) = enquiry_answered(YAML, "LOC1", &json(404, &failed("TXN_NOT_FOUND"))).await;
    assert_eq!(nothing, Enquiry::NotFound);
}

#[tokio::test]
async fn amounts_are_json_numbers_with_the_digits_of_their_currency() {
    let yaml = YAML.replace(
        "skip_queue: true",
        "more: [\"{amount.number}\", \"{amount.exponent}\", \"{amount.number} {amount.precision}\", \"{amount}\"]",
    );
    for (minor, code, expected) in [
        (1050, "EUR", r#"[10.50,2,"10.50 100","10.50"]"#),
        (-5, "EUR", r#"[-0.05,2,"-0.05 100","-0.05"]"#),
        (i64::MAX, "EUR", r#"[92233720368547758.07,2,"92233720368547758.07 100","92233720368547758.07"]"#),
        (7, "JPY", r#"[7,0,"7 1","7"]"#),
        (7, "KWD", r#"[0.007,3,"0.007 1000","0.007"]"#),
    ] {
        let (_, received) = post_answered(&yaml, &in_currency(minor, code), &json(201, APPLIED)).await;
        let body = String::from_utf8(received.body).unwrap();
        assert!(body.contains(&format!(r#""more":{expected}"#)), "{body}");
        assert!(body.contains(&format!(r#""precise_amount":{minor},"#)), "{body}");
    }
}

#[tokio::test]
async fn a_request_carries_the_references_uuid_and_types_of_its_own() {
    let (reference, uuid) = ("LC0190A1B2C3D47E5F8091A2B3C4D5E6F7", "0190a1b2-c3d4-7e5f-8091-a2b3c4d5e6f7");
    let media = "application/vnd.bank.transfers+json;version=1.1";
    let path = "path: /transactions\n";
    let headers = "headers: {Idempotency-Key: \"{core_ref.uuid}\"}";
    let own = format!("{path}        accept: {media}\n        content-type: {media}\n        {headers}\n");
    let yaml = YAML.replace(path, &own).replace("/reference/{core_ref}", "/{core_ref.uuid}");
    let answer = response(201, media, &APPLIED.replace("LOC1", uuid));
    let (outcome, received) = post_answered(&yaml, &transfer_with(reference, "rent"), &answer).await;
    assert!(matches!(outcome, Outcome::Posted(_)), "an answer may name the UUID: {outcome:?}");
    let head = received.head.to_ascii_lowercase();
    for line in [format!("accept: {media}"), format!("content-type: {media}"), format!("idempotency-key: {uuid}")] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in {head}");
    }
    assert_eq!(received.json()["reference"], reference);
    let (_, received) = enquiry_answered(&yaml, reference, &json(404, "{}")).await;
    assert!(received.head.starts_with(&format!("GET /transactions/{uuid} HTTP/1.1\r\n")), "{}", received.head);
}

/// The same ledger, told to queue.
fn queueing() -> String {
    YAML.replace("skip_queue: true", "skip_queue: false")
        .replace(
            "      duplicate: [",
            "      pending: [{status: [201], when: {/status: QUEUED}}, {status: [202]}]\n      duplicate: [",
        )
        .replace("      not-found: [", "      pending: [{status: [200], when: {/status: QUEUED}}]\n      not-found: [")
}

#[tokio::test]
async fn what_is_booked_later_is_pending_and_nothing_else() {
    let yaml = queueing();
    let queued = APPLIED.replace("APPLIED", "QUEUED");
    for answer in
        [json(201, &queued), json(202, "{}"), response(202, "text/plain", ""), response(202, "text/html", "<p>")]
    {
        assert_eq!(post_answered(&yaml, &transfer(), &answer).await.0, Outcome::Pending, "{answer}");
    }
    for answer in [json(200, &queued), response(201, "text/plain", &queued), json(201, "{}"), response(204, "a/b", "")]
    {
        let (outcome, _) = post_answered(&yaml, &transfer(), &answer).await;
        assert!(is_unknown(&outcome), "{answer}: {outcome:?}");
    }
    let both = yaml.replace("accepted: [{status: [201]", "accepted: [{status: [201, 202]");
    let (outcome, _) = post_answered(&both, &transfer(), &json(202, APPLIED)).await;
    assert!(is_unknown(&outcome), "of two kinds: {outcome:?}");
    assert_eq!(enquiry_answered(&yaml, "LOC1", &json(200, &queued)).await.0, Enquiry::Pending);
    let (found, _) = enquiry_answered(&yaml, "LOC1", &json(200, APPLIED)).await;
    assert_eq!(legs_match(&transfer(), &found), LegsMatch::Same);
    let echoing = yaml.replacen("      posting:\n", "      echo: {body: /reference}\n      posting:\n", 1);
    let (outcome, _) = post_answered(&echoing, &transfer(), &response(202, "text/plain", "")).await;
    assert!(is_unknown(&outcome), "an answer to another request, perhaps: {outcome:?}");
}
