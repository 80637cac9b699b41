//! What clients do to others that send more than they may, or positions that nobody handed out.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use schemas::data_position::DataPosition;
use tokio::task::JoinHandle;

use crate::bank::*;

/// A read that goes on by itself.
fn spawned(bank: &Arc<Bank>, token: &'static str, path: &'static str, position: Option<&str>) -> JoinHandle<Answer> {
    let (bank, position) = (bank.clone(), position.map(str::to_owned));
    tokio::spawn(async move {
        let headers: Vec<_> = position.iter().map(|position| ("min-position", position.as_str())).collect();
        bank.get_as(token, path, &headers).await
    })
}

/// A position of the one source that it has not come to.
fn at(generation: u32, sequence: i64) -> String {
    let sources = [("core".to_owned(), (generation, sequence.to_be_bytes().to_vec()))].into();
    DataPosition { sources, ..DataPosition::default() }.to_string()
}

#[tokio::test]
async fn a_principal_whose_reads_hang_at_the_store_is_refused_and_others_are_served() {
    let bank = Arc::new(Bank::bounded().await);
    bank.journal.1.send_replace(true);
    let hanging = || spawned(&bank, MOBILE, "/v1/accounts/acc-1/balances", None);
    // One has the turn, 32 may wait for it.
    let mut reads: FuturesUnordered<_> = (0..34).map(|_| hanging()).collect();
    let refused = reads.next().await.unwrap().unwrap();
    refused.is_problem(429, "too-many-requests");
    assert_eq!((refused.header("retry-after"), &refused.json["retryable"]), ("1", &true.into()));
    assert_eq!(bank.get_as(BRANCH, "/v1/accounts/acc-1", &[]).await.status, 200);
}

#[tokio::test]
async fn a_client_with_positions_from_the_future_keeps_only_its_own_reads_waiting() {
    let bank = Arc::new(Bank::bounded().await);
    let future = at(1, 2);
    // Of four places two are for one principal.
    let mut reads: FuturesUnordered<_> =
        (0..3).map(|_| spawned(&bank, MOBILE, "/v1/accounts/acc-1", Some(&future))).collect();
    reads.next().await.unwrap().unwrap().is_problem(503, "position-not-reached");
    assert_eq!(bank.get("/v1/accounts/acc-1", &[]).await.status, 200, "waiting costs no turn at the store");
    let other = spawned(&bank, BRANCH, "/v1/accounts/acc-1", Some(&future));
    bank.apply(vec![balance("acc-1", 2, 7)], NOW_MS).await;
    assert_eq!(other.await.unwrap().status, 200);
    while let Some(read) = reads.next().await {
        assert_eq!(read.unwrap().status, 200);
    }
}

#[tokio::test]
async fn positions_that_cannot_have_been_handed_out_are_refused_at_once() {
    let bank = Bank::bounded().await;
    let lane = |version| DataPosition { lanes: [("acc-1".to_owned(), version)].into(), ..DataPosition::default() };
    let short = [("core".to_owned(), (1, vec![1]))].into();
    let short = DataPosition { sources: short, ..DataPosition::default() };
    for absurd in [at(1, -1), at(u32::MAX, i64::MIN), lane(-1).to_string(), short.to_string()] {
        let answer = bank.get("/v1/accounts/acc-1/balances", &[("min-position", &absurd)]).await;
        answer.is_problem(400, "invalid-request");
        assert_eq!(answer.json["errors"][0]["pointer"], "Min-Position");
    }
    let never = lane(i64::MAX).to_string();
    let answer = bank.get("/v1/accounts/acc-1/balances", &[("min-position", &never)]).await;
    answer.is_problem(503, "position-not-reached");
}

#[tokio::test]
async fn no_position_tells_an_account_of_others_from_one_that_does_not_exist() {
    let bank = Bank::loaded().await;
    let lanes = [("acc-2".to_owned(), i64::MAX), ("acc-9".to_owned(), i64::MAX)].into();
    let lanes = DataPosition { lanes, ..DataPosition::default() };
    for position in [at(0, 0), at(1, 0), at(1, i64::MAX), at(u32::MAX, 1), lanes.to_string()] {
        for kind in ["", "/balances", "/transactions"] {
            let headers = [("min-position", position.as_str())];
            let foreign = bank.get(&format!("/v1/accounts/acc-2{kind}"), &headers).await;
            let missing = bank.get(&format!("/v1/accounts/acc-9{kind}"), &headers).await;
            assert_eq!((foreign.status, &foreign.json), (missing.status, &missing.json), "{kind} {position}");
            assert_ne!(foreign.status, 200);
        }
    }
}
