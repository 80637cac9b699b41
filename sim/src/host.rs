//! A host: it starts the production write side in a process, and again when that has died.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway::{Gateway, Monitor, MonitorOptions, Watch};
use replayer::Replayer;
use sql::simulation::Server;
use sql::{Db, Host as SqlHost};
use standin::journal::{Admissions, Instance, Journal, Life};
use standin::resolution::Patience;
use tokio::time::sleep;

use crate::books::Books;
use crate::connection::Connection;
use crate::core::Core;
use crate::fault::Fault;
use crate::process::{HostClock, Process, Sql};
use crate::world::World;

/// The core's name in the journal.
pub const CORE: &str = "core";
/// Between two tries of something that the journal did not take.
const AGAIN: Duration = Duration::from_millis(250);

/// What every host is connected to.
#[derive(Clone)]
pub struct Surrounding {
    /// The world.
    pub world: Arc<World>,
    /// The SQL server.
    pub server: Arc<Server>,
    /// The core.
    pub core: Arc<Core>,
    /// Sees the database as it is.
    pub watcher: Db,
}

impl Surrounding {
    /// The way of a process to the SQL server.
    pub fn db(&self, process: &Arc<Process>) -> Db {
        let options = sql::Options { host: SqlHost::of(process.clone()), ..sql::Options::default() };
        Db::simulated(self.server.clone(), Arc::new(Sql(process.clone())), options)
    }
}

/// The write side of a process that is up.
#[derive(Clone)]
pub struct Running {
    /// Its process.
    pub process: Arc<Process>,
    /// Takes writes.
    pub gateway: Gateway,
    /// Knows the mode, and whether the clocks agree.
    pub watch: Watch,
}

/// A host.
pub struct Host {
    /// Its name, and that of its instance.
    pub name: String,
    /// Its clock.
    pub clock: Arc<HostClock>,
    surrounding: Surrounding,
    running: Mutex<Option<Running>>,
    process: Mutex<Option<Arc<Process>>>,
    /// An operator must declare its last life gone before it comes back.
    lost: Mutex<bool>,
}

impl Host {
    /// A host that is off.
    pub fn new(surrounding: &Surrounding, name: &str, clock: HostClock) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            clock: Arc::new(clock),
            surrounding: surrounding.clone(),
            running: Mutex::default(),
            process: Mutex::default(),
            lost: Mutex::default(),
        })
    }

    /// Its write side, if it is up.
    pub fn running(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process, also while that starts.
    pub fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does it wait to be declared gone?
    pub fn is_lost(&self) -> bool {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may come back.
    pub fn is_found(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Lives: one process after the other.
    pub async fn live(self: Arc<Self>) {
        let world = self.surrounding.world.clone();
        loop {
            let process = Process::new(&world, &self.name, self.clock.clone(), true);
            *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
            world.note(&self.name, "starts");
            tokio::spawn(self.clone().start(process.clone()));
            process.death().await;
            *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
            if world.strikes(Fault::DeclaredGone, 3, &self.name) {
                *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = true;
            }
            sleep(Duration::from_millis(world.draw(|chance| chance.between(100, 4_000)))).await;
            while self.is_lost() && world.is_stormy() {
                sleep(AGAIN).await;
            }
            self.is_found();
        }
    }

    /// Starts the write side as the server does (`server/src/write_side/mod.rs`).
    async fn start(self: Arc<Self>, process: Arc<Process>) {
        let db = self.surrounding.db(&process);
        let journal = loop {
            match Journal::open(db.clone(), Arc::new(Books), CORE).await {
                Ok(journal) => break journal,
                Err(_) => sleep(AGAIN).await,
            }
        };
        let instance = loop {
            match journal.register_instance(&self.name).await {
                Ok(instance) => break instance,
                Err(_) => sleep(AGAIN).await,
            }
        };
        tokio::spawn(keep(process.clone(), journal.clone(), instance.clone()));
        let core = Connection::new(&self.surrounding.core, &process, self.surrounding.watcher.clone());
        let (admissions, admitting) = Admissions::new(journal.clone(), instance.clone());
        watched(&process, "admissions", admitting.run());
        let (monitor, watch) = Monitor::new(journal.gateway(), core.clone(), MonitorOptions::default());
        while monitor.compare_clocks().await.is_err() {
            sleep(AGAIN).await;
        }
        let gateway = Gateway::new(
            &journal,
            admissions,
            instance.clone(),
            core.clone(),
            watch.clone(),
            gateway::Options::default(),
        );
        let carried = gateway.clone();
        watched(&process, "monitor", async move { monitor.run(carried, std::future::pending()).await });
        let replayer = Replayer::new(journal.replay(), core, instance, replay());
        watched(&process, "replayer", replayer.run(std::future::pending()));
        let running = Running { process: process.clone(), gateway, watch };
        if !process.is_dead() {
            *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        }
    }
}

/// A replayer that looks less often and loses patience sooner: histories here are short.
fn replay() -> replayer::Options {
    replayer::Options {
        concurrency_max: 4,
        core_timeout: Duration::from_secs(2),
        look_every: Duration::from_millis(200),
        fence_ttl: Duration::from_secs(6),
        abandoned_after: Duration::from_secs(12),
        patience: Patience { park_after_ms: 12_000, memory_margin_ms: 2_000 },
    }
}

/// Runs a task of production code; it may not panic.
fn watched(process: &Arc<Process>, what: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let world = process.world.clone();
    let task = tokio::spawn(task);
    tokio::spawn(async move {
        if task.await.is_err_and(|err| err.is_panic()) {
            world.fail("panic", what);
        }
    });
}

/// Signs of life, as `server/src/write_side/life.rs` gives them: a process that was declared gone ends at once.
async fn keep(process: Arc<Process>, journal: Journal, instance: Instance) {
    loop {
        if journal.beat(&instance).await.is_ok_and(|life| life == Life::Over) {
            return process.kill();
        }
        sleep(Duration::from_secs(5)).await;
    }
}
