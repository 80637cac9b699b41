//! What channels may know of the service as a whole.

use axum::extract::State;
use axum::response::Response;
use edge::{Caller, Problem, Work};
use read_model::Progress;
use serde::Serialize;

use crate::api::ReadApi;
use crate::freshness::AnswerAge;
use crate::refusal;

#[derive(Serialize)]
struct ServiceView {
    service_mode: &'static str,
    data_quality: &'static str,
    data_as_of: Option<String>,
    data_age_s: Option<i64>,
    /// Every source was loaded once.
    loaded: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    loading: Vec<LoadingView>,
}

#[derive(Serialize)]
struct LoadingView {
    source: String,
    events_applied: i64,
    events_behind: Option<i64>,
}

/// `GET /v1/service-status`
pub(crate) async fn service(State(api): State<ReadApi>, caller: Caller) -> Result<Response, Problem> {
    let turn = caller.turn(Work::Read).await?;
    let sources = api.reader.sources().await.map_err(refusal::of_read)?;
    drop(turn);
    let now_ms = (api.clock)();
    let oldest_ok_ms = now_ms - api.options.stale_after_ms;
    let freshness: Vec<_> = sources.iter().map(|source| source.freshness(false, oldest_ok_ms)).collect();
    let age = AnswerAge::of(&freshness, now_ms);
    let loading = sources.iter().filter(|source| !source.loaded).map(|source| {
        let Progress { events_applied, events_behind } = source.progress();
        LoadingView { source: source.source.clone(), events_applied, events_behind }
    });
    let view = ServiceView {
        service_mode: api.mode.mode().as_str(),
        data_quality: age.quality().as_str(),
        data_as_of: age.as_of().map(|at| at.to_string()),
        data_age_s: age.age_s(),
        loaded: !sources.is_empty() && sources.iter().all(|source| source.loaded),
        loading: loading.collect(),
    };
    let mut response = axum::response::IntoResponse::into_response(axum::Json(view));
    age.write(api.mode.mode(), &mut response);
    Ok(response)
}
