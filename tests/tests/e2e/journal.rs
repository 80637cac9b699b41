//! The journal's database away under load: refused plainly, never accepted in memory, and whole again afterwards.

use std::time::Duration;

use locum_tests::load::Load;
use locum_tests::wait::wait_for;
use locum_tests::world::{PATIENCE, Plan, World};

use crate::{outage, rest};

/// Answers of this many submissions show that Locum goes on answering without its database.
const REFUSALS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_frozen_while_outcomes_are_open_is_told_and_nothing_is_lost() {
    let world = World::start(Plan { locums: 2, ..Plan::default() }).await;
    let load = Load {
        name: "journal".to_owned(),
        seed: 13,
        clients: 16,
        transfers: 600,
        per_second: 100,
        accounts: world.accounts(),
        patience: Duration::from_secs(90),
    };
    let clients = world.load(load);
    outage::submissions(&world, 150).await;
    // Attempts hang in the core first, so that their outcomes come while nothing can be recorded.
    world.core.freeze();
    let journal = world.stack.freeze("mariadb").await;
    wait_for("submissions are refused", PATIENCE, async || {
        let refused = world.recorder.history().statuses().get(&503).copied().unwrap_or(0);
        if refused >= REFUSALS { Ok(()) } else { Err(format!("{refused} of {REFUSALS}")) }
    })
    .await;
    journal.end();
    world.core.thaw();

    assert_eq!(clients.await.unwrap_or_else(|err| panic!("{err}")), 0, "every key is acknowledged");
    rest::judge(&world, PATIENCE).await;
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    world.end().await;
}
