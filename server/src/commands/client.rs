//! A thin client of the operators' API: one request, one JSON answer.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::Failure;
use crate::cli::Admin;

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One GET.
pub async fn get(admin: &Admin, path: &str) -> Result<Value, Failure> {
    send(admin, Method::GET, path, None).await
}

/// One request with a JSON body.
pub async fn order(admin: &Admin, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
    send(admin, method, path, Some(body)).await
}

async fn send(admin: &Admin, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
    let request = request(admin, method, path, body)?;
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    match tokio::time::timeout(TIMEOUT, exchange(&authority, request)).await {
        Ok(Ok((status, body))) => understand(status, &body),
        Ok(Err(error)) => Err(unreachable(admin, &error.to_string())),
        Err(_) => Err(unreachable(admin, "it did not answer in 30 s; what was ordered may have been done")),
    }
}

fn unreachable(admin: &Admin, why: &str) -> Failure {
    Failure::Unreachable(format!("no answer from {}: {why}; is `locum serve` running, and --admin right?", admin.url))
}

fn request(admin: &Admin, method: Method, path: &str, body: Option<Value>) -> Result<Request<Full<Bytes>>, Failure> {
    let url = format!("{}{path}", admin.url.trim_end_matches('/'));
    let uri: Uri = url.parse().map_err(|_| Failure::Usage(format!("{} is no http:// address", admin.url)))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(Failure::Usage(format!("{} is no http:// address", admin.url)));
    }
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut request = Request::builder().method(method).uri(uri).header(header::HOST, host);
    if let Some(path) = &admin.token_file {
        let token = fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("cannot read the token file {}: {error}", path.display())))?;
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    request.body(Full::new(bytes)).map_err(|_| Failure::Usage("the token file does not hold a token".into()))
}

async fn exchange(authority: &str, mut request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Bytes)> {
    let address = if request.uri().port().is_some() { authority.to_owned() } else { format!("{authority}:80") };
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    connection.abort();
    Ok((parts.status.as_u16(), body.to_bytes()))
}

fn understand(status: u16, body: &[u8]) -> Result<Value, Failure> {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    if (200..300).contains(&status) {
        return json.ok_or_else(|| Failure::Refused("the answer is not JSON; is --admin the admin listener?".into()));
    }
    let json = json.unwrap_or_default();
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let hint = match status {
        401 => "; give an operator's token with --token-file",
        404 => "; no such thing, or this process does not run the gateway role",
        _ => "",
    };
    let (title, detail) = (text("title"), text("detail"));
    let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
    Err(Failure::Refused(format!("{status} {title}{detail}{hint}")))
}
