//! The control interface: faults, the ledger for checkers, the change log, and what happens at a branch. Loopback only.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use sql::Dialect;
use tower::ServiceExt;

use crate::account::moment_text;
use crate::answer::{json, posting_answer, problem, raw};
use crate::bank::Bank;
use crate::changes::{self, Change, Kind};
use crate::faults::Fault;
use crate::ledger::{Deadline, LedgerError, find, update};
use crate::model::{PostingBody, Problem};
use crate::serve::Answer;
use crate::{reads, references};

/// Status of a process that was told to die, as a shell reports one ended by SIGKILL.
const KILLED: i32 = 137;
/// Longest wait for the bank's port to open or shut.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Answers requests of the control port.
pub(crate) fn answers(bank: Bank) -> impl Fn(http::Request<Incoming>) -> Answer + Clone + Send + Sync + 'static {
    let router = Router::new()
        .route("/faults", get(show_fault).put(set_fault))
        .route("/counters", get(counters))
        .route("/ledger", get(ledger))
        .route("/changes", get(changes))
        .route("/branch-posting", post(branch_posting))
        .route("/freeze/{account}", post(|bank, account| set_status(bank, account, "F")))
        .route("/unfreeze/{account}", post(|bank, account| set_status(bank, account, "A")))
        .route("/close/{account}", post(|bank, account| set_status(bank, account, "C")))
        .route("/forget", post(forget))
        .route("/kill", post(kill))
        .with_state(bank);
    move |request| {
        let router = router.clone();
        Box::pin(async move {
            let response = router.oneshot(request.map(Body::new)).await;
            Ok(response.unwrap_or_else(|never| match never {}))
        })
    }
}

async fn show_fault(State(bank): State<Bank>) -> Response<Body> {
    let (drawn, hit) = bank.faults.drawn();
    json(StatusCode::OK, &json!({"fault": bank.faults.current(), "drawn": drawn, "hit": hit}))
}

async fn set_fault(State(bank): State<Bank>, body: Bytes) -> Response<Body> {
    let lifetime_ms = u64::try_from(bank.lifetime.as_millis()).unwrap_or(u64::MAX);
    let fault = serde_json::from_slice::<Fault>(&body).map_err(|err| err.to_string());
    match fault.and_then(|fault| fault.check(lifetime_ms).map(|()| fault)) {
        Ok(fault) => {
            tracing::info!(kind = ?fault.kind, share = fault.share, "fault in force");
            bank.faults.set(fault);
            if tokio::time::timeout(SETTLE_MAX, bank.faults.settled()).await.is_err() {
                tracing::warn!("the bank's port has not settled yet");
            }
            show_fault(State(bank)).await
        }
        Err(message) => malformed(&message),
    }
}

async fn counters(State(bank): State<Bank>) -> Response<Body> {
    json(StatusCode::OK, &*bank.counters)
}

async fn ledger(State(bank): State<Bank>) -> Response<Body> {
    match reads::ledger(&bank.ledger.db).await {
        Ok(ledger) => json(StatusCode::OK, &ledger),
        Err(err) => posting_answer(Err(err.into())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesQuery {
    #[serde(default)]
    after: i64,
    #[serde(default = "changes_limit")]
    limit: u32,
    #[serde(default)]
    wait_ms: u64,
}

fn changes_limit() -> u32 {
    500
}

async fn changes(State(bank): State<Bank>, Query(query): Query<ChangesQuery>) -> Response<Body> {
    let wait = Duration::from_millis(query.wait_ms.min(reads::CHANGES_WAIT_MS_MAX));
    match reads::changes(&bank.ledger, query.after, query.limit, wait).await {
        Ok(Some(records)) => raw(StatusCode::OK, records),
        Ok(None) => problem(StatusCode::NOT_IMPLEMENTED, "NOT_OFFERED", "only the embedded core keeps a change log"),
        Err(err) => posting_answer(Err(err.into())),
    }
}

async fn branch_posting(State(bank): State<Bank>, body: Bytes) -> Response<Body> {
    let body = serde_json::from_slice::<PostingBody>(&body).map_err(|err| err.to_string());
    match body.and_then(|body| body.into_order(Timestamp::now())) {
        Ok(order) => posting_answer(bank.ledger.post(&order, None, Deadline::never()).await),
        Err(message) => malformed(&message),
    }
}

async fn set_status(State(bank): State<Bank>, Path(number): Path<String>, status: &'static str) -> Response<Body> {
    let changed = bank.ledger.db.transaction(move |tx| {
        Box::pin(async move {
            let Some(before) = find(tx, &number).await? else { return Ok(None) };
            let now = Timestamp::now();
            let mut after = before.clone();
            after.status = status.to_owned();
            after.updated = moment_text(now);
            update(tx, &after).await?;
            let mut position = 0;
            if tx.dialect() == Dialect::Sqlite {
                let change = Change::of_account(Some(&before), &after);
                position = changes::record(tx, now, Kind::Streamed, &[change]).await?;
            }
            Ok::<_, LedgerError>(Some((after, position)))
        })
    });
    match changed.await {
        Ok(Some((account, position))) => {
            bank.ledger.announce(position);
            json(StatusCode::OK, &account.show())
        }
        Ok(None) => problem(StatusCode::NOT_FOUND, "NOT_FOUND", "no such account"),
        Err(err) => posting_answer(Err(err)),
    }
}

async fn forget(State(bank): State<Bank>) -> Response<Body> {
    match references::forget_all(&bank.ledger.db).await {
        Ok(()) => json(StatusCode::OK, &json!({})),
        Err(err) => posting_answer(Err(err.into())),
    }
}

/// Ends the process as if it had been killed: nothing is flushed, finished or answered.
async fn kill() -> Response<Body> {
    std::process::exit(KILLED)
}

fn malformed(message: &str) -> Response<Body> {
    json(StatusCode::BAD_REQUEST, &Problem::new("MALFORMED", message))
}
