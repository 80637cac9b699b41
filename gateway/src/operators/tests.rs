//! What operators meet at these routes: scopes, grounds, four eyes.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use connectors::CoreConnector;
use edge::{Caller, Principal, Scopes, Segment};
use schemas::grant::Grant;
use serde_json::{Value, json};
use sql::Db;
use standin::journal::{Admissions, EntryId, Journal, OrderKind};

use super::{Answer, approvals, entries, instances, lanes};
use crate::doubles::{Core, NoAccounts};
use crate::{FourEyes, Gateway, Monitor, MonitorOptions, Options};

/// A gateway whose lane `a` is stopped, and which clears lanes only by two.
async fn gateway() -> Gateway {
    let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
    let journal = Journal::open(db.clone(), Arc::new(NoAccounts), "core").await.unwrap();
    let lane = "INSERT INTO lanes (account, version, next_seq, ordered, direct, held_minor, stopped, used_day, used_minor, \
         used_count) VALUES ('a', 1, 1, 0, 0, 0, 1, 0, 0, 0)";
    db.exec(lane, Vec::new()).await.unwrap();
    let instance = journal.register_instance("gateway-1").await.unwrap();
    let (admissions, _) = Admissions::new(journal.clone(), instance.clone());
    let core: Arc<dyn CoreConnector> = Arc::new(Core::Posts);
    let (_, watch) = Monitor::new(journal.gateway(), core.clone(), MonitorOptions::default());
    let four_eyes = FourEyes { kinds: vec![OrderKind::ClearLane], ..FourEyes::default() };
    Gateway::new(&journal, admissions, instance, core, watch, Options { four_eyes, ..Options::default() })
}

fn caller(id: &str, operate: bool) -> Caller {
    let scopes = Scopes { read: true, write: true, operate };
    Caller::new(Arc::new(Principal { id: id.into(), grant: Grant::Any, scopes }))
}

fn body(value: Value) -> Request {
    let request = Request::post("/").header("content-type", "application/json");
    request.body(Body::from(value.to_string())).unwrap()
}

async fn told(answer: Answer) -> (u16, Value) {
    let response = answer.unwrap_or_else(IntoResponse::into_response);
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 65_536).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn who_may_not_operate_orders_and_approves_nothing() {
    let gateway = gateway().await;
    let stranger = || caller("anna", false);
    let (id, at) = (EntryId::generate(), || State(gateway.clone()));
    let cancel = json!({"action": "cancel", "reason": "x"});
    let gone = json!({"action": "declare-gone", "reason": "x", "fenced": "destroyed", "proof": "x"});
    let approve = json!({"action": "approve", "reason": "x"});
    let answers = [
        entries::act(at(), stranger(), Segment(id.to_string()), body(cancel)).await,
        lanes::clear(at(), stranger(), Segment("a".into()), body(json!({"reason": "x"}))).await,
        instances::act(at(), stranger(), Segment("gateway-1".into()), body(gone)).await,
        approvals::act(at(), stranger(), Segment(id.to_string()), body(approve)).await,
        approvals::show(at(), stranger(), Segment(id.to_string())).await,
    ];
    for answer in answers {
        assert_eq!(told(answer).await.0, 403);
    }
}

#[tokio::test]
async fn a_lane_is_cleared_when_another_principal_approves() {
    let gateway = gateway().await;
    let at = || State(gateway.clone());
    let order = body(json!({"reason": "compared with the books"}));
    let (status, asked) = told(lanes::clear(at(), caller("olga", true), Segment("a".into()), order).await).await;
    assert_eq!((status, &asked["approval"]["state"]), (202, &json!("pending")));
    let id = asked["approval"]["id"].as_str().unwrap().to_owned();
    let approve = async |by: &str| {
        let order = body(json!({"action": "approve", "reason": "looked too"}));
        told(approvals::act(at(), caller(by, true), Segment(id.clone()), order).await).await
    };
    let (status, refused) = approve("olga").await;
    assert_eq!((status, &refused["code"]), (403, &json!("same-person")));
    assert_eq!(gateway.operators().stopped_lanes("", 10).await.unwrap().len(), 1);
    let (status, approved) = approve("otto").await;
    assert_eq!((status, &approved["done"]["stopped"]), (200, &json!(false)));
    assert!(gateway.operators().stopped_lanes("", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_instance_that_was_not_watched_long_enough_is_not_declared_gone() {
    let gateway = gateway().await;
    let order = body(json!({"action": "declare-gone", "reason": "x", "fenced": "destroyed", "proof": "x"}));
    let declared = instances::act(State(gateway), caller("olga", true), Segment("gateway-1".into()), order).await;
    let (status, refused) = told(declared).await;
    assert_eq!((status, &refused["code"]), (409, &json!("not-silent")));
}

#[tokio::test]
async fn an_order_about_an_entry_wants_its_own_grounds_and_fields() {
    let gateway = gateway().await;
    let id = EntryId::generate().to_string();
    for (order, expected) in [
        (json!({"action": "force", "reason": "x"}), 422),
        (json!({"action": "write-off", "reason": "x"}), 422),
        (json!({"action": "free", "reason": "x"}), 422),
        (json!({"action": "cancel", "reason": "x", "postings": ["1"]}), 400),
        (json!({"action": "link", "reason": "x"}), 400),
        (json!({"action": "send-twice", "reason": "x"}), 400),
        (json!({"action": "compensate", "reason": "x"}), 404),
        (json!({"action": "adopt", "reason": "x"}), 404),
    ] {
        let answer =
            entries::act(State(gateway.clone()), caller("olga", true), Segment(id.clone()), body(order.clone()));
        assert_eq!(told(answer.await).await.0, expected, "{order}");
    }
}
