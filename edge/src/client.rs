//! A small JSON client for our own listeners: the operators' commands, the demo, the tests.
//!
//! Not for a core: whether a byte left is an outcome there, and `connectors` tells.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

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
    answer_max: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    /// A client of `host:port` that shows `token` and waits for each answer up to `answer_max`.
    pub fn new(address: impl Into<String>, token: Option<&str>, answer_max: Duration) -> Self {
        Self { address: address.into(), token: token.map(str::to_owned), answer_max, connection: None }
    }

    /// GET without special headers.
    pub async fn get(&mut self, path: &str) -> Result<HttpAnswer, String> {
        self.request(Method::GET, path, &[], None).await
    }

    /// One request; an error says why there is no whole answer. It is never sent twice.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<HttpAnswer, String> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.address);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(Json::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|err| err.to_string())?;
        let answer = timeout(self.answer_max, self.send(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("nothing within {:?}", self.answer_max)));
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
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|err| err.to_string())?.to_bytes();
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
