//! Takes writes, and ends what was lost on its way.

use std::sync::Arc;
use std::time::Duration;

use connectors::CoreConnector;
use edge::Problem;
use failpoints::{Flaw, flawed};
use schemas::entry::Evidence;
use standin::journal::{
    Admissions, Change, EntryId, GatewayJournal, Instance, Journal, JournalError, OpenAttempt, OperatorsJournal, Write,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::answer;
use crate::four_eyes::FourEyes;
use crate::in_flight::{Carried, Carrier};
use crate::options::Options;
use crate::silence::Silences;
use crate::submission::{Shared, Submission, Submitted};
use crate::watch::Watch;

#[cfg(test)]
mod tests;

/// Longest wait beyond the deadline for a journal that is merely slow. After it a channel reads that the acceptance is
/// unknown.
const JOURNAL_GRACE: Duration = Duration::from_secs(3);
/// An attempt of ours that no task holds, and that began so long ago, was never sent.
const ORPHAN_AFTER_MS: i64 = 5_000;

/// Takes writes. Cloning is cheap.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    operators: OperatorsJournal,
    silences: Arc<Silences>,
}

impl Gateway {
    /// A gateway of this instance.
    pub fn new(
        journal: &Journal,
        admissions: Admissions,
        instance: Instance,
        core: Arc<dyn CoreConnector>,
        watch: Watch,
        options: Options,
    ) -> Self {
        let in_flight = Arc::default();
        let operators = journal.operators();
        let journal = journal.gateway();
        let shared = Arc::new(Shared { journal, admissions, instance, core, watch, options, in_flight });
        Self { shared, operators, silences: Arc::default() }
    }

    pub(crate) fn journal(&self) -> &GatewayJournal {
        &self.shared.journal
    }

    pub(crate) fn operators(&self) -> &OperatorsJournal {
        &self.operators
    }

    pub(crate) fn instance(&self) -> &Instance {
        &self.shared.instance
    }

    pub(crate) fn core(&self) -> &dyn CoreConnector {
        &*self.shared.core
    }

    pub(crate) fn four_eyes(&self) -> &FourEyes {
        &self.shared.options.four_eyes
    }

    pub(crate) fn silences(&self) -> &Silences {
        &self.silences
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    /// Takes one write. The work is a task of its own: a client that goes away leaves it whole.
    pub async fn submit(&self, write: Write) -> Result<Submitted, Problem> {
        let deadline = Instant::now() + self.shared.options.write_deadline;
        let (told, answer) = oneshot::channel();
        let carrier = Carrier::new(&self.shared.in_flight, &write.id);
        let submission = Submission { shared: self.shared.clone(), carrier, deadline, told: Some(told) };
        edge::request::spawn(submission.run(write));
        match timeout_at(deadline + JOURNAL_GRACE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(lost)) => Err(answer::acceptance_unknown(lost)),
            Err(late) => Err(answer::acceptance_unknown(late)),
        }
    }

    /// Ends attempts that no task carries. Those of this process were never sent and go back to the queue: the COMMIT of
    /// their admission went unanswered and landed after all. A dead holder of our identity may leave such attempts, too.
    pub async fn end_what_nobody_carries(&self) -> Result<(), JournalError> {
        let shared = &self.shared;
        shared.journal.end_predecessors(&shared.instance).await?;
        let open = shared.journal.own_open_attempts(&shared.instance).await?;
        let mut failed = None;
        for OpenAttempt { id, n, token, age_ms } in open {
            let ended = match shared.in_flight.carried(&id) {
                Some(Carried::AtWork) if !flawed(Flaw::WorkersAreOrphans) => continue,
                Some(Carried::Lost) => {
                    tracing::error!(entry = %id, "the task that sent this entry was lost; its outcome is unknown");
                    self.end_own(&id, n, Evidence::NoAnswer).await
                }
                None | Some(Carried::AtWork)
                    if token.is_none() && age_ms > ORPHAN_AFTER_MS && !flawed(Flaw::OrphansForgotten) =>
                {
                    tracing::warn!(entry = %id, "an attempt that was never sent goes back to the queue");
                    self.end_own(&id, n, Evidence::NotSent).await
                }
                None | Some(Carried::AtWork) => continue,
            };
            match ended {
                Ok(()) => shared.in_flight.forget(&id),
                // One that cannot be ended now keeps no other one back.
                Err(err) => failed = Some(err),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Ends an attempt of ours that no task carries. What can never be recorded merely ends: the replayer finds its entry abandoned,
    /// or a person looks at a row that cannot be read.
    async fn end_own(&self, id: &EntryId, n: i64, evidence: Evidence) -> Result<(), JournalError> {
        let shared = &self.shared;
        let change = Change::new(id.clone(), evidence).ending(n).believing(shared.watch.view().belief());
        match shared.journal.record(&shared.instance.to_string(), vec![change]).await {
            Ok(_) => Ok(()),
            Err(err) if err.is_permanent() || err.is_refused() => {
                tracing::error!(entry = %id, error = %err, "what came of an attempt cannot be recorded; it merely ends");
                shared.journal.end_own_attempt(id, n, evidence.as_str()).await
            }
            Err(err) => Err(err),
        }
    }
}
