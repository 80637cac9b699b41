//! Lanes that a contradiction stopped.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Scope, Segment};
use serde::Deserialize;
use serde_json::{Value, json};
use standin::journal::{Act, EntryId, Grounds, Order, StoppedLane};

use super::{Answer, PAGE_MAX, order_from, orders, unavailable, understood};
use crate::gateway::Gateway;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListLanes {
    after: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ListLanes>, QueryRejection>,
) -> Answer {
    caller.require(Scope::Operate)?;
    let ListLanes { after, limit } = understood(query)?;
    let limit = limit.unwrap_or(100).clamp(1, PAGE_MAX);
    let lanes = gateway.journal().stopped_lanes(&after.unwrap_or_default(), limit).await.map_err(unavailable)?;
    let view = |lane: &StoppedLane| {
        json!({
            "account": lane.account,
            "stopped": true,
            "ordered": lane.ordered,
            "held_minor": lane.held_minor,
            "contradicted": lane.contradicted.iter().map(EntryId::as_str).collect::<Vec<_>>(),
        })
    };
    Ok(Json(json!({ "lanes": lanes.iter().map(view).collect::<Vec<Value>>() })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: String,
}

pub(super) async fn clear(
    State(gateway): State<Gateway>,
    caller: Caller,
    Segment(account): Segment,
    request: Request,
) -> Answer {
    let Why { reason } = order_from(&caller, request, |body: &Why| &body.reason).await?;
    let order = Order { act: Act::ClearLane { account }, grounds: Grounds::because(reason) };
    orders::give(gateway, &caller, order).await
}
