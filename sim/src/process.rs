//! A simulated process. All it does to the world goes through its SQL connections and its connections to the core. A process
//! that is dead or stopped does nothing there: that is all the world can see of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sql::simulation::{Fate, Script, Step};
use sql::{BoxFuture, Error, Surroundings};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fault::Fault;
use crate::world::World;

/// The server gives up a transaction that says nothing for longer.
const IDLE_TRANSACTION_MAX: Duration = Duration::from_secs(5);
const DEADLOCK: i32 = 1213;
const LOCK_WAIT: i32 = 1205;

/// A host's wall clock. It outlives the processes of the host.
#[derive(Debug, Default)]
pub struct HostClock(Mutex<(i64, i64)>);

impl HostClock {
    /// A clock that is off by so much, and gains so many millionths.
    pub fn new(offset_us: i64, drift_ppm: i64) -> Self {
        Self(Mutex::new((offset_us, drift_ppm)))
    }

    /// Somebody sets the clock.
    pub fn step(&self, by_us: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += by_us;
    }

    /// The clock is right from now on.
    pub fn set_right(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (0, 0);
    }

    fn read(&self, world: &World) -> i64 {
        let (offset_us, drift_ppm) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = i64::try_from(world.elapsed().as_micros()).unwrap_or(0) / 1_000_000 * drift_ppm;
        world.now_us() + offset_us + gained
    }
}

/// One life of a process.
pub struct Process {
    /// Where it lives.
    pub world: Arc<World>,
    /// Its host.
    pub name: String,
    clock: Arc<HostClock>,
    state: Mutex<State>,
    died: Notify,
    /// The simulated ingester and operators are not the ones under test: they are spared crashes.
    mortal: bool,
}

#[derive(Default)]
struct State {
    dead: bool,
    stopped_until: Option<Instant>,
}

impl Process {
    /// A process that runs.
    pub fn new(world: &Arc<World>, name: &str, clock: Arc<HostClock>, mortal: bool) -> Arc<Self> {
        let (world, name) = (world.clone(), name.to_owned());
        Arc::new(Self { world, name, clock, state: Mutex::default(), died: Notify::new(), mortal })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It dies, with whatever it was doing.
    pub fn kill(&self) {
        if !std::mem::replace(&mut self.state().dead, true) {
            self.world.note(&self.name, "dies");
            self.died.notify_waiters();
        }
    }

    /// Is it dead?
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Resolves when it has died.
    pub async fn death(&self) {
        let died = self.died.notified();
        if !self.is_dead() {
            died.await;
        }
    }

    /// It stops for so long; time goes on.
    pub fn stop(&self, time: Duration) {
        self.world.note(&self.name, &format!("stops for {} ms", time.as_millis()));
        self.state().stopped_until = Some(Instant::now() + time);
    }

    /// It goes on at once if it was stopped.
    pub fn go_on(&self) {
        self.state().stopped_until = None;
    }

    /// Resolves when it may act: at once if it runs, later if it is stopped, never if it is dead.
    pub async fn gate(&self) {
        loop {
            let until = {
                let state = self.state();
                if state.dead { None } else { Some(state.stopped_until.filter(|until| *until > Instant::now())) }
            };
            match until {
                None => std::future::pending().await,
                Some(None) => return,
                Some(Some(until)) => sleep_until(until).await,
            }
        }
    }

    fn stopped_for(&self) -> Duration {
        let until = self.state().stopped_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// It may die or stop here.
    pub fn may_fall(&self, crash: Fault, pause: Fault, n: u64) {
        if !self.mortal {
            return;
        }
        if self.world.strikes(crash, n, &self.name) {
            self.kill();
        } else if self.world.strikes(pause, n, &self.name) {
            let ms = self.world.draw(|chance| match chance.below(3) {
                0 => chance.between(50, 2_000),
                1 => chance.between(2_000, 9_000),
                _ => chance.between(9_000, 40_000),
            });
            self.stop(Duration::from_millis(ms));
        }
    }

    /// The fate of a connection whose process is dead, or stopped for longer than the server waits for it.
    async fn fallen(self: &Arc<Self>, in_transaction: bool) -> Option<Fate> {
        if self.is_dead() {
            return Some(Fate::Torn(Box::pin(std::future::pending())));
        }
        let stopped = self.stopped_for();
        if in_transaction && stopped > IDLE_TRANSACTION_MAX {
            sleep(IDLE_TRANSACTION_MAX).await;
            let process = self.clone();
            return Some(Fate::Torn(Box::pin(async move {
                process.gate().await;
                lost()
            })));
        }
        if !stopped.is_zero() {
            sleep(stopped).await;
        }
        if self.is_dead() { Some(Fate::Torn(Box::pin(std::future::pending()))) } else { None }
    }
}

fn lost() -> Error {
    Error::Unavailable("connection lost".into())
}

fn torn(error: Error) -> Fate {
    Fate::Torn(Box::pin(std::future::ready(error)))
}

/// How a process meets its SQL server.
pub struct Sql(pub Arc<Process>);

impl Sql {
    async fn decide(&self, step: Step<'_>) -> Fate {
        let Self(process) = self;
        let (world, name) = (&process.world, process.name.as_str());
        let in_transaction = matches!(step, Step::Statement(_) | Step::Commit);
        if let Some(fate) = process.fallen(in_transaction).await {
            return fate;
        }
        world.mark(match step {
            Step::Begin => "begin",
            Step::Commit => "commit",
            Step::Statement(sql) | Step::Read(sql) | Step::Write(sql) => sql,
        });
        let ms = world.draw(|chance| if chance.one_in(3) { chance.between(1, 3) } else { 0 });
        if ms > 0 {
            sleep(Duration::from_millis(ms)).await;
        }
        if world.strikes(Fault::SqlSlow, 120, name) {
            let ms =
                world.draw(|chance| if chance.one_in(4) { chance.between(300, 1_500) } else { chance.between(5, 120) });
            sleep(Duration::from_millis(ms)).await;
        }
        let fate = match step {
            Step::Commit | Step::Write(_) => self.at_commit(matches!(step, Step::Commit)),
            Step::Begin | Step::Statement(_) | Step::Read(_) => self.at_statement(in_transaction),
        };
        if matches!(fate, Fate::HeardLater(_)) {
            return fate;
        }
        match process.fallen(in_transaction).await {
            Some(fallen) if matches!(fate, Fate::Go) => fallen,
            _ if world.is_sql_away() && !matches!(fate, Fate::Unanswered { .. }) => {
                torn(Error::Unavailable("the SQL server is away".into()))
            }
            _ => fate,
        }
    }

    fn at_statement(&self, in_transaction: bool) -> Fate {
        let (world, name) = (&self.0.world, self.0.name.as_str());
        self.0.may_fall(Fault::CrashAtStatement, Fault::PauseAtStatement, 2_500);
        if in_transaction && world.strikes(Fault::Deadlock, 150, name) {
            torn(Error::Retryable { code: DEADLOCK })
        } else if in_transaction && world.strikes(Fault::LockTimeout, 250, name) {
            torn(Error::Retryable { code: LOCK_WAIT })
        } else if world.strikes(Fault::ConnectionLost, 300, name) {
            torn(lost())
        } else {
            Fate::Go
        }
    }

    /// A broken connection is noticed at once; a silent one after some time.
    fn unanswered(&self, applied_ms: Option<u64>) -> Fate {
        let noticed_ms = self.0.world.draw(|chance| if chance.one_in(2) { 0 } else { chance.between(100, 4_000) });
        let applied = applied_ms.map(Duration::from_millis);
        Fate::Unanswered { applied, noticed: Duration::from_millis(noticed_ms) }
    }

    fn at_commit(&self, commit: bool) -> Fate {
        let (world, name) = (&self.0.world, self.0.name.as_str());
        let was_dead = self.0.is_dead();
        self.0.may_fall(Fault::CrashAtCommit, if commit { Fault::PauseAtCommit } else { Fault::PauseAtStatement }, 150);
        if self.0.is_dead() && !was_dead {
            // Its last COMMIT may have arrived, or may arrive after a successor has begun.
            return match world.draw(|chance| chance.below(3)) {
                0 => self.unanswered(None),
                1 => self.unanswered(Some(0)),
                _ => self.unanswered(Some(world.draw(|chance| chance.between(1, 3_000)))),
            };
        }
        let stopped = self.0.stopped_for();
        if commit && !stopped.is_zero() && world.draw(|chance| chance.one_in(2)) {
            // It stops when its COMMIT is done: whatever it does next comes after all this time.
            return Fate::HeardLater(stopped);
        }
        if world.strikes(Fault::CommitDropped, 60, name) {
            self.unanswered(None)
        } else if world.strikes(Fault::CommitUnanswered, 40, name) {
            self.unanswered(Some(0))
        } else if world.strikes(Fault::CommitLate, 50, name) {
            self.unanswered(Some(world.draw(|chance| chance.between(1, 900))))
        } else {
            Fate::Go
        }
    }
}

impl Script for Sql {
    fn fate<'t>(&'t self, step: Step<'t>) -> BoxFuture<'t, Fate> {
        Box::pin(self.decide(step))
    }

    fn server_now_ms(&self) -> i64 {
        self.0.world.sql_now_ms()
    }
}

impl Surroundings for Process {
    fn now_us(&self) -> i64 {
        self.clock.read(&self.world)
    }

    fn chance(&self) -> u64 {
        self.world.draw(crate::chance::Chance::draw)
    }
}
