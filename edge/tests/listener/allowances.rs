//! What a principal meets that sends more than it may, and what others notice of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use edge::serve::ListenerLimits;
use edge::{Allowance, Allowances, Audience, Authenticate, Authenticator, Caller, Problem, StoreTurns, Work};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{self, Running, get_path, holds, start};

const GREEDY: &str = "greedy-token-0123456789";
const OTHER: &str = "other-token-0123456789";

/// `greedy` has this allowance; everyone else has a large one.
async fn listening(router: Router, greedy: Allowance) -> Running {
    let tokens = support::tokens(&format!(
        "channels:\n  - {{token: {GREEDY}, principal: greedy, customers: ['*'], scopes: [read]}}\n  \
         - {{token: {OTHER}, principal: other, customers: ['*'], scopes: [read]}}\n"
    ));
    let store = Arc::new(StoreTurns::new(4));
    let allowances = Allowances::new(many(), HashMap::from([("greedy".to_owned(), greedy)]), store);
    let guard = Authenticator::tokens(tokens, Audience::Channels).within(Arc::new(allowances));
    start(router.layer(Authenticate(guard)), ListenerLimits::default()).await
}

fn many() -> Allowance {
    let requests_per_s = NonZeroU32::new(1_000_000).unwrap();
    Allowance { requests_per_s, concurrent_max: 1_000, store_reads_max: 3 }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

async fn ask(address: SocketAddr, path: &str, token: &str) -> String {
    get_path(address, path, &bearer(token)).await
}

/// Asks until the answer has this status: a place is free again only once the answer before it was handed out whole.
async fn ask_until(address: SocketAddr, path: &str, token: &str, status: &str) -> String {
    loop {
        let answer = ask(address, path, token).await;
        if answer.contains(status) {
            return answer;
        }
    }
}

#[tokio::test]
async fn a_rate_over_the_allowance_is_429_for_its_principal_alone() {
    let router = Router::new().route("/", get(|| async { "served" }));
    let running = listening(router, Allowance { requests_per_s: NonZeroU32::MIN, ..many() }).await;
    holds(&ask(running.address, "/", GREEDY).await, &["200 OK", "served"]);
    // One a second: of so many at once most are too many, however slow the machine.
    let refused = ask_until(running.address, "/", GREEDY, " 429 ").await;
    holds(
        &refused,
        &["application/problem+json", "\"code\":\"too-many-requests\"", "retry-after: ", "\"retryable\":true"],
    );
    assert!(!refused.contains("retry-after: 0"), "{refused}");
    holds(&ask(running.address, "/", OTHER).await, &["200 OK"]);
}

/// A route whose requests are held, and a route whose work goes on without its client.
fn held(entered: &Arc<Notify>, go: &Arc<Notify>) -> Router {
    let wait = |entered: Arc<Notify>, go: Arc<Notify>| async move {
        entered.notify_one();
        go.notified().await;
    };
    let (held, spawned) = ((entered.clone(), go.clone()), (entered.clone(), go.clone()));
    let held = move || async move {
        wait(held.0, held.1).await;
        "done"
    };
    let spawned =
        move || async move { edge::request::spawn(wait(spawned.0, spawned.1)).await.map_err(Problem::internal) };
    Router::new().route("/held", get(held)).route("/spawned", get(spawned)).route("/", get(|| async { "served" }))
}

#[tokio::test]
async fn requests_under_way_beyond_the_allowance_are_429_until_one_ends() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let running = listening(held(&entered, &go), Allowance { concurrent_max: 1, ..many() }).await;
    let address = running.address;
    let first = tokio::spawn(async move { ask(address, "/held", GREEDY).await });
    entered.notified().await;
    holds(&ask(address, "/", GREEDY).await, &[" 429 ", "\"code\":\"too-many-requests\"", "retry-after: 1"]);
    holds(&ask(address, "/", OTHER).await, &["200 OK"]);
    go.notify_one();
    holds(&first.await.unwrap(), &["200 OK", "done"]);
    ask_until(address, "/", GREEDY, "200 OK").await;
}

#[tokio::test]
async fn work_that_outlives_its_client_still_counts() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let running = listening(held(&entered, &go), Allowance { concurrent_max: 1, ..many() }).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let request = format!("GET /spawned HTTP/1.1\r\nHost: x\r\n{}\r\n", bearer(GREEDY));
    client.write_all(request.as_bytes()).await.unwrap();
    entered.notified().await;
    drop(client);
    for _ in 0..20 {
        holds(&ask(running.address, "/", GREEDY).await, &[" 429 "]);
    }
    go.notify_one();
    ask_until(running.address, "/", GREEDY, "200 OK").await;
}

#[tokio::test]
async fn a_principal_that_holds_its_turns_at_the_store_keeps_no_other_from_it() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, go) = (entered.clone(), go.clone());
        move |caller: Caller| async move {
            let _turn = caller.turn(Work::Read).await?;
            entered.notify_one();
            go.notified().await;
            Ok::<_, Problem>("read")
        }
    };
    let quick = |caller: Caller| async move { caller.turn(Work::Read).await.map(|_turn| "read") };
    let router = Router::new().route("/slow", get(slow)).route("/quick", get(quick));
    let running = listening(router, Allowance { store_reads_max: 1, ..many() }).await;
    let address = running.address;
    let slow: Vec<_> = (0..10).map(|_| tokio::spawn(async move { ask(address, "/slow", GREEDY).await })).collect();
    entered.notified().await;
    for _ in 0..20 {
        holds(&ask(address, "/quick", OTHER).await, &["200 OK", "read"]);
    }
    // One after the other has the turn.
    for _ in 1..slow.len() {
        go.notify_one();
        entered.notified().await;
    }
    go.notify_one();
    for request in slow {
        holds(&request.await.unwrap(), &["200 OK", "read"]);
    }
}

#[tokio::test]
async fn a_read_whose_client_leaves_while_it_waits_for_a_turn_is_never_worked_on() {
    let (entered, go, worked) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let slow = {
        let (entered, go, worked) = (entered.clone(), go.clone(), worked.clone());
        move |caller: Caller| async move {
            let turn = caller.turn(Work::Read);
            let mut turn = std::pin::pin!(turn);
            let taken = futures_util::future::poll_immediate(&mut turn).await;
            entered.notify_one();
            let _turn = match taken {
                Some(taken) => taken?,
                None => turn.await?,
            };
            worked.fetch_add(1, Ordering::Relaxed);
            go.notified().await;
            Ok::<_, Problem>("read")
        }
    };
    let router = Router::new().route("/slow", get(slow)).route("/", get(|| async { "served" }));
    let running = listening(router, Allowance { concurrent_max: 2, store_reads_max: 1, ..many() }).await;
    let address = running.address;
    let first = tokio::spawn(async move { ask(address, "/slow", GREEDY).await });
    entered.notified().await;
    let mut leaving = TcpStream::connect(address).await.unwrap();
    leaving.write_all(format!("GET /slow HTTP/1.1\r\nHost: x\r\n{}\r\n", bearer(GREEDY)).as_bytes()).await.unwrap();
    entered.notified().await;
    holds(&ask(address, "/", GREEDY).await, &[" 429 "]);
    drop(leaving);
    ask_until(address, "/", GREEDY, "200 OK").await;
    go.notify_one();
    holds(&first.await.unwrap(), &["200 OK", "read"]);
    assert_eq!(worked.load(Ordering::Relaxed), 1);
}
