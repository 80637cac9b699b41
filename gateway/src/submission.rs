//! One write through journal and core: admit, send, record, answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connectors::CoreConnector;
use edge::Problem;
use failpoints::{RECORD_AFTER_COMMIT, SEND_AFTER, SEND_BEFORE, reached};
use schemas::core::{Outcome, Unsent};
use schemas::entry::{EntryState, Evidence};
use standin::admission::CoreBelief;
use standin::journal::{Admissions, Admitted, Change, Entry, EntryId, Instance, Journal, JournalError, Write};
use standin::lane::{LanePlace, lane_place};
use standin::settle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::answer;
use crate::calendar::Calendar;
use crate::four_eyes::FourEyes;
use crate::health::Signal;
use crate::metrics::CORE_ATTEMPT_SECONDS;
use crate::monitor::Watch;
use crate::silence::Silences;

#[cfg(test)]
mod tests;

/// How long things may take, and whose day it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// A channel has its answer by then.
    pub write_deadline: Duration,
    /// Part of it kept for the journal; the core gets the rest.
    pub journal_budget: Duration,
    /// The bank's days.
    pub calendar: Calendar,
    /// Which of people's orders want a second person.
    pub four_eyes: FourEyes,
}

impl Default for Options {
    /// An answer within 2 s, of which 500 ms are the journal's; days of UTC.
    fn default() -> Self {
        let (write_deadline, journal_budget) = (Duration::from_secs(2), Duration::from_millis(500));
        Self { write_deadline, journal_budget, calendar: Calendar::default(), four_eyes: FourEyes::default() }
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
    in_flight: Mutex<HashMap<EntryId, Carried>>,
    silences: Silences,
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
        let in_flight = Mutex::new(HashMap::new());
        Self {
            shared: Arc::new(Shared {
                journal,
                admissions,
                instance,
                core,
                watch,
                options,
                in_flight,
                silences: Silences::default(),
            }),
        }
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

    pub(crate) fn four_eyes(&self) -> &FourEyes {
        &self.shared.options.four_eyes
    }

    pub(crate) fn silences(&self) -> &Silences {
        &self.shared.silences
    }

    /// Ends what instances left open that people declared gone, and confirms what was keyed by hand: seldom there, so seldom
    /// looked for.
    pub(crate) async fn follow_up_orders(&self) -> Result<(), standin::journal::JournalError> {
        self.shared.journal.end_attempts_of_gone(&self.shared.instance).await?;
        self.shared.journal.confirm_linked().await.map(drop)
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    /// Takes one write. The work is a task of its own: a client that goes away leaves it whole.
    pub async fn submit(&self, write: Write) -> Result<Submitted, Problem> {
        let deadline = Instant::now() + self.shared.options.write_deadline;
        let (told, answer) = oneshot::channel();
        let hold = Hold::new(&self.shared, &write.id);
        let submission = Submission { shared: self.shared.clone(), hold, deadline, told: Some(told) };
        edge::request::spawn(submission.run(write));
        match timeout_at(deadline + JOURNAL_GRACE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(lost)) => Err(answer::acceptance_unknown(lost)),
            Err(late) => Err(answer::acceptance_unknown(late)),
        }
    }

    /// Ends attempts that no task carries. Those of this process were never sent and go back to the queue: they come from an
    /// admission whose COMMIT went unanswered and landed after all. So may the last COMMIT of a dead holder of our identity.
    pub async fn end_what_nobody_carries(&self) -> Result<(), JournalError> {
        let shared = &self.shared;
        shared.journal.end_predecessors(&shared.instance).await?;
        let open = shared.journal.own_open_attempts(&shared.instance).await?;
        for lost in open.iter().filter(|attempt| shared.carried(&attempt.id) == Some(Carried::Lost)) {
            shared.end_lost(&lost.id, lost.n).await?;
        }
        let orphans: Vec<_> = open
            .into_iter()
            .filter(|attempt| attempt.token.is_none() && attempt.age_ms > ORPHAN_AFTER_MS)
            .filter(|attempt| shared.carried(&attempt.id).is_none())
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

/// Who is at work on an entry of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// A task.
    AtWork,
    /// Nobody any more. Its attempt may have been sent, and what came of it could not be recorded.
    Lost,
}

impl Shared {
    fn carried(&self, id: &EntryId) -> Option<Carried> {
        self.in_flight().get(id).copied()
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<EntryId, Carried>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends an attempt whose task was lost: its outcome is unknown. An entry that cannot be read is left to the replayer, which
    /// finds it abandoned.
    async fn end_lost(&self, id: &EntryId, n: i64) -> Result<(), JournalError> {
        tracing::error!(entry = %id, "the task that sent this entry was lost; its outcome is unknown");
        let unknown = Change::new(id.clone(), Evidence::NoAnswer).ending(n);
        if let Err(err) = self.journal.record(&self.instance.to_string(), None, vec![unknown]).await {
            tracing::error!(entry = %id, error = %err, "the outcome of a lost task cannot be recorded; its attempt merely ends");
            self.journal.end_own_attempt(id, n, Evidence::NoAnswer.as_str()).await?;
        }
        self.in_flight().remove(id);
        Ok(())
    }
}

/// Says that a task is at work on an entry, for as long as it lives. A task that panics loses it.
struct Hold {
    shared: Arc<Shared>,
    id: EntryId,
}

impl Hold {
    fn new(shared: &Arc<Shared>, id: &EntryId) -> Self {
        shared.in_flight().insert(id.clone(), Carried::AtWork);
        Self { shared: shared.clone(), id: id.clone() }
    }

    /// This task gives up what it sent.
    fn lose(&self) {
        self.shared.in_flight().insert(self.id.clone(), Carried::Lost);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lose();
        }
        let mut in_flight = self.shared.in_flight();
        if in_flight.get(&self.id) == Some(&Carried::AtWork) {
            in_flight.remove(&self.id);
        }
    }
}

/// One write on its way.
struct Submission {
    shared: Arc<Shared>,
    hold: Hold,
    deadline: Instant,
    told: Option<oneshot::Sender<Result<Submitted, Problem>>>,
}

impl Submission {
    async fn run(mut self, write: Write) {
        let belief = write.belief;
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

    /// Records until it is recorded, or can never be. The client is told at its deadline at the latest.
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
                Err(err) if err.is_permanent() => {
                    tracing::error!(entry = %entry.id, error = %err, "an outcome can never be recorded; it is unknown from now on");
                    self.hold.lose();
                    return self.tell(Err(answer::acceptance_unknown(&err)));
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
            // Stand-in would decline it: nothing is promised while the core decides.
            Ok(latest) if lane_place(latest.state, latest.ordered) == LanePlace::Direct => {
                self.tell(Err(answer::acceptance_unknown("the core has not answered, and stand-in would decline")));
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

fn has_outcome(entry: &Entry) -> bool {
    entry.state.is_terminal() || entry.state == EntryState::Posted
}

/// Did the core say that it posted? A posting cannot be overtaken any more, so 201 or 202 is safe. A refusal that is not recorded
/// may be sent again and post later: it is answered `acceptance-unknown`.
fn is_posted(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.evidence == Evidence::CorePosted)
}

fn no_such_account() -> Problem {
    Problem::new(404, "account-not-found", "There is no such account")
        .error("/from_account", "not-found", "not an account you may debit")
        .safe_to_use_new_key(true)
}
