//! What left the process, and what may be said about it.

use std::sync::Arc;
use std::time::Duration;

use locum_connectors::{CoreConnector, Probe};
use schemas::core::{Enquiry, Outcome, Unsent};
use tokio::io::AsyncReadExt;
use tokio::task::yield_now;

use crate::peer::*;

/// Short, for attempts that shall run into it.
const HASTY: Duration = Duration::from_millis(150);

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let until = tokio::time::Instant::now() + PATIENT;
    while !condition() {
        assert!(tokio::time::Instant::now() < until, "{what} did not come");
        yield_now().await;
    }
}

#[tokio::test]
async fn a_refused_port_is_not_sent() {
    let (listener, url) = Listener::start().await;
    drop(listener);
    let core = core_sim(&url);
    let outcome = post(&core, PATIENT).await;
    assert!(matches!(outcome, Outcome::NotSent { why: Unsent::CoreAway, .. }), "{outcome:?}");
    assert!(matches!(core.probe(PATIENT).await, Probe::Down { .. }));
    assert!(matches!(core.enquire("transfer", "LOC1", PATIENT).await, Enquiry::Unavailable { .. }));
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_not_sent() {
    let outcome = core_sim("http://no-such-core.invalid:80").post(&transfer(), PATIENT).await;
    assert!(is_not_sent(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn an_attempt_without_time_is_not_sent() {
    let (listener, url) = Listener::start().await;
    let outcome = core_sim(&url).post(&transfer(), Duration::ZERO).await;
    assert!(is_not_sent(&outcome), "{outcome:?}");
    drop(listener);
}

#[tokio::test]
async fn a_connection_closed_before_the_core_read_what_we_wrote_is_unknown() {
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let (outcome, ()) = tokio::join!(post(&core, PATIENT), async {
        listener.accept().await.0.readable().await.unwrap();
    });
    assert!(is_unknown(&outcome), "{outcome:?}");
    listener.assert_no_further_connection();
}

#[tokio::test]
async fn a_connection_closed_anywhere_in_the_answer_is_unknown_and_sent_once() {
    let whole = json(201, BOOKED);
    let head = whole.find("\r\n\r\n").unwrap();
    for length in [0, 1, head / 2, head + 3, head + 4, head + 40, whole.len() - 1] {
        let (listener, url) = Listener::start().await;
        let core = core_sim(&url);
        let (outcome, _) = tokio::join!(post(&core, PATIENT), async {
            drop(listener.answer(&whole[..length]).await);
        });
        assert!(is_unknown(&outcome), "after {length} bytes: {outcome:?}");
        assert_eq!(core.idle_connections(), 0);
        listener.assert_no_further_connection();
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let (_, (_, mut peer)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    assert_eq!(core.idle_connections(), 1);
    let (outcome, ()) = tokio::join!(post(&core, PATIENT), async {
        peer.request().await;
        peer.send(&json(200, BOOKED)).await;
    });
    assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}");
    listener.assert_no_further_connection();
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_an_answer_that_is_not_understood() {
    for answer in [
        json(500, r#"{"code":"INTERNAL"}"#),
        response(502, "text/html", "<html>"),
        json(201, &BOOKED.replace("LOC1", "LOC2")),
    ] {
        let (listener, url) = Listener::start().await;
        let core = core_sim(&url);
        let (outcome, (_, mut peer)) = tokio::join!(post(&core, PATIENT), listener.answer(&answer));
        assert!(is_unknown(&outcome), "{outcome:?}");
        assert_eq!(core.idle_connections(), 0);
        let ended = peer.0.read(&mut [0]).await;
        assert_eq!(ended.expect_err("a plain close").kind(), std::io::ErrorKind::ConnectionReset);
    }
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let (_, (_, _peer)) = tokio::join!(core.enquire("transfer", "LOC1", PATIENT), listener.answer(json(500, "{}")));
    assert_eq!(core.idle_connections(), 0);
}

#[tokio::test]
async fn a_connection_ends_by_a_reset_even_when_its_process_only_goes_away() {
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let (_, (_, mut peer)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    drop(core);
    let ended = peer.0.read(&mut [0]).await;
    assert_eq!(ended.expect_err("a plain close").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_that_died_idle_is_replaced_without_a_trace() {
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let (_, (_, peer)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    drop(peer);
    wait_for("the end of the idle connection", || core.idle_connections() == 0).await;
    let (outcome, (received, _)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}");
    assert_eq!(received.json()["reference"], "LOC1");
}

#[tokio::test]
async fn a_kept_connection_that_dies_under_a_request_is_unknown_and_never_sent_again() {
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let (_, (_, mut peer)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    let (outcome, ()) = tokio::join!(post(&core, PATIENT), async move {
        peer.request().await;
    });
    assert!(is_unknown(&outcome), "{outcome:?}");
    listener.assert_no_further_connection();
}

#[tokio::test]
async fn connections_idle_or_old_beyond_their_bound_are_not_used_again() {
    let bounds: [fn(&mut locum_connectors::http::TransportLimits); 2] = [|l| l.idle_ms_max = 1, |l| l.age_ms_max = 1];
    for bound in bounds {
        let (listener, url) = Listener::start().await;
        let mut config = config(locum_connectors::http::CORE_SIM, &url);
        bound(&mut config.limits);
        let core = build(config);
        let (_, (_, _peer)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
        wait_for("the bound", || core.idle_connections() == 0).await;
        let (outcome, _) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
        assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_sent_ahead_of_its_request_is_never_taken() {
    let forged = json(422, r#"{"code":"INSUFFICIENT_FUNDS"}"#);
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let two = format!("{}{forged}", json(201, BOOKED));
    let (first, (_, _peer)) = tokio::join!(post(&core, PATIENT), listener.answer(&two));
    assert!(matches!(first, Outcome::Posted(_)), "{first:?}");
    let (second, _) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    assert!(matches!(second, Outcome::Posted(_)), "{second:?}");
}

#[tokio::test]
async fn an_answer_that_drips_past_the_time_out_is_unknown_and_its_connection_reset() {
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let (outcome, ended) = tokio::join!(post(&core, HASTY), async {
        let (_, mut peer) = listener.answer("HTTP/1.1 201 X\r\nContent-Type: application/json\r\n").await;
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let mut byte = [0];
        loop {
            tokio::select! {
                // A reset is told once: to the write or to the read, whichever asks first.
                _ = tick.tick() => match peer.0.try_write(b"x") {
                    Err(err) if err.kind() != std::io::ErrorKind::WouldBlock => break Err(err),
                    _ => {}
                },
                read = peer.0.read(&mut byte) => break read,
            }
        }
    });
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(ended.expect_err("a plain close").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn after_a_time_out_the_rest_of_the_request_never_reaches_the_core() {
    let (listener, url) = Listener::start().await;
    let core = core_sim(&url);
    let large = "x".repeat(32 << 20);
    let (outcome, mut peer) = tokio::join!(async { core.post(&transfer_with("LOC1", &large), HASTY).await }, async {
        let peer = listener.accept().await;
        peer.0.readable().await.unwrap();
        peer
    });
    assert!(is_unknown(&outcome), "{outcome:?}");
    let mut arrived = Vec::new();
    let ended = peer.0.read_to_end(&mut arrived).await;
    assert_eq!(ended.expect_err("a plain close").kind(), std::io::ErrorKind::ConnectionReset);
    assert!(arrived.len() < large.len());
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cut_its_request() {
    let (listener, url) = Listener::start().await;
    let core = Arc::new(core_sim(&url));
    let large = "x".repeat(8 << 20);
    let request = transfer_with("LOC1", &large);
    let caller = tokio::spawn({
        let core = Arc::clone(&core);
        async move { core.post(&request, PATIENT).await }
    });
    let mut peer = listener.accept().await;
    peer.0.readable().await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let received = peer.request().await;
    assert_eq!(received.json()["text"].as_str().map(str::len), Some(large.len()));
    peer.send(&json(201, BOOKED)).await;
    wait_for("the end of the attempt", || core.idle_connections() == 1).await;
}

#[tokio::test]
async fn when_every_connection_is_busy_until_the_deadline_nothing_is_sent() {
    let (listener, url) = Listener::start().await;
    let mut config = config(locum_connectors::http::CORE_SIM, &url);
    config.limits.connections_max = 1;
    let core = build(config);
    let ((), first) = tokio::join!(
        async {
            let mut peer = listener.accept().await;
            peer.request().await;
            let second = post(&core, HASTY).await;
            assert!(matches!(second, Outcome::NotSent { why: Unsent::NotTried, .. }), "{second:?}");
            let (probed, _) = tokio::join!(core.probe(PATIENT), listener.answer(json(200, r#"{"status":"UP"}"#)));
            assert_eq!(probed, Probe::Up, "a probe does not wait for work");
            peer.send(&json(201, BOOKED)).await;
        },
        post(&core, PATIENT)
    );
    assert!(matches!(first, Outcome::Posted(_)), "{first:?}");
    listener.assert_no_further_connection();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, url) = Listener::start().await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} X\r\nLocation: {url}/api/postings\r\nContent-Length: 0\r\n\r\n");
        let (outcome, _) = post_answered(locum_connectors::http::CORE_SIM, &transfer(), &answer).await;
        assert!(is_unknown(&outcome), "{status}: {outcome:?}");
    }
    elsewhere.assert_no_further_connection();
}
