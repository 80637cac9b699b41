//! The core away under load: the request that meets the outage is itself answered, and the queue drains afterwards.

use std::time::Duration;

use locum_tests::load::Load;
use locum_tests::wait::wait_for;
use locum_tests::world::{PATIENCE, Plan, World};

use crate::rest;

/// Resolves once this many submissions have ended.
pub async fn submissions(world: &World, count: usize) {
    wait_for(&format!("{count} submissions"), Duration::from_secs(600), async || {
        let seen = world.recorder.exchanges();
        if seen >= count { Ok(()) } else { Err(format!("{seen}")) }
    })
    .await;
}

fn load(world: &World) -> Load {
    Load {
        name: "outage".to_owned(),
        seed: 7,
        clients: 16,
        transfers: 800,
        per_second: 100,
        accounts: world.accounts(),
        patience: Duration::from_secs(60),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_core_killed_under_load_costs_nobody_an_error_and_the_queue_drains() {
    let mut world = World::start(Plan::default()).await;
    let load = load(&world);
    let reads = world.reads(load.seed);
    let clients = world.load(load);
    submissions(&world, 200).await;
    world.core.kill();
    submissions(&world, 600).await;
    world.core.restart().await;
    let unanswered = clients.await.unwrap_or_else(|err| panic!("{err}"));
    for reads in reads {
        reads.stop().await;
    }

    assert_eq!(unanswered, 0, "every key is acknowledged");
    let statuses = world.recorder.history().statuses();
    assert!(statuses.keys().all(|status| [201, 202, 422].contains(status)), "{statuses:?}");
    assert!(statuses.get(&202).is_some_and(|count| *count > 100), "{statuses:?}");
    rest::judge(&world, PATIENCE).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_core_frozen_under_load_costs_nobody_an_error_and_the_queue_drains() {
    let world = World::start(Plan::default()).await;
    let load = load(&world);
    let clients = world.load(load);
    submissions(&world, 200).await;
    world.core.freeze();
    submissions(&world, 500).await;
    world.core.thaw();
    assert_eq!(clients.await.unwrap_or_else(|err| panic!("{err}")), 0, "every key is acknowledged");
    rest::judge(&world, PATIENCE).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}
