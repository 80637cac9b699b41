//! Four eyes: what waits for a second person, and that person's decision.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Problem, Scope, Segment};
use serde::Deserialize;
use serde_json::{Value, json};
use standin::journal::{Act, ApprovalState, EntryId};

use super::{Answer, action_from, instances, orders, page_of, unavailable, understood};
use crate::gateway::Gateway;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListApprovals {
    state: Option<ApprovalState>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ListApprovals>, QueryRejection>,
) -> Answer {
    caller.require(Scope::Operate)?;
    let ListApprovals { state, limit } = understood(query)?;
    let limit = page_of(limit);
    let approvals = gateway.operators().approvals(state, limit).await.map_err(unavailable)?;
    let views: Vec<Value> = approvals.iter().map(orders::view).collect();
    Ok(Json(json!({ "approvals": views })).into_response())
}

pub(super) async fn show(State(gateway): State<Gateway>, caller: Caller, Segment(id): Segment) -> Answer {
    caller.require(Scope::Operate)?;
    let id = EntryId::parse(&id).ok_or_else(Problem::not_found)?;
    let found = gateway.operators().approval(&id).await.map_err(unavailable)?;
    Ok(Json(orders::view(&found.ok_or_else(Problem::not_found)?)).into_response())
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answered {
    Approve,
    Reject,
}

pub(super) async fn act(
    State(gateway): State<Gateway>,
    caller: Caller,
    Segment(id): Segment,
    request: Request,
) -> Answer {
    let (answered, reason): (Answered, _) = action_from(&caller, request).await?;
    let id = EntryId::parse(&id).ok_or_else(Problem::not_found)?;
    let found = gateway.operators().approval(&id).await.map_err(unavailable)?.ok_or_else(Problem::not_found)?;
    let kind = found.order.act.kind();
    let by = caller.id.clone();
    if answered == Answered::Reject {
        let rejected = edge::request::spawn(async move { gateway.operators().reject(&by, &id, &reason).await }).await;
        let approval = rejected.map_err(Problem::internal)?.map_err(|err| orders::problem(kind, err))?;
        return Ok(Json(json!({ "approval": orders::view(&approval) })).into_response());
    }
    // The order may be hours old, so signs of life are looked for once more.
    if let (Act::DeclareGone { instance, .. }, ApprovalState::Pending) = (&found.order.act, found.state) {
        instances::silent(&gateway, instance).await?;
    }
    let approved = edge::request::spawn(async move {
        let request_lifetime_ms = gateway.core().capabilities().request_lifetime_ms_max;
        gateway.operators().approve(&EntryId::generate(), &by, &id, &reason, request_lifetime_ms).await
    });
    let approved = approved.await.map_err(Problem::internal)?;
    let (approval, done) = approved.map_err(|err| orders::problem(kind, err))?;
    let Json(done) = orders::done_view(&approval.order.act, &done);
    Ok(Json(json!({ "approval": orders::view(&approval), "done": done })).into_response())
}
