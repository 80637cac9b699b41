//! A second core of quite another shape is a file, and no code.

use locum_connectors::{CoreConnector, LegsMatch, legs_match};
use schemas::core::{CoreLeg, Enquiry, Outcome, Posting};

use crate::peer::*;

const YAML: &str = include_str!("second_core.yaml");

const POSTED: &str = r#"{"rc":0,"beleg":9001,"soll":{"kto":"A-1","nr":5,"betrag":1050},
    "haben":{"kto":"B-2","nr":6,"betrag":1050}}"#;

/// The base URL of this core has a path.
async fn post(answer: &str) -> (Outcome, Received) {
    let (listener, url) = Listener::start().await;
    let core = build(config(YAML, &format!("{url}/cgi/")));
    let request = transfer();
    let (outcome, (received, _peer)) = tokio::join!(core.post(&request, PATIENT), listener.answer(answer));
    (outcome, received)
}

#[tokio::test]
async fn its_requests_are_in_its_own_form() {
    let (outcome, received) = post(&json(200, POSTED)).await;
    let numbers = vec![("A-1".into(), 5), ("B-2".into(), 6)];
    assert_eq!(outcome, Outcome::Posted(Posting { core_id: Some("9001".into()), numbers }));
    let head = received.head.to_ascii_lowercase();
    assert!(head.starts_with("put /cgi/zahlung/a-1?valuta=2026-03-02 http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-auftrag: loc1\r\n") && head.contains("\r\nx-channel: locum\r\n"), "{head}");
    let expected = serde_json::json!({
        "kopf": {"version": 3, "test": false, "zweck": "{rent}", "leer": null},
        "posten": ["B-2", 1050, "1050 EUR"],
    });
    assert_eq!(received.json(), expected);
}

#[tokio::test]
async fn its_numeric_codes_are_told_apart() {
    assert_eq!(post(&json(200, r#"{"rc":51}"#)).await.0, Outcome::Refused { code: "51".into() });
    assert_eq!(post(&json(200, r#"{"rc":94}"#)).await.0, Outcome::Duplicate);
    for nothing_done in [90, 91] {
        assert!(is_not_sent(&post(&json(200, &format!(r#"{{"rc":{nothing_done}}}"#))).await.0));
    }
    for undeclared in [r#"{"rc":96}"#, r#"{"rc":"0"}"#, r#"{"rc":0.0}"#, r#"{"rc":5e1}"#, r#"{"rc":0}"#, "{}"] {
        let (outcome, _) = post(&json(200, undeclared)).await;
        assert!(is_unknown(&outcome), "{undeclared}: {outcome:?}");
    }
}

#[tokio::test]
async fn its_enquiry_is_a_post_with_signed_lines() {
    let found = r#"{"rc":0,"stand":"gebucht","auftrag":"LOC1","zeilen":[["B-2",10.50,"EUR"],["A-1",-10.5,"EUR"]]}"#;
    let (enquiry, received) = enquiry_answered(YAML, "LOC1", &json(200, found)).await;
    assert!(received.head.starts_with("POST /AUSKUNFT "), "{}", received.head);
    assert_eq!(received.json(), serde_json::json!({"auftrag": "LOC1"}));
    assert_eq!(legs_match(&transfer(), &enquiry), LegsMatch::Same);
    let Enquiry::Posted { legs, .. } = enquiry else { panic!("{enquiry:?}") };
    assert_eq!(legs[1], CoreLeg { account: "A-1".into(), amount_minor: -1050 });

    let (refused, _) = enquiry_answered(YAML, "LOC1", &json(200, r#"{"rc":0,"stand":"abgelehnt","grund":62}"#)).await;
    assert_eq!(refused, Enquiry::Refused { code: "62".into() });
    let (nothing, _) = enquiry_answered(YAML, "LOC1", &json(200, r#"{"rc":25}"#)).await;
    assert_eq!(nothing, Enquiry::NotFound);
}

#[tokio::test]
async fn a_reference_cannot_break_out_of_its_header() {
    let core = build(config(YAML, "http://127.0.0.1:1"));
    let request = transfer_with("LOC1\r\nX-Evil: 1", "rent");
    assert_eq!(core.check(&request), Err("the value of header x-auftrag is not visible ASCII".into()));
    assert!(is_not_sent(&core.post(&request, PATIENT).await));
}
