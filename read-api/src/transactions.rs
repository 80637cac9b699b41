//! An account's transactions, in pages, newest first.

use axum::extract::State;
use axum::response::Response;
use edge::{FieldError, Problem, Work};
use http::Uri;
use read_model::{PAGE_MAX, PageKey, REMITTANCE_LEN_MAX, TransactionFilter};
use schemas::model::Transaction;
use schemas::money::{Currency, render_minor};
use serde::Serialize;

use crate::api::ReadApi;
use crate::conditions::Conditions;
use crate::cursor::Scope;
use crate::parameters::{Id, Parameters, fault, percent_encode, refuse};

const KNOWN: &[&str] = &["from", "to", "min_amount", "max_amount", "text", "state", "limit", "cursor"];

#[derive(Serialize)]
struct PageView<'a> {
    transactions: Vec<TransactionView<'a>>,
    links: Links,
}

#[derive(Serialize)]
struct Links {
    /// Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A transaction as it is shown.
#[derive(Serialize)]
pub(crate) struct TransactionView<'a> {
    transaction_id: &'a str,
    account_id: &'a str,
    amount: String,
    currency: &'a str,
    state: &'static str,
    booked_at: String,
    value_date: String,
    posting_number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remittance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    core_reference: Option<&'a str>,
}

impl<'a> TransactionView<'a> {
    pub(crate) fn of(row: &'a Transaction) -> Self {
        Self {
            transaction_id: &row.transaction_id,
            account_id: &row.account_id,
            amount: render_minor(row.amount_minor, row.currency),
            currency: row.currency.code(),
            state: "booked",
            booked_at: row.booked_at.to_string(),
            value_date: row.value_date.to_string(),
            posting_number: row.posting_no,
            remittance: row.remittance.as_ref().map(|text| text.expose()),
            core_reference: row.core_ref.as_deref(),
        }
    }
}

/// `GET /v1/accounts/{id}/transactions`
pub(crate) async fn list(
    State(api): State<ReadApi>,
    Id(id): Id,
    uri: Uri,
    asked: Conditions,
) -> Result<Response, Problem> {
    let id = id.as_str();
    let parameters = Parameters::of(&uri, KNOWN)?;
    let scope = scope(&asked, id, &parameters);
    let after = place(&api, &scope, &parameters)?;
    // Amounts are in the account's currency. A principal that may not see the account learns nothing from its parameters.
    let head = api.account(&asked, id).await?;
    let filter = filter(&parameters, head.value.account.row.currency, after)?;
    let work = if filter.walks() { Work::Search } else { Work::Read };
    let stored = || api.reader.transactions(&asked.grant, id, &filter, &asked.floor);
    let read = api.stored(&asked, work, stored).await?;
    let next = read.value.next.as_ref().map(|key| next_link(&api, id, &parameters, &scope, key));
    let transactions = read.value.transactions.iter().map(|found| TransactionView::of(&found.row)).collect();
    api.answer(&asked, &api.answer_age(&read), &PageView { transactions, links: Links { next } })
}

/// Everything that decides what a list contains; the page's size does not.
fn scope(asked: &Conditions, id: &str, parameters: &Parameters) -> Scope {
    let mut parts = vec![asked.caller.id.as_str(), id];
    for name in KNOWN.iter().filter(|name| !matches!(**name, "limit" | "cursor")) {
        // The count in front tells an absent parameter from an empty one.
        parts
            .extend([if parameters.get(name).is_some() { "1" } else { "0" }, parameters.get(name).unwrap_or_default()]);
    }
    Scope::of(&parts)
}

fn place(api: &ReadApi, scope: &Scope, parameters: &Parameters) -> Result<Option<PageKey>, Problem> {
    let Some(cursor) = parameters.get("cursor") else { return Ok(None) };
    let detail = "is not a cursor of this list; use links.next as it is, or start without a cursor";
    let bad = || refuse(vec![fault("cursor", "invalid-cursor", detail)]);
    api.cursor_key.open(scope, cursor).map(Some).ok_or_else(bad)
}

fn filter(p: &Parameters, currency: Currency, after: Option<PageKey>) -> Result<TransactionFilter, Problem> {
    let mut faults = Vec::new();
    let filter = TransactionFilter {
        from: keep(p.timestamp("from"), &mut faults),
        to: keep(p.timestamp("to"), &mut faults),
        min_minor: keep(p.amount("min_amount", currency), &mut faults),
        max_minor: keep(p.amount("max_amount", currency), &mut faults),
        text: keep(text(p), &mut faults),
        after,
        limit: keep(p.count("limit", PAGE_MAX), &mut faults).unwrap_or_default(),
    };
    keep(state(p), &mut faults);
    if matches!((filter.from, filter.to), (Some(from), Some(to)) if from >= to) {
        faults.push(fault("to", "empty-range", "must be after from"));
    }
    if matches!((filter.min_minor, filter.max_minor), (Some(min), Some(max)) if min > max) {
        faults.push(fault("max_amount", "empty-range", "must not be below min_amount"));
    }
    if faults.is_empty() { Ok(filter) } else { Err(refuse(faults)) }
}

/// Collects faults, so that one answer names them all.
fn keep<T>(read: Result<Option<T>, FieldError>, faults: &mut Vec<FieldError>) -> Option<T> {
    read.unwrap_or_else(|fault| {
        faults.push(fault);
        None
    })
}

fn text(p: &Parameters) -> Result<Option<String>, FieldError> {
    match p.get("text") {
        None => Ok(None),
        Some(text) if (1..=REMITTANCE_LEN_MAX).contains(&text.chars().count()) => Ok(Some(text.to_owned())),
        Some(_) => Err(fault("text", "invalid-length", format!("must have 1 to {REMITTANCE_LEN_MAX} characters"))),
    }
}

/// What is still pending is not listed yet; every transaction here is booked.
fn state(p: &Parameters) -> Result<Option<()>, FieldError> {
    match p.get("state") {
        None | Some("booked") => Ok(None),
        Some(_) => Err(fault("state", "invalid-state", "must be booked")),
    }
}

fn next_link(api: &ReadApi, id: &str, parameters: &Parameters, scope: &Scope, key: &PageKey) -> String {
    let kept = parameters.encoded_without(&["cursor"]);
    let separator = if kept.is_empty() { "" } else { "&" };
    let cursor = api.cursor_key.seal(scope, key);
    format!("/v1/accounts/{}/transactions?{kept}{separator}cursor={cursor}", percent_encode(id))
}
