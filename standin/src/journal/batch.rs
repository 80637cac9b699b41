//! Group commit without a timer: the writes that arrive while one admission commits go into the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failpoints::{ADMIT_AFTER_COMMIT, reached};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::admit::Admitted;
use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::handles::Journal;
use crate::journal::shared::Shared;
use crate::write::Write;

/// Most writes of one admission transaction: beyond this its locks would be held for too long.
const BATCH_MAX: usize = 64;
/// Writes waiting for the next transaction; more are told that the journal is overloaded.
const WAITING_MAX: usize = 4_096;
/// A batch is tried whole this often, then write by write, so that one bad entry never fails its neighbours.
const TOGETHER_MAX: u32 = 2;
/// How often one write alone is tried.
const ALONE_MAX: u32 = 8;
/// Longest time for all writes of a batch that are tried one by one. It is longer than a request waits; others wait behind
/// them.
const ALONE_TIME_MAX: Duration = Duration::from_secs(4);

type Answer = Result<Admitted, JournalError>;

/// A write and who waits for it.
struct Waiting {
    write: Write,
    /// After this nobody waits for the write: its client is told, and asks again with the same key.
    deadline: Option<Instant>,
    /// Set once, by the task that takes it or by the client that gives up: only one of them may have it.
    taken: Arc<AtomicBool>,
    answer: oneshot::Sender<Answer>,
}

/// Handle for submitting writes; cloning is cheap.
#[derive(Clone)]
pub struct Admissions {
    queue: mpsc::Sender<Waiting>,
}

/// The one task that admits. Ends when every handle is gone and the last write is answered.
pub struct AdmissionsTask {
    journal: Shared,
    instance: Instance,
    queue: mpsc::Receiver<Waiting>,
}

impl Admissions {
    /// A handle and the task to be spawned.
    pub fn new(journal: Journal, instance: Instance) -> (Self, AdmissionsTask) {
        let (sender, queue) = mpsc::channel(WAITING_MAX);
        (Self { queue: sender }, AdmissionsTask { journal: journal.0, instance, queue })
    }

    /// Admits one write, however long it waits. Dropping the future does not undo it.
    pub async fn submit(&self, write: Write) -> Answer {
        self.enqueue(write, None)?.1.await.unwrap_or_else(lost)
    }

    /// Admits one write unless it waits beyond `deadline`: then nothing of it is kept, and it costs nothing.
    ///
    /// An overload otherwise feeds itself: the writes admitted are those whose clients have left and asked again.
    pub async fn submit_by(&self, write: Write, deadline: Instant) -> Answer {
        let (taken, mut answered) = self.enqueue(write, Some(deadline))?;
        if let Ok(answer) = timeout_at(deadline, &mut answered).await {
            return answer.unwrap_or_else(lost);
        }
        match taken.swap(true, Ordering::AcqRel) {
            false => Err(JournalError::TooLate),
            true => answered.await.unwrap_or_else(lost),
        }
    }

    fn enqueue(
        &self,
        write: Write,
        deadline: Option<Instant>,
    ) -> Result<(Arc<AtomicBool>, oneshot::Receiver<Answer>), JournalError> {
        let taken = Arc::new(AtomicBool::new(false));
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { write, deadline, taken: taken.clone(), answer };
        self.queue.try_send(waiting).map_err(|_| JournalError::Overloaded)?;
        Ok((taken, answered))
    }
}

/// The task that admits was lost with the answer: it may have committed.
fn lost(_: oneshot::error::RecvError) -> Answer {
    Err(sql::Error::CommitUnknown("the admission ended without an answer".into()).into())
}

/// Is there still time, as far as there is a limit?
fn in_time(deadline: Option<Instant>) -> bool {
    deadline.is_none_or(|deadline| Instant::now() < deadline)
}

impl Waiting {
    /// Takes it for admission; `None`: its client gave up or its time is up, and it is told so.
    fn take(self) -> Option<(Timed, oneshot::Sender<Answer>)> {
        let Waiting { write, deadline, taken, answer } = self;
        if taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        if !in_time(deadline) {
            let _ = answer.send(Err(JournalError::TooLate));
            return None;
        }
        Some((Timed { write, deadline }, answer))
    }
}

/// A write under admission.
#[derive(Clone)]
struct Timed {
    write: Write,
    deadline: Option<Instant>,
}

impl AdmissionsTask {
    /// Admits until the last handle is dropped.
    pub async fn run(mut self) {
        self.work().await;
    }

    /// As [`Self::run`]. It may be called again after a panic; the outcome of the writes in that batch is then unknown.
    pub async fn work(&mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let (writes, answers): (Vec<Timed>, Vec<_>) = batch.drain(..).filter_map(Waiting::take).unzip();
            if writes.is_empty() {
                continue;
            }
            let outcome = self.admit(writes).await;
            reached(ADMIT_AFTER_COMMIT);
            for (answer, admitted) in answers.into_iter().zip(outcome) {
                // A client that went away meanwhile asks again with the same key.
                let _ = answer.send(admitted);
            }
        }
    }

    async fn admit(&self, writes: Vec<Timed>) -> Vec<Answer> {
        let mut doubt = Doubt::default();
        for _ in 0..TOGETHER_MAX {
            let together = writes.iter().map(|timed| timed.write.clone()).collect();
            match self.admit_caught(together, 0).await {
                Ok(admitted) => return admitted.into_iter().map(Ok).collect(),
                Err(err) => {
                    tracing::debug!(error = %err, writes = writes.len(), "admission of a batch failed");
                    doubt.note(&err);
                    if is_lock_timeout(&err) || matches!(err, JournalError::Panicked) {
                        break;
                    }
                }
            }
        }
        self.admit_one_by_one(writes, doubt).await
    }

    /// One admission transaction, on a task of its own: a panic fails this transaction and nothing else.
    async fn admit_caught(&self, writes: Vec<Write>, met: u32) -> Result<Vec<Admitted>, JournalError> {
        let (journal, instance) = (self.journal.clone(), self.instance.clone());
        let task = tokio::spawn(async move { journal.admit_together(&instance, writes, met).await });
        task.await.unwrap_or_else(|ended| {
            tracing::error!(%ended, "an admission panicked");
            Err(JournalError::Panicked)
        })
    }

    /// Tries each write alone, so that one bad entry never fails its neighbours. If the store is away, all fail at once,
    /// without a queue of time-outs. After a lock time-out, writes of other accounts go first: only the writes that need
    /// that lock may run out of time.
    async fn admit_one_by_one(&self, writes: Vec<Timed>, mut doubt: Doubt) -> Vec<Answer> {
        let deadline = Instant::now() + ALONE_TIME_MAX;
        let mut answers: Vec<Answer> = writes.iter().map(|_| Err(JournalError::Overloaded)).collect();
        let mut pending: Vec<(usize, Timed)> = writes.into_iter().enumerate().collect();
        let mut refused: HashMap<String, u32> = HashMap::new();
        while let Some(next) = least_refused(&pending, &refused) {
            let (place, Timed { write, deadline: own }) = pending.remove(next);
            if !in_time(own) && !doubt.unknown {
                answers[place] = Err(JournalError::TooLate);
                continue;
            }
            if doubt.away.is_none() && Instant::now() >= deadline {
                doubt.away = Some("the journal takes too long".into());
            }
            let accounts = write.command.legs().map(|(_, account)| account.to_owned());
            let answer = match &doubt.away {
                Some(reason) => Err(sql::Error::Unavailable(reason.clone()).into()),
                None => self.admit_alone(write, &mut doubt, deadline).await,
            };
            for account in accounts {
                match &answer {
                    Ok(_) => drop(refused.remove(&account)),
                    Err(err) if is_lock_timeout(err) => *refused.entry(account).or_default() += 1,
                    Err(_) => {}
                }
            }
            answers[place] = answer.map_err(|err| doubt.verdict(err));
        }
        answers
    }

    /// The same transaction with the same id until its outcome is known: the unique index or its own row tells.
    async fn admit_alone(&self, write: Write, doubt: &mut Doubt, deadline: Instant) -> Answer {
        let (mut tries, mut met) = (1, 0);
        loop {
            match self.admit_caught(vec![write.clone()], met).await {
                Ok(mut admitted) => {
                    return admitted.pop().ok_or(JournalError::Corrupt("an admission without an answer"));
                }
                Err(err) => {
                    doubt.note(&err);
                    let again = (err.is_retryable() && !is_lock_timeout(&err)) || err.is_commit_unknown();
                    if !again || tries >= ALONE_MAX || Instant::now() >= deadline {
                        return Err(err);
                    }
                    tries += 1;
                    // Another entry has the key or the reference. The next run finds the entry of the key, or takes another
                    // reference.
                    met += u32::from(matches!(err, JournalError::Sql(sql::Error::Duplicate)));
                }
            }
        }
    }
}

/// The first of those whose accounts were refused a lock least often.
fn least_refused(pending: &[(usize, Timed)], refused: &HashMap<String, u32>) -> Option<usize> {
    let refusals = |write: &Write| -> u32 {
        write.command.legs().iter().map(|(_, account)| refused.get(*account).copied().unwrap_or(0)).sum()
    };
    (0..pending.len()).min_by_key(|n| refusals(&pending[*n].1.write))
}

fn is_lock_timeout(err: &JournalError) -> bool {
    matches!(err, JournalError::Sql(err) if err.is_lock_timeout())
}

/// What failed runs of a batch leave in doubt about all its writes.
#[derive(Default)]
struct Doubt {
    /// A COMMIT went unanswered, or a run panicked: no later failure may be taken to mean that nothing was kept.
    unknown: bool,
    /// The store does not serve at all.
    away: Option<String>,
}

impl Doubt {
    /// Takes the newest failure into account.
    fn note(&mut self, err: &JournalError) {
        self.unknown |= err.is_commit_unknown() || matches!(err, JournalError::Panicked);
        self.away = match err {
            JournalError::Sql(sql::Error::Unavailable(reason)) => Some(reason.clone()),
            _ => None,
        };
    }

    fn verdict(&self, err: JournalError) -> JournalError {
        if self.unknown { sql::Error::CommitUnknown(err.to_string()).into() } else { err }
    }
}
