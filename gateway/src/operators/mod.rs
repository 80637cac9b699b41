//! The operators' HTTP for writes. Every change carries a reason and is audited.

mod approvals;
mod entries;
mod entry_view;
mod instances;
mod lanes;
mod limits;
mod mode;
mod orders;
mod replay;
#[cfg(test)]
mod tests;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::order::{action_from, order_from};
use edge::{Caller, Problem, Scope};
use serde_json::json;

use crate::answer::unavailable;
use crate::gateway::Gateway;

/// Rows of one page at most.
const PAGE_MAX: i64 = 1_000;
/// Rows of one page where the request does not say.
const PAGE_DEFAULT: i64 = 100;

/// `/admin/v1/…` of the write side. The caller puts it behind the operators' [`edge::Authenticate`].
pub fn operators_router(gateway: Gateway) -> Router {
    Router::new()
        .route("/admin/v1/mode", get(mode::show).put(mode::order))
        .route("/admin/v1/core", get(mode::show_core))
        .route("/admin/v1/entries", get(entries::list))
        .route("/admin/v1/entries/{id}", get(entries::show))
        .route("/admin/v1/entries/{id}/actions", post(entries::act))
        .route("/admin/v1/replay", get(replay::show).post(replay::steer))
        .route("/admin/v1/limits", get(limits::show).put(limits::set))
        .route("/admin/v1/lanes", get(lanes::list))
        .route("/admin/v1/lanes/{account}/clearance", post(lanes::clear))
        .route("/admin/v1/lanes/{account}/day-reset", post(lanes::reset_day))
        .route("/admin/v1/instances", get(instances::list))
        .route("/admin/v1/instances/{id}/actions", post(instances::act))
        .route("/admin/v1/approvals", get(approvals::list))
        .route("/admin/v1/approvals/{id}", get(approvals::show))
        .route("/admin/v1/approvals/{id}/actions", post(approvals::act))
        .route("/admin/v1/audit", get(show_audit))
        .with_state(gateway)
}

type Answer = Result<Response, Problem>;

async fn show_audit(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let trail = gateway.operators().audit_trail(PAGE_MAX).await.map_err(unavailable)?;
    Ok(Json(json!({ "audit": trail })).into_response())
}

fn understood<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|err| Problem::bad_request(err.body_text()))
}

/// Rows of the page that is asked for.
fn page_of(limit: Option<i64>) -> i64 {
    limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
}

fn time_of_ms(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}
