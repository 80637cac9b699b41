//! Entries: looked at, and decided about.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Problem, Scope, Segment};
use schemas::entry::EntryState;
use serde::Deserialize;
use serde_json::{Value, json};
use standin::journal::{Entry, EntryDetail, EntryId, Filter, Intervention, JournalError};

use super::{Answer, PAGE_MAX, action_from, unavailable, understood};
use crate::answer::Status;
use crate::submission::Gateway;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListEntries {
    /// One or more, separated by commas.
    state: Option<String>,
    account: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn list(
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

fn no_such_state(name: &str) -> Problem {
    let known = EntryState::ALL.map(EntryState::as_str).join(", ");
    Problem::bad_request(format!("{name:?} is no state; known are {known}"))
}

pub(super) async fn show(State(gateway): State<Gateway>, caller: Caller, Segment(id): Segment) -> Answer {
    caller.require(Scope::Operate)?;
    let id = EntryId::parse(&id).ok_or_else(Problem::not_found)?;
    let found = gateway.journal().detail(&id).await.map_err(unavailable)?;
    let EntryDetail { entry, transitions, decision } = found.ok_or_else(Problem::not_found)?;
    let mut view = entry_view(&entry);
    view["transitions"] = json!(transitions);
    view["decision"] = json!(decision);
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

pub(super) async fn act(
    State(gateway): State<Gateway>,
    caller: Caller,
    Segment(id): Segment,
    request: Request,
) -> Answer {
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
