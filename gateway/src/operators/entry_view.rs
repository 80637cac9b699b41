//! An entry, as an operator sees it.

use schemas::money::render_minor;
use serde_json::{Value, json};
use standin::journal::Entry;

use crate::answer::Status;

/// Without the customer's text: an operator steers by accounts, amounts and states.
pub(super) fn view(entry: &Entry) -> Value {
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
        "amount": render_minor(entry.command.amount_minor, entry.command.currency),
        "amount_minor": entry.command.amount_minor,
        "currency": entry.command.currency,
        "accepted_at": at(entry.accepted_us),
        "updated_at": at(entry.updated_us),
    })
}

/// With the customer's text and the business day: what a person needs who keys it by hand.
pub(super) fn view_with_text(entry: &Entry) -> Value {
    let mut view = view(entry);
    view["remittance"] = json!(entry.command.remittance);
    view["business_date"] = json!(business_date(entry.business_day));
    view
}

pub(super) fn business_date(days: i64) -> Option<String> {
    let days = jiff::Span::new().try_days(days).ok()?;
    jiff::civil::date(1970, 1, 1).checked_add(days).ok().map(|date| date.to_string())
}
