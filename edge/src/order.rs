//! Orders of operators: an action or a value, and always a reason.

use axum::extract::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::json;
use crate::principal::{Caller, Scope};
use crate::problem::Problem;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

/// An order that is nothing but an action and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionBody<A> {
    action: A,
    reason: String,
}

/// What an operator orders and why, from a request's body: only with the scope, only with a reason.
pub async fn action_from<A: DeserializeOwned>(caller: &Caller, request: Request) -> Result<(A, String), Problem> {
    let ActionBody { action, reason } = order_from(caller, request, |body: &ActionBody<A>| &body.reason).await?;
    Ok((action, reason))
}

/// The body of an operator's order: only with the scope, only with a reason.
pub async fn order_from<T: DeserializeOwned>(
    caller: &Caller,
    request: Request,
    reason: impl Fn(&T) -> &String,
) -> Result<T, Problem> {
    caller.require(Scope::Operate)?;
    let body: T = json::read_json(request).await?;
    if !(1..=REASON_CHARS_MAX).contains(&reason(&body).trim().chars().count()) {
        return Err(Problem::bad_request("Say why: a reason of 1 to 500 characters goes into the audit.").error(
            "/reason",
            "reason-missing",
            "1 to 500 characters",
        ));
    }
    Ok(body)
}
