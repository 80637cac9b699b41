//! Lanes that a contradiction stopped.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Problem, Segment};
use serde::Deserialize;
use serde_json::json;
use standin::journal::JournalError;

use super::{Answer, order_from, unavailable};
use crate::submission::Gateway;

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
    match gateway.journal().clear_lane(&caller.id, &account, &reason).await {
        Ok(()) => Ok(Json(json!({ "account": account, "stopped": false })).into_response()),
        Err(JournalError::NoSuchEntry) => Err(Problem::not_found()),
        Err(err) => Err(unavailable(err)),
    }
}
