//! SIGKILL at every named place of admit, send, record, replay and apply.

use std::fs;
use std::time::Duration;

use locum_tests::checker::Allowed;
use locum_tests::load::Load;
use locum_tests::world::{CHANNEL, PATIENCE, Plan, World};

use crate::{outage, rest};

/// Transfers of each place.
const TRANSFERS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_named_place_nothing_is_lost_and_nothing_posted_twice() {
    let mut world = World::start(Plan::default()).await;
    for (round, name) in failpoints::ALL.iter().enumerate() {
        println!("── {name}");
        killed_at(&mut world, round, name).await;
    }
    rest::judge(&world, PATIENCE, Allowed::default()).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}

async fn killed_at(world: &mut World, round: usize, name: &str) {
    let witness = world.locums[0].file("witness");
    let _ = fs::remove_file(&witness);
    let replay = name.starts_with("replay");
    // A place that is passed once per batch is reached early enough by a few, one that is passed per write in mid-load.
    let spec = format!("{name}@{}", if name.starts_with("send") { 20 } else { 5 });
    let from = world.recorder.now();
    world.locums[0].kill();
    let armed = [("LOCUM_FAILPOINT", spec.as_str()), ("LOCUM_FAILPOINT_WITNESS", &witness.to_string_lossy())];
    world.start_locum(0, &armed).await;
    world.recorder.was_away(0, from);

    let load = Load {
        name: name.to_owned(),
        seed: 100 + round as u64,
        clients: 8,
        transfers: TRANSFERS,
        per_second: 40,
        accounts: world.accounts(),
        patience: Duration::from_secs(120),
    };
    let before = world.recorder.history().exchanges.len();
    let (recorder, addresses) = (world.recorder.clone(), world.addresses());
    let absent_from = recorder.now();
    if replay {
        world.core.kill();
    }
    let clients = tokio::spawn(async move { load.run(&recorder, &addresses, CHANNEL).await });
    if replay {
        outage::submissions(world, before + TRANSFERS / 2).await;
        world.core.restart().await;
    }
    world.restart_after_death(0, absent_from).await;
    let answered = clients.await.unwrap_or_else(|err| panic!("{name}: {err}"));
    assert_eq!(answered, TRANSFERS, "{name}: every key is acknowledged in the end");
    let hit = fs::read_to_string(&witness).unwrap_or_default();
    assert_eq!(hit.trim(), name, "the failpoint was hit");
    let evidence = world.evidence(PATIENCE).await;
    let violations = locum_tests::checker::check(&evidence);
    assert!(violations.is_empty(), "{name}: {}", violations.iter().map(ToString::to_string).collect::<String>());
}
