//! The run that decides: two Locums killed in turn, every kind of outage, many clients, one hot account; judged from the
//! clients' histories and the core's own tables alone.
//!
//! Its size comes from the environment: LOCUM_E2E_TRANSFERS, LOCUM_E2E_CLIENTS, LOCUM_E2E_ACCOUNTS, LOCUM_E2E_PER_SECOND,
//! LOCUM_E2E_SEED. Each class of core runs on one engine here; `dev/soak` runs all pairs, and for longer.

use std::time::Duration;

use locum_tests::bank::Class;
use locum_tests::checker::Allowed;
use locum_tests::load::{Load, Reads};
use locum_tests::world::{CHANNEL, Engine, PATIENCE, Plan, World};
use serde_json::json;

use crate::people::People;
use crate::{outage, rest};

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|err| panic!("{name}={text}: {err}")))
}

async fn decide(class: Class, engine: Engine) {
    let accounts = number("LOCUM_E2E_ACCOUNTS", 200) as u64;
    let plan = Plan { class, engine, locums: 2, accounts, opening_balance: "5000.00", ..Plan::default() };
    let mut world = World::start(plan).await;
    let load = Load {
        name: "run".to_owned(),
        seed: number("LOCUM_E2E_SEED", 20_260) as u64,
        clients: number("LOCUM_E2E_CLIENTS", 64),
        transfers: number("LOCUM_E2E_TRANSFERS", 10_000),
        per_second: number("LOCUM_E2E_PER_SECOND", 150),
        accounts: world.accounts(),
        patience: Duration::from_secs(120),
    };
    let people = People::at_work(&world);
    let (recorder, addresses, transfers) = (world.recorder.clone(), world.addresses(), load.transfers);
    let reads = [0, 1].map(|instance| {
        Reads::start(instance, load.seed, load.accounts.clone(), recorder.clone(), &addresses, CHANNEL)
    });
    let clients = tokio::spawn({
        let (load, recorder, addresses) = (load.clone(), recorder.clone(), addresses.clone());
        async move { load.run(&recorder, &addresses, CHANNEL).await }
    });
    calamities(&mut world, transfers).await;
    let answered = clients.await.unwrap_or_else(|err| panic!("{err}"));
    for reads in reads {
        reads.stop().await;
    }
    assert_eq!(answered, transfers, "every key is acknowledged");
    rest::judge(&world, 2 * PATIENCE, Allowed::default()).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    people.go_home();
    world.end().await;
}

/// What happens, each at its share of the load.
async fn calamities(world: &mut World, transfers: usize) {
    let share = |percent: usize| transfers * percent / 100;
    outage::submissions(world, share(10)).await;
    println!("the core is killed");
    world.core.kill();
    outage::submissions(world, share(18)).await;
    world.core.restart().await;

    outage::submissions(world, share(25)).await;
    println!("locum 0 is killed");
    world.kill_and_restart_locum(0).await;

    outage::submissions(world, share(40)).await;
    println!("the core hangs");
    world.core.freeze();
    outage::submissions(world, share(46)).await;
    world.core.thaw();

    outage::submissions(world, share(52)).await;
    println!("answers of the core get lost after the commit");
    world.core.fault(json!({"mode": "drop_after_commit", "share": 20})).await;
    outage::submissions(world, share(57)).await;
    world.core.heal().await;

    outage::submissions(world, share(62)).await;
    println!("the core and its database are killed together");
    world.core.kill();
    let database = world.stack.kill("mariadb-core").await;
    outage::submissions(world, share(72)).await;
    println!("locum 1 is killed while the core is away");
    world.kill_and_restart_locum(1).await;
    outage::submissions(world, share(78)).await;
    database.end();
    world.core.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deciding_run_on_mariadb_with_a_core_that_remembers_references() {
    decide(Class::Idempotent, Engine::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deciding_run_on_oceanbase_with_a_core_that_can_only_be_asked() {
    decide(Class::Enquiry, Engine::OceanBase).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deciding_run_on_mariadb_with_a_core_that_does_neither() {
    decide(Class::Neither, Engine::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "one pair of LOCUM_E2E_CLASS and LOCUM_E2E_ENGINE; dev/soak runs it"]
async fn the_deciding_run_of_the_environment() {
    let word = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; dev/soak sets it"));
    let (class, engine) = (word("LOCUM_E2E_CLASS"), word("LOCUM_E2E_ENGINE"));
    let classes = [Class::Idempotent, Class::Enquiry, Class::Neither];
    let class =
        classes.into_iter().find(|known| known.as_str() == class).unwrap_or_else(|| panic!("no class {class:?}"));
    let engines = [Engine::MariaDb, Engine::OceanBase];
    let engine =
        engines.into_iter().find(|known| known.part().0 == engine).unwrap_or_else(|| panic!("no engine {engine:?}"));
    decide(class, engine).await;
}
