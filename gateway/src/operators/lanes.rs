//! Lanes that need a person: a contradiction stopped them, or their day lies in the future.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Scope, Segment};
use serde::Deserialize;
use serde_json::{Value, json};
use standin::journal::{Act, EntryId, Grounds, LaneAhead, Order, StoppedLane};

use super::entry_view::business_date;
use super::{Answer, order_from, orders, page_of, unavailable, understood};
use crate::gateway::Gateway;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListLanes {
    after: Option<String>,
    limit: Option<i64>,
    /// Those whose day lies in the future instead of the stopped ones.
    #[serde(default)]
    day_ahead: bool,
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ListLanes>, QueryRejection>,
) -> Answer {
    caller.require(Scope::Operate)?;
    let ListLanes { after, limit, day_ahead } = understood(query)?;
    let (after, limit) = (after.unwrap_or_default(), page_of(limit));
    if day_ahead {
        let lanes = gateway.operators().lanes_ahead(&after, limit).await.map_err(unavailable)?;
        return Ok(Json(json!({ "lanes": lanes.iter().map(ahead_view).collect::<Vec<Value>>() })).into_response());
    }
    let lanes = gateway.operators().stopped_lanes(&after, limit).await.map_err(unavailable)?;
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

fn ahead_view(lane: &LaneAhead) -> Value {
    json!({
        "account": lane.account,
        "business_date": business_date(lane.business_day),
        "used_minor": lane.used_minor,
        "used_count": lane.used_count,
    })
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
    give(gateway, &caller, request, Act::ClearLane { account }).await
}

pub(super) async fn reset_day(
    State(gateway): State<Gateway>,
    caller: Caller,
    Segment(account): Segment,
    request: Request,
) -> Answer {
    give(gateway, &caller, request, Act::ResetDay { account }).await
}

/// An order that rests on its reason alone.
async fn give(gateway: Gateway, caller: &Caller, request: Request, act: Act) -> Answer {
    let Why { reason } = order_from(caller, request, |body: &Why| &body.reason).await?;
    orders::give(gateway, caller, Order { act, grounds: Grounds::because(reason) }).await
}
