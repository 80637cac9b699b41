//! The run that decides: two Locums killed in turn, every kind of outage, many clients, one hot account; judged from the
//! clients' histories and the core's own tables alone.
//!
//! Its size comes from the environment: LOCUM_E2E_TRANSFERS, LOCUM_E2E_CLIENTS, LOCUM_E2E_ACCOUNTS, LOCUM_E2E_PER_SECOND,
//! LOCUM_E2E_SEED. Each class of core runs on one engine here; `dev/soak` runs all pairs, and for longer.

use std::time::Duration;

use http::Method;
use locum_tests::bank::Class;
use locum_tests::checker::mutation;
use locum_tests::history::Answer;
use locum_tests::load::{Gate, Load};
use locum_tests::wait::wait_for;
use locum_tests::world::{Engine, PATIENCE, Plan, World};
use serde_json::json;

use crate::people::People;
use crate::{outage, rest};

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|err| panic!("{name}={text}: {err}")))
}

/// What two cores that carry everything can bear. A tenth is debits of the hot account, and the lane of one account goes one by one: it must
/// be done with what was queued while as much comes in. Before a core that does neither, a lane has no runs: each of its entries waits for
/// the record of the one before.
fn per_second(class: Class, engine: Engine) -> usize {
    match (engine, class) {
        (Engine::MariaDb, Class::Idempotent | Class::Enquiry) => 150,
        (Engine::MariaDb, Class::Neither) => 75,
        (Engine::OceanBase, _) => 30,
    }
}

/// As long as every calamity needs to be felt; `dev/soak` runs 10,000 on every engine.
fn transfers(engine: Engine) -> usize {
    match engine {
        Engine::MariaDb => 10_000,
        Engine::OceanBase => 6_000,
    }
}

async fn decide(class: Class, engine: Engine) {
    let accounts = number("LOCUM_E2E_ACCOUNTS", 200) as u64;
    let plan = Plan { class, engine, locums: 2, accounts, opening_balance: "5000.00", ..Plan::default() };
    let world = World::start(plan).await;
    let load = Load {
        name: "run".to_owned(),
        seed: number("LOCUM_E2E_SEED", 20_260) as u64,
        clients: number("LOCUM_E2E_CLIENTS", 64),
        transfers: number("LOCUM_E2E_TRANSFERS", transfers(engine)),
        per_second: number("LOCUM_E2E_PER_SECOND", per_second(class, engine)),
        accounts: world.accounts(),
        patience: Duration::from_secs(120),
    };
    let people = People::at_work(&world);
    let (reads, gate, transfers) = (world.reads(load.seed), Gate::until_enough(), load.transfers);
    let clients = world.load_through(&gate, load);
    let mut run = Run { world, gate, transfers };
    run.calamities().await;
    run.gate.enough();
    let unanswered = clients.await.unwrap_or_else(|err| panic!("{err}"));
    for reads in reads {
        reads.stop().await;
    }
    let world = run.world;
    assert_eq!(unanswered, 0, "every key is acknowledged");
    let caught = rest::judge(&world, 2 * PATIENCE).await;
    assert_eq!(caught, mutation::ALL, "the run gives occasion to every crime");
    rest::all_confirmed(&world).await;
    rest::same_as_the_core(&world).await;
    people.go_home();
    world.end().await;
}

/// Answered by the core itself, inside the request.
fn direct(answer: &Answer) -> bool {
    answer.status == 201 && answer.text("status") == Some("COMPLETED") && answer.text("accepted_by") == Some("core")
}

/// Taken, and the end is open.
fn taken(answer: &Answer) -> bool {
    answer.status == 202
}

struct Run {
    world: World,
    gate: Gate,
    transfers: usize,
}

impl Run {
    /// What happens, each for its share of the load; and each must have been felt.
    async fn calamities(&mut self) {
        self.direct_again().await;
        self.more(6).await;

        println!("the core is killed");
        let before = self.seen();
        self.world.core.kill();
        self.more(6).await;
        self.stood_in(before);
        self.world.core.restart().await;

        self.more(5).await;
        println!("locum 0 is killed");
        self.world.kill_and_restart_locum(0).await;

        self.direct_again().await;
        println!("the core hangs");
        let before = self.seen();
        self.world.core.freeze();
        self.outcomes_unknown().await;
        self.more(5).await;
        self.stood_in(before);
        self.world.core.thaw();

        self.direct_again().await;
        println!("answers of the core get lost after the commit");
        let before = self.seen();
        self.world.core.fault(json!({"kind": "drop_after_commit", "share": 20})).await;
        self.more(4).await;
        let hits = self.world.core.hits().await;
        self.world.core.heal().await;
        assert!(hits >= self.few() as u64, "{hits} answers were lost");
        assert!(self.world.recorder.answers(before, taken) > 0, "a lost answer is answered 202");

        self.direct_again().await;
        println!("the core and its database are killed together");
        let before = self.seen();
        self.world.core.kill();
        let database = self.world.stack.kill("mariadb-core").await;
        self.more(7).await;
        println!("locum 1 is killed while the core is away");
        self.world.kill_and_restart_locum(1).await;
        self.more(4).await;
        self.stood_in(before);
        database.end();
        self.world.core.restart().await;
        self.direct_again().await;
    }

    fn seen(&self) -> usize {
        self.world.recorder.exchanges()
    }

    /// One in a hundred of the load: what an assertion takes for many.
    fn many(&self) -> usize {
        self.transfers.div_ceil(100)
    }

    /// One in a thousand.
    fn few(&self) -> usize {
        self.transfers.div_ceil(1_000)
    }

    /// Resolves after this share of the load.
    async fn more(&self, percent: usize) {
        outage::submissions(&self.world, self.seen() + self.transfers * percent / 100).await;
    }

    /// Every account is answered by the core inside the request again, while the load goes on: stand-in does not keep itself alive.
    async fn direct_again(&self) {
        let (before, accounts) = (self.seen(), self.world.accounts());
        wait_for("every account is answered by the core again", PATIENCE, async || {
            let debited = self.world.recorder.debited(before, direct);
            let missing: Vec<&String> = accounts.iter().filter(|account| !debited.contains(*account)).collect();
            let some = missing.iter().take(5).collect::<Vec<_>>();
            if missing.is_empty() { Ok(()) } else { Err(format!("{} are missing, such as {some:?}", missing.len())) }
        })
        .await;
    }

    /// Many writes since `before` were taken without the core.
    fn stood_in(&self, before: usize) {
        let (taken, many) = (self.world.recorder.answers(before, taken), self.many());
        assert!(taken >= many, "{taken} writes were taken while the core was away, not {many}");
    }

    /// The core has requests that it will not answer.
    async fn outcomes_unknown(&self) {
        let few = self.few();
        wait_for("outcomes are unknown", PATIENCE, async || {
            let replay = self.world.operate(0, Method::GET, "/admin/v1/replay", None).await;
            let unknown = replay["by_state"]["outcome_unknown"].as_u64().unwrap_or(0);
            if unknown >= few as u64 { Ok(()) } else { Err(replay.to_string()) }
        })
        .await;
    }
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
