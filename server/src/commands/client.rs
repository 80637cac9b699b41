//! A thin client of the operators' API: one request, one JSON answer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use edge::client::{Http, HttpAnswer};
use http::{Method, Uri};
use serde_json::Value;

use super::{Failure, table};
use crate::cli::Admin;

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One GET.
pub async fn get(admin: &Admin, path: &str) -> Result<Value, Failure> {
    send(admin, Method::GET, path, None).await
}

/// One request with a JSON body.
pub async fn order(admin: &Admin, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
    send(admin, method, path, Some(body)).await
}

async fn send(admin: &Admin, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
    let (address, prefix) = parts(&admin.url)?;
    let token = admin.token_file.as_deref().map(token).transpose()?;
    let mut http = Http::new(address, token.as_deref(), TIMEOUT);
    let answer = http.request(method, &format!("{prefix}{path}"), &[], body.as_ref()).await;
    let answer = answer.map_err(|why| {
        let ordered = if body.is_some() { " What was ordered may have been done" } else { "" };
        let hint = "is `locum serve` running, and --admin right?";
        Failure::Unreachable(format!("no answer from {}: {why}; {hint}{ordered}", admin.url))
    })?;
    understand(&answer, body.is_some())
}

/// `host:port` of an address, and the path in front of every request.
fn parts(url: &str) -> Result<(String, String), Failure> {
    let wrong = || Failure::Usage(format!("{url} is no http:// address"));
    let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
    Ok((format!("{host}:{}", uri.port_u16().unwrap_or(80)), uri.path().trim_end_matches('/').to_owned()))
}

fn token(path: &Path) -> Result<String, Failure> {
    let read = fs::read_to_string(path);
    let read = read.map_err(|err| Failure::Usage(format!("cannot read the token file {}: {err}", path.display())))?;
    match read.trim() {
        text if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(Failure::Usage(format!("the token file {} does not hold a token", path.display()))),
    }
}

/// The answer, or why there is none. `ordered`: it was more than a question.
fn understand(answer: &HttpAnswer, ordered: bool) -> Result<Value, Failure> {
    let HttpAnswer { status, body, .. } = answer;
    if status.is_success() {
        let no_json = || Failure::Refused("the answer is not JSON; is --admin the admin listener?".into());
        return if body.is_null() { Err(no_json()) } else { Ok(body.clone()) };
    }
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let hint = match status.as_u16() {
        401 => "; give an operator's token with --token-file",
        404 if body["detail"].is_null() => {
            "; check the name or id that you gave, and that this process runs gateway or replayer"
        }
        503 if ordered => "; what was ordered may have been done: look, and order it again if it was not",
        503 => "; ask again in a moment",
        _ => "",
    };
    let (title, detail) = (text("title"), text("detail"));
    let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
    let faults: String = body["errors"].as_array().into_iter().flatten().map(fault).collect();
    Err(Failure::Refused(format!("{} {title}{detail}{hint}{faults}", status.as_u16())))
}

/// One place of the request that is wrong, on a line of its own.
fn fault(error: &Value) -> String {
    let text = |key: &str| table::plain(error[key].as_str().unwrap_or_default());
    let place = Some(text("pointer")).filter(|place| !place.is_empty());
    format!("\n  {}: {}", place.as_deref().unwrap_or("the body"), text("detail"))
}

/// A text as one segment of a path or value of a query.
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    fn refused(status: StatusCode, body: Value) -> String {
        match understand(&HttpAnswer { status, headers: HeaderMap::new(), body }, true) {
            Err(Failure::Refused(text)) => text,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_refusal_names_every_place_that_is_wrong() {
        let error =
            json!({"pointer": "/limits/currencies/eur", "code": "invalid-value", "detail": "unknown currency code"});
        let body = json!({"title": "The request is not valid", "detail": "the body is wrong", "errors": [error]});
        assert_eq!(
            refused(StatusCode::BAD_REQUEST, body),
            "400 The request is not valid: the body is wrong\n  /limits/currencies/eur: unknown currency code"
        );
        assert_eq!(refused(StatusCode::CONFLICT, json!({"title": "It changed"})), "409 It changed");
        let away = refused(StatusCode::SERVICE_UNAVAILABLE, json!({"title": "The journal does not answer"}));
        assert!(away.contains("may have been done"), "{away}");
    }
}
