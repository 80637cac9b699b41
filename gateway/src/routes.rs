//! The channels' HTTP for writes.

use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use edge::{Caller, Problem, Scope, Segment, Work};
use http::HeaderValue;
use schemas::data_position::DataPosition;
use schemas::entry::{AcceptedBy, EntryState};
use serde::Deserialize;
use standin::journal::{ArchivedEntry, Entry, EntryId, JournalError, Write};
use tokio::time::timeout;

use crate::answer::{self, Status, accepted_by, unavailable};
use crate::gateway::Gateway;
use crate::metrics::WRITES_TOTAL;
use crate::request::{TRANSFER, TransferBody, fingerprint, idempotency_key, key_from};

/// `/v1/transfers` and what belongs to it. The caller puts it behind [`edge::Authenticate`].
pub fn router(gateway: Gateway) -> Router {
    Router::new()
        .route("/v1/transfers", post(submit).get(by_key))
        .route("/v1/transfers/{id}", get(by_id))
        .route("/v1/transfers/{id}/cancellation", post(cancel))
        .with_state(gateway)
}

pub(crate) async fn submit(
    State(gateway): State<Gateway>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Write)?;
    gateway.watch().clocks().check().map_err(|fault| answer::clocks_differ(&fault))?;
    let key = idempotency_key(request.headers())?;
    let command = edge::json::read_json::<TransferBody>(request).await?.parse()?;
    let write = Write {
        id: EntryId::generate_for(&command.from_account),
        principal: caller.id.clone(),
        operation: TRANSFER.to_owned(),
        idempotency_key: key,
        fingerprint: fingerprint(TRANSFER, &command)?,
        command,
        grant: caller.grant.clone(),
        belief: gateway.watch().view().belief(),
    };
    check(&gateway, &write)?;
    let (entry, replayed) = gateway.submit(write).await?;
    let by = match accepted_by(&entry) {
        Some(AcceptedBy::Core) => "core",
        Some(AcceptedBy::StandIn) => "stand-in",
        None => "nobody",
    };
    metrics::counter!(WRITES_TOTAL, "status" => Status::of(entry.state).as_str(), "accepted_by" => by).increment(1);
    Ok(positioned(&gateway, &entry, answer::submitted(&entry, replayed)?).await)
}

/// Longest an answer that is there waits for its position.
const POSITION_BUDGET: Duration = Duration::from_millis(250);

/// Adds the position of the debited account, which the caller may read; as `Min-Position` it makes a later read include the
/// write. An answer without it is still true, so a journal that went away costs only the header.
async fn positioned(gateway: &Gateway, entry: &Entry, mut response: Response) -> Response {
    let account = &entry.command.from_account;
    let version = match entry.lane_version {
        Some(version) => Some(version),
        None => {
            let read = timeout(POSITION_BUDGET, gateway.journal().lane_version(account)).await;
            read.ok().and_then(Result::ok).flatten()
        }
    };
    if let Some(version) = version {
        let position = DataPosition { lanes: [(account.clone(), version)].into(), ..DataPosition::default() };
        if let Ok(value) = HeaderValue::from_str(&position.to_string()) {
            response.headers_mut().insert("data-position", value);
        }
    }
    response
}

/// Asked before a key is consumed: can the core be told this at all?
fn check(gateway: &Gateway, write: &Write) -> Result<(), Problem> {
    if !gateway.core().offers(&write.operation) {
        return Err(Problem::new(503, "operation-not-offered", "The core does not offer this operation")
            .retryable(false)
            .safe_to_use_new_key(true));
    }
    let (reference, now_us) = (gateway.journal().reference(&write.id), jiff::Timestamp::now().as_microsecond());
    let request = standin::settle::check_request(write, reference, now_us).map_err(Problem::internal)?;
    gateway.core().check(&request).map_err(|field| {
        Problem::bad_request("The core cannot be sent this transfer.").error("", "not-representable", field)
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByKey {
    idempotency_key: String,
}

async fn by_key(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ByKey>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let key = query.ok().and_then(|Query(ByKey { idempotency_key })| key_from(&idempotency_key));
    let key = key.ok_or_else(|| Problem::bad_request("Give exactly one parameter: idempotency_key."))?;
    let _turn = caller.turn(Work::Read).await?;
    let journal = gateway.journal();
    if let Some(entry) = journal.get_by_key(&caller.id, TRANSFER, &key).await.map_err(unavailable)? {
        return answer::shown(&entry);
    }
    let archived = journal.archived_by_key(&caller.id, TRANSFER, &key).await.map_err(unavailable)?;
    answer::shown_archived(&archived.ok_or_else(Problem::not_found)?)
}

async fn by_id(State(gateway): State<Gateway>, caller: Caller, Segment(id): Segment) -> Result<Response, Problem> {
    match own_entry(&gateway, &caller, &id).await? {
        Own::Kept(entry) => answer::shown(&entry),
        Own::Archived(entry) => answer::shown_archived(&entry),
    }
}

async fn cancel(State(gateway): State<Gateway>, caller: Caller, Segment(id): Segment) -> Result<Response, Problem> {
    caller.require(Scope::Write)?;
    let entry = match own_entry(&gateway, &caller, &id).await? {
        Own::Kept(entry) => *entry,
        Own::Archived(entry) => return Err(not_cancellable(&entry.id, entry.state)),
    };
    let (journal, actor, id) = (gateway.journal().clone(), caller.id.clone(), entry.id.clone());
    let cancelled = edge::request::spawn(async move { journal.cancel(&actor, &id).await }).await;
    match cancelled.map_err(Problem::internal)? {
        Ok(entry) => Ok(positioned(&gateway, &entry, answer::shown(&entry)?).await),
        Err(JournalError::Forbidden(state)) => Err(not_cancellable(&entry.id, state)),
        Err(err) => Err(unavailable(err)),
    }
}

/// The caller's own entry, where it is.
enum Own {
    Kept(Box<Entry>),
    Archived(ArchivedEntry),
}

/// The caller's own entry; anybody else's does not exist.
async fn own_entry(gateway: &Gateway, caller: &Caller, id: &str) -> Result<Own, Problem> {
    let id = EntryId::parse(id).ok_or_else(Problem::not_found)?;
    let _turn = caller.turn(Work::Read).await?;
    if let Some(entry) = gateway.journal().get(&id).await.map_err(unavailable)? {
        let own = (entry.principal == caller.id).then(|| Own::Kept(Box::new(entry)));
        return own.ok_or_else(Problem::not_found);
    }
    let archived = gateway.journal().archived(&id).await.map_err(unavailable)?;
    let own = archived.filter(|entry| entry.principal == caller.id);
    own.map(Own::Archived).ok_or_else(Problem::not_found)
}

fn not_cancellable(id: &EntryId, state: EntryState) -> Problem {
    Problem::new(409, "not-cancellable", "The transfer cannot be cancelled any more")
        .detail(match Status::of(state) {
            Status::Processing => "It is on its way to the core; ask for its outcome.",
            _ => "It has ended already.",
        })
        .transfer_id(id.as_str())
        .retryable(false)
}
