//! Clients that write down what they saw.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use crate::history::{Answer, Ask, Away, End, Exchange, History, Nanos, Read, Transfer};

/// Longest wait for one answer: several times Locum's write deadline.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Between two attempts with the same key.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// One history and its clock, shared by all clients of a run.
pub struct Recorder {
    start: Instant,
    history: Mutex<History>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { start: Instant::now(), history: Mutex::default() }
    }
}

impl Recorder {
    /// The time on the history's clock.
    pub fn now(&self) -> Nanos {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes that the test made an instance absent since `from`, and that it is ready again now.
    pub fn was_away(&self, instance: usize, from: Nanos) {
        let until = self.now();
        self.lock().away.push(Away { instance, from, until });
    }

    /// Everything seen so far.
    pub fn history(&self) -> History {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A whole HTTP answer.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; null where it is no JSON.
    pub body: Json,
}

impl HttpAnswer {
    /// A header as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// One kept-alive connection to one address, made anew when it broke.
pub struct Http {
    address: String,
    token: Option<String>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    /// A client of `host:port` that shows `token`.
    pub fn new(address: impl Into<String>, token: Option<&str>) -> Self {
        Self { address: address.into(), token: token.map(str::to_owned), connection: None }
    }

    /// GET without special headers.
    pub async fn get(&mut self, path: &str) -> Result<HttpAnswer, String> {
        self.request(Method::GET, path, &[], None).await
    }

    /// One request; an error says why there is no whole answer.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<HttpAnswer, String> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Json::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|err| err.to_string())?;
        let answer = timeout(ANSWER_MAX, self.send(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("nothing within {ANSWER_MAX:?}")));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<HttpAnswer, String> {
        if let Some(connection) = &mut self.connection
            && connection.ready().await.is_err()
        {
            self.connection = None;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.address).await?),
        };
        let response = connection.send_request(request).await.map_err(|err| explain(&err))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|err| explain(&err))?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(HttpAnswer { status: head.status, headers: head.headers, body })
    }
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(address).await.map_err(|err| format!("connect: {err}"))?;
    stream.set_nodelay(true).map_err(|err| err.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|err| explain(&err))?;
    tokio::spawn(connection);
    Ok(sender)
}

fn explain(err: &hyper::Error) -> String {
    let cause = std::error::Error::source(err).map(ToString::to_string).unwrap_or_default();
    format!("{err} {cause}")
}

/// One client of the channels' API. It prefers one instance and turns to the next when that one does not answer.
pub struct Client {
    id: usize,
    recorder: Arc<Recorder>,
    instances: Vec<Http>,
    at: usize,
}

impl Client {
    /// Client `id` of these instances.
    pub fn new(id: usize, recorder: Arc<Recorder>, addresses: &[String], token: &str) -> Self {
        let instances = addresses.iter().map(|address| Http::new(address, Some(token))).collect();
        Self { id, recorder, instances, at: id % addresses.len() }
    }

    /// Submits a transfer and retries it with the same key until it is answered, up to `limit`.
    /// `None` when it was not: what became of it shows at the end.
    pub async fn submit(&mut self, key: &str, transfer: &Transfer, limit: Duration) -> Option<Answer> {
        let mut attempts = interval(AGAIN_AFTER);
        let until = Instant::now() + limit;
        loop {
            attempts.tick().await;
            match self.submit_once(key, transfer).await {
                End::Answered(answer) if answer.status < 500 || answer.body["retryable"] != true => {
                    return Some(answer);
                }
                _ if Instant::now() >= until => return None,
                _ => self.at = (self.at + 1) % self.instances.len(),
            }
        }
    }

    /// One attempt.
    pub async fn submit_once(&mut self, key: &str, transfer: &Transfer) -> End {
        let headers = [("idempotency-key", key)];
        self.ask(Ask::Submit, key, transfer, Method::POST, "/v1/transfers", &headers, Some(&transfer.body())).await
    }

    /// One look-up by key.
    pub async fn look(&mut self, key: &str, transfer: &Transfer) -> End {
        let path = format!("/v1/transfers?idempotency_key={key}");
        self.ask(Ask::Look, key, transfer, Method::GET, &path, &[], None).await
    }

    /// One plain read of an account's balances at the preferred instance, recorded.
    pub async fn read(&mut self, account: &str) -> End {
        let path = format!("/v1/accounts/{account}/balances");
        let (instance, sent) = (self.at, self.recorder.now());
        let end = end_of(self.instances[instance].get(&path).await);
        let (account, ended) = (account.to_owned(), self.recorder.now());
        self.recorder.lock().reads.push(Read { instance, account, sent, ended, end: end.clone() });
        end
    }

    #[allow(clippy::too_many_arguments)]
    async fn ask(
        &mut self,
        ask: Ask,
        key: &str,
        transfer: &Transfer,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> End {
        let (client, instance, sent) = (self.id, self.at, self.recorder.now());
        let end = end_of(self.instances[instance].request(method, path, headers, body).await);
        let (key, transfer, ended) = (key.to_owned(), transfer.clone(), self.recorder.now());
        let exchange = Exchange { client, instance, key, ask, transfer, sent, ended, end: end.clone() };
        self.recorder.lock().exchanges.push(exchange);
        end
    }
}

fn end_of(answer: Result<HttpAnswer, String>) -> End {
    match answer {
        Ok(HttpAnswer { status, body, .. }) => End::Answered(Answer { status: status.as_u16(), body }),
        Err(why) => End::Broken(why),
    }
}
