//! The bank's interface: what Locum and every other channel of this core speak to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::answer::{html, json, posting_answer, problem};
use crate::faults::{Fault, FaultKind, Faults};
use crate::ledger::{Deadline, Ledger, PostingResult};
use crate::model::{PostingBody, Problem};
use crate::reads;
use crate::serve::{Abort, Answer};

/// Largest body read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Requests seen since the start.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counters {
    pub postings_received: AtomicU64,
    pub enquiries_received: AtomicU64,
    pub other_received: AtomicU64,
    pub booked: AtomicU64,
    pub refused: AtomicU64,
    pub repeated: AtomicU64,
    pub failed: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Everything a request needs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Bank {
    pub ledger: Ledger,
    pub faults: Arc<Faults>,
    pub counters: Arc<Counters>,
    pub enquiry: bool,
    pub lifetime: Duration,
    /// Held by work that must not be cut off by a regular stop.
    pub busy: mpsc::Sender<()>,
    /// Ends the silence of hung requests at a stop.
    pub running: watch::Receiver<bool>,
}

/// What work ends with: an answer, or none.
enum End {
    Answer(Response<Body>),
    Abort(Abort),
    Silence,
}

impl Bank {
    /// Reads the request and works on it in a task of its own: a caller that leaves does not take its posting along.
    pub(crate) fn answer(&self, request: Request<Incoming>) -> Answer {
        let bank = self.clone();
        let mut running = self.running.clone();
        Box::pin(async move {
            let arrived = Instant::now();
            let (head, body) = request.into_parts();
            let Ok(body) = axum::body::to_bytes(Body::new(body), BODY_BYTES_MAX).await else {
                return Ok(problem(StatusCode::BAD_REQUEST, "MALFORMED", "body cut off or too large"));
            };
            let busy = bank.busy.clone();
            let work = tokio::spawn(async move {
                let end = bank.work(head.method, head.uri.path().to_owned(), body, arrived).await;
                drop(busy);
                end
            });
            match work.await {
                Ok(End::Answer(response)) => Ok(response),
                Ok(End::Abort(abort)) => Err(abort),
                Ok(End::Silence) => {
                    // Either way the service ends.
                    let _ = running.changed().await;
                    Err(Abort::Close)
                }
                Err(err) => {
                    tracing::error!(error = %err, "request failed");
                    Err(Abort::Close)
                }
            }
        })
    }

    async fn work(&self, method: Method, path: String, body: Bytes, arrived: Instant) -> End {
        let posting = method == Method::POST && path == "/api/postings";
        let fault = self.faults.draw(posting);
        if posting {
            Counters::add(&self.counters.postings_received);
        }
        let ms = Duration::from_millis(fault.ms.unwrap_or(0));
        match fault.kind {
            FaultKind::Hang => return End::Silence,
            FaultKind::ErrorBefore => {
                return End::Answer(problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "something went wrong"));
            }
            FaultKind::HtmlError => return End::Answer(html()),
            FaultKind::ReadOnly => {
                return End::Answer(problem(StatusCode::SERVICE_UNAVAILABLE, "READ_ONLY", "end of day: no postings"));
            }
            FaultKind::Slow => tokio::time::sleep(ms).await,
            FaultKind::LateCommit => {
                self.post_late(body, ms, arrived);
                return End::Abort(Abort::Close);
            }
            _ => {}
        }
        let response = match posting {
            true => self.post(body, &fault, arrived).await,
            false => self.read(method, &path).await,
        };
        match fault.kind {
            FaultKind::HangPosts => End::Silence,
            FaultKind::DropAfterCommit => End::Abort(Abort::Reset),
            FaultKind::ErrorAfterCommit => {
                End::Answer(problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "something went wrong"))
            }
            _ => End::Answer(response),
        }
    }

    /// Commits `wait` later, with nobody there to hear of it.
    fn post_late(&self, body: Bytes, wait: Duration, arrived: Instant) {
        let bank = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            bank.post(body, &Fault::default(), arrived).await;
        });
    }

    async fn post(&self, body: Bytes, fault: &Fault, arrived: Instant) -> Response<Body> {
        let order = match serde_json::from_slice::<PostingBody>(&body) {
            Ok(body) if body.reference.is_none() => Err("reference is missing".to_owned()),
            Ok(body) => body.into_order(Timestamp::now()),
            Err(err) => Err(err.to_string()),
        };
        let order = match order {
            Ok(order) => order,
            Err(message) => return problem(StatusCode::BAD_REQUEST, "MALFORMED", &message),
        };
        let forced = match (fault.kind, &fault.code) {
            (FaultKind::RefuseBusiness, Some(code)) => Some(Problem::new(code, "refused by order of the control port")),
            _ => None,
        };
        let done = self.ledger.post(&order, forced, Deadline::at(arrived + self.lifetime)).await;
        let counter = match &done {
            Ok(PostingResult::Booked(_)) => &self.counters.booked,
            Ok(PostingResult::Refused(_)) => &self.counters.refused,
            Ok(PostingResult::Repeated(_) | PostingResult::OtherLegs) => &self.counters.repeated,
            Err(_) => &self.counters.failed,
        };
        Counters::add(counter);
        posting_answer(done)
    }

    async fn read(&self, method: Method, path: &str) -> Response<Body> {
        let reference = path.strip_prefix("/api/postings/");
        Counters::add(if reference.is_some() {
            &self.counters.enquiries_received
        } else {
            &self.counters.other_received
        });
        if method != Method::GET {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "not offered");
        }
        let account = path.strip_prefix("/api/accounts/");
        let answered = match (reference, account, path) {
            (Some(_), _, _) if !self.enquiry => {
                Ok(problem(StatusCode::NOT_IMPLEMENTED, "NOT_OFFERED", "this core has no enquiry"))
            }
            (Some(reference), _, _) => reads::enquiry(&self.ledger.db, reference).await,
            (_, Some(account), _) => reads::account(&self.ledger.db, account).await,
            (_, _, "/health") => Ok(self.health().await),
            _ => Ok(problem(StatusCode::NOT_FOUND, "NOT_FOUND", "no such resource")),
        };
        answered.unwrap_or_else(|err| posting_answer(Err(err.into())))
    }

    async fn health(&self) -> Response<Body> {
        let database = self.ledger.db.query("SELECT 1 AS up", vec![]).await;
        let status = match (database, self.faults.current().kind) {
            (Err(_), _) => "DATABASE_AWAY",
            (Ok(_), FaultKind::ReadOnly) => "READ_ONLY",
            (Ok(_), _) => "UP",
        };
        json(StatusCode::OK, &json!({"status": status}))
    }
}
