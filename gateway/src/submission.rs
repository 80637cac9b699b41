//! One write through journal and core: admit, send, record, answer.

use std::sync::Arc;
use std::time::Duration;

use connectors::CoreConnector;
use edge::Problem;
use failpoints::{Flaw, flawed};
use failpoints::{RECORD_AFTER_COMMIT, SEND_AFTER, SEND_BEFORE, reached};
use schemas::core::{Outcome, Unsent};
use schemas::entry::EntryState;
use standin::admission::CoreBelief;
use standin::journal::{Admissions, Admitted, Change, Entry, GatewayJournal, Instance, Write};
use standin::lane::is_promised;
use standin::settle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer;
use crate::health::Signal;
use crate::in_flight::{Carrier, InFlight};
use crate::metrics::CORE_ATTEMPT_SECONDS;
use crate::options::Options;
use crate::watch::Watch;

/// Pause between tries to record an outcome while the journal is away, growing up to the second.
const RECORD_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What every submission needs.
pub(crate) struct Shared {
    pub(crate) journal: GatewayJournal,
    pub(crate) admissions: Admissions,
    pub(crate) instance: Instance,
    pub(crate) core: Arc<dyn CoreConnector>,
    pub(crate) watch: Watch,
    pub(crate) options: Options,
    pub(crate) in_flight: Arc<InFlight>,
}

/// An entry and whether its key had been used before.
pub type Submitted = (Entry, bool);

/// One write on its way.
pub(crate) struct Submission {
    pub(crate) shared: Arc<Shared>,
    pub(crate) carrier: Carrier,
    pub(crate) deadline: Instant,
    pub(crate) told: Option<oneshot::Sender<Result<Submitted, Problem>>>,
}

impl Submission {
    /// Takes the write through.
    pub(crate) async fn run(mut self, write: Write) {
        let belief = write.belief;
        let admitted = self.shared.admissions.submit_by(write, self.deadline).await;
        match admitted {
            Ok(Admitted::Fresh(entry)) => self.carry_on(*entry, belief).await,
            Ok(Admitted::Known(entry)) => self.known(*entry).await,
            Ok(Admitted::KeyReused(first)) => self.tell(Err(answer::key_reused(&first))),
            Ok(Admitted::NoSuchAccount) => self.tell(Err(no_such_account())),
            Ok(Admitted::NotLoaded) => self.tell(Err(answer::not_loaded())),
            Err(err) => self.tell(Err(answer::journal_problem(&err))),
        }
    }

    async fn carry_on(&mut self, entry: Entry, belief: CoreBelief) {
        match entry.state {
            EntryState::Submitting => self.send(entry).await,
            // It is behind others in its lane and the core is there, so its turn may come within the deadline.
            EntryState::Queued if belief == CoreBelief::Available => self.await_outcome(entry, false).await,
            _ => self.tell(Ok((entry, false))),
        }
    }

    /// The direct path. Whatever happens to the client, the outcome is recorded before this ends.
    async fn send(&mut self, entry: Entry) {
        const FIRST: i64 = 1;
        reached(SEND_BEFORE);
        let outcome = self.attempt(&entry).await;
        reached(SEND_AFTER);
        if let Some(signal) = Signal::of(&outcome) {
            self.shared.watch.signal(signal);
        }
        let reason = |code: &str| self.shared.core.refusal_reason(&entry.operation, code).map(str::to_owned);
        let changes = match settle::after_post(&entry, FIRST, &outcome, reason) {
            Some(changes) => changes,
            None => {
                let found = self.shared.core.enquire(&entry.operation, &entry.core_ref, self.core_budget()).await;
                settle::after_duplicate(&entry, FIRST, &found, reason)
            }
        };
        self.record(entry, changes).await;
    }

    async fn attempt(&self, entry: &Entry) -> Outcome {
        let request = match settle::post_request(entry) {
            Ok(request) => request,
            Err(err) => {
                let reason = format!("request cannot be built: {err}");
                return Outcome::NotSent { why: Unsent::NotTried, reason };
            }
        };
        let started = Instant::now();
        let outcome = self.shared.core.post(&request, self.core_budget()).await;
        metrics::histogram!(CORE_ATTEMPT_SECONDS, "outcome" => outcome.as_str()).record(started.elapsed());
        if let Outcome::NotSent { reason, .. } | Outcome::Unknown { reason } = &outcome {
            tracing::info!(entry = %entry.id, outcome = outcome.as_str(), reason, "the core did not answer");
        }
        outcome
    }

    fn core_budget(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now() + self.shared.options.journal_budget)
    }

    /// Records until it is recorded, or can never be. The client is told at its deadline at the latest.
    ///
    /// "Processing" promises a place in the order of the account, and only the journal can give it. While the journal is
    /// away the answer is that the acceptance is unknown, unless the core has posted the write.
    async fn record(&mut self, entry: Entry, changes: Vec<Change>) {
        let actor = self.shared.instance.to_string();
        let (mut pause, mut refused) = (RECORD_AGAIN.0, 0);
        loop {
            match self.shared.journal.record(&actor, changes.clone()).await {
                Ok(moved) => {
                    reached(RECORD_AFTER_COMMIT);
                    let entry = moved.into_iter().next_back().map_or(entry, |moved| moved.entry);
                    return match is_promised(entry.state, entry.ordered) {
                        true => self.tell(Ok((entry, false))),
                        // It waits for the core, which is there. Its turn may come within the deadline.
                        false => self.await_outcome(entry, false).await,
                    };
                }
                Err(err) if err.is_permanent() || refused >= self.shared.options.refused_tries_max => {
                    tracing::error!(entry = %entry.id, error = %err, "an outcome can never be recorded; it is unknown from now on");
                    self.carrier.lose();
                    return self.tell(Err(answer::acceptance_unknown(&err)));
                }
                Err(err) if flawed(Flaw::OutcomeDropped) => return self.tell(Err(answer::acceptance_unknown(&err))),
                Err(err) => {
                    tracing::error!(entry = %entry.id, error = %err, "an outcome cannot be recorded yet; trying again");
                    refused += u32::from(err.is_refused());
                    if Instant::now() + pause >= self.deadline {
                        self.tell(match settle::is_posted(&changes) {
                            true => Ok((Entry { ordered: true, ..entry.clone() }, false)),
                            false => Err(answer::acceptance_unknown(&err)),
                        });
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(RECORD_AGAIN.1);
                }
            }
        }
    }

    /// A key that is there already: one that nobody was told of gets until the deadline, then the client is promised an outcome.
    async fn known(&mut self, entry: Entry) {
        if is_promised(entry.state, entry.ordered) {
            return self.tell(Ok((entry, true)));
        }
        self.await_outcome(entry, true).await;
    }

    /// Waits for the entry's outcome, up to the deadline; then answers with what it is.
    async fn await_outcome(&mut self, entry: Entry, replayed: bool) {
        let Options { write_deadline, journal_budget, .. } = self.shared.options;
        let latest = match timeout_at(self.deadline - journal_budget, self.shared.journal.outcome_of(&entry.id)).await {
            Ok(entry) => Ok(entry),
            // Before "accepted" is said, the entry must have its place in the order of its lanes.
            Err(_) => {
                let waited = write_deadline.saturating_sub(self.deadline.saturating_duration_since(Instant::now()));
                let belief = self.shared.watch.belief_after(waited);
                self.shared.journal.promise(&self.shared.instance.to_string(), &entry.id, belief).await
            }
        };
        match latest {
            // Stand-in would decline it: nothing is promised while the core decides.
            Ok(latest) if !is_promised(latest.state, latest.ordered) => {
                self.tell(Err(answer::decision_pending()));
            }
            Ok(latest) => self.tell(Ok((latest, replayed))),
            // Its place was durable before.
            Err(_) if entry.ordered => self.tell(Ok((entry, replayed))),
            Err(err) => {
                tracing::error!(entry = %entry.id, error = %err, "an entry could not be marked as answered");
                self.tell(Err(answer::acceptance_unknown(&err)));
            }
        }
    }

    fn tell(&mut self, answer: Result<Submitted, Problem>) {
        if let Some(told) = self.told.take() {
            // A client that went away asks again with its key.
            let _ = told.send(answer);
        }
    }
}

fn no_such_account() -> Problem {
    Problem::new(404, "account-not-found", "There is no such account")
        .error("/from_account", "not-found", "not an account you may debit")
        .safe_to_use_new_key(true)
}
