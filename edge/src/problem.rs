//! RFC 9457 problems: what the client may know. What the log says is a different message, kept apart by type.

use std::fmt::{self, Display};
use std::ops::{Deref, DerefMut};

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::request;

/// One thing that is wrong with one place of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// RFC 6901 pointer into the body (`/amount`), or the name of a parameter or header.
    pub pointer: String,
    /// Stable word for programs, kebab-case.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

/// An answer that is not a success. Build one with the constructor of its status, then refine it; read its
/// [`Details`] as fields.
///
/// Holds only what the client may read; [`Problem::internal`] and [`Problem::unavailable`] log their cause and forget it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Details>);

/// What a [`Problem`] tells the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// HTTP status.
    pub status: u16,
    /// Stable word for programs, kebab-case; also the last part of `type`.
    pub code: &'static str,
    /// Short text for people, the same for every occurrence of `code`.
    pub title: &'static str,
    /// What happened this time; empty = left out.
    pub detail: String,
    /// Places in the request that are wrong.
    pub errors: Vec<FieldError>,
    /// The journal's entry, once the write has one.
    pub transfer_id: Option<String>,
    /// The same request with the same key may succeed later.
    pub retryable: Option<bool>,
    /// `false`: a new key could act twice.
    pub safe_to_use_new_key: Option<bool>,
    /// Seconds for `Retry-After`.
    pub retry_after_s: Option<u32>,
    /// Value of `WWW-Authenticate`, on 401.
    pub challenge: Option<&'static str>,
}

impl Problem {
    /// A problem of any status. `code` is kebab-case and stable, `title` belongs to it.
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self(Box::new(Details {
            status,
            code,
            title,
            detail: String::new(),
            errors: Vec::new(),
            transfer_id: None,
            retryable: None,
            safe_to_use_new_key: None,
            retry_after_s: None,
            challenge: None,
        }))
    }

    /// 400 `invalid-request`.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid-request", "The request is not valid").detail(detail)
    }

    /// 401 `unauthenticated`, with the challenge. Never says which part of the credential was wrong.
    pub fn unauthenticated() -> Self {
        let mut problem = Self::new(401, "unauthenticated", "A valid bearer token is required");
        problem.challenge = Some("Bearer");
        problem
    }

    /// 403 `insufficient-scope`: known, but not allowed this kind of action.
    pub fn insufficient_scope(scope: &'static str) -> Self {
        Self::new(403, "insufficient-scope", "The token does not allow this")
            .detail(format!("the token lacks the scope \"{scope}\""))
    }

    /// 404 `not-found`: there is none, or it is somebody else's; both look the same.
    pub fn not_found() -> Self {
        Self::new(404, "not-found", "There is no such resource")
    }

    /// 405 `method-not-allowed`.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "method-not-allowed", "The resource does not know this method")
    }

    /// 500 `internal`: the cause goes to the log, the client gets the trace id.
    pub fn internal(cause: impl Display) -> Self {
        tracing::error!(error = %cause, request_id = request::current_id(), "internal error");
        Self::new(500, "internal", "Something went wrong on our side")
    }

    /// 503 with a cause for the log only.
    pub fn unavailable(code: &'static str, title: &'static str, cause: impl Display) -> Self {
        tracing::warn!(error = %cause, code, request_id = request::current_id(), "answering 503");
        Self::new(503, code, title).retryable(true).retry_after_s(1)
    }

    /// What happened this time; the client reads it.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds one wrong place.
    pub fn error(mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError { pointer: pointer.into(), code, detail: detail.into() });
        self
    }

    /// Adds wrong places.
    pub fn errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Names the journal's entry.
    pub fn transfer_id(mut self, id: impl Into<String>) -> Self {
        self.transfer_id = Some(id.into());
        self
    }

    /// The same request with the same key may succeed later.
    pub fn retryable(mut self, yes: bool) -> Self {
        self.retryable = Some(yes);
        self
    }

    /// `false` warns that a new key could act twice.
    pub fn safe_to_use_new_key(mut self, yes: bool) -> Self {
        self.safe_to_use_new_key = Some(yes);
        self
    }

    /// `Retry-After`, in seconds.
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl Deref for Problem {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.code)
    }
}

impl std::error::Error for Problem {}

/// The document as RFC 9457 spells it.
#[derive(Serialize)]
struct ProblemDocument<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_to_use_new_key: Option<bool>,
}

impl IntoResponse for Problem {
    /// Takes `instance` and `trace_id` from the request it runs in ([`request::scope`]).
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            r#type: format!("/problems/{}", self.code),
            title: self.title,
            status: self.status,
            code: self.code,
            detail: &self.detail,
            instance: request::current_path(),
            trace_id: request::current_id(),
            errors: &self.errors,
            transfer_id: self.transfer_id.as_deref(),
            retryable: self.retryable,
            safe_to_use_new_key: self.safe_to_use_new_key,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(axum::body::Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
