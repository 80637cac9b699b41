//! One write through journal and core: admit, send, record, answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::CoreConnector;
use edge::Problem;
use failpoints::{RECORD_AFTER_COMMIT, SEND_AFTER, SEND_BEFORE, reached};
use schemas::core::{Outcome, Unsent};
use schemas::entry::{EntryState, Evidence};
use standin::admission::CoreBelief;
use standin::journal::{Admissions, Admitted, Change, Entry, EntryId, Instance, Journal, Write};
use standin::lane::{LanePlace, lane_place};
use standin::settle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer;
use crate::calendar::Calendar;
use crate::health::Signal;
use crate::metrics::CORE_ATTEMPT_SECONDS;
use crate::monitor::Watch;

/// How long things may take, and whose day it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// A channel has its answer by then.
    pub write_deadline: Duration,
    /// Part of it kept for the journal; the core gets the rest.
    pub journal_budget: Duration,
    /// The bank's days.
    pub calendar: Calendar,
}

impl Default for Options {
    /// An answer within 2 s, of which 500 ms are the journal's; days of UTC.
    fn default() -> Self {
        let (write_deadline, journal_budget) = (Duration::from_secs(2), Duration::from_millis(500));
        Self { write_deadline, journal_budget, calendar: Calendar::default() }
    }
}

/// A journal that is merely slow gets this long beyond the deadline before a channel reads that the acceptance is unknown.
const JOURNAL_GRACE: Duration = Duration::from_secs(3);
/// How often an outcome is looked for that another task or process will record.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Pause between tries to record an outcome while the journal is away, growing up to the second.
const RECORD_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// An attempt of ours that no task holds for this long was never sent.
const ORPHAN_AFTER_MS: i64 = 5_000;

/// Takes writes. Cloning is cheap.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    journal: Journal,
    admissions: Admissions,
    instance: Instance,
    core: Arc<dyn CoreConnector>,
    watch: Watch,
    options: Options,
    in_flight: Mutex<HashSet<EntryId>>,
}

/// An entry and whether its key had been used before.
pub type Submitted = (Entry, bool);

impl Gateway {
    /// A gateway of this instance.
    pub fn new(
        journal: Journal,
        admissions: Admissions,
        instance: Instance,
        core: Arc<dyn CoreConnector>,
        watch: Watch,
        options: Options,
    ) -> Self {
        let in_flight = Mutex::new(HashSet::new());
        Self { shared: Arc::new(Shared { journal, admissions, instance, core, watch, options, in_flight }) }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    pub(crate) fn instance(&self) -> &Instance {
        &self.shared.instance
    }

    pub(crate) fn core(&self) -> &dyn CoreConnector {
        &*self.shared.core
    }

    pub(crate) fn calendar(&self) -> &Calendar {
        &self.shared.options.calendar
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    /// Takes one write. The work is a task of its own: a client that goes away leaves it whole.
    pub async fn submit(&self, write: Write) -> Result<Submitted, Problem> {
        let deadline = Instant::now() + self.shared.options.write_deadline;
        let (told, answer) = oneshot::channel();
        let submission = Submission { shared: self.shared.clone(), deadline, told: Some(told) };
        edge::request::spawn(submission.run(write));
        match timeout_at(deadline + JOURNAL_GRACE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Problem::internal("a submission ended without an answer")),
            Err(late) => Err(answer::acceptance_unknown(late)),
        }
    }

    /// Ends attempts that no task carries. Those of this process were never sent and go back to the queue: they come from an
    /// admission whose COMMIT went unanswered and landed after all. So may the last COMMIT of a dead holder of our identity.
    pub async fn end_what_nobody_carries(&self) -> Result<(), standin::journal::JournalError> {
        let shared = &self.shared;
        shared.journal.end_predecessors(&shared.instance).await?;
        let open = shared.journal.own_open_attempts(&shared.instance).await?;
        let orphans: Vec<_> = open
            .into_iter()
            .filter(|attempt| attempt.token.is_none() && attempt.age_ms > ORPHAN_AFTER_MS)
            .filter(|attempt| !shared.holds(&attempt.id))
            .collect();
        let changes: Vec<Change> =
            orphans.iter().map(|o| Change::new(o.id.clone(), Evidence::NotSent).ending(o.n)).collect();
        if !changes.is_empty() {
            tracing::warn!(entries = changes.len(), "attempts that were never sent go back to the queue");
            shared.journal.record(&shared.instance.to_string(), None, changes).await?;
        }
        Ok(())
    }
}

impl Shared {
    fn holds(&self, id: &EntryId) -> bool {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn hold(&self, id: EntryId) {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    fn let_go(&self, id: &EntryId) {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// One write on its way.
struct Submission {
    shared: Arc<Shared>,
    deadline: Instant,
    told: Option<oneshot::Sender<Result<Submitted, Problem>>>,
}

impl Submission {
    async fn run(mut self, write: Write) {
        let (id, belief) = (write.id.clone(), write.belief);
        self.shared.hold(id.clone());
        let admitted = self.shared.admissions.submit_by(write, self.deadline).await;
        match admitted {
            Ok(Admitted::Fresh(entry)) => self.carry_on(*entry, belief).await,
            Ok(Admitted::Known(entry)) => self.known(*entry).await,
            Ok(Admitted::KeyReused(first)) => self.tell(Err(answer::key_reused(&first))),
            Ok(Admitted::NoSuchAccount) => self.tell(Err(no_such_account())),
            Ok(Admitted::NotLoaded) => self.tell(Err(answer::not_loaded())),
            Ok(Admitted::CoreMustDecide) => self.tell(Err(answer::core_must_decide())),
            Err(err) => self.tell(Err(answer::journal_problem(&err))),
        }
        self.shared.let_go(&id);
    }

    async fn carry_on(&mut self, entry: Entry, belief: CoreBelief) {
        match entry.state {
            EntryState::Submitting => self.send(entry).await,
            // Behind others in its lane with the core there: its turn may come within the deadline.
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

    /// Records until it is recorded. The client is told at its deadline at the latest.
    ///
    /// "Processing" is a place in the order of the account, which only the journal can give: while it is away the answer is that
    /// the acceptance is unknown, unless the core has posted it.
    async fn record(&mut self, entry: Entry, changes: Vec<Change>) {
        let actor = self.shared.instance.to_string();
        let mut pause = RECORD_AGAIN.0;
        loop {
            match self.shared.journal.record(&actor, None, changes.clone()).await {
                Ok(moved) => {
                    reached(RECORD_AFTER_COMMIT);
                    let entry = moved.into_iter().next_back().map_or(entry, |moved| moved.entry);
                    return self.tell(Ok((entry, false)));
                }
                Err(err) => {
                    tracing::error!(entry = %entry.id, error = %err, "an outcome cannot be recorded yet; trying again");
                    if Instant::now() + pause >= self.deadline {
                        self.tell(match is_posted(&changes) {
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

    /// A key that is there already: an attempt under way gets until the deadline, then the client is promised an outcome.
    async fn known(&mut self, entry: Entry) {
        if lane_place(entry.state, entry.ordered) != LanePlace::Direct {
            return self.tell(Ok((entry, true)));
        }
        self.await_outcome(entry, true).await;
    }

    /// Waits for the entry to leave its state, up to the deadline; then answers with what it is.
    async fn await_outcome(&mut self, entry: Entry, replayed: bool) {
        let give_up = self.deadline - self.shared.options.journal_budget;
        let looked = timeout_at(give_up, async {
            loop {
                sleep(LOOK_EVERY).await;
                match self.shared.journal.get(&entry.id).await {
                    Ok(Some(now)) if has_outcome(&now) => return now,
                    Ok(_) => {}
                    Err(err) => tracing::debug!(error = %err, "looking for an outcome"),
                }
            }
        })
        .await;
        let latest = match looked {
            Ok(entry) => Ok(entry),
            // Before "accepted" is said, the entry must have its place in the order of its lanes.
            Err(_) => self.shared.journal.mark_answered(&self.shared.instance.to_string(), &entry.id).await,
        };
        match latest {
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

fn has_outcome(entry: &Entry) -> bool {
    entry.state.is_terminal() || entry.state == EntryState::Posted
}

/// Did the core say that it posted? Then nothing of it can be posted after a later write. A refusal that is not recorded can be:
/// a core that keeps none would be sent it again.
fn is_posted(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.evidence == Evidence::CorePosted)
}

fn no_such_account() -> Problem {
    Problem::new(404, "account-not-found", "There is no such account")
        .error("/from_account", "not-found", "not an account you may debit")
        .safe_to_use_new_key(true)
}
