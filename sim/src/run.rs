//! One seed, from its beginning to its verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use failpoints::Flaw;
use sql::simulation::{Fate, Script, Server, Step};
use sql::{BoxFuture, Db};
use standin::journal::Journal;
use standin::rules::{Limits, OperationRules, Order, Rules};
use tokio::time::{Instant, sleep, timeout};

use crate::books::{Books, ingest, prepare};
use crate::check::Tables;
use crate::client::{Client, History};
use crate::core::{Core, Weather, eur};
use crate::fault::Fault;
use crate::host::{CORE, Host, Surrounding};
use crate::people::People;
use crate::plan::{LIFETIME_MS, Plan, SetBack};
use crate::process::{HostClock, Process};
use crate::world::World;

/// Longest time from the calm to the end of everything.
const CALM_MAX: Duration = Duration::from_secs(900);
/// A bound for one seed, in simulated time: nothing may go on for ever.
const HISTORY_MAX: Duration = Duration::from_secs(3_600);

/// A move of an entry: from which state, by what, to which.
pub type Moved = (String, String, String);

/// What a seed came to.
pub struct Report {
    /// What was played.
    pub plan: Plan,
    /// The rule that was broken, and by what.
    pub failure: Option<(String, String)>,
    /// What happened, one line for each event.
    pub trace: Vec<String>,
    /// Of the whole history: the same for the same seed.
    pub digest: String,
    /// How often each fault happened.
    pub met: BTreeMap<Fault, u64>,
    /// Which moves entries made.
    pub moves: BTreeSet<Moved>,
    /// How much simulated time passed.
    pub simulated: Duration,
}

/// Sees the database as it is; nothing goes wrong for it.
struct Unharmed(Arc<World>);

impl Script for Unharmed {
    fn fate<'t>(&'t self, _: Step<'t>) -> BoxFuture<'t, Fate> {
        Box::pin(std::future::ready(Fate::Go))
    }

    fn server_now_ms(&self) -> i64 {
        self.0.sql_now_ms()
    }
}

/// Plays a plan on this thread, with this flaw in production code.
pub fn play(plan: Plan, flaw: Option<Flaw>) -> Report {
    failpoints::put_in(flaw);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread starts");
    let report = runtime.block_on(async move {
        let world = World::new(plan);
        let outcome = timeout(HISTORY_MAX, history(&world)).await;
        let (failure, moves) = match outcome {
            Ok(Ok((failure, moves))) => (failure, moves),
            Ok(Err(err)) => (Some(("simulator".to_owned(), err.to_string())), BTreeSet::new()),
            Err(_) => (Some(("liveness".to_owned(), "the history does not end".to_owned())), BTreeSet::new()),
        };
        let (trace, digest, met) = world.story();
        Report { plan: world.plan.clone(), failure, trace, digest, met, moves, simulated: world.elapsed() }
    });
    drop(runtime);
    failpoints::put_in(None);
    report
}

type Verdict = (Option<(String, String)>, BTreeSet<Moved>);

async fn history(world: &Arc<World>) -> Result<Verdict, Box<dyn std::error::Error>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let plan = &world.plan;
    let server = Server::start(&format!("sim{}", NEXT.fetch_add(1, Ordering::Relaxed)))?;
    let watcher = Db::simulated(server.clone(), Arc::new(Unharmed(world.clone())), sql::Options::default());
    let accounts: Vec<String> = (0..plan.accounts).map(|n| format!("a{n}")).collect();
    prepare(&watcher, &accounts, world.now_us()).await?;
    let books = Journal::open(watcher.clone(), Arc::new(Books), CORE).await?;
    let order = if plan.global_order { Order::Global } else { Order::Account };
    let rules = OperationRules { credits_in_order: plan.credits_in_order, order, ..OperationRules::default() };
    books.seed_rules(&Rules::from_iter([(gateway::TRANSFER.to_owned(), rules)])).await?;
    books.seed_limits(&Limits::default().with(eur(), 1_000_000, 1_000_000), None).await?;

    let core = Core::new(world, &accounts);
    let surrounding = Surrounding { world: world.clone(), server, core: core.clone(), watcher: watcher.clone() };
    let hosts: Arc<[Arc<Host>]> =
        (1..=plan.hosts).map(|n| Host::new(&surrounding, &format!("h{n}"), clock(world))).collect();
    for host in hosts.iter() {
        tokio::spawn(host.clone().live());
    }
    let ingester = Process::new(world, "ingest", Arc::default(), false);
    let its_db = surrounding.db(&ingester);
    let its_journal = Journal::open(its_db.clone(), Arc::new(Books), CORE).await?;
    tokio::spawn(ingest(ingester, its_db, its_journal, core.clone()));
    let desk = surrounding.db(&Process::new(world, "op", Arc::default(), false));
    let journal = Journal::open(desk, Arc::new(Books), CORE).await?;
    let people = People { world: world.clone(), journal, core: core.clone(), hosts: hosts.clone() };
    tokio::spawn(people.work());

    let history = Arc::new(History::default());
    let weather = tokio::spawn(weather(world.clone(), core.clone(), hosts.clone()));
    storm(world, &hosts, &history, &accounts).await;
    world.calm_down();
    weather.abort();
    core.turns(Weather::Well, Duration::ZERO);
    for host in hosts.iter() {
        if plan.set_back == SetBack::Hosts {
            host.clock.set_right();
        }
        host.process().iter().for_each(|process| process.go_on());
    }
    let calm = Instant::now();
    let tables = loop {
        sleep(Duration::from_secs(2)).await;
        let tables = Tables::read(&watcher).await?;
        if tables.are_quiet(&core) || calm.elapsed() > CALM_MAX || world.failure().is_some() {
            break tables;
        }
    };
    // What is still on its way must do no harm, too.
    sleep(Duration::from_millis(LIFETIME_MS + 3_000)).await;
    let tables = if tables.are_quiet(&core) { Tables::read(&watcher).await? } else { tables };
    let during = world.failure().map(|failure| match failure.split_once(": ") {
        Some((rule, what)) => (rule.to_owned(), what.to_owned()),
        None => (failure.clone(), String::new()),
    });
    let findings = tables.judge(&core, &history.answers());
    findings.iter().for_each(|(rule, what)| world.note("check", &format!("BROKEN {rule}: {what}")));
    let after = findings.into_iter().next().map(|(rule, what)| (rule.to_owned(), what));
    Ok((during.or(after), moves(&tables)))
}

fn clock(world: &World) -> HostClock {
    let drift = world.strikes(Fault::ClockDrift, 2, "world");
    let drift_ppm = if drift { world.draw(|chance| chance.between(0, 40_000)) } else { 0 };
    let drift_ppm = i64::try_from(drift_ppm).unwrap_or(0) - if drift { 20_000 } else { 0 };
    HostClock::new(0, if world.plan.set_back == SetBack::Hosts { drift_ppm } else { drift_ppm.abs() })
}

/// Clients come while faults happen.
async fn storm(world: &Arc<World>, hosts: &Arc<[Arc<Host>]>, history: &Arc<History>, accounts: &[String]) {
    sleep(Duration::from_millis(1_500)).await;
    let mut clients = Vec::new();
    let time_ms = world.plan.stormy_s * 1_000;
    for n in 0..world.plan.transfers {
        let pause = world.draw(|chance| match chance.one_in(3) {
            true => chance.between(0, 20),
            false => chance.between(1, 2 * time_ms / world.plan.transfers.max(1) as u64),
        });
        sleep(Duration::from_millis(pause)).await;
        clients.push(tokio::spawn(Client::new(world, hosts, history, accounts, n).run()));
    }
    for client in clients {
        drop(client.await);
    }
}

/// Whatever happens by itself, now and then.
async fn weather(world: Arc<World>, core: Arc<Core>, hosts: Arc<[Arc<Host>]>) {
    loop {
        sleep(Duration::from_millis(world.draw(|chance| chance.between(300, 2_000)))).await;
        let time = Duration::from_millis(world.draw(|chance| chance.between(200, 6_000)));
        if world.strikes(Fault::CoreOutage, 16, "core") {
            core.turns(Weather::Away, time);
        } else if world.strikes(Fault::CoreHang, 24, "core") {
            core.turns(Weather::Hangs, time);
        } else if world.strikes(Fault::CoreStopped, 20, "core") {
            core.turns(Weather::Stopped, time);
        } else if world.strikes(Fault::CoreReadOnly, 24, "core") {
            core.turns(Weather::ReadOnly, time);
        } else if world.strikes(Fault::AccountLocked, 20, "core") {
            let account = world.draw(|chance| chance.below(world.plan.accounts as u64));
            core.locks(&format!("a{account}"), time * 12);
        } else if world.strikes(Fault::CoreRestart, 20, "core") {
            core.restart();
        } else if world.strikes(Fault::SqlOutage, 24, "sql") {
            world.take_sql_away(time / 3);
        } else if world.strikes(Fault::SqlClockStep, 12, "sql") {
            world.shift_sql_clock(step(&world, SetBack::Sql));
        } else if world.strikes(Fault::ClockStep, 6, "world")
            && let Some(host) = world.draw(|chance| chance.pick(&hosts).cloned())
        {
            host.clock.step(step(&world, SetBack::Hosts));
        }
    }
}

/// By how much a clock is set: mostly little, sometimes much, on or, if it may, back.
fn step(world: &World, whose: SetBack) -> i64 {
    let ms = world.draw(|chance| match chance.below(4) {
        0 => chance.between(5_000, 120_000),
        _ => chance.between(100, 1_900),
    });
    let us = i64::try_from(ms).unwrap_or(0) * 1_000;
    let back = world.draw(|chance| chance.one_in(2)) && world.plan.set_back == whose;
    if back { -us } else { us }
}

fn moves(tables: &Tables) -> BTreeSet<Moved> {
    let mut moves = BTreeSet::new();
    for entry in tables.entries.values() {
        let mut from = "-".to_owned();
        for (state, evidence) in &entry.steps {
            moves.insert((from, evidence.clone(), state.clone()));
            from = state.clone();
        }
    }
    moves
}
