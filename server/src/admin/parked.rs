//! Change events that could not be applied: which there are, and what a person orders about them.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use edge::{Caller, Problem, Scope};
use read_model::{ParkedOrder, ParkedRef, ParkedSummary, WhichParked};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AdminState, audit, store_unavailable};

/// Most parked events in one answer.
const PARKED_MAX: u32 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListParked {
    source: Option<String>,
}

/// `GET /admin/v1/parked-events`: oldest first, with what they touch and why; not their contents.
pub async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    query: Result<Query<ListParked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Operate)?;
    let Query(asked) = query.map_err(|err| Problem::bad_request(err.body_text()))?;
    let parked = read_model::parked_events(&state.db, asked.source.as_deref(), PARKED_MAX).await;
    let parked = parked.map_err(store_unavailable)?;
    Ok(Json(json!({ "parked_events": parked.iter().map(view).collect::<Vec<_>>() })))
}

fn view(event: &ParkedSummary) -> Value {
    let touches: Value = serde_json::from_str(&event.entity_keys).unwrap_or_default();
    let at = ParkedRef { partition: event.partition.clone(), offset: event.offset };
    json!({
        "event": at.to_string(),
        "source": event.source,
        "generation": event.generation,
        "topic": event.partition.topic,
        "partition": event.partition.partition,
        "offset": event.offset,
        "touches": touches,
        "reason": event.reason,
        "parked_at": jiff::Timestamp::from_millisecond(event.parked_at_ms).ok().map(|at| at.to_string()),
        "ordered": event.ordered,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowParked {
    #[serde(default)]
    content: bool,
}

/// `GET /admin/v1/parked-events/{source}/{event}`: one of them. Its content is personal data: only when asked for, to who may
/// operate and read, and with a trace in the audit.
pub async fn show(
    State(state): State<AdminState>,
    caller: Caller,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    query: Result<Query<ShowParked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Operate)?;
    let Query(asked) = query.map_err(|err| Problem::bad_request(err.body_text()))?;
    let Path((source, event)) = path.map_err(|_| Problem::not_found())?;
    let at: ParkedRef = event.parse().map_err(|_| Problem::not_found())?;
    if asked.content {
        caller.require(Scope::Read)?;
        let detail = json!({ "source": source, "event": at.to_string() });
        audit(&state, &caller, "parked-event.content", detail).await?;
    }
    let found = read_model::parked_event(&state.db, &source, &at).await.map_err(store_unavailable)?;
    let (summary, key, value) = found.ok_or_else(Problem::not_found)?;
    let mut view = view(&summary);
    if asked.content {
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        view["key"] = text(key).into();
        view["value"] = text(value).into();
    }
    Ok(Json(view))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Try the events of their rows again, oldest first.
    Retry,
    /// Forget them.
    Discard,
}

/// Exactly one of `event`, `with_reason` and `all` says which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    action: Action,
    reason: String,
    source: String,
    event: Option<String>,
    with_reason: Option<String>,
    #[serde(default)]
    all: bool,
}

impl Order {
    fn which(&self) -> Result<WhichParked, Problem> {
        let wrong = |at: &str, detail: &str| {
            Problem::bad_request("The order is not valid").error(at.to_owned(), "invalid", detail.to_owned())
        };
        match (&self.event, &self.with_reason, self.all) {
            (Some(event), None, false) => {
                let at = event.parse().map_err(|err: read_model::NoParkedRef| wrong("/event", &err.to_string()))?;
                Ok(WhichParked::One(at))
            }
            (None, Some(reason), false) => Ok(WhichParked::Reason(reason.clone())),
            (None, None, true) => Ok(WhichParked::All),
            _ => Err(wrong("/event", "name one event, or with_reason, or all")),
        }
    }
}

/// `POST /admin/v1/parked-events/actions`: the source's leader carries it out within a second, or when there is one again.
pub async fn act(State(state): State<AdminState>, caller: Caller, request: Request) -> Result<Json<Value>, Problem> {
    let order: Order = edge::order::order_from(&caller, request, |order: &Order| &order.reason).await?;
    let which = order.which()?;
    let known = state.reader.sources().await.map_err(store_unavailable)?;
    if !known.iter().any(|status| status.source == order.source) {
        return Err(Problem::not_found().detail("There is no such source; `locum source list` shows them."));
    }
    let (name, ordered) = match order.action {
        Action::Retry => ("parked-events.retry", ParkedOrder::Retry),
        Action::Discard => ("parked-events.discard", ParkedOrder::Discard),
    };
    let detail = json!({
        "source": order.source, "event": order.event, "with_reason": order.with_reason, "all": order.all,
        "why": order.reason,
    });
    audit(&state, &caller, name, detail).await?;
    let events =
        read_model::order_parked(&state.db, &order.source, &which, ordered).await.map_err(store_unavailable)?;
    if events == 0 && which != WhichParked::All {
        let detail = "No event is parked at this place, or for this reason; `locum parked-events list` shows them.";
        return Err(Problem::not_found().detail(detail));
    }
    Ok(Json(json!({ "source": order.source, "ordered": events, "note": note(ordered) })))
}

fn note(order: ParkedOrder) -> &'static str {
    match order {
        ParkedOrder::Retry => "an event that fails again stays parked, with the new reason",
        ParkedOrder::Discard => {
            "what the events would have changed may stay missing or old until a later change of the row, or a rebuild"
        }
    }
}
