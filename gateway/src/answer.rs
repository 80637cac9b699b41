//! From an entry to the answer a channel gets.

use axum::response::{IntoResponse, Response};
use edge::Problem;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use schemas::entry::{AcceptedBy, EntryState};
use schemas::money::render_minor;
use serde::Serialize;
use standin::journal::{ArchivedEntry, Entry, EntryId, JournalError};
use standin::rules::Reason;

use crate::clocks::ClockFault;

/// What a channel sees of an entry's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// No outcome yet.
    Processing,
    /// Posted by the core.
    Completed,
    /// Ended without a posting; `reason` says why.
    Failed,
    /// Cancelled before it was sent.
    Cancelled,
}

impl Status {
    /// The table of the API's documentation.
    pub fn of(state: EntryState) -> Self {
        match state {
            EntryState::Submitting | EntryState::Queued | EntryState::OutcomeUnknown | EntryState::Parked => {
                Self::Processing
            }
            EntryState::Posted | EntryState::Confirmed => Self::Completed,
            EntryState::Declined | EntryState::Refused | EntryState::WrittenOff => Self::Failed,
            EntryState::Cancelled => Self::Cancelled,
        }
    }

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What became of a transfer, wherever its details are.
#[derive(Serialize)]
struct Fate<'a> {
    transfer_id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_by: Option<AcceptedBy>,
    core_reference: &'a str,
    cancellable: bool,
    created_at: String,
    updated_at: String,
}

/// A transfer as channels see it.
#[derive(Serialize)]
struct TransferView<'a> {
    #[serde(flatten)]
    fate: Fate<'a>,
    from_account: &'a str,
    to_account: &'a str,
    amount: String,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remittance: Option<&'a str>,
}

/// Who took the write: the core within the request, or stand-in; nobody did when our rules declined it, or while it waits for the core's
/// decision.
pub fn accepted_by(entry: &Entry) -> Option<AcceptedBy> {
    accepted(entry.state, entry.ordered)
}

fn accepted(state: EntryState, ordered: bool) -> Option<AcceptedBy> {
    match state {
        EntryState::Declined => None,
        EntryState::Queued if !ordered => None,
        _ if ordered => Some(AcceptedBy::StandIn),
        _ => Some(AcceptedBy::Core),
    }
}

/// The body of every answer about a transfer.
pub fn render(entry: &Entry) -> Result<Vec<u8>, Problem> {
    let command = &entry.command;
    let (reason, stamps) = (entry.reason.as_deref(), (entry.accepted_us, entry.updated_us));
    let view = TransferView {
        fate: fate(&entry.id, (entry.state, entry.ordered), reason, &entry.core_ref, stamps)?,
        from_account: &command.from_account,
        to_account: &command.to_account,
        amount: render_minor(command.amount_minor, command.currency),
        currency: command.currency.code(),
        remittance: command.remittance.as_deref(),
    };
    serde_json::to_vec(&view).map_err(Problem::internal)
}

fn fate<'a>(
    id: &'a EntryId,
    (state, ordered): (EntryState, bool),
    reason: Option<&'a str>,
    core_reference: &'a str,
    (accepted_us, updated_us): (i64, i64),
) -> Result<Fate<'a>, Problem> {
    let status = Status::of(state);
    Ok(Fate {
        transfer_id: id.as_str(),
        status,
        // Operators read why an entry waits for a person. A channel only reads why one failed.
        reason: reason.filter(|_| status == Status::Failed),
        accepted_by: accepted(state, ordered),
        core_reference,
        cancellable: state == EntryState::Queued,
        created_at: rfc3339(accepted_us)?,
        updated_at: rfc3339(updated_us)?,
    })
}

/// What a channel still sees of a transfer whose details are in the archive.
#[derive(Serialize)]
struct ArchivedView<'a> {
    #[serde(flatten)]
    fate: Fate<'a>,
    archived: bool,
}

/// The answer to a read of an archived transfer: what became of it, without accounts, amount and text.
pub fn shown_archived(entry: &ArchivedEntry) -> Result<Response, Problem> {
    let (reason, stamps) = (entry.reason.as_deref(), (entry.accepted_us, entry.ended_us));
    let view = ArchivedView {
        fate: fate(&entry.id, (entry.state, entry.ordered), reason, &entry.core_ref, stamps)?,
        archived: true,
    };
    rendered(StatusCode::OK, serde_json::to_vec(&view).map_err(Problem::internal)?)
}

fn rfc3339(us: i64) -> Result<String, Problem> {
    jiff::Timestamp::from_microsecond(us).map(|at| at.to_string()).map_err(Problem::internal)
}

/// The answer to a read of a transfer.
pub fn shown(entry: &Entry) -> Result<Response, Problem> {
    json(StatusCode::OK, entry)
}

/// The answer to a write: 201 with an outcome, 202 without one, 422 when our rules declined it.
pub fn submitted(entry: &Entry, replayed: bool) -> Result<Response, Problem> {
    let mut response = match Status::of(entry.state) {
        _ if entry.state == EntryState::Declined => declined(entry).into_response(),
        Status::Processing => processing(entry)?,
        Status::Completed | Status::Failed | Status::Cancelled => json(StatusCode::CREATED, entry)?,
    };
    if replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn processing(entry: &Entry) -> Result<Response, Problem> {
    let mut response = json(StatusCode::ACCEPTED, entry)?;
    let location = format!("/v1/transfers/{}", entry.id);
    let location = HeaderValue::from_str(&location).map_err(Problem::internal)?;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    Ok(response)
}

fn json(status: StatusCode, entry: &Entry) -> Result<Response, Problem> {
    rendered(status, render(entry)?)
}

fn rendered(status: StatusCode, body: Vec<u8>) -> Result<Response, Problem> {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    Ok((status, headers, body).into_response())
}

/// A stored decline: the same key gets the same answer later.
fn declined(entry: &Entry) -> Problem {
    let reason = entry.reason.as_deref().and_then(Reason::parse);
    let (code, detail) = match reason {
        Some(reason) => (reason.code(), explain(reason)),
        None => ("declined", "A rule declined it."),
    };
    Problem::new(422, code, "The transfer was declined")
        .detail(detail)
        .transfer_id(entry.id.as_str())
        .retryable(false)
        .safe_to_use_new_key(true)
}

fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::UnknownAccount => "The account to be credited is not known.",
        Reason::PayeeNotAvailable => "The account to be credited cannot be credited in this currency now.",
        Reason::AccountFrozen => "The account is frozen.",
        Reason::AccountClosed => "An account of this transfer is closed.",
        Reason::CurrencyMismatch => "The amount must be in the currency of both accounts.",
        Reason::InsufficientFunds => "The available balance does not cover the amount.",
        Reason::NoLimitForCurrency => "Transfers in this currency are not accepted.",
        Reason::LimitExceeded => "The amount is above the limit of one transfer.",
        Reason::DailyLimitExceeded => "The day's limit for this account is used up while the core is away.",
        Reason::DailyCountExceeded => {
            "The day's number of transfers for this account is used up while the core is away."
        }
        Reason::DataTooOld => "The account's data are too old to decide while the core is away.",
    }
}

/// A key that was used for another command. The client may mean the same transfer, so a new key could pay twice.
pub fn key_reused(first: &EntryId) -> Problem {
    Problem::new(422, "idempotency-key-reused", "The Idempotency-Key was used for another transfer")
        .detail(
            "Look at transfer_id first: it may be the transfer you mean, with another spelling of a text. Use a new key only for \
             a transfer that is to be made besides that one.",
        )
        .transfer_id(first.as_str())
        .retryable(false)
        .safe_to_use_new_key(false)
}

/// Nothing is known of accounts yet.
pub fn not_loaded() -> Problem {
    Problem::new(503, "not-loaded", "The account data are still being loaded")
        .retryable(true)
        .safe_to_use_new_key(true)
        .retry_after_s(5)
}

/// Stamps and days would be wrong, so nothing is taken.
pub fn clocks_differ(fault: &ClockFault) -> Problem {
    // An earlier request with this key may have been kept.
    Problem::unavailable("clocks-differ", "The transfer was not accepted", fault)
        .detail(format!("Nothing of this request was kept: {fault}. Ask again with the same key."))
        .retryable(true)
        .safe_to_use_new_key(false)
        .retry_after_s(5)
}

/// The journal went away in the middle of it.
pub fn acceptance_unknown(err: impl std::fmt::Display) -> Problem {
    Problem::unavailable("acceptance-unknown", "It is not known whether the transfer was accepted", err)
        .detail("Ask again with the same key; a new key could transfer twice.")
        .retryable(true)
        .safe_to_use_new_key(false)
        .retry_after_s(2)
}

/// It waits for the core, which is there and has not decided yet, and stand-in would decline it.
pub fn decision_pending() -> Problem {
    Problem::new(503, "decision-pending", "The core has not decided the transfer yet")
        .detail("It waits for its turn. Ask again with the same key; a new key could transfer twice.")
        .retryable(true)
        .safe_to_use_new_key(false)
        .retry_after_s(2)
}

/// The journal could not take the write; whether it did is said exactly.
pub fn journal_problem(err: &JournalError) -> Problem {
    if err.is_commit_unknown() {
        return acceptance_unknown(err);
    }
    match err {
        JournalError::Sql(sql::Error::Unavailable(_) | sql::Error::Retryable { .. })
        | JournalError::Overloaded
        | JournalError::TooLate => {
            // An earlier request with this key may have been kept: the journal cannot be asked.
            Problem::unavailable("journal-unavailable", "The transfer was not accepted", err)
                .detail("Nothing of this request was kept. Ask again with the same key.")
                .retryable(true)
                .safe_to_use_new_key(false)
                .retry_after_s(2)
        }
        _ => Problem::internal(err).safe_to_use_new_key(false),
    }
}

/// The journal does not answer, and nothing was to be kept.
pub(crate) fn unavailable(err: JournalError) -> Problem {
    Problem::unavailable("journal-unavailable", "The journal does not answer", err).retryable(true).retry_after_s(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_key_names_its_transfer_and_invites_no_second_payment() {
        let id = EntryId::generate();
        let problem = key_reused(&id);
        assert_eq!(problem.transfer_id.as_deref(), Some(id.as_str()));
        assert_eq!((problem.status, problem.safe_to_use_new_key), (422, Some(false)));
    }

    #[test]
    fn an_archived_transfer_tells_what_became_of_it_and_that_it_is_archived() {
        let (accepted_us, ended_us) = (1_700_000_000_000_000, 1_700_000_001_000_000);
        let entry = ArchivedEntry {
            id: EntryId::generate(),
            principal: "mobile".into(),
            core_ref: "LC1".into(),
            state: EntryState::Refused,
            ordered: true,
            reason: Some("account-closed".into()),
            accepted_us,
            ended_us,
            file: "journal-2023-11-001.jsonl.gz".into(),
        };
        assert_eq!(shown_archived(&entry).unwrap().status(), StatusCode::OK);
        assert_eq!(accepted(entry.state, entry.ordered), Some(AcceptedBy::StandIn));
        assert_eq!(rfc3339(entry.accepted_us).unwrap(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_write_that_waited_too_long_was_not_kept() {
        let problem = journal_problem(&JournalError::TooLate);
        assert_eq!((problem.status, problem.code), (503, "journal-unavailable"));
    }
}
