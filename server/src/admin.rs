//! The operators' listener: health, metrics, sources, freshness. Steering is added by the roles that have something to steer.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Authenticate, Authenticator, Caller, Problem, Scope, Segment};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;
use read_model::{Digest, ParkedSummary, Reader, SourceStatus, Tier};
use serde::Deserialize;
use serde_json::{Value, json};
use sql::Db;
use standin::journal::Journal;

use crate::signals::Drain;

/// Longest time that readiness waits for the store.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// Age from which data counts as stale, in milliseconds.
const STALE_AFTER_MS: i64 = 10_000;

/// Most parked events in one answer.
const PARKED_MAX: u32 = 1_000;

/// What the operators' routes look at.
#[derive(Clone)]
pub struct Tower {
    /// The store.
    pub db: Db,
    /// The read model.
    pub reader: Reader,
    /// Keeps the audit.
    pub journal: Journal,
    /// Every metric of this process.
    pub metrics: PrometheusHandle,
    /// Whether the process is ending.
    pub drain: Drain,
}

/// Health is open, everything else wants an operator. `steering` are the routes of the roles that run here.
pub fn routes(tower: Tower, steering: Router, authenticator: Authenticator) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/admin/v1/sources", get(sources))
        .route("/admin/v1/sources/{source}/actions", post(act))
        .route("/admin/v1/freshness", get(freshness))
        .route("/admin/v1/parked-events", get(parked_events))
        .route("/admin/v1/tiers", get(tiers))
        .with_state(tower.clone())
        .merge(steering)
        .layer(Authenticate(authenticator));
    Router::new()
        .route("/health/live", get(|| async { Json(json!({ "status": "live" })) }))
        .route("/health/ready", get(ready))
        .with_state(tower)
        .merge(guarded)
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

/// Ready to be sent requests: the store answers, and the process is not ending.
async fn ready(State(tower): State<Tower>) -> Response {
    let answer = |status: StatusCode, text: &str| (status, Json(json!({ "status": text }))).into_response();
    if tower.drain.is_leaving() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    match tokio::time::timeout(READY_TIMEOUT, tower.reader.sources()).await {
        Ok(Ok(_)) => answer(StatusCode::OK, "ready"),
        _ => answer(StatusCode::SERVICE_UNAVAILABLE, "store does not answer"),
    }
}

async fn metrics(State(tower): State<Tower>, caller: Caller) -> Result<Response, Problem> {
    if !caller.scopes.read {
        caller.require(Scope::Operate)?;
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], tower.metrics.render()).into_response())
}

async fn statuses(tower: &Tower, caller: &Caller) -> Result<Vec<SourceStatus>, Problem> {
    caller.require(Scope::Operate)?;
    let unavailable = |error| Problem::unavailable("store-unavailable", "The store cannot be asked now", error);
    tower.reader.sources().await.map_err(unavailable)
}

async fn sources(State(tower): State<Tower>, caller: Caller) -> Result<Json<Value>, Problem> {
    let sources = statuses(&tower, &caller).await?;
    let view = |s: &SourceStatus| {
        json!({
            "source": s.source,
            "generation": s.generation,
            "rebuilding": s.rebuilding,
            "loaded": s.loaded,
            "halted": s.halted,
            "identity": s.identity,
            "applied_seq": s.applied_seq,
            "events_applied": s.events_applied,
            "events_behind": s.events_behind,
        })
    };
    Ok(Json(json!({ "sources": sources.iter().map(view).collect::<Vec<_>>() })))
}

/// What a person orders about a source.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// A halted source goes on from its offsets: the cause was removed.
    Resume,
    /// Accounts are in doubt no more that no parked event names: what named none was looked at.
    Trust,
}

async fn act(
    State(tower): State<Tower>,
    caller: Caller,
    Segment(source): Segment,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (action, reason): (Action, _) = gateway::action_from(&caller, request).await?;
    let known = statuses(&tower, &caller).await?;
    known.iter().find(|status| status.source == source).ok_or_else(Problem::not_found)?;
    let unavailable = |error| Problem::unavailable("store-unavailable", "The store cannot be asked now", error);
    let name = match action {
        Action::Resume => "source.resume",
        Action::Trust => "source.trust",
    };
    // Before it is done: an order without a trace must not exist, a trace without its effect may.
    let audited = tower.journal.audit_order(&caller.id, name, json!({ "source": source, "why": reason })).await;
    audited.map_err(|error| Problem::unavailable("journal-unavailable", "The journal does not answer", error))?;
    let changed = match action {
        Action::Resume => read_model::resume(&tower.db, &source).await,
        Action::Trust => read_model::trust(&tower.db, &source).await,
    };
    Ok(Json(json!({ "source": source, "changed": changed.map_err(unavailable)? })))
}

async fn freshness(State(tower): State<Tower>, caller: Caller) -> Result<Json<Value>, Problem> {
    let sources = statuses(&tower, &caller).await?;
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

/// Change events that could not be applied, oldest first, with what they touch and why; not their contents.
async fn parked_events(State(tower): State<Tower>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Operate)?;
    let unavailable = |error| Problem::unavailable("store-unavailable", "The store cannot be asked now", error);
    let parked = read_model::parked_events(&tower.db, None, PARKED_MAX).await.map_err(unavailable)?;
    let view = |event: &ParkedSummary| {
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
    };
    Ok(Json(json!({ "parked_events": parked.iter().map(view).collect::<Vec<_>>() })))
}

/// Every document of the fast tiers against SQL. Reads all of SQL: for proofs, not for dashboards.
async fn tiers(State(tower): State<Tower>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Operate)?;
    let digest = |digest: Digest| json!({ "documents": digest.documents, "digest": format!("{:016x}", digest.sum) });
    let mut views = Vec::new();
    for (name, tier) in [("memory", Tier::Memory), ("redis", Tier::Redis)] {
        let compared = read_model::compare(&tower.reader, tier).await;
        let compared = compared
            .map_err(|error| Problem::unavailable("store-unavailable", "The store cannot be asked now", error))?;
        views.push(json!({
            "tier": name,
            "agrees": compared.shared == compared.tier,
            "sql": digest(compared.sql),
            "shared": digest(compared.shared),
            "kept": digest(compared.tier),
        }));
    }
    Ok(Json(json!({ "tiers": views })))
}
