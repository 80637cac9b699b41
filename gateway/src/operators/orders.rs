//! Orders: carried out at once, or kept for a second person.

use axum::Json;
use axum::response::{IntoResponse, Response};
use edge::{Caller, Problem};
use http::StatusCode;
use schemas::entry::EntryState;
use serde_json::{Value, json};
use standin::journal::{Act, Approval, Done, EntryId, JournalError, Objection, Order, OrderKind};

use super::{Answer, entry_view, time_of_ms, unavailable};
use crate::gateway::Gateway;

/// Carries the order out, or keeps it until a second person agrees where the configuration wants four eyes for its kind.
pub(super) async fn give(gateway: Gateway, caller: &Caller, order: Order) -> Answer {
    let kind = order.act.kind();
    let (id, by) = (EntryId::generate(), caller.id.clone());
    if gateway.four_eyes().wants(kind) {
        let ttl_ms = gateway.four_eyes().expires_after_ms();
        let asked = edge::request::spawn(async move { gateway.operators().ask(&id, &by, &order, ttl_ms).await }).await;
        let approval = asked.map_err(Problem::internal)?.map_err(|err| problem(kind, err))?;
        return Ok((StatusCode::ACCEPTED, Json(json!({ "approval": view(&approval) }))).into_response());
    }
    let given = edge::request::spawn(async move {
        let request_lifetime_ms = gateway.core().capabilities().request_lifetime_ms_max;
        gateway.operators().give(&id, &by, &order, request_lifetime_ms).await.map(|done| (done, order))
    });
    let (done, order) = given.await.map_err(Problem::internal)?.map_err(|err| problem(kind, err))?;
    Ok(done_view(&order.act, &done).into_response())
}

/// What an order came to.
pub(super) fn done_view(act: &Act, done: &Done) -> Json<Value> {
    Json(match done {
        Done::Entry(entry) => entry_view::view(entry),
        Done::LaneCleared => json!({ "account": act.subject(), "stopped": false }),
        Done::DayReset(day) => json!({ "account": act.subject(), "business_date": entry_view::business_date(*day) }),
        Done::AttemptsEnded(entries) => {
            let entries: Vec<&str> = entries.iter().map(EntryId::as_str).collect();
            json!({ "instance": act.subject(), "gone": true, "attempts_ended_of": entries })
        }
    })
}

/// An approval with all that its second person must know.
pub(super) fn view(approval: &Approval) -> Value {
    json!({
        "id": approval.id.as_str(),
        "state": approval.state.as_str(),
        "order": approval.order,
        "asked_by": approval.asked_by,
        "asked_at": time_of_ms(approval.asked_ms),
        "expires_at": time_of_ms(approval.expires_ms),
        "decided_by": approval.decided_by,
        "decided_at": approval.decided_ms.map(time_of_ms),
    })
}

/// Why an order was not carried out, as an operator reads it.
pub(super) fn problem(kind: OrderKind, err: JournalError) -> Problem {
    match err {
        JournalError::NoSuchEntry => Problem::not_found(),
        JournalError::Forbidden(state) => not_now(kind, state),
        JournalError::AttemptOpen => too_early(
            "An attempt has not ended: its sender may still be alive. If its host is lost for good, see `locum instance`.",
        ),
        JournalError::AttemptRecent => {
            too_early("A request of it may still take effect in the core; try again in some seconds.")
        }
        JournalError::Objected(objection) => objected(&objection),
        err => unavailable(err),
    }
}

fn objected(objection: &Objection) -> Problem {
    let (status, code, title) = match objection {
        Objection::GroundsMissing(_) => (422, "grounds-missing", "The order needs other grounds"),
        Objection::Booked => (409, "booked", "The core's books show it"),
        Objection::LegsMissing => (409, "legs-missing", "The core's books do not show all of it"),
        Objection::NothingToFree => (409, "nothing-to-free", "There is nothing to free"),
        Objection::PostingTaken => (409, "posting-taken", "The posting is another entry's"),
        Objection::PostingDiffers(_) => (409, "posting-differs", "The posting is another one"),
        Objection::DayNotAhead => (409, "day-not-ahead", "The account's day does not lie in the future"),
        Objection::Changed => (409, "changed", "It changed meanwhile"),
        Objection::SamePerson => (403, "same-person", "A second person must approve"),
        Objection::NotPending(_) => (409, "not-pending", "This approval is decided"),
    };
    Problem::new(status, code, title).detail(objection.to_string())
}

fn not_now(kind: OrderKind, state: EntryState) -> Problem {
    let (code, title) = match kind {
        OrderKind::Cancel => ("not-cancellable", "Only a queued entry can be cancelled"),
        OrderKind::Retry | OrderKind::Force => ("not-parked", "Only a parked entry can be sent again"),
        OrderKind::WriteOff => ("not-parked", "Only a parked entry can be written off"),
        OrderKind::Adopt => ("not-adoptable", "Only an entry that waits, or a posted one, can be adopted"),
        OrderKind::Free => ("not-freeable", "Only an entry that is not posted and not being sent can be freed"),
        OrderKind::Link => ("not-linkable", "Only a queued or parked entry can be linked"),
        OrderKind::ClearLane | OrderKind::ResetDay | OrderKind::DeclareGone => {
            ("not-possible", "The entry's state does not allow it")
        }
    };
    Problem::new(409, code, title).detail(format!("The entry is {state}."))
}

fn too_early(detail: &str) -> Problem {
    Problem::new(409, "attempt-open", "It may still be posted").detail(detail).retryable(true)
}

/// Nothing can be compensated: no connector declares how.
pub(super) fn compensation_not_offered() -> Response {
    Problem::new(409, "no-compensating-operation", "The core's connector declares no compensating operation")
        .detail("Reverse it in the core by hand; the reversal comes back with the change data.")
        .into_response()
}
