//! Where the core's data come from: how far each source is, and what a person orders about it.

use axum::Json;
use axum::extract::{Request, State};
use edge::{Caller, Problem, Scope, Segment};
use read_model::{Filling, SourceStatus, TableSeen};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AdminState, audit, store_unavailable};

/// Age from which data counts as stale, in milliseconds.
const STALE_AFTER_MS: i64 = 10_000;
/// Longest topic prefix, in characters: with a database and a table behind it, it still is a topic's name.
const PREFIX_LEN_MAX: usize = 100;

async fn statuses(state: &AdminState, caller: &Caller) -> Result<Vec<SourceStatus>, Problem> {
    caller.require(Scope::Operate)?;
    state.reader.sources().await.map_err(store_unavailable)
}

/// `GET /admin/v1/sources`
pub async fn list(State(state): State<AdminState>, caller: Caller) -> Result<Json<Value>, Problem> {
    let mut views = Vec::new();
    let sources = statuses(&state, &caller).await?;
    let tables = read_model::tables_seen(&state.db).await.map_err(store_unavailable)?;
    for status in sources {
        let filling = read_model::filling(&state.db, &status.source).await.map_err(store_unavailable)?;
        let tables: Vec<&TableSeen> = tables.iter().filter(|table| table.source == status.source).collect();
        let mut view = view(&status, filling.as_ref(), &tables);
        view["core_heartbeats"] = json!(state.beats.get(&status.source));
        views.push(view);
    }
    Ok(Json(json!({ "sources": views })))
}

fn view(s: &SourceStatus, filling: Option<&Filling>, tables: &[&TableSeen]) -> Value {
    let never_seen: Vec<&str> = tables.iter().filter(|table| !table.seen).map(|table| table.table.as_str()).collect();
    let counted = tables.iter().filter(|table| table.unmapped > 0);
    let unmapped: serde_json::Map<String, Value> =
        counted.map(|table| (table.table.clone(), table.unmapped.into())).collect();
    let shadow = filling.filter(|filling| filling.served.is_some()).map(|filling| {
        json!({
            "generation": filling.status.generation,
            "loaded": filling.status.loaded,
            "events_applied": filling.status.events_applied,
            "events_behind": filling.status.events_behind,
        })
    });
    json!({
        "source": s.source,
        "generation": s.generation,
        "rebuilding": s.rebuilding,
        "shadow": shadow,
        "topic_prefix": filling.and_then(|filling| filling.topic_prefix.as_deref()),
        "loaded": s.loaded,
        "halted": s.halted,
        "identity": s.identity,
        "applied_seq": s.applied_seq,
        "events_applied": s.events_applied,
        "events_behind": s.events_behind,
        "never_seen": never_seen,
        "unmapped_events": unmapped,
    })
}

/// What a person orders about a source.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// A halted source goes on from its offsets: the cause was removed.
    Resume,
    /// Clears the doubt over the whole source. Accounts named by a parked event stay in doubt.
    Trust,
    /// Opens a new generation, to be filled from a new snapshot in the shadow of the one that is served.
    Rebuild,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    action: Action,
    reason: String,
    topic_prefix: Option<String>,
}

/// `POST /admin/v1/sources/{source}/actions`
pub async fn act(
    State(state): State<AdminState>,
    caller: Caller,
    Segment(source): Segment,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let order: Order = edge::order::order_from(&caller, request, |order: &Order| &order.reason).await?;
    check_prefix(&order)?;
    let known = statuses(&state, &caller).await?;
    let status = known.iter().find(|status| status.source == source).ok_or_else(Problem::not_found)?;
    if order.action == Action::Resume && status.halted.as_deref().is_some_and(ingest::needs_rebuild) {
        let problem = Problem::new(409, "source-needs-rebuild", "The source cannot go on from where it is");
        return Err(problem.detail(format!("It would halt at the same record: locum source rebuild {source}")));
    }
    let name = match order.action {
        Action::Resume => "source.resume",
        Action::Trust => "source.trust",
        Action::Rebuild => "source.rebuild",
    };
    let detail = json!({ "source": source, "topic_prefix": order.topic_prefix, "why": order.reason });
    audit(&state, &caller, name, detail).await?;
    let changed = match order.action {
        Action::Resume => read_model::resume(&state.db, &source).await.map_err(store_unavailable)?,
        Action::Trust => read_model::trust(&state.db, &source).await.map_err(store_unavailable)?,
        Action::Rebuild => {
            let opened = read_model::open_generation(&state.db, &source, order.topic_prefix.as_deref()).await;
            let opened = opened.map_err(store_unavailable)?;
            return Ok(Json(json!({ "source": source, "changed": opened.is_some(), "rebuilding": opened })));
        }
    };
    Ok(Json(json!({ "source": source, "changed": changed })))
}

fn check_prefix(order: &Order) -> Result<(), Problem> {
    let Some(prefix) = &order.topic_prefix else { return Ok(()) };
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let detail = match prefix {
        _ if order.action != Action::Rebuild => "only a rebuild is read from other topics",
        prefix if !(1..=PREFIX_LEN_MAX).contains(&prefix.len()) || !prefix.chars().all(legal) => {
            "1 to 100 letters, digits, dots, hyphens, underscores"
        }
        _ => return Ok(()),
    };
    Err(Problem::bad_request("The order is not valid").error("/topic_prefix", "invalid", detail))
}

/// `GET /admin/v1/freshness`
pub async fn freshness(State(state): State<AdminState>, caller: Caller) -> Result<Json<Value>, Problem> {
    let sources = statuses(&state, &caller).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let view = |s: &SourceStatus| {
        let freshness = s.freshness(false, now_ms - STALE_AFTER_MS);
        let as_of = freshness.as_of_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        json!({
            "source": s.source,
            "quality": freshness.quality.as_str(),
            "as_of": as_of.map(|at| at.to_string()),
            "age_ms": freshness.as_of_ms.map(|ms| (now_ms - ms).max(0)),
            "watermark": freshness.watermark.to_hex(),
        })
    };
    Ok(Json(json!({ "freshness": sources.iter().map(view).collect::<Vec<_>>() })))
}
