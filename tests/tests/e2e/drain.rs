//! SIGTERM under load: what was begun is finished, and the process ends by itself.

use std::time::Duration;

use locum_tests::load::Load;
use locum_tests::world::{PATIENCE, Plan, World};

use crate::{outage, rest};

#[tokio::test(flavor = "multi_thread")]
async fn a_locum_told_to_end_finishes_what_is_open_and_ends() {
    let mut world = World::start(Plan { locums: 2, ..Plan::default() }).await;
    let load = Load {
        name: "drain".to_owned(),
        seed: 11,
        clients: 16,
        transfers: 600,
        per_second: 100,
        accounts: world.accounts(),
        patience: Duration::from_secs(60),
    };
    let clients = world.load(load);
    for (index, share) in [(0, 150), (1, 350)] {
        outage::submissions(&world, share).await;
        let status = world.drain_and_restart_locum(index).await;
        assert!(status.success(), "locum {index} ended with {status}");
    }
    assert_eq!(clients.await.unwrap_or_else(|err| panic!("{err}")), 0, "every key is acknowledged");
    rest::judge(&world, PATIENCE).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}
