//! Group commit of outcomes, without a timer: what is learned while others are recorded goes into the next transaction.
//!
//! A caller that finds too few transactions under way starts a task that leads the next one. A transaction that fails decides about no
//! outcome: each of them is then recorded alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failpoints::{RECORD_BEFORE_COMMIT, reached};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::claim::Trace;
use super::transitions::{Outcome, Recorded, settle_in};
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::shared::Shared;

/// Most outcomes of one transaction: beyond this its locks would be held for too long.
pub(super) const TOGETHER_MAX: usize = 64;
/// Transactions under way while all goes well: one fills its statements while the other's commit reaches the disk.
const LEADERS: usize = 2;
/// Transactions under way while others wait for a lock.
const LEADERS_MAX: usize = 8;
/// A transaction that takes longer waits for a lock, most likely.
const STUCK_AFTER: Duration = Duration::from_millis(50);
/// A group is tried whole this often before its outcomes are recorded one by one.
const TRIES_TOGETHER: u32 = 2;

type Answer = Result<Recorded, JournalError>;

struct Waiting {
    outcome: Outcome,
    answer: oneshot::Sender<Answer>,
}

/// The outcomes that wait for a transaction; shared by all handles of a journal.
#[derive(Default)]
pub(super) struct Outcomes(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// When each transaction under way began, by the number of its leader.
    leaders: Vec<(u64, Instant)>,
    next_leader: u64,
}

impl State {
    /// Is another transaction to begin?
    fn lacks_leader(&self, now: Instant) -> bool {
        let led = self.leaders.len();
        let stuck = || self.leaders.iter().all(|(_, since)| now.duration_since(*since) > STUCK_AFTER);
        !self.waiting.is_empty() && (led < LEADERS || (led < LEADERS_MAX && stuck()))
    }

    /// The next group: all of one actor, because the log names one.
    fn take(&mut self) -> Vec<Waiting> {
        let Some(first) = self.waiting.front() else { return Vec::new() };
        let actor = first.outcome.actor.clone();
        let alike = self.waiting.iter().take(TOGETHER_MAX).take_while(|waiting| waiting.outcome.actor == actor).count();
        self.waiting.drain(..alike).collect()
    }
}

impl Outcomes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the leaders, given back at the latest when it is dropped.
struct Leader {
    outcomes: Arc<Outcomes>,
    number: u64,
}

impl Leader {
    /// The next group. `None`: nothing waits, and the place is given back under the same lock, so that what comes next finds
    /// its leader.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut state = self.outcomes.state();
        let group = state.take();
        state.leaders.retain(|(number, _)| *number != self.number);
        if group.is_empty() {
            return None;
        }
        state.leaders.push((self.number, Instant::now()));
        Some(group)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.outcomes.state().leaders.retain(|(number, _)| *number != self.number);
    }
}

impl Shared {
    /// Records an outcome, together with others that wait. It comes to its end when the caller is dropped, too.
    pub(super) async fn settle(&self, outcome: Outcome) -> Answer {
        let (answer, answered) = oneshot::channel();
        let leader = {
            let (mut state, now) = (self.outcomes.state(), Instant::now());
            state.waiting.push_back(Waiting { outcome, answer });
            state.lacks_leader(now).then(|| {
                state.next_leader += 1;
                let number = state.next_leader;
                state.leaders.push((number, now));
                Leader { outcomes: self.outcomes.clone(), number }
            })
        };
        if let Some(leader) = leader {
            tokio::spawn(self.clone().lead(leader));
        }
        answered.await.unwrap_or(Err(JournalError::Panicked))
    }

    async fn lead(self, leader: Leader) {
        while let Some(group) = leader.next() {
            self.settle_group(group).await;
        }
    }

    async fn settle_group(&self, group: Vec<Waiting>) {
        let (outcomes, answers): (Vec<Outcome>, Vec<_>) = group.into_iter().map(|w| (w.outcome, w.answer)).unzip();
        let trace = Trace::default();
        if let Some(recorded) = self.settle_together(outcomes.clone(), &trace).await {
            for (answer, recorded) in answers.into_iter().zip(recorded) {
                self.tell(&recorded);
                // Who asked may be gone. It is recorded all the same.
                let _ = answer.send(Ok(recorded));
            }
            return;
        }
        let mut lost = trace.take();
        for (outcome, answer) in outcomes.into_iter().zip(answers) {
            let lost = if outcome.follow.is_some() { std::mem::take(&mut lost) } else { Vec::new() };
            let shared = self.clone();
            tokio::spawn(async move {
                let recorded = shared.settle_alone(outcome, lost).await;
                recorded.iter().for_each(|recorded| shared.tell(recorded));
                let _ = answer.send(recorded);
            });
        }
    }

    /// Wakes who waits for one of these entries.
    fn tell(&self, recorded: &Recorded) {
        recorded.moved.iter().for_each(|moved| self.awaited.tell(&moved.entry));
    }

    /// `None`: it failed, or its outcome is unknown.
    async fn settle_together(&self, outcomes: Vec<Outcome>, trace: &Trace) -> Option<Vec<Recorded>> {
        let outcomes = Arc::new(outcomes);
        let _permit = self.recording.acquire().await.ok()?;
        for _ in 0..TRIES_TOGETHER {
            let (facts, outcomes, trace) = (self.facts.clone(), outcomes.clone(), trace.clone());
            let db = self.db.clone();
            let transaction = tokio::spawn(async move {
                db.transaction(move |tx| {
                    Box::pin(async move {
                        let recorded = settle_in(tx, &*facts, &outcomes, &trace).await?;
                        reached(RECORD_BEFORE_COMMIT);
                        Ok(recorded)
                    })
                })
                .await
            });
            let err = match transaction.await.unwrap_or(Err(JournalError::Panicked)) {
                Ok(recorded) => return Some(recorded),
                Err(err) => err,
            };
            tracing::debug!(error = %err, "outcomes that were to be recorded together");
            // After a lock time-out, those of other lanes must not wait once more.
            let locked = matches!(&err, JournalError::Sql(err) if err.is_lock_timeout());
            if locked || !err.is_retryable() {
                break;
            }
        }
        None
    }

    /// Records one outcome and claims nothing: what is next behind it may be what cannot be read or locked.
    async fn settle_alone(&self, outcome: Outcome, lost: Vec<EntryId>) -> Answer {
        let _alone = self.recording_alone.acquire().await.map_err(|_| JournalError::Overloaded)?;
        let passed_over = outcome.follow.map(|follow| follow.offered).unwrap_or_default();
        let outcome = Arc::new([Outcome { follow: None, ..outcome }]);
        let recorded = self.run_outcome({
            let facts = self.facts.clone();
            move |tx| {
                let (facts, outcome) = (facts.clone(), outcome.clone());
                Box::pin(async move {
                    let recorded = settle_in(tx, &*facts, &*outcome, &Trace::default()).await?;
                    reached(RECORD_BEFORE_COMMIT);
                    recorded.into_iter().next().ok_or(JournalError::Corrupt("an outcome without an answer"))
                })
            }
        });
        Ok(Recorded { lost, passed_over, ..recorded.await? })
    }
}
