//! Group commit by nature: whatever writes arrive while one admission commits go into the next. No timer.

use std::collections::VecDeque;

use failpoints::{ADMIT_AFTER_COMMIT, reached};
use tokio::sync::{mpsc, oneshot};

use super::admit::{Admitted, Write};
use super::{Instance, Journal, JournalError};

/// Most writes of one admission transaction: beyond this its locks would be held for too long.
const BATCH_MAX: usize = 64;
/// Writes waiting for the next transaction; more are told that the journal is overloaded.
const WAITING_MAX: usize = 4_096;
/// Together a batch is tried this often; then its writes one by one, so that one bad entry never fails its neighbours.
const TOGETHER_MAX: u32 = 2;
/// How often one write alone is tried.
const ALONE_MAX: u32 = 8;

type Answer = Result<Admitted, JournalError>;
type Waiting = (Write, oneshot::Sender<Answer>);

/// Handle for submitting writes; cloning is cheap.
#[derive(Clone)]
pub struct Admissions {
    queue: mpsc::Sender<Waiting>,
}

/// The one task that admits. Ends when every handle is gone and the last write is answered.
pub struct AdmissionsTask {
    journal: Journal,
    instance: Instance,
    queue: mpsc::Receiver<Waiting>,
}

impl Admissions {
    /// A handle and the task to be spawned.
    pub fn new(journal: Journal, instance: Instance) -> (Self, AdmissionsTask) {
        let (sender, queue) = mpsc::channel(WAITING_MAX);
        (Self { queue: sender }, AdmissionsTask { journal, instance, queue })
    }

    /// Admits one write. Dropping the future does not undo it.
    pub async fn submit(&self, write: Write) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((write, answer)).map_err(|_| JournalError::Overloaded)?;
        answered.await.unwrap_or(Err(JournalError::Overloaded))
    }
}

impl AdmissionsTask {
    /// Admits until the last handle is dropped.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let (writes, answers): (Vec<Write>, Vec<oneshot::Sender<Answer>>) = batch.drain(..).unzip();
            let outcome = self.admit(writes).await;
            reached(ADMIT_AFTER_COMMIT);
            for (answer, admitted) in answers.into_iter().zip(outcome) {
                // Whoever went away meanwhile will ask again with the same key.
                let _ = answer.send(admitted);
            }
        }
    }

    async fn admit(&self, writes: Vec<Write>) -> VecDeque<Answer> {
        let mut unknown = false;
        for _ in 0..TOGETHER_MAX {
            match self.journal.admit_together(&self.instance, writes.clone()).await {
                Ok(admitted) => return admitted.into_iter().map(Ok).collect(),
                Err(err) if err.is_retryable() || err.is_commit_unknown() => {
                    unknown |= err.is_commit_unknown();
                    tracing::debug!(error = %err, writes = writes.len(), "admission runs again");
                }
                Err(err) => {
                    tracing::warn!(error = %err, writes = writes.len(), "admission of a batch failed; one by one now");
                    break;
                }
            }
        }
        let mut answers = VecDeque::with_capacity(writes.len());
        for write in writes {
            answers.push_back(self.admit_alone(write, unknown).await);
        }
        answers
    }

    /// The same transaction with the same id until its outcome is known: the unique index or its own row tells.
    /// Once a COMMIT went unanswered, no later failure may be taken to mean that nothing was kept.
    async fn admit_alone(&self, write: Write, mut unknown: bool) -> Answer {
        let mut tries = 1;
        loop {
            match self.journal.admit_together(&self.instance, vec![write.clone()]).await {
                Ok(mut admitted) => {
                    return admitted.pop().ok_or(JournalError::Corrupt("an admission without an answer"));
                }
                Err(err) if (err.is_retryable() || err.is_commit_unknown()) && tries < ALONE_MAX => {
                    unknown |= err.is_commit_unknown();
                    tries += 1;
                }
                Err(err) if unknown => return Err(sql::Error::CommitUnknown(err.to_string()).into()),
                Err(err) => return Err(err),
            }
        }
    }
}
