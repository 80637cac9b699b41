//! Unknown outcomes: asks, resends, requeues or parks, as `standin::resolution` decides.

use std::sync::Arc;
use std::time::Duration;

use connectors::CoreConnector;
use schemas::core::{Enquiry, Outcome};
use schemas::entry::{EntryState, Evidence};
use standin::journal::{Change, Entry, EntryId, Fence, Instance, Journal, JournalError, Unresolved};
use standin::resolution::{Patience, Step, UnknownOutcome, refusal_settles, remembered_until, resolve};
use standin::settle::{self, UNRESOLVED};

use crate::clock::Observations;
use crate::metrics::RESOLUTION_STEPS_TOTAL;
use crate::sender::Sender;

/// Entries of one page, and of one round: one that waits for its time must not keep others from their turn.
const PAGE: usize = 256;
const ROUND_MAX: usize = 16_384;

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Done, or nothing to do yet.
    Fine,
    /// The core answered what nobody understands: it may be something else that answers in its place.
    CoreOdd,
    /// The core did not answer: no use in asking it about the others now.
    CoreSilent,
}

pub(crate) struct Resolver {
    journal: Journal,
    core: Arc<dyn CoreConnector>,
    instance: Instance,
    core_timeout: Duration,
    patience: Patience,
    abandoned_after_us: i64,
    seen: Observations,
    unrecorded: Vec<(EntryId, i64)>,
}

impl Resolver {
    pub(crate) fn new(
        journal: Journal,
        core: Arc<dyn CoreConnector>,
        instance: Instance,
        core_timeout: Duration,
        patience: Patience,
        abandoned_after: Duration,
    ) -> Self {
        let abandoned_after_us = i64::try_from(abandoned_after.as_micros()).unwrap_or(i64::MAX);
        let (seen, unrecorded) = (Observations::new(), Vec::new());
        Self { journal, core, instance, core_timeout, patience, abandoned_after_us, seen, unrecorded }
    }

    /// Attempts that were sent and whose outcome could not be recorded, since the last call.
    pub(crate) fn take_unrecorded(&mut self) -> Vec<(EntryId, i64)> {
        std::mem::take(&mut self.unrecorded)
    }

    /// One look at everything unresolved, up to the first silence of the core.
    pub(crate) async fn round(&mut self, fence: &Fence) -> Result<Progress, JournalError> {
        let wall_us = jiff::Timestamp::now().as_microsecond();
        let read_from_ms = self.seen.now_ms();
        let unresolved = self.unresolved(wall_us - self.abandoned_after_us).await?;
        self.seen.keep_only(&unresolved);
        let mut came_to = Progress::Fine;
        for entry in &unresolved {
            match self.step(fence, entry, read_from_ms).await? {
                Progress::Fine => {}
                Progress::CoreOdd => came_to = Progress::CoreOdd,
                Progress::CoreSilent => return Ok(Progress::CoreSilent),
            }
        }
        Ok(came_to)
    }

    async fn unresolved(&self, submitting_before_us: i64) -> Result<Vec<Unresolved>, JournalError> {
        let mut all: Vec<Unresolved> = Vec::new();
        loop {
            let after = all.last().map(|last| &last.entry.id);
            let page = self.journal.unresolved(submitting_before_us, after, PAGE as i64).await?;
            let whole = page.len() == PAGE;
            all.extend(page);
            if !whole || all.len() >= ROUND_MAX {
                return Ok(all);
            }
        }
    }

    async fn step(
        &mut self,
        fence: &Fence,
        unresolved: &Unresolved,
        read_from_ms: u64,
    ) -> Result<Progress, JournalError> {
        let entry = &unresolved.entry;
        if entry.state == EntryState::Submitting {
            // Its sender has been silent for longer than any sender takes. That proves nothing about what it sent.
            return self.record(fence, vec![Change::new(entry.id.clone(), Evidence::NoAnswer)]).await;
        }
        let outcome = self.seen.observe(unresolved, read_from_ms);
        let now_ms = self.seen.now_ms();
        let step = resolve(&self.core.capabilities(), &outcome, &self.patience, now_ms);
        if !matches!(step, Step::WaitUntil(_)) {
            metrics::counter!(RESOLUTION_STEPS_TOTAL, "step" => name_of(step)).increment(1);
        }
        match step {
            Step::Enquire | Step::Resend if self.seen.is_paused(&entry.id) => Ok(Progress::Fine),
            Step::Enquire => self.enquire(fence, unresolved, &outcome).await,
            Step::Resend => self.resend(fence, entry, &outcome).await,
            Step::Requeue => self.record(fence, vec![Change::new(entry.id.clone(), Evidence::Absent)]).await,
            Step::Park => {
                tracing::error!(entry = %entry.id, "nothing resolves this entry; it waits for a person");
                let park = Change::new(entry.id.clone(), Evidence::Unresolvable).because(UNRESOLVED);
                self.record(fence, vec![park]).await
            }
            Step::WaitUntil(_) => Ok(Progress::Fine),
        }
    }

    async fn enquire(
        &mut self,
        fence: &Fence,
        unresolved: &Unresolved,
        known: &UnknownOutcome,
    ) -> Result<Progress, JournalError> {
        let entry = &unresolved.entry;
        let asked_ms = self.seen.now_ms();
        let found = self.core.enquire(&entry.operation, &entry.core_ref, self.core_timeout).await;
        match &found {
            Enquiry::NotFound => {
                self.seen.not_found(&entry.id, asked_ms);
                return Ok(Progress::Fine);
            }
            Enquiry::Unavailable { reason } => {
                tracing::info!(entry = %entry.id, reason, "the core does not answer an enquiry");
                return Ok(Progress::CoreSilent);
            }
            Enquiry::NotUnderstood { reason } => {
                tracing::warn!(entry = %entry.id, reason, "the core answers an enquiry, and nothing that is declared");
                self.seen.not_understood(&entry.id);
                return Ok(Progress::CoreOdd);
            }
            Enquiry::Refused { .. } if unresolved.attempts > 1 && !self.settles(known, asked_ms) => {
                return Ok(Progress::Fine);
            }
            Enquiry::Posted { .. } | Enquiry::Refused { .. } => {}
        }
        self.record(fence, settle::after_enquiry(entry, &found, |code| self.reason(entry, code))).await
    }

    /// The same reference again, to a core that remembers it. The attempt is recorded before a byte leaves.
    async fn resend(&mut self, fence: &Fence, entry: &Entry, known: &UnknownOutcome) -> Result<Progress, JournalError> {
        let begun_ms = self.seen.now_ms();
        self.seen.resend_begins(&entry.id);
        let Some(claimed) = self.journal.begin_resend(fence, &self.instance, &entry.id).await? else {
            return Ok(Progress::Fine);
        };
        let sender = Sender {
            journal: self.journal.clone(),
            core: self.core.clone(),
            fence: fence.clone(),
            timeout: self.core_timeout,
        };
        let (outcome, mut changes) = sender.post(entry, claimed.attempt, self.time_to_resend(known)).await;
        if matches!(outcome, Outcome::Refused { .. }) && !self.settles(known, begun_ms) {
            // A refusal is no answer while an earlier attempt may still post.
            changes = vec![Change::new(entry.id.clone(), Evidence::NoAnswer).ending(claimed.attempt)];
        }
        if let Err(err) = sender.record(&entry.id, claimed.attempt, changes).await {
            self.unrecorded.push((entry.id.clone(), claimed.attempt));
            return Err(err);
        }
        let silent = matches!(outcome, Outcome::Unknown { .. } | Outcome::NotSent { .. });
        Ok(if silent { Progress::CoreSilent } else { Progress::Fine })
    }

    /// No byte leaves when the core may have forgotten the reference: this process may have been stopped since the resend was
    /// decided, and the connector asks the time with a connection in hand.
    fn time_to_resend(&self, known: &UnknownOutcome) -> Duration {
        let until_ms = remembered_until(&self.core.capabilities(), known.first_attempt_ms, &self.patience);
        self.core_timeout.min(Duration::from_millis(until_ms.unwrap_or(0).saturating_sub(self.seen.now_ms())))
    }

    /// Does a refusal of something begun at `begun_ms` end the entry? `known` tells when the earlier attempts had ended.
    fn settles(&self, known: &UnknownOutcome, begun_ms: u64) -> bool {
        refusal_settles(&self.core.capabilities(), begun_ms, [known.ended_ms])
    }

    fn reason(&self, entry: &Entry, code: &str) -> Option<String> {
        self.core.refusal_reason(&entry.operation, code).map(str::to_owned)
    }

    async fn record(&self, fence: &Fence, changes: Vec<Change>) -> Result<Progress, JournalError> {
        if !changes.is_empty() {
            self.journal.record(&fence.owner, Some(fence.clone()), changes).await?;
        }
        Ok(Progress::Fine)
    }
}

fn name_of(step: Step) -> &'static str {
    match step {
        Step::Enquire => "enquire",
        Step::Resend => "resend",
        Step::Requeue => "requeue",
        Step::Park => "park",
        Step::WaitUntil(_) => "wait",
    }
}
