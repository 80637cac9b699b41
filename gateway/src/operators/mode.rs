//! Who takes writes, and how the core is.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Scope};
use serde::Deserialize;
use serde_json::json;
use standin::journal::ModeOrder;

use super::{Answer, order_from, unavailable};
use crate::gateway::Gateway;

pub(super) async fn show(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let view = gateway.watch().view();
    let order = gateway.operators().mode_order().await.map_err(unavailable)?;
    Ok(Json(json!({ "mode": view.mode().as_str(), "order": order, "core": view.health.as_str() })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderMode {
    order: ModeOrder,
    reason: String,
}

pub(super) async fn order(State(gateway): State<Gateway>, caller: Caller, request: Request) -> Answer {
    let OrderMode { order, reason } = order_from(&caller, request, |body: &OrderMode| &body.reason).await?;
    gateway.operators().order_mode(&caller.id, order, &reason).await.map_err(unavailable)?;
    show(State(gateway), caller).await
}

pub(super) async fn show_core(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let core = gateway.core();
    Ok(Json(json!({
        "name": core.name(),
        "health": gateway.watch().view().health.as_str(),
        "capabilities": core.capabilities(),
    }))
    .into_response())
}
