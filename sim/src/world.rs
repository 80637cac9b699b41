//! What the whole simulated world shares: its time, its chance, its trace, its weather.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::chance::Chance;
use crate::fault::Fault;
use crate::plan::{Plan, SetBack};

/// When every simulated history begins, microseconds since 1970: a Monday morning.
pub const BEGIN_US: i64 = 1_767_600_000_000_000;
/// Lines of a trace that are kept for people.
const TRACE_LINES_MAX: usize = 20_000;

/// The world of one seed.
pub struct World {
    /// What is played.
    pub plan: Plan,
    started: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    chance: Chance,
    trace: Vec<String>,
    digest: Sha256,
    met: BTreeMap<Fault, u64>,
    stormy: bool,
    failure: Option<String>,
    sql_shift_us: i64,
    sql_away_until: Option<Instant>,
}

impl World {
    /// The world at its beginning.
    pub fn new(plan: Plan) -> Arc<Self> {
        let inner = Inner {
            chance: Chance::of(plan.seed ^ 0xA5A5),
            trace: Vec::new(),
            digest: Sha256::new(),
            met: BTreeMap::new(),
            stormy: true,
            failure: None,
            sql_shift_us: 0,
            sql_away_until: None,
        };
        Arc::new(Self { plan, started: Instant::now(), inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Simulated time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// True time, microseconds since 1970. Nobody in the write side reads it.
    pub fn now_us(&self) -> i64 {
        BEGIN_US.saturating_add(i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// The SQL server's clock, milliseconds since 1970.
    pub fn sql_now_ms(&self) -> i64 {
        self.now_us().saturating_add(self.inner().sql_shift_us).div_euclid(1_000)
    }

    /// Draws from the world's chance.
    pub fn draw<T>(&self, by: impl FnOnce(&mut Chance) -> T) -> T {
        by(&mut self.inner().chance)
    }

    /// Does this fault happen now? Only while it is stormy, only if the plan allows it, and once in `n` times.
    pub fn strikes(&self, fault: Fault, n: u64, host: &str) -> bool {
        let mut inner = self.inner();
        let n = self.plan.one_in(fault, n);
        if !inner.stormy || !self.plan.faults.contains(&fault) || !inner.chance.one_in(n) {
            return false;
        }
        *inner.met.entry(fault).or_default() += 1;
        drop(inner);
        self.note(host, &format!("! {}", fault.as_str()));
        true
    }

    /// Do people choose to do this now? They may in calm times, too.
    pub fn chosen(&self, fault: Fault, n: u64) -> bool {
        let mut inner = self.inner();
        let chosen = self.plan.faults.contains(&fault) && inner.chance.one_in(n);
        if chosen {
            *inner.met.entry(fault).or_default() += 1;
        }
        chosen
    }

    /// From now on nothing goes wrong any more.
    pub fn calm_down(&self) {
        let mut inner = self.inner();
        inner.stormy = false;
        // A clock that is set right may be set back.
        if self.plan.set_back == SetBack::Sql {
            inner.sql_shift_us = 0;
        }
        inner.sql_away_until = None;
        drop(inner);
        self.note("world", "calm from now on");
    }

    /// Do things go wrong?
    pub fn is_stormy(&self) -> bool {
        self.inner().stormy
    }

    /// A line of the trace.
    pub fn note(&self, host: &str, what: &str) {
        let line = format!("{:>10.3} {host:<7} {what}", self.elapsed().as_secs_f64());
        let mut inner = self.inner();
        inner.digest.update(line.as_bytes());
        if inner.trace.len() < TRACE_LINES_MAX {
            inner.trace.push(line);
        }
    }

    /// Something that counts for the digest and is not shown.
    pub fn mark(&self, what: &str) {
        let at = u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut inner = self.inner();
        inner.digest.update(at.to_be_bytes());
        inner.digest.update(what.as_bytes());
    }

    /// A rule was found broken while the history went on. The first one counts.
    pub fn fail(&self, rule: &str, what: &str) {
        self.note("check", &format!("BROKEN {rule}: {what}"));
        self.inner().failure.get_or_insert_with(|| format!("{rule}: {what}"));
    }

    /// The rule that was found broken.
    pub fn failure(&self) -> Option<String> {
        self.inner().failure.clone()
    }

    /// Sets the SQL server's clock.
    pub fn shift_sql_clock(&self, by_us: i64) {
        self.inner().sql_shift_us += by_us;
    }

    /// The SQL server is away for so long.
    pub fn take_sql_away(&self, time: Duration) {
        self.inner().sql_away_until = Some(Instant::now() + time);
    }

    /// Is the SQL server away?
    pub fn is_sql_away(&self) -> bool {
        self.inner().sql_away_until.is_some_and(|until| Instant::now() < until)
    }

    /// Trace, digest, and how often each fault happened.
    pub fn story(&self) -> (Vec<String>, String, BTreeMap<Fault, u64>) {
        let inner = self.inner();
        let digest = inner.digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (inner.trace.clone(), digest, inner.met.clone())
    }
}
