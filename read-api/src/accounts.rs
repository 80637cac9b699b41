//! Accounts and their balances.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use edge::{Problem, Work, json};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use read_model::AccountDocument;
use serde::{Deserialize, Serialize};

use crate::api::ReadApi;
use crate::balance::{BalanceView, entity_tag};
use crate::conditions::Conditions;
use crate::parameters::Id;
use crate::refusal;
use crate::seams::{AccountHolds, Asked};

/// Most accounts of one batch.
const BATCH_MAX: usize = 50;

/// An account as it is shown.
#[derive(Serialize)]
pub(crate) struct AccountView<'a> {
    account_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    customer_id: &'a str,
    currency: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'a str>,
}

impl<'a> AccountView<'a> {
    pub(crate) fn of(document: &'a AccountDocument) -> Self {
        let row = &document.account.row;
        Self {
            account_id: &row.account_id,
            customer_id: &row.customer_id,
            currency: row.currency.code(),
            state: row.state.as_str(),
            product: row.product.as_deref(),
        }
    }
}

/// `GET /v1/accounts/{id}`
pub(crate) async fn one(State(api): State<ReadApi>, Id(id): Id, asked: Conditions) -> Result<Response, Problem> {
    let id = id.as_str();
    let read = api.account(&asked, id).await?;
    api.answer(&asked, &api.answer_age(&read), &AccountView::of(&read.value))
}

/// `GET /v1/accounts/{id}/balances`
pub(crate) async fn balances(
    State(api): State<ReadApi>,
    Id(id): Id,
    headers: HeaderMap,
    asked: Conditions,
) -> Result<Response, Problem> {
    let id = id.as_str();
    let read = api.account(&asked, id).await?;
    let mut holds = api.holds(&asked.caller, &[asked_for(&read.value)]).await?;
    let account_id = read.value.account_id();
    let holds = holds.remove(account_id).unwrap_or_default();
    let age = api.answer_age(&read).with_lanes([(account_id.to_owned(), holds.lane_version)]);
    let tag = entity_tag(&read.value, &holds);
    let mut response = if none_match(&headers, &tag) {
        api.admit(&asked, &age)?;
        metrics::counter!(crate::metrics::NOT_MODIFIED_TOTAL).increment(1);
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        age.write(api.mode.mode(), &mut response);
        response
    } else {
        let view = BalanceView::of(&read.value, &holds).map_err(refusal::of_balance)?;
        api.answer(&asked, &age, &view)?
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// What the holds are asked for: the account and the version of the balance that was read.
fn asked_for(document: &AccountDocument) -> Asked {
    let version = document.balance.as_ref().map(|balance| balance.version.as_bytes().to_vec());
    (document.account_id().to_owned(), version.unwrap_or_default())
}

/// RFC 9110: weak comparison of a list of tags, or `*`.
fn none_match(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|sent| sent == "*" || sent.strip_prefix("W/").unwrap_or(sent) == tag)
}

#[derive(Deserialize)]
struct Batch {
    account_ids: Vec<String>,
}

#[derive(Serialize)]
struct BatchView<'a> {
    accounts: Vec<BatchItem<'a>>,
    not_found: Vec<&'a str>,
}

#[derive(Serialize)]
struct BatchItem<'a> {
    #[serde(flatten)]
    account: AccountView<'a>,
    /// Absent until the balance has arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    balances: Option<BalanceView>,
}

/// `POST /v1/accounts:batchGet`: several accounts with their balances, from one snapshot.
pub(crate) async fn batch(State(api): State<ReadApi>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let asked = Conditions::from_request_parts(&mut parts, &()).await?;
    let batch: Batch = json::read_json(Request::from_parts(parts, body)).await?;
    if batch.account_ids.is_empty() || batch.account_ids.len() > BATCH_MAX {
        let detail = format!("must name 1 to {BATCH_MAX} accounts");
        return Err(Problem::bad_request("the batch is not valid").error("/account_ids", "invalid-length", detail));
    }
    let keys: Vec<&str> = batch.account_ids.iter().map(String::as_str).collect();
    let stored = || api.reader.accounts(&asked.grant, &keys, &asked.floor);
    let read = api.stored(&asked, Work::Read, stored).await?;
    let versions: Vec<Asked> = read.value.iter().map(|document| asked_for(document)).collect();
    let holds = api.holds(&asked.caller, &versions).await?;
    let lanes = read.value.iter().map(|document| {
        let account = document.account_id();
        (account.to_owned(), holds.get(account).map_or(0, |holds| holds.lane_version))
    });
    let age = api.answer_age(&read).with_lanes(lanes);
    let item = |document| batch_item(document, &holds);
    let accounts = read.value.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    let found = |key: &&str| read.value.iter().any(|document| document.account_id() == *key);
    let not_found = keys.into_iter().filter(|key| !found(key)).collect();
    api.answer(&asked, &age, &BatchView { accounts, not_found })
}

fn batch_item<'a>(
    document: &'a Arc<AccountDocument>,
    holds: &std::collections::HashMap<String, AccountHolds>,
) -> Result<BatchItem<'a>, Problem> {
    let none = AccountHolds::default();
    let holds = holds.get(document.account_id()).unwrap_or(&none);
    let balances = match BalanceView::of(document, holds) {
        Ok(view) => Some(view),
        Err(crate::balance::NoBalance::NotArrived) => None,
        Err(missing) => return Err(refusal::of_balance(missing)),
    };
    Ok(BatchItem { account: AccountView::of(document), balances })
}
