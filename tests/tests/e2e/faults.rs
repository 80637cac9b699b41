//! Every way in which the simulated core can go wrong, for every class of core.

use std::time::Duration;

use locum_tests::bank::Class;
use locum_tests::load::{Gate, Load};
use locum_tests::wait::wait_for;
use locum_tests::world::{PATIENCE, Plan, World};
use serde_json::json;

use crate::people::People;
use crate::rest;

/// Accounts of one fault: unknown outcomes of one must not hold up the next.
const ACCOUNTS: usize = 6;
/// Transfers of each fault, at least.
const TRANSFERS: usize = 48;

fn faults() -> Vec<serde_json::Value> {
    let some = |kind: &str| json!({"kind": kind, "share": 30, "scope": "postings"});
    let with = |kind: &str, member: &str, value: serde_json::Value| {
        let mut fault = some(kind);
        fault[member] = value;
        fault
    };
    vec![
        some("refuse"),
        some("hang"),
        some("hang_posts"),
        with("slow", "ms", json!(300)),
        some("drop_after_commit"),
        some("error_after_commit"),
        some("error_before"),
        with("late_commit", "ms", json!(2_000)),
        some("html_error"),
        with("refuse_business", "code", json!("ACCOUNT_FROZEN")),
        some("read_only"),
    ]
}

/// The fault before may have left Locum for a while without the core.
async fn somebody_feels(world: &World, kind: &str, before: usize) {
    wait_for(&format!("{kind} hits somebody"), PATIENCE, async || {
        // A refused connection is no request that the core could count.
        let hits = match kind {
            "refuse" => world.recorder.answers(before, |answer| answer.status == 202) as u64,
            _ => world.core.hits().await,
        };
        if hits > 0 { Ok(()) } else { Err("nobody yet") }
    })
    .await;
}

async fn every_fault_of(class: Class) {
    let faults = faults();
    let accounts = (faults.len() * ACCOUNTS) as u64;
    let world = World::start(Plan { class, accounts, ..Plan::default() }).await;
    let numbers = world.accounts();
    for (round, fault) in faults.iter().enumerate() {
        let kind = fault["kind"].as_str().unwrap_or_default();
        let load = Load {
            name: kind.to_owned(),
            seed: 1_000 + round as u64,
            clients: 8,
            transfers: TRANSFERS,
            per_second: 40,
            accounts: numbers[round * ACCOUNTS..(round + 1) * ACCOUNTS].to_vec(),
            patience: Duration::from_secs(60),
        };
        let (before, gate) = (world.recorder.exchanges(), Gate::until_enough());
        world.core.fault(fault.clone()).await;
        let clients = world.load_through(&gate, load);
        somebody_feels(&world, kind, before).await;
        gate.enough();
        let unanswered = clients.await.unwrap_or_else(|err| panic!("{kind}: {err}"));
        world.core.heal().await;
        assert_eq!(unanswered, 0, "{kind}: every key is acknowledged");
    }
    let people = People::at_work(&world);
    rest::judge(&world, PATIENCE).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    people.go_home();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_remembers_references_may_fail_in_every_way() {
    every_fault_of(Class::Idempotent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_can_only_be_asked_may_fail_in_every_way() {
    every_fault_of(Class::Enquiry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_neither_remembers_nor_answers_enquiries_may_fail_in_every_way() {
    every_fault_of(Class::Neither).await;
}
