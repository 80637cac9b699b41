//! The routes.

use axum::Router;
use axum::routing::{get, post};
use edge::Problem;

use crate::api::ReadApi;
use crate::{accounts, customers, status, transactions};

/// Every read route, with problems for unknown paths and methods. Wrap it in [`edge::Authenticate`].
pub fn routes(api: ReadApi) -> Router {
    Router::new()
        .route("/v1/accounts/{id}", get(accounts::one))
        .route("/v1/accounts/{id}/balances", get(accounts::balances))
        .route("/v1/accounts/{id}/transactions", get(transactions::list))
        .route("/v1/accounts:batchGet", post(accounts::batch))
        .route("/v1/customers/{id}", get(customers::one))
        .route("/v1/customers/{id}/accounts", get(customers::accounts))
        .route("/v1/service-status", get(status::service))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(api)
}
