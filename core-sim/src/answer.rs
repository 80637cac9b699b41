//! Answers in HTTP: JSON, problems, and what the ledger said.

use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;

use crate::ledger::{LedgerError, PostingResult};
use crate::model::Problem;

/// What the ledger said, in HTTP.
pub(crate) fn posting_answer(done: Result<PostingResult, LedgerError>) -> Response<Body> {
    match done {
        Ok(PostingResult::Booked(booked)) => json(StatusCode::CREATED, &booked),
        Ok(PostingResult::Refused(refusal)) => json(StatusCode::UNPROCESSABLE_ENTITY, &refusal),
        Ok(PostingResult::Repeated(first)) => {
            raw(if first.booked { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, first.body)
        }
        Ok(PostingResult::OtherLegs) => {
            problem(StatusCode::CONFLICT, "DUPLICATE_REFERENCE", "this reference was used for another posting")
        }
        Err(LedgerError::Expired) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "EXPIRED", "the request outlived its lifetime; nothing was posted")
        }
        Err(LedgerError::Sql(err @ (sql::Error::Unavailable(_) | sql::Error::Retryable { .. }))) => {
            tracing::warn!(error = %err, "the core's database did not answer");
            problem(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the core's database is away")
        }
        Err(err) => {
            tracing::error!(error = %err, "request failed");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "something went wrong")
        }
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(body) {
        Ok(text) => raw(status, text),
        Err(err) => {
            tracing::error!(error = %err, "answer cannot be written");
            raw(StatusCode::INTERNAL_SERVER_ERROR, r#"{"code":"INTERNAL","message":""}"#.to_owned())
        }
    }
}

/// An answer whose body is JSON text already.
pub(crate) fn raw(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// An answer that is no success.
pub(crate) fn problem(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(status, &Problem::new(code, message))
}

/// The page of a proxy in front of the core.
pub(crate) fn html() -> Response<Body> {
    let page = "<!doctype html><html><body><h1>We'll be back soon</h1><p>Scheduled maintenance.</p></body></html>";
    let mut response = raw(StatusCode::OK, page.to_owned());
    let html = http::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, html);
    response
}
