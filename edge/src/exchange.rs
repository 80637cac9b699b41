//! One request and its answer: id, panic guard, access log.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::HeaderValue;
use tower::{Layer, Service};

use crate::problem::Problem;
use crate::request::{self, RequestContext, X_REQUEST_ID};

/// Answers one request: whatever happens inside, the client gets an answer with the request's id.
pub(crate) async fn run<F, Fut>(listener: &'static str, uri_bytes_max: usize, request: Request, answer: F) -> Response
where
    F: FnOnce(Request) -> Fut,
    Fut: Future<Output = Result<Response, Infallible>>,
{
    let started = Instant::now();
    let context = Arc::new(RequestContext::of(request.headers(), request.uri().path()));
    let method = request.method().clone();
    let guarded = async {
        if request.uri().to_string().len() > uri_bytes_max {
            return Problem::new(414, "uri-too-long", "The request target is too long").into_response();
        }
        match AssertUnwindSafe(async { answer(request).await }).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            // Its place is in the log already; its text may hold personal data.
            Err(_) => Problem::internal("panic in a handler").into_response(),
        }
    };
    let mut response = request::scope(context.clone(), guarded).await;
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        response.headers_mut().insert(&X_REQUEST_ID, id);
    }
    log(listener, &context, &method, &response, started);
    response
}

/// The route's template instead of its path: account numbers, customers and queries stay out of the log.
fn log(listener: &str, context: &RequestContext, method: &http::Method, response: &Response, started: Instant) {
    tracing::info!(
        target: "access",
        listener,
        request_id = context.id,
        %method,
        route = context.route.get().map_or("-", MatchedPath::as_str),
        principal = context.principal.get().map_or("-", String::as_str),
        status = response.status().as_u16(),
        micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
}

/// Notes the matched route for the access log; only a layer inside the router knows it.
#[derive(Clone)]
pub(crate) struct Label;

impl<S> Layer<S> for Label {
    type Service = Labelled<S>;

    fn layer(&self, inner: S) -> Labelled<S> {
        Labelled(inner)
    }
}

#[derive(Clone)]
pub(crate) struct Labelled<S>(S);

impl<S: Service<Request>> Service<Request> for Labelled<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        if let Some(route) = request.extensions().get::<MatchedPath>() {
            request::note(|context| drop(context.route.set(route.clone())));
        }
        self.0.call(request)
    }
}
