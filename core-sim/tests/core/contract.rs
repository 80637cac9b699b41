//! `docs/core-contract.openapi.yaml`: every answer of the bank's interface that a test gets is held against it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use crate::support::{Core, Place, call, transfer, transfer_but};

static DOCUMENT: LazyLock<Json> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../../../docs/core-contract.openapi.yaml")).unwrap());

/// Fails unless the document declares this answer, and says which it is, as in `post 201`.
pub fn assert_declared(method: &str, path: &str, status: u16, body: &str) -> String {
    let place = format!("{method} {path} answered {status} {body}");
    let operation = operation(method, path).unwrap_or_else(|| panic!("{place}: the request is not declared"));
    let response = &operation["responses"][status.to_string()];
    let schema = schema(response).unwrap_or_else(|| panic!("{place}: the status is not declared"));
    let body = serde_json::from_str(body).unwrap_or_else(|err| panic!("{place}: {err}"));
    hold(schema, &body).unwrap_or_else(|err| panic!("{place}: {err}"));
    name(operation, &status.to_string())
}

fn name(operation: &Json, status: &str) -> String {
    format!("{} {status}", operation["operationId"].as_str().unwrap())
}

/// What is declared for this method on the path that this one is an instance of.
fn operation(method: &str, path: &str) -> Option<&'static Json> {
    let fits = |declared: &str| {
        let parts = declared.split('/').zip(path.split('/'));
        declared.split('/').count() == path.split('/').count()
            && parts.into_iter().all(|(declared, part)| declared == part || declared.starts_with('{'))
    };
    let (_, item) = DOCUMENT["paths"].as_object()?.iter().find(|(declared, _)| fits(declared))?;
    item.get(method.to_lowercase())
}

/// The schema of the body of a declared answer.
fn schema(response: &'static Json) -> Option<&'static Json> {
    resolve(response)["content"]["application/json"].get("schema")
}

fn resolve(value: &'static Json) -> &'static Json {
    match value.get("$ref") {
        Some(place) => {
            let place = place.as_str().unwrap();
            DOCUMENT.pointer(&place[1..]).unwrap_or_else(|| panic!("{place} leads nowhere"))
        }
        None => value,
    }
}

/// As much of JSON Schema as the document uses. Patterns are for readers: there is nothing here to match them with.
fn hold(schema: &'static Json, value: &Json) -> Result<(), String> {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "$ref" => hold(resolve(schema), value).map(|()| true)?,
            "allOf" => {
                wanted.as_array().unwrap().iter().try_for_each(|each| hold(each, value))?;
                true
            }
            "oneOf" => wanted.as_array().unwrap().iter().filter(|each| hold(each, value).is_ok()).count() == 1,
            "type" => match wanted.as_array() {
                Some(types) => types.iter().any(|name| is(name, value)),
                None => is(wanted, value),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "required" => wanted.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, property) in wanted.as_object().unwrap() {
                    value
                        .get(name)
                        .map_or(Ok(()), |member| hold(property, member))
                        .map_err(|err| format!("{name}: {err}"))?;
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(wanted, false);
                value
                    .as_object()
                    .is_none_or(|members| members.keys().all(|name| schema["properties"].get(name).is_some()))
            }
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| hold(wanted, item))?;
                true
            }
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap()),
            "minimum" => value.as_i64().is_none_or(|number| number >= wanted.as_i64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= wanted.as_u64().unwrap()),
            "format" => value.as_str().is_none_or(|text| match wanted.as_str().unwrap() {
                "date" => text.parse::<jiff::civil::Date>().is_ok(),
                "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
                other => panic!("format {other} is not known here"),
            }),
            "pattern" | "description" | "example" | "examples" => true,
            other => panic!("the keyword {other} is not known here"),
        };
        if !holds {
            return Err(format!("{value} is not as {keyword} wants it: {wanted}"));
        }
    }
    Ok(())
}

fn is(name: &Json, value: &Json) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("type {other} is not known here"),
    }
}

/// Those of a core whose database is away are in `database.rs`.
const ONLY_WITHOUT_A_DATABASE: [&str; 2] = ["account 503", "enquire 503"];

#[tokio::test]
async fn every_declared_answer_is_given() {
    let mut given = BTreeSet::new();
    let requests = [
        ("none", "POST", "/api/postings", transfer("R1")),
        ("none", "POST", "/api/postings", transfer("R1")),
        ("none", "POST", "/api/postings", transfer_but("R1", "amount", "10.51")),
        ("none", "POST", "/api/postings", transfer_but("R2", "amount", "5000.00")),
        ("none", "POST", "/api/postings", json!({})),
        ("error_before", "POST", "/api/postings", transfer("R3")),
        ("read_only", "POST", "/api/postings", transfer("R3")),
        ("none", "GET", "/api/postings/R1", Json::Null),
        ("none", "GET", "/api/postings/R2", Json::Null),
        ("none", "GET", "/api/postings/R3", Json::Null),
        ("error_before", "GET", "/api/postings/R1", Json::Null),
        ("none", "GET", "/api/accounts/100000000001", Json::Null),
        ("none", "GET", "/api/accounts/100000000099", Json::Null),
        ("none", "GET", "/health", Json::Null),
        ("read_only", "GET", "/health", Json::Null),
    ];
    let place = Place::embedded();
    for options in [&[][..], &["--enquiry", "false"]] {
        let core = Core::start(&place, options).await;
        for (kind, method, path, body) in &requests {
            core.fault(json!({"kind": kind})).await;
            let (status, answer) = call(&core.bank, method, path, &body.to_string()).await.unwrap();
            given.insert(assert_declared(method, path, status, &answer));
        }
    }
    place.remove().await;

    let operations =
        DOCUMENT["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let declared: BTreeSet<String> = operations
        .flat_map(|operation| operation["responses"].as_object().unwrap().keys().map(|status| name(operation, status)))
        .collect();
    assert_eq!(&declared - &given, ONLY_WITHOUT_A_DATABASE.map(str::to_owned).into());
}

#[tokio::test]
async fn what_the_document_calls_no_request_is_malformed() {
    let request = &DOCUMENT["components"]["schemas"]["PostingRequest"];
    let members = request["properties"].as_object().unwrap();
    assert_eq!(transfer("R1").as_object().unwrap().keys().collect::<BTreeSet<_>>(), members.keys().collect());
    hold(request, &transfer("R1")).unwrap();

    let mut bodies = vec![transfer_but("R1", "surprise", "x")];
    for name in request["required"].as_array().unwrap() {
        bodies.push(transfer("R1"));
        bodies.last_mut().unwrap().as_object_mut().unwrap().remove(name.as_str().unwrap());
    }
    for name in members.keys() {
        bodies.push(transfer("R1"));
        bodies.last_mut().unwrap()[name] = json!([]);
    }
    for (name, value) in [("text", "x".repeat(141).as_str()), ("accepted_at", "noon"), ("value_date", "2026-02-30")] {
        bodies.push(transfer_but("R1", name, value));
    }
    let place = Place::embedded();
    let core = Core::start(&place, &[]).await;
    for body in &bodies {
        assert!(hold(request, body).is_err(), "{body}");
        assert_eq!(core.post(body).await.unwrap().0, 400, "{body}");
    }
    assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
    drop(core);
    place.remove().await;
}

#[test]
fn an_answer_that_lacks_a_member_or_has_it_of_another_type_is_noticed() {
    let leg = json!({"account": "1", "number": 1, "direction": "D", "amount": "1.00"});
    let booked =
        json!({"posting_id": "1-1", "reference": "R1", "status": "BOOKED", "legs": [leg, leg], "times_posted": 1});
    let schema = &DOCUMENT["components"]["schemas"]["BookedEnquiry"];
    hold(schema, &booked).unwrap();
    for name in booked.as_object().unwrap().keys() {
        let (mut lacking, mut other) = (booked.clone(), booked.clone());
        lacking.as_object_mut().unwrap().remove(name);
        other[name] = json!({});
        assert!(hold(schema, &lacking).is_err() && hold(schema, &other).is_err(), "{name}");
    }
    for name in leg.as_object().unwrap().keys() {
        let mut other = booked.clone();
        other["legs"][1][name] = json!(0);
        assert!(hold(schema, &other).is_err(), "{name}");
    }
}
