//! What a hostile or unlucky client meets at our listeners.

#[path = "listener/allowances.rs"]
mod allowances;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use edge::serve::{Drained, ListenerLimits};
use edge::{Audience, Authenticate, Authenticator, Caller, Problem, json, tokens::Tokens};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use support::{get_path, holds, raw, start};

const CHANNEL: &str = "channel-token-0123456789";
const OPERATOR: &str = "operator-token-0123456789";

#[derive(Deserialize)]
struct Pay {
    amount: String,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    text: String,
}

async fn pay(request: Request) -> Result<String, Problem> {
    let pay: Pay = json::read_json(request).await?;
    Ok(pay.amount + &pay.lines.into_iter().map(|line| line.text).collect::<String>())
}

async fn panics() -> String {
    panic!("secret account DE89")
}

fn routes() -> Router {
    Router::new().route("/pay", post(pay)).route("/panic", get(panics)).fallback(|| async { Problem::not_found() })
}

async fn post_json(address: SocketAddr, body: &str) -> String {
    let head = "POST /pay HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    raw(address, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let running = start(routes(), ListenerLimits { head_ms_max: 50, ..ListenerLimits::default() }).await;
    let answer = raw(running.address, b"GET /pay HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(!answer.contains("200 OK"), "{answer}");
    assert_eq!(raw(running.address, b"").await, "", "silence from the start is cut off too");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_declared_or_not() {
    let running = start(routes(), ListenerLimits::default()).await;
    let declared = "POST /pay HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 70000\r\n\r\n";
    holds(&raw(running.address, declared.as_bytes()).await, &["413 Payload", "body-too-large"]);
    let mut chunked = b"POST /pay HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n".to_vec();
    chunked.extend(std::iter::repeat_n(b' ', 70_000));
    chunked.extend(b"\r\n0\r\n\r\n");
    holds(&raw(running.address, &chunked).await, &["413 Payload"]);
}

#[tokio::test]
async fn a_head_or_target_that_is_too_large_is_refused() {
    let running = start(routes(), ListenerLimits::default()).await;
    holds(&get_path(running.address, &format!("/{}", "a".repeat(5_000)), "").await, &["414 ", "uri-too-long"]);
    let many: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    holds(&get_path(running.address, "/pay", &many).await, &["431 "]);
    let long = format!("X-Long: {}\r\n", "a".repeat(40_000));
    let answer = get_path(running.address, "/pay", &long).await;
    assert!(answer.is_empty() || answer.contains("431 "), "a reset may overtake the answer: {answer}");
}

#[tokio::test]
async fn a_body_is_refused_with_a_pointer_to_what_is_wrong() {
    let running = start(routes(), ListenerLimits::default()).await;
    let deep = format!("{{\"amount\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    for (body, code, pointer) in [
        (r#"{"amount":"1","amount":"2"}"#, "duplicate-key", "/amount"),
        (r#"{"amount":"1","lines":[{"text":"a"},{"text":"b","text":"c"}]}"#, "duplicate-key", "/lines/1/text"),
        (r#"{"amount":"1","lines":[{"text":"a","te/xt~":1}]}"#, "unknown-field", "/lines/0/te~1xt~0"),
        (r#"{"amount":"1","from":"x"}"#, "unknown-field", "/from"),
        (r#"{"lines":[]}"#, "missing-field", "/amount"),
        (r#"{"amount":"1","lines":[{}]}"#, "missing-field", "/lines/0/text"),
        (r#"{"amount":1}"#, "invalid-value", "/amount"),
        (r#"{"amount":1e999}"#, "number-out-of-range", ""),
        (r#"{"amount":"1"} x"#, "invalid-json", ""),
        (r#"{"amount":"\ud800"}"#, "invalid-json", ""),
        ("", "invalid-json", ""),
        (r#"["1",[{"text":"a"}]]"#, "invalid-value", ""),
        ("null", "invalid-value", ""),
        (deep.as_str(), "too-deep", "/amount/0"),
    ] {
        let answer = post_json(running.address, body).await;
        holds(&answer, &["400 Bad Request", &format!("\"code\":\"{code}\""), &format!("\"pointer\":\"{pointer}")]);
        holds(
            &answer,
            &["application/problem+json", "cache-control: no-store", "\"instance\":\"/pay\"", "\"trace_id\":"],
        );
    }
    holds(&post_json(running.address, r#"{"amount":"1","lines":[{"text":"a"}]}"#).await, &["200 OK", "1a"]);
}

#[tokio::test]
async fn bytes_that_are_no_utf8_and_bodies_that_are_no_json_are_refused() {
    assert!(json::parse::<Pay>(b"{\"amount\":\"\xff\"}").is_err());
    let running = start(routes(), ListenerLimits::default()).await;
    let form =
        "POST /pay HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";
    holds(&raw(running.address, form.as_bytes()).await, &["415 ", "unsupported-media-type"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let stuck = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = Request::new(axum::body::Body::from_stream(stuck));
    let problem = json::read_body(request, 10, Duration::from_secs(10)).await.unwrap_err();
    assert_eq!((problem.status, problem.code), (408, "body-timeout"));
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_the_client_nothing() {
    let running = start(routes(), ListenerLimits::default()).await;
    let answer = get_path(running.address, "/panic", "X-Request-Id: r-77\r\n").await;
    holds(&answer, &["500 Internal", "x-request-id: r-77", "\"trace_id\":\"r-77\"", "\"type\":\"/problems/internal\""]);
    assert!(!answer.contains("DE89"), "{answer}");
    holds(&get_path(running.address, "/nothing", "").await, &["404 Not Found"]);
}

fn tokens() -> Arc<Tokens> {
    support::tokens(&format!(
        "channels:\n  - {{token: {CHANNEL}, principal: mobile, customers: [c-1], scopes: [read]}}\n\
         operators:\n  - {{token: {OPERATOR}, principal: anna}}\n"
    ))
}

#[tokio::test]
async fn only_the_audiences_own_tokens_open_a_listener() {
    let who = |caller: Caller| async move { caller.id.clone() };
    let guard = |audience| Authenticate(Authenticator::tokens(tokens(), audience));
    let routes = |audience| Router::new().route("/who", get(who)).layer(guard(audience));
    let public = start(routes(Audience::Channels), ListenerLimits::default()).await;
    let admin = start(routes(Audience::Operators), ListenerLimits::default()).await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let twice = bearer(CHANNEL) + &bearer(CHANNEL);
    for (address, headers, expected) in [
        (public.address, bearer(CHANNEL), "mobile"),
        (admin.address, bearer(OPERATOR), "anna"),
        (public.address, bearer(OPERATOR), "401 "),
        (admin.address, bearer(CHANNEL), "401 "),
        (public.address, bearer("channel-token-0123456780"), "401 "),
        (public.address, format!("Authorization: Basic {CHANNEL}\r\n"), "401 "),
        (public.address, twice, "401 "),
        (public.address, String::new(), "401 "),
    ] {
        let answer = get_path(address, "/who", &headers).await;
        holds(&answer, &[expected]);
        assert_eq!(answer.contains("401 "), answer.contains("www-authenticate: Bearer"), "{answer}");
    }
    holds(&get_path(public.address, "/unknown", "").await, &["401 "]);
}

#[tokio::test]
async fn a_route_without_the_layer_gets_no_principal() {
    let who = |caller: Caller| async move { caller.id.clone() };
    let running = start(Router::new().route("/who", get(who)), ListenerLimits::default()).await;
    let answer = get_path(running.address, "/who", &format!("Authorization: Bearer {CHANNEL}\r\n")).await;
    holds(&answer, &["401 "]);
}

#[test]
fn an_open_listener_is_for_loopback_only() {
    assert!(Authenticator::open("0.0.0.0:80".parse().unwrap(), Audience::Channels).is_err());
    let open = Authenticator::open("127.0.0.1:80".parse().unwrap(), Audience::Channels).unwrap();
    let caller = open.authenticate(&http::HeaderMap::new()).unwrap();
    assert!(caller.grant.covers("anyone") && caller.scopes.write && !caller.scopes.operate);
}

#[tokio::test]
async fn shutdown_finishes_what_is_open_and_cuts_what_is_stuck() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = {
        let (entered, go) = (entered.clone(), go.clone());
        move || async move {
            entered.notify_one();
            go.notified().await;
            "done"
        }
    };
    let limits = ListenerLimits { drain_ms_max: 5_000, ..ListenerLimits::default() };
    let running = start(Router::new().route("/held", get(held.clone())), limits).await;
    let address = running.address;
    let answer = tokio::spawn(async move { raw(address, b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await });
    entered.notified().await;
    running.stop.send(()).unwrap();
    go.notify_one();
    holds(&answer.await.unwrap(), &["200 OK", "done"]);
    assert_eq!(running.ended.await.unwrap(), Drained { cut: 0 });

    let running = start(Router::new().route("/held", get(held)), ListenerLimits { drain_ms_max: 20, ..limits }).await;
    let address = running.address;
    let stuck = tokio::spawn(async move { raw(address, b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await });
    entered.notified().await;
    running.stop.send(()).unwrap();
    assert_eq!(running.ended.await.unwrap(), Drained { cut: 1 });
    assert_eq!(stuck.await.unwrap(), "");
}

#[tokio::test]
async fn a_full_house_makes_newcomers_wait_instead_of_serving_them() {
    let running = start(routes(), ListenerLimits { connections_max: 1, ..ListenerLimits::default() }).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 512]).await.unwrap() > 0);
    let address = running.address;
    let second = tokio::spawn(async move { get_path(address, "/b", "").await });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    holds(&second.await.unwrap(), &["404 Not Found"]);
}
