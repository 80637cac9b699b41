//! Writes accepted while the core is away, and transfers that the core posts at once, beside an axum handler over the same server.

use std::process::Command;
use std::time::{Duration, Instant};

use locum_tests::client::http;
use locum_tests::process::{Process, free_port};
use locum_tests::stack::{addresses, connect};
use locum_tests::wait::{PATIENCE, wait_for};
use locum_tests::world::{Engine, World};
use mysql_async::prelude::Queryable;

use crate::cpu;
use crate::load::{Accounts, Came, Skew, Until, transfers};
use crate::report::Better::{Higher, Lower};
use crate::report::Row;
use crate::rounds::{Pairs, locum_first, measured};

/// Accounts of the bank.
const ACCOUNTS: u64 = 2_000;
/// Connections of a load.
const CONNECTIONS: usize = 64;
/// Commits that a round's median is of.
const COMMITS: usize = 200;

/// One side of a comparison: where it listens, and the process that does its work.
struct Side {
    address: String,
    pid: u32,
}

/// Measures everything about this engine.
pub async fn measure(engine: Engine, rounds: usize, seconds: u64) -> anyhow::Result<Vec<Row>> {
    let mut world = World::start(measured(engine, ACCOUNTS)).await;
    world.core.kill();
    let locum = Side { address: world.locums[0].address(), pid: world.locums[0].pid() };
    world.stands_in().await;
    let server = cpu::part(&addresses()["STACK_DIR"], engine.part().0)?;
    let name = format!("writes {engine:?}").to_lowercase();
    let load = Until::For(Duration::from_secs(seconds));
    let mut rows = Vec::new();
    for skew in [Skew::Uniform, Skew::Zipf] {
        let accounts = Accounts::new(&world.accounts(), skew);
        for (work, peer_name, goal) in
            [("transaction", "axum, the same in one transaction", 3.0), ("insert", "axum, one INSERT", 1.0)]
        {
            let (_process, peer) = start_peer(&world.journal_url(), work, "").await;
            let (mut rate, mut cost) = (Pairs::default(), Pairs::default());
            for round in 0..rounds {
                let [ours, theirs] = alternate(round, [&locum, &peer], server, &accounts, (load, 202)).await?;
                println!(
                    "{name} {} {work}, round {round}: {:.0}/s beside {:.0}/s",
                    skew.as_str(),
                    ours.0.per_second(),
                    theirs.0.per_second()
                );
                rate.push(ours.0.per_second(), theirs.0.per_second());
                cost.push(ours.1, theirs.1);
            }
            let arm = format!("{name} {}", skew.as_str());
            rows.push(Row::new(&arm, "accepted a second", peer_name, &rate, (Higher, goal)));
            if work == "transaction" {
                rows.push(Row::new(&arm, "CPU ms an accept", peer_name, &cost, (Lower, 0.5)));
            }
        }
    }
    rows.push(one_client(&world, &locum, &name, rounds).await?);
    world.end().await;
    rows.push(direct(engine, &name, rounds, load).await?);
    Ok(rows)
}

/// Locum and its peer one after the other: what came, and the CPU milliseconds of one answer, the server's included.
async fn alternate(
    round: usize,
    sides: [&Side; 2],
    server: u32,
    accounts: &Accounts,
    (load, status): (Until, u16),
) -> anyhow::Result<[(Came, f64); 2]> {
    let order = if locum_first(round) { [0, 1] } else { [1, 0] };
    let mut came = [None, None];
    for at in order {
        let side = sides[at];
        let before = cpu::used(side.pid)? + cpu::used(server)?;
        let answers = transfers(&side.address, accounts, CONNECTIONS, load, status).await?;
        let used = cpu::used(side.pid)? + cpu::used(server)? - before;
        let each = used.as_secs_f64() * 1_000.0 / answers.answered as f64;
        came[at] = Some((answers, each));
    }
    let [Some(ours), Some(theirs)] = came else { anyhow::bail!("a side was not measured") };
    Ok([ours, theirs])
}

/// A peer's process on this database, calling this core.
async fn start_peer(database: &str, work: &str, core: &str) -> (Process, Side) {
    let address = format!("127.0.0.1:{}", free_port());
    let process = peer_process(&["--listen", &address, "--database", database, "--core", core, "--work", work]);
    let mut http = http(&*address, None);
    wait_for("the peer answers", PATIENCE, async || http.get("/health/ready").await).await;
    let pid = process.pid();
    (process, Side { address, pid })
}

/// A peer in a process of its own.
pub fn peer_process(arguments: &[&str]) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|err| panic!("where am I? {err}")));
    command.arg("peer").args(arguments);
    Process::start("peer", command, &std::env::temp_dir().join("locum-bench-peer.log"))
}

/// Direct transfers to a core that answers at once, which takes the place of the simulated one.
async fn direct(engine: Engine, name: &str, rounds: usize, load: Until) -> anyhow::Result<Row> {
    let mut world = World::start(measured(engine, ACCOUNTS)).await;
    let locum = Side { address: world.locums[0].address(), pid: world.locums[0].pid() };
    let server = cpu::part(&addresses()["STACK_DIR"], engine.part().0)?;
    let core = world.core.address();
    world.core.kill();
    world.stands_in().await;
    let _core = peer_process(&["--listen", &core, "--work", "core"]);
    world.serves_direct().await;
    let (_peer, peer) = start_peer(&world.journal_url(), "direct", &core).await;
    let accounts = Accounts::new(&world.accounts(), Skew::Uniform);
    let mut rate = Pairs::default();
    for round in 0..rounds {
        let [ours, theirs] = alternate(round, [&locum, &peer], server, &accounts, (load, 201)).await?;
        println!("{name} direct, round {round}: {:.0}/s beside {:.0}/s", ours.0.per_second(), theirs.0.per_second());
        rate.push(ours.0.per_second(), theirs.0.per_second());
    }
    world.end().await;
    let arm = format!("{name} direct, instant core");
    Ok(Row::new(arm, "posted a second", "axum, two transactions, one call", &rate, (Higher, 2.0)))
}

/// One client's median beside the median of a bare commit on the same server.
async fn one_client(world: &World, locum: &Side, name: &str, rounds: usize) -> anyhow::Result<Row> {
    let accounts = Accounts::new(&world.accounts(), Skew::Uniform);
    let mut connection = connect(&world.journal_url()).await?;
    connection.query_drop("CREATE TABLE bare (id BIGINT NOT NULL PRIMARY KEY, body BLOB NOT NULL)").await?;
    let mut pairs = Pairs::default();
    for round in 0..rounds {
        let ours = transfers(&locum.address, &accounts, 1, Until::Answers(COMMITS), 202).await?;
        let mut commits = Vec::with_capacity(COMMITS);
        for n in 0..COMMITS {
            let sent = Instant::now();
            let id = i64::try_from(round * COMMITS + n)?;
            connection.exec_drop("INSERT INTO bare (id, body) VALUES (?, ?)", (id, [0_u8; 200].as_slice())).await?;
            commits.push(sent.elapsed().as_secs_f64() * 1_000.0);
        }
        commits.sort_by(f64::total_cmp);
        pairs.push(ours.p50_ms(), commits[COMMITS / 2]);
    }
    Ok(Row::new(format!("{name} one client"), "p50 ms", "a bare commit", &pairs, (Lower, 2.3)))
}
