//! The operators' HTTP for writes: mode, core, entries, replay, limits, audit. Every change carries a reason and is audited.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Caller, Problem, Scope, Segment};
use schemas::entry::EntryState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use standin::journal::{Backlog, Entry, EntryDetail, EntryId, Filter, Intervention, JournalError, ModeOrder};
use standin::rules::{AgeBand, Limits};

use crate::answer::Status;
use crate::submission::Gateway;

/// Entries of one page at most.
const PAGE_MAX: i64 = 1_000;
const REASON_CHARS_MAX: usize = 500;

/// `/admin/v1/…` of the write side. The caller puts it behind the operators' [`edge::Authenticate`].
pub fn operators_router(gateway: Gateway) -> Router {
    Router::new()
        .route("/admin/v1/mode", get(show_mode).put(order_mode))
        .route("/admin/v1/core", get(show_core))
        .route("/admin/v1/entries", get(list_entries))
        .route("/admin/v1/entries/{id}", get(show_entry))
        .route("/admin/v1/entries/{id}/actions", post(act))
        .route("/admin/v1/replay", get(show_replay).post(steer_replay))
        .route("/admin/v1/limits", get(show_limits).put(set_limits))
        .route("/admin/v1/lanes/{account}/clearance", post(clear_lane))
        .route("/admin/v1/audit", get(show_audit))
        .with_state(gateway)
}

type Answer = Result<Response, Problem>;

async fn show_mode(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let view = gateway.watch().view();
    let order = gateway.journal().mode_order().await.map_err(unavailable)?;
    Ok(Json(json!({ "mode": view.mode().as_str(), "order": order, "core": view.health.as_str() })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderMode {
    order: ModeOrder,
    reason: String,
}

async fn order_mode(State(gateway): State<Gateway>, caller: Caller, request: Request) -> Answer {
    let OrderMode { order, reason } = order_from(&caller, request, |body: &OrderMode| &body.reason).await?;
    gateway.journal().order_mode(&caller.id, order, &reason).await.map_err(unavailable)?;
    show_mode(State(gateway), caller).await
}

async fn show_core(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let core = gateway.core();
    Ok(Json(json!({
        "name": core.name(),
        "health": gateway.watch().view().health.as_str(),
        "capabilities": core.capabilities(),
    }))
    .into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListEntries {
    /// One or more, separated by commas.
    state: Option<String>,
    account: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

async fn list_entries(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ListEntries>, QueryRejection>,
) -> Answer {
    caller.require(Scope::Operate)?;
    let query = understood(query)?;
    let after = match query.after.as_deref().map(EntryId::parse) {
        Some(None) => return Err(Problem::bad_request("after must be an entry's id")),
        other => other.flatten(),
    };
    let names = query.state.iter().flat_map(|names| names.split(','));
    let states = names.map(|name| EntryState::parse(name).ok_or_else(|| no_such_state(name)));
    let states = states.collect::<Result<_, _>>()?;
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE_MAX);
    let filter = Filter { states, account: query.account, after, limit };
    let entries = gateway.journal().list(&filter).await.map_err(unavailable)?;
    let views: Vec<Value> = entries.iter().map(entry_view).collect();
    Ok(Json(json!({ "entries": views })).into_response())
}

fn understood<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|err| Problem::bad_request(err.body_text()))
}

fn no_such_state(name: &str) -> Problem {
    let known = EntryState::ALL.map(EntryState::as_str).join(", ");
    Problem::bad_request(format!("{name:?} is no state; known are {known}"))
}

async fn show_entry(State(gateway): State<Gateway>, caller: Caller, Segment(id): Segment) -> Answer {
    caller.require(Scope::Operate)?;
    let id = EntryId::parse(&id).ok_or_else(Problem::not_found)?;
    let found = gateway.journal().detail(&id).await.map_err(unavailable)?;
    let EntryDetail { entry, transitions } = found.ok_or_else(Problem::not_found)?;
    let mut view = entry_view(&entry);
    view["transitions"] = json!(transitions);
    Ok(Json(view).into_response())
}

/// Without the customer's text: an operator steers by accounts, amounts and states.
fn entry_view(entry: &Entry) -> Value {
    let at = |us: i64| jiff::Timestamp::from_microsecond(us).map(|at| at.to_string()).unwrap_or_default();
    json!({
        "id": entry.id.as_str(),
        "state": entry.state,
        "status": Status::of(entry.state),
        "reason": entry.reason,
        "contradicted": entry.contradicted,
        "ordered": entry.ordered,
        "principal": entry.principal,
        "operation": entry.operation,
        "idempotency_key": entry.idempotency_key,
        "core_reference": entry.core_ref,
        "core_id": entry.core_id,
        "from_account": entry.command.from_account,
        "to_account": entry.command.to_account,
        "amount_minor": entry.command.amount_minor,
        "currency": entry.command.currency,
        "accepted_at": at(entry.accepted_us),
        "updated_at": at(entry.updated_us),
    })
}

/// An order that is nothing but an action and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Act<A> {
    action: A,
    reason: String,
}

/// What an operator orders and why, from a request's body: only with the scope, only with a reason.
pub async fn action_from<A: DeserializeOwned>(caller: &Caller, request: Request) -> Result<(A, String), Problem> {
    let Act { action, reason } = order_from(caller, request, |body: &Act<A>| &body.reason).await?;
    Ok((action, reason))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Cancel,
    Retry,
    WriteOff,
}

impl Action {
    fn decision(self, request_lifetime_ms: u64) -> Intervention {
        match self {
            Self::Cancel => Intervention::Cancel,
            Self::Retry => Intervention::Retry { request_lifetime_ms },
            Self::WriteOff => Intervention::WriteOff,
        }
    }

    fn not_now(self, state: EntryState) -> Problem {
        let (code, title) = match self {
            Self::Cancel => ("not-cancellable", "Only a queued entry can be cancelled"),
            Self::Retry => ("not-parked", "Only a parked entry can be sent again"),
            Self::WriteOff => ("not-parked", "Only a parked entry can be written off"),
        };
        Problem::new(409, code, title).detail(format!("The entry is {state}."))
    }
}

async fn act(State(gateway): State<Gateway>, caller: Caller, Segment(id): Segment, request: Request) -> Answer {
    let (action, reason): (Action, _) = action_from(&caller, request).await?;
    let id = EntryId::parse(&id).ok_or_else(Problem::not_found)?;
    let decision = action.decision(gateway.core().capabilities().request_lifetime_ms_max);
    match gateway.journal().decide(&caller.id, &id, decision, Some(reason)).await {
        Ok(entry) => Ok(Json(entry_view(&entry)).into_response()),
        Err(JournalError::NoSuchEntry) => Err(Problem::not_found()),
        Err(JournalError::Forbidden(state)) => Err(action.not_now(state)),
        Err(JournalError::AttemptOpen) => Err(too_early("An attempt has not ended: its sender may still be alive.")),
        Err(JournalError::AttemptRecent) => {
            Err(too_early("A request of it may still take effect in the core; try again in some seconds."))
        }
        Err(err) => Err(unavailable(err)),
    }
}

fn too_early(detail: &str) -> Problem {
    Problem::new(409, "attempt-open", "It may still be posted").detail(detail).retryable(true)
}

#[derive(Serialize)]
struct ReplayView {
    paused: bool,
    open: i64,
    oldest_open_s: u64,
    contradicted: i64,
    breaks: i64,
    by_state: BTreeMap<EntryState, i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowReplay {
    /// Count the entries that have ended, too.
    #[serde(default)]
    ended: bool,
}

async fn show_replay(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ShowReplay>, QueryRejection>,
) -> Answer {
    caller.require(Scope::Operate)?;
    replay_view(&gateway, &understood(query)?).await
}

async fn replay_view(gateway: &Gateway, query: &ShowReplay) -> Answer {
    let journal = gateway.journal();
    let paused = journal.replay_paused().await.map_err(unavailable)?;
    let mut backlog = journal.backlog().await.map_err(unavailable)?;
    let (open, oldest_open_s) = (backlog.open(), backlog.oldest_open.as_secs());
    if query.ended {
        backlog.by_state.extend(journal.ended().await.map_err(unavailable)?);
    }
    let Backlog { by_state, contradicted, breaks, .. } = backlog;
    Ok(Json(ReplayView { paused, open, oldest_open_s, contradicted, breaks, by_state }).into_response())
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReplayAction {
    Start,
    Pause,
}

async fn steer_replay(State(gateway): State<Gateway>, caller: Caller, request: Request) -> Answer {
    let (action, reason): (ReplayAction, _) = action_from(&caller, request).await?;
    let paused = action == ReplayAction::Pause;
    gateway.journal().pause_replay(&caller.id, paused, &reason).await.map_err(unavailable)?;
    replay_view(&gateway, &ShowReplay::default()).await
}

async fn show_limits(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let (limits, version) = gateway.journal().limits().await.map_err(unavailable)?;
    Ok(Json(json!({ "limits": limits, "version": version })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLimits {
    limits: WholeLimits,
    /// Of the limits that this replaces, as last shown.
    version: i64,
    reason: String,
}

/// A limit left out must not become a default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeLimits {
    per_transfer_minor: i64,
    per_day_minor: i64,
    per_day_count: i64,
    age_bands: Vec<AgeBand>,
}

async fn set_limits(State(gateway): State<Gateway>, caller: Caller, request: Request) -> Answer {
    let SetLimits { limits, version, reason } = order_from(&caller, request, |body: &SetLimits| &body.reason).await?;
    let WholeLimits { per_transfer_minor, per_day_minor, per_day_count, age_bands } = limits;
    let limits = Limits { per_transfer_minor, per_day_minor, per_day_count, age_bands };
    let problems = limits.problems();
    if !problems.is_empty() {
        return Err(Problem::bad_request(problems.join("; ")));
    }
    match gateway.journal().set_limits(&caller.id, &limits, Some(version), &reason).await {
        Ok(()) => show_limits(State(gateway), caller).await,
        Err(JournalError::Changed) => {
            let problem = Problem::new(409, "limits-changed", "Somebody changed the limits meanwhile");
            Err(problem.detail("Look at what is in force now, and send its version."))
        }
        Err(err) => Err(unavailable(err)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: String,
}

async fn clear_lane(
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

async fn show_audit(State(gateway): State<Gateway>, caller: Caller) -> Answer {
    caller.require(Scope::Operate)?;
    let trail = gateway.journal().audit_trail(PAGE_MAX).await.map_err(unavailable)?;
    Ok(Json(json!({ "audit": trail })).into_response())
}

/// The body of an operator's order: only with the scope, only with a reason.
async fn order_from<T: DeserializeOwned>(
    caller: &Caller,
    request: Request,
    reason: impl Fn(&T) -> &String,
) -> Result<T, Problem> {
    caller.require(Scope::Operate)?;
    let body: T = edge::json::read_json(request).await?;
    if !(1..=REASON_CHARS_MAX).contains(&reason(&body).trim().chars().count()) {
        return Err(Problem::bad_request("Say why: a reason of 1 to 500 characters goes into the audit.").error(
            "/reason",
            "reason-missing",
            "1 to 500 characters",
        ));
    }
    Ok(body)
}

fn unavailable(err: JournalError) -> Problem {
    Problem::unavailable("journal-unavailable", "The journal does not answer", err).retryable(true).retry_after_s(2)
}
