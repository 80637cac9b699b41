//! The operators' listener: health, metrics, sources, freshness. Steering is added by the roles that have something to steer.

mod parked;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Authenticate, Authenticator, Caller, Problem, Scope};
use gateway::{Clocks, Watch};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;
use read_model::{Digest, Reader, Tier};
use serde_json::{Value, json};
use sql::Db;
use standin::journal::OperatorsJournal;

use crate::signals::Drain;

/// Longest time that readiness waits for the store.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// What the operators' routes look at.
#[derive(Clone)]
pub struct AdminState {
    /// The store.
    pub db: Db,
    /// The read model.
    pub reader: Reader,
    /// Keeps the audit.
    pub journal: OperatorsJournal,
    /// For each source of the configuration, whether the core's own log carries heartbeats.
    pub beats: Arc<BTreeMap<String, bool>>,
    /// What the write side watches, where it runs here.
    pub watch: Option<Watch>,
    /// Every metric of this process.
    pub metrics: PrometheusHandle,
    /// Whether the process is ending.
    pub drain: Drain,
}

/// Health is open, everything else wants an operator. `steering` are the routes of the roles that run here.
pub fn routes(state: AdminState, steering: Router, authenticator: Authenticator) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/admin/v1/sources", get(sources::list))
        .route("/admin/v1/sources/{source}/actions", post(sources::act))
        .route("/admin/v1/freshness", get(sources::freshness))
        .route("/admin/v1/parked-events", get(parked::list))
        .route("/admin/v1/parked-events/actions", post(parked::act))
        .route("/admin/v1/parked-events/{source}/{event}", get(parked::show))
        .route("/admin/v1/tiers", get(tiers))
        .with_state(state.clone())
        .merge(steering)
        .layer(Authenticate(authenticator));
    Router::new()
        .route("/health/live", get(|| async { Json(json!({ "status": "live" })) }))
        .route("/health/ready", get(ready))
        .with_state(state)
        .merge(guarded)
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

/// Ready to be sent requests: the store answers, its clock and this host's agree, and the process is not ending.
async fn ready(State(state): State<AdminState>) -> Response {
    let clocks = state.watch.as_ref().map(Watch::clocks);
    let answer = |status: StatusCode, text: &str| {
        let mut told = json!({ "status": text });
        if let Some(ahead_ms) = clocks.and_then(Clocks::ahead_ms) {
            told["clock_ahead_ms"] = ahead_ms.into();
        }
        (status, Json(told)).into_response()
    };
    if state.drain.is_leaving() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    if let Some(Err(fault)) = clocks.map(Clocks::check) {
        return answer(StatusCode::SERVICE_UNAVAILABLE, &fault.to_string());
    }
    match tokio::time::timeout(READY_TIMEOUT, state.reader.sources()).await {
        Ok(Ok(_)) => answer(StatusCode::OK, "ready"),
        _ => answer(StatusCode::SERVICE_UNAVAILABLE, "store does not answer"),
    }
}

async fn metrics(State(state): State<AdminState>, caller: Caller) -> Result<Response, Problem> {
    if !caller.scopes.read {
        caller.require(Scope::Operate)?;
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render()).into_response())
}

/// Every document of the fast tiers against SQL. Reads all of SQL: for proofs, not for dashboards.
async fn tiers(State(state): State<AdminState>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.require(Scope::Operate)?;
    let digest = |digest: Digest| json!({ "documents": digest.documents, "digest": format!("{:016x}", digest.sum) });
    let mut views = Vec::new();
    for (name, tier) in [("memory", Tier::Memory), ("redis", Tier::Redis)] {
        let compared = read_model::compare(&state.reader, tier).await;
        let compared = compared.map_err(store_unavailable)?;
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

/// 503 `store-unavailable`.
fn store_unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::unavailable("store-unavailable", "The store cannot be asked now", error)
}

/// Keeps an operator's order in the audit, before it is carried out: a trace may lack its effect, an order may not lack its
/// trace.
async fn audit(state: &AdminState, caller: &Caller, name: &str, detail: Value) -> Result<(), Problem> {
    let audited = state.journal.audit_order(&caller.id, name, detail).await;
    audited.map_err(|error| Problem::unavailable("journal-unavailable", "The journal does not answer", error))
}
