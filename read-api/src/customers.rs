//! Customers and their accounts.

use axum::extract::State;
use axum::response::Response;
use edge::{Problem, Work};
use serde::Serialize;

use crate::accounts::AccountView;
use crate::api::ReadApi;
use crate::conditions::Conditions;
use crate::parameters::Id;

#[derive(Serialize)]
struct CustomerView<'a> {
    customer_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct AccountsView<'a> {
    accounts: Vec<AccountView<'a>>,
}

/// `GET /v1/customers/{id}`
pub(crate) async fn one(State(api): State<ReadApi>, Id(id): Id, asked: Conditions) -> Result<Response, Problem> {
    let id = id.as_str();
    let read = api.stored(&asked, Work::Read, || api.reader.customer(&asked.grant, id, &asked.floor)).await?;
    let row = &read.value.row;
    let view = CustomerView { customer_id: &row.customer_id, name: row.name.as_ref().map(|name| name.expose()) };
    api.answer(&asked, &api.answer_age(&read), &view)
}

/// `GET /v1/customers/{id}/accounts`
pub(crate) async fn accounts(State(api): State<ReadApi>, Id(id): Id, asked: Conditions) -> Result<Response, Problem> {
    let id = id.as_str();
    let read = api.stored(&asked, Work::Read, || api.reader.accounts_of(&asked.grant, id, &asked.floor)).await?;
    let view = AccountsView { accounts: read.value.iter().map(|document| AccountView::of(document)).collect() };
    api.answer(&asked, &api.answer_age(&read), &view)
}
