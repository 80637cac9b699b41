//! The request that is being answered: its id and path, carried with the task instead of through every signature.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use axum::extract::MatchedPath;
use http::{HeaderMap, HeaderName};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Header that names a request, in and out.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id taken from a client, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// Names one request in answers and logs.
#[derive(Debug)]
pub struct RequestContext {
    /// The client's `X-Request-Id` if it is sane, else ours.
    pub id: String,
    /// Path without query.
    pub path: String,
    /// The template of the route that matched.
    pub(crate) route: OnceLock<MatchedPath>,
    /// The name of the authenticated principal.
    pub(crate) principal: OnceLock<String>,
    /// Its place among the principal's requests. It ends with the last task of the request, not with its client.
    pub(crate) place: OnceLock<OwnedSemaphorePermit>,
}

impl RequestContext {
    /// Takes the client's id when it is 1–64 of `[A-Za-z0-9._-]`, so that it cannot forge log lines.
    pub fn of(headers: &HeaderMap, path: &str) -> Self {
        let sent = headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        let id = sent.map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned);
        Self { id, path: path.to_owned(), route: OnceLock::new(), principal: OnceLock::new(), place: OnceLock::new() }
    }
}

fn is_sane(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=CLIENT_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

/// Runs `future` as part of the request `context`.
pub async fn scope<F: Future>(context: Arc<RequestContext>, future: F) -> F::Output {
    CURRENT.scope(context, future).await
}

/// Spawns work that must outlive its client (a handler future is dropped when the client goes); it keeps the request's
/// context. Await the handle for the answer.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match CURRENT.try_with(Arc::clone) {
        Ok(context) => tokio::spawn(CURRENT.scope(context, future)),
        Err(_) => tokio::spawn(future),
    }
}

/// Adds to what is known of the current request.
pub(crate) fn note(add: impl FnOnce(&RequestContext)) {
    let _ = CURRENT.try_with(|context| add(context));
}

/// The id of the request this task answers.
pub fn current_id() -> Option<String> {
    CURRENT.try_with(|context| context.id.clone()).ok()
}

/// The path of the request this task answers, without its query.
pub fn current_path() -> Option<String> {
    CURRENT.try_with(|context| context.path.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(sent: &str) -> RequestContext {
        let mut headers = HeaderMap::new();
        headers.insert(&X_REQUEST_ID, sent.parse().unwrap());
        RequestContext::of(&headers, "/v1")
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(context("abc-1.2_Z").id, "abc-1.2_Z");
        for odd in ["", "a b", "a\tb", "\"x\"", &"a".repeat(65)] {
            assert_ne!(context(odd).id, *odd);
            assert_eq!(context(odd).id.len(), 32);
        }
    }

    #[tokio::test]
    async fn spawned_work_keeps_the_request_it_belongs_to() {
        let context = Arc::new(context("r-1"));
        let id = scope(context, async { spawn(async { current_id() }).await.unwrap() }).await;
        assert_eq!(id.as_deref(), Some("r-1"));
        assert_eq!(current_id(), None);
    }
}
