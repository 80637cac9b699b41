//! Keeps the services of the process running. A service that fails is started again, alone, after a pause that grows; the
//! others go on. A service that fails again and again ends the process, in order: not ready first, then drained.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::signals::Drain;

/// Times a service was started again, by `service`.
const RESTARTS_TOTAL: &str = "locum_service_restarts_total";

/// When a failed service is started again, and when that is given up.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    /// Pause after the first failure; each further one within the window doubles it.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// So many failures of one service within the window end the process.
    pub failures_max: usize,
    /// How long a failure counts.
    pub window: Duration,
}

impl Default for RestartPolicy {
    /// From 250 ms to 30 s; ten failures within ten minutes, which takes a service that always fails a minute and a half.
    fn default() -> Self {
        Self {
            pause_min: Duration::from_millis(250),
            pause_max: Duration::from_secs(30),
            failures_max: 10,
            window: Duration::from_secs(600),
        }
    }
}

/// Runs services until the process drains.
pub struct Supervisor {
    drain: Drain,
    policy: RestartPolicy,
    services: JoinSet<()>,
    names: HashMap<Id, String>,
    /// Services that work while the others drain; nobody waits for their end.
    lasting: JoinSet<()>,
    /// The service that ended the process, with how it failed.
    given_up: Arc<Mutex<Option<String>>>,
}

impl Supervisor {
    /// No services yet.
    pub fn new(drain: Drain, policy: RestartPolicy) -> Self {
        Self {
            drain,
            policy,
            services: JoinSet::new(),
            names: HashMap::new(),
            lasting: JoinSet::new(),
            given_up: Arc::default(),
        }
    }

    /// Runs a service that ends by itself once the process drains. `start` makes it, again after each failure: a panic, or
    /// an end before the drain.
    pub fn run<F>(&mut self, name: &str, start: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (drain, policy, given_up) = (self.drain.clone(), self.policy, self.given_up.clone());
        let service = keep_running(name.to_owned(), start, drain, policy, given_up);
        let task = self.services.spawn(service);
        self.names.insert(task.id(), name.to_owned());
    }

    /// Runs a service that never ends by itself; it is dropped when the process drains.
    pub fn run_until_drained<F>(&mut self, name: &str, mut start: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let drain = self.drain.clone();
        self.run(name, move || {
            let (working, drained) = (start(), drain.clone().begun());
            async move {
                tokio::select! {
                    () = working => {}
                    () = drained => {}
                }
            }
        });
    }

    /// Runs a service that never ends by itself and is wanted until all others have ended.
    pub fn run_to_the_last<F>(&mut self, name: &str, start: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (drain, policy, given_up) = (self.drain.clone(), self.policy, self.given_up.clone());
        self.lasting.spawn(keep_running(name.to_owned(), start, drain, policy, given_up));
    }

    /// Waits until every service has ended, for `grace` at most once the process drains. An error if the process gave up,
    /// or if a service did not end: the caller then ends the process, and its next start finds what was left.
    pub async fn ended(mut self, grace: Duration) -> anyhow::Result<()> {
        let overdue = {
            let drain = self.drain.clone();
            async move {
                drain.begun().await;
                tokio::time::sleep(grace).await;
            }
        };
        let mut overdue = std::pin::pin!(overdue);
        loop {
            tokio::select! {
                ended = self.services.join_next_with_id() => match ended {
                    None => break,
                    Some(Ok((id, ()))) => drop(self.names.remove(&id)),
                    Some(Err(error)) => drop(self.names.remove(&error.id())),
                },
                () = &mut overdue => {
                    let mut names: Vec<&str> = self.names.values().map(String::as_str).collect();
                    names.sort_unstable();
                    anyhow::bail!("did not end within {grace:?} of draining: {}", names.join(", "));
                }
            }
        }
        match self.given_up.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(reason) => anyhow::bail!(reason),
            None => Ok(()),
        }
    }
}

async fn keep_running<F>(
    name: String,
    mut start: impl FnMut() -> F,
    drain: Drain,
    policy: RestartPolicy,
    given_up: Arc<Mutex<Option<String>>>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut failures = Failures::default();
    loop {
        // A task of its own contains a panic; as the only one of a set it ends when this one is dropped.
        let mut alone = JoinSet::new();
        alone.spawn(start());
        let ended = alone.join_next().await;
        if drain.has_begun() && matches!(ended, Some(Ok(()))) {
            return;
        }
        let how = how(ended);
        match failures.add(Instant::now(), &policy) {
            Next::StartAfter(pause) if !drain.has_begun() => {
                tracing::error!(service = name, how, ?pause, "a service failed; it is started again after a pause");
                metrics::counter!(RESTARTS_TOTAL, "service" => name.clone()).increment(1);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = drain.clone().begun() => return,
                }
            }
            Next::StartAfter(_) => {
                tracing::error!(service = name, how, "a service failed while the process drains");
                return;
            }
            Next::GiveUp => {
                let failed = policy.failures_max;
                let reason = format!("{name} {how}, {failed} times within {:?}; this process ends", policy.window);
                tracing::error!(service = name, "{reason}");
                given_up.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
                drain.leave();
                return;
            }
        }
    }
}

fn how(ended: Option<Result<(), JoinError>>) -> &'static str {
    match ended {
        Some(Err(error)) if error.is_panic() => "ended by a panic",
        _ => "ended by itself",
    }
}

/// When a service failed, as far as it still counts.
#[derive(Default)]
struct Failures(VecDeque<Instant>);

/// What follows a failure.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    StartAfter(Duration),
    GiveUp,
}

impl Failures {
    fn add(&mut self, now: Instant, policy: &RestartPolicy) -> Next {
        self.0.push_back(now);
        while self.0.front().is_some_and(|at| now.duration_since(*at) > policy.window) {
            self.0.pop_front();
        }
        if self.0.len() >= policy.failures_max {
            return Next::GiveUp;
        }
        let doublings = u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        Next::StartAfter(policy.pause_min.saturating_mul(factor).min(policy.pause_max))
    }
}

#[cfg(test)]
mod tests;
