//! SIGKILL at every named place of admit, send, record, replay and apply, under load, with a second instance that lives on.

use std::time::Duration;

use http::Method;
use locum_tests::bank::Class;
use locum_tests::load::{Gate, Load};
use locum_tests::wait::wait_for;
use locum_tests::world::{Engine, PATIENCE, Plan, World};

use crate::people::People;
use crate::{outage, rest};

/// Accounts of one place: unknown outcomes of one must not hold up the next.
const ACCOUNTS: usize = 8;
/// Transfers of each place, at least.
const TRANSFERS: usize = 80;
/// So many have been answered when somebody is told to die; with the core away, so many wait for the replay.
const UNDER_WAY: usize = 10;
const QUEUED: usize = 40;

async fn killed_at_every_place(class: Class, engine: Engine) {
    // Entries leave for files months after their end: `standin/tests/journal/archive_killed.rs` kills a process on that way.
    let places = failpoints::ALL.iter().copied().filter(|place| !place.starts_with("archive."));
    let places: Vec<&'static str> = places.collect();
    let accounts = (places.len() * ACCOUNTS) as u64;
    let mut world = World::start(Plan { class, engine, locums: 2, accounts, ..Plan::default() }).await;
    let people = People::at_work(&world);
    let reads = world.reads(3);
    for (round, place) in places.into_iter().enumerate() {
        let victim = killed_at(&mut world, round, place).await;
        println!("── {place}: locum {victim}");
    }
    for reads in reads {
        reads.stop().await;
    }
    rest::judge(&world, PATIENCE).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    people.go_home();
    world.end().await;
}

/// Any instance may be the one: the first that comes to this place.
async fn killed_at(world: &mut World, round: usize, place: &'static str) -> usize {
    let load = Load {
        name: place.to_owned(),
        seed: 100 + round as u64,
        clients: 8,
        transfers: TRANSFERS,
        per_second: 40,
        accounts: world.accounts()[round * ACCOUNTS..(round + 1) * ACCOUNTS].to_vec(),
        patience: Duration::from_secs(120),
    };
    somebody_applies(world).await;
    let replay = place.starts_with("replay");
    if replay {
        world.core.kill();
    }
    let before = world.recorder.exchanges();
    let gate = Gate::until_enough();
    let clients = world.load_through(&gate, load);
    outage::submissions(world, before + if replay { QUEUED } else { UNDER_WAY }).await;
    // A place that is passed once a batch is soon passed often enough.
    let order = world.order_death(place, if place.starts_with("apply") { 2 } else { 5 });
    if replay {
        world.core.launch();
    }
    let victim = world.dies(order).await;
    gate.enough();
    world.core.ready().await;
    let unanswered = clients.await.unwrap_or_else(|err| panic!("{place}: {err}"));
    assert_eq!(unanswered, 0, "{place}: every key is acknowledged in the end");
    victim
}

/// The death before may have been that of the leading ingester, whose lease runs on for a while.
async fn somebody_applies(world: &World) {
    let applied = async || {
        let told = world.operate(0, Method::GET, "/admin/v1/sources", None).await;
        told["sources"][0]["applied_seq"].as_i64().unwrap_or_else(|| panic!("{told}"))
    };
    let before = applied().await;
    wait_for("changes are applied again", PATIENCE, async || {
        let now = applied().await;
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_named_place_with_a_core_that_remembers_references() {
    killed_at_every_place(Class::Idempotent, Engine::OceanBase).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_named_place_with_a_core_that_can_only_be_asked() {
    killed_at_every_place(Class::Enquiry, Engine::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_named_place_with_a_core_that_does_neither() {
    killed_at_every_place(Class::Neither, Engine::MariaDb).await;
}
