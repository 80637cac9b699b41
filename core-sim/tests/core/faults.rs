//! Every fault over real connections, with what the ledger holds afterwards.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::support::{Core, Place, call, on_every_engine, send, transfer, transfer_but, wait_for};

/// How long an answer that must not come is waited for.
const SILENCE: Duration = Duration::from_millis(300);

async fn assert_silent(mut stream: tokio::net::TcpStream) {
    let mut byte = [0];
    let read = tokio::time::timeout(SILENCE, stream.read(&mut byte)).await;
    assert!(read.is_err(), "expected silence, got {read:?}");
}

async fn booked(core: &Core, reference: &str) {
    wait_for("the posting", async || (core.enquire(reference).await.0 == 200).then_some(())).await;
    assert_eq!(core.times_posted(reference).await, 1);
}

#[tokio::test]
async fn refuse_refuses_connects_until_it_is_lifted_on_the_same_port() {
    on_every_engine(
        async |core: Core| {
            for _ in 0..3 {
                core.fault(json!({"kind": "refuse"})).await;
                let err = core.post(&transfer("R1")).await.unwrap_err();
                assert_eq!(err.kind(), ErrorKind::ConnectionRefused);
                core.fault(json!({"kind": "none"})).await;
                assert_eq!(core.get(&core.bank, "/health").await, (200, json!({"status": "UP"})));
            }
            assert_eq!(core.enquire("R1").await.0, 404);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn refuse_closes_idle_connections() {
    let place = Place::embedded();
    let core = Core::start(&place, &[]).await;
    let mut idle = tokio::net::TcpStream::connect(&core.bank).await.unwrap();
    core.fault(json!({"kind": "refuse"})).await;
    let ended = idle.read(&mut [0]).await;
    assert!(ended.is_err() || ended.is_ok_and(|n| n == 0));
    drop(core);
    place.remove().await;
}

#[tokio::test]
async fn hang_answers_nobody_and_posts_nothing() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "hang"})).await;
            assert_silent(send(&core.bank, "POST", "/api/postings", &transfer("R1").to_string()).await.unwrap()).await;
            assert_silent(send(&core.bank, "GET", "/health", "").await.unwrap()).await;
            core.fault(json!({"kind": "none"})).await;
            assert_eq!(core.enquire("R1").await.0, 404);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn hang_posts_posts_and_never_answers() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "hang_posts"})).await;
            let stream = send(&core.bank, "POST", "/api/postings", &transfer("R1").to_string()).await.unwrap();
            booked(&core, "R1").await;
            assert_silent(stream).await;
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn slow_waits_and_then_works() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "slow", "ms": 200, "scope": "postings"})).await;
            let start = Instant::now();
            assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
            assert!(start.elapsed() >= Duration::from_millis(200));
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_request_older_than_its_lifetime_posts_nothing() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "slow", "ms": 120, "scope": "postings"})).await;
            let (status, body) = core.post(&transfer("R1")).await.unwrap();
            assert_eq!((status, body.contains("EXPIRED")), (503, true), "{body}");
            assert_eq!(core.times_posted("R1").await, 0);
        },
        &["--request-lifetime-ms", "100"],
    )
    .await;
}

#[tokio::test]
async fn drop_after_commit_resets_the_connection_and_has_posted() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "drop_after_commit"})).await;
            let err = core.post(&transfer("R1")).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::ConnectionReset);
            booked(&core, "R1").await;
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn an_error_after_the_commit_has_posted_and_one_before_has_not() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "error_after_commit"})).await;
            let after = core.post(&transfer("R1")).await.unwrap();
            core.fault(json!({"kind": "error_before"})).await;
            let before = core.post(&transfer("R2")).await.unwrap();
            assert_eq!((after.0, &after), (500, &before), "callers cannot tell them apart");
            core.fault(json!({"kind": "none"})).await;
            booked(&core, "R1").await;
            assert_eq!(core.enquire("R2").await.0, 404);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_late_commit_is_not_found_at_first_and_posted_although_the_caller_has_gone() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "late_commit", "ms": 1000})).await;
            let err = core.post(&transfer("R1")).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::UnexpectedEof);
            assert_eq!(core.enquire("R1").await.0, 404);
            booked(&core, "R1").await;
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn html_error_is_a_page_with_status_200_and_posts_nothing() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "html_error"})).await;
            let (status, body) = core.post(&transfer("R1")).await.unwrap();
            assert_eq!((status, body.starts_with("<!doctype html>")), (200, true));
            core.fault(json!({"kind": "none"})).await;
            assert_eq!(core.enquire("R1").await.0, 404);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn refuse_business_refuses_with_the_code_given_and_remembers_it() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "refuse_business", "code": "ACCOUNT_FROZEN"})).await;
            let refused = core.post(&transfer("R1")).await.unwrap();
            assert_eq!((refused.0, refused.1.contains("ACCOUNT_FROZEN")), (422, true));
            core.fault(json!({"kind": "none"})).await;
            let (_, told) = core.enquire("R1").await;
            assert_eq!((&told["status"], &told["code"]), (&json!("REFUSED"), &json!("ACCOUNT_FROZEN")));
            assert_eq!(core.post(&transfer("R1")).await.unwrap(), refused);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn read_only_refuses_postings_and_answers_reads() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "read_only"})).await;
            let (status, body) = core.post(&transfer("R1")).await.unwrap();
            assert_eq!((status, body.contains("READ_ONLY")), (503, true));
            assert_eq!(core.get(&core.bank, "/health").await, (200, json!({"status": "READ_ONLY"})));
            assert_eq!(core.enquire("R1").await.0, 404);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_share_hits_the_same_requests_in_every_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let place = Place::embedded();
        let core = Core::start(&place, &["--seed", "5"]).await;
        core.fault(json!({"kind": "error_before", "share": 50})).await;
        let mut statuses = Vec::new();
        for n in 0..20 {
            statuses.push(core.post(&transfer(&format!("R{n}"))).await.unwrap().0);
        }
        assert!(statuses.contains(&201) && statuses.contains(&500), "{statuses:?}");
        let (_, shown) = core.get(&core.control, "/faults").await;
        let hit = statuses.iter().filter(|status| **status == 500).count();
        assert_eq!((&shown["drawn"], &shown["hit"]), (&json!(20), &json!(hit)));
        runs.push(statuses);
        drop(core);
        place.remove().await;
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_take_its_posting_along() {
    on_every_engine(
        async |core: Core| {
            core.fault(json!({"kind": "slow", "ms": 200, "scope": "postings"})).await;
            let stream = send(&core.bank, "POST", "/api/postings", &transfer("R1").to_string()).await.unwrap();
            let received = async || {
                let (_, counters) = core.get(&core.control, "/counters").await;
                (counters["postings_received"] == 1).then_some(())
            };
            wait_for("the request to arrive", received).await;
            drop(stream);
            booked(&core, "R1").await;
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn an_unsound_fault_is_named_and_changes_nothing() {
    let place = Place::embedded();
    let core = Core::start(&place, &[]).await;
    for fault in [
        json!({"kind": "meltdown"}),
        json!({"kind": "slow"}),
        json!({"kind": "hang", "share": 101}),
        json!({"kind": "late_commit", "ms": 5000}),
    ] {
        let (status, body) = call(&core.control, "PUT", "/faults", &fault.to_string()).await.unwrap();
        assert_eq!((status, body.contains("MALFORMED")), (400, true), "{fault}");
    }
    assert_eq!(core.post(&transfer_but("R1", "text", "")).await.unwrap().0, 201);
    drop(core);
    place.remove().await;
}
