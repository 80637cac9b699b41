//! Entries: looked at, and decided about.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::IntoResponse;
use edge::{Caller, Problem, Scope, Segment};
use schemas::entry::EntryState;
use serde::Deserialize;
use serde_json::{Value, json};
use standin::journal::{Act, ArchivedEntry, Entry, EntryDetail, EntryId, Filter, Grounds, Order};

use super::entry_view::{view, view_with_text};
use super::{Answer, PAGE_MAX, order_from, orders, page_of, unavailable, understood};
use crate::gateway::Gateway;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListEntries {
    /// One or more, separated by commas.
    state: Option<String>,
    account: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
    /// With the customers' texts: for a bank that must key its writes by hand.
    #[serde(default)]
    text: bool,
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
    let limit = page_of(query.limit);
    let filter = Filter { states, account: query.account, after, limit };
    let entries = gateway.operators().list(&filter).await.map_err(unavailable)?;
    let whole = |entry: &Entry| if query.text { view_with_text(entry) } else { view(entry) };
    let views: Vec<Value> = entries.iter().map(whole).collect();
    Ok(Json(json!({ "entries": views })).into_response())
}

fn no_such_state(name: &str) -> Problem {
    let known = EntryState::ALL.map(EntryState::as_str).join(", ");
    Problem::bad_request(format!("{name:?} is no state; known are {known}"))
}

pub(super) async fn show(State(gateway): State<Gateway>, caller: Caller, Segment(id): Segment) -> Answer {
    caller.require(Scope::Operate)?;
    let id = EntryId::parse(&id).ok_or_else(Problem::not_found)?;
    let found = gateway.operators().detail(&id).await.map_err(unavailable)?;
    let Some(EntryDetail { entry, transitions, decision }) = found else {
        let archived = gateway.operators().archived(&id).await.map_err(unavailable)?;
        return Err(archived.map_or_else(Problem::not_found, |entry| archived_problem(&entry)));
    };
    let orders = gateway.operators().audit_of(id.as_str(), PAGE_MAX).await.map_err(unavailable)?;
    let mut view = view(&entry);
    view["transitions"] = json!(transitions);
    view["decision"] = json!(decision);
    view["orders"] = json!(orders);
    Ok(Json(view).into_response())
}

/// Where a person finds an archived entry.
fn archived_problem(ArchivedEntry { id, state, file, .. }: &ArchivedEntry) -> Problem {
    Problem::new(404, "entry-archived", "The entry is archived")
        .detail(format!("It ended {state} and is in the file {file}: `locum archive show {file} {id}`."))
        .transfer_id(id.as_str())
}

/// What a person may order about one entry.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Cancel,
    Retry,
    Force,
    WriteOff,
    Adopt,
    Free,
    Link,
    Compensate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryOrder {
    action: Action,
    reason: String,
    posted_proof: Option<String>,
    absence_proof: Option<String>,
    risk_accepted_by: Option<String>,
    /// Of `link`: the core's own numbers of what was keyed.
    postings: Option<Vec<String>>,
    /// Of `adopt`: the debited account's number of the posting.
    debit_posting_no: Option<i64>,
}

impl EntryOrder {
    /// `None`: there is no such operation.
    fn order(self, entry: EntryId) -> Result<Option<Order>, Problem> {
        if self.postings.is_some() != (self.action == Action::Link) {
            return Err(Problem::bad_request("`postings` belongs to `link`, and only to it."));
        }
        if self.debit_posting_no.is_some() && self.action != Action::Adopt {
            return Err(Problem::bad_request("`debit_posting_no` belongs to `adopt`."));
        }
        let act = match self.action {
            Action::Cancel => Act::Cancel { entry },
            Action::Retry => Act::Retry { entry },
            Action::Force => Act::Force { entry },
            Action::WriteOff => Act::WriteOff { entry },
            Action::Adopt => Act::Adopt { entry, debit_posting_no: self.debit_posting_no },
            Action::Free => Act::Free { entry },
            Action::Link => Act::Link { entry, postings: self.postings.unwrap_or_default() },
            Action::Compensate => return Ok(None),
        };
        let grounds = Grounds {
            reason: self.reason,
            posted_proof: self.posted_proof,
            absence_proof: self.absence_proof,
            risk_accepted_by: self.risk_accepted_by,
        };
        Ok(Some(Order { act, grounds }))
    }
}

pub(super) async fn act(
    State(gateway): State<Gateway>,
    caller: Caller,
    Segment(id): Segment,
    request: Request,
) -> Answer {
    let body: EntryOrder = order_from(&caller, request, |body: &EntryOrder| &body.reason).await?;
    let id = EntryId::parse(&id).ok_or_else(Problem::not_found)?;
    match body.order(id.clone())? {
        Some(order) => orders::give(gateway, &caller, order).await,
        None if gateway.operators().get(&id).await.map_err(unavailable)?.is_none() => Err(Problem::not_found()),
        None => Ok(orders::compensation_not_offered()),
    }
}
