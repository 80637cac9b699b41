//! Change events that could not be applied.

use axum::Json;
use axum::extract::State;
use edge::{Caller, Problem, Scope};
use read_model::ParkedSummary;
use serde_json::{Value, json};

use super::{Tower, store_unavailable};

/// Most parked events in one answer.
const PARKED_MAX: u32 = 1_000;

/// `GET /admin/v1/parked-events`: oldest first, with what they touch and why; not their contents.
pub async fn list(State(tower): State<Tower>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Operate)?;
    let parked = read_model::parked_events(&tower.db, None, PARKED_MAX).await.map_err(store_unavailable)?;
    Ok(Json(json!({ "parked_events": parked.iter().map(view).collect::<Vec<_>>() })))
}

fn view(event: &ParkedSummary) -> Value {
    let touches: Value = serde_json::from_str(&event.entity_keys).unwrap_or_default();
    json!({
        "source": event.source,
        "topic": event.partition.topic,
        "partition": event.partition.partition,
        "offset": event.offset,
        "touches": touches,
        "reason": event.reason,
        "parked_at": jiff::Timestamp::from_millisecond(event.parked_at_ms).ok().map(|at| at.to_string()),
    })
}
