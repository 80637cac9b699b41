//! Unknown outcomes: asks, resends, requeues or parks, as `standin::resolution` decides.

use std::sync::Arc;
use std::time::Duration;

use connectors::{CoreConnector, PostRequest};
use schemas::core::{Enquiry, Outcome};
use schemas::entry::{EntryState, Evidence};
use standin::journal::{Change, Entry, Fence, Instance, Journal, JournalError, Unresolved};
use standin::resolution::{Patience, Step, UnknownOutcome, refusal_settles, remembered_until, resolve};
use standin::settle::{self, UNRESOLVED};

use crate::clock::Observations;
use crate::metrics::RESOLUTION_STEPS_TOTAL;

/// Entries of one page, and of one round: one that waits for its time must not keep others from their turn.
const PAGE: usize = 256;
const ROUND_MAX: usize = 16_384;

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Done, or nothing to do yet.
    Fine,
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
        Self { journal, core, instance, core_timeout, patience, abandoned_after_us, seen: Observations::new() }
    }

    /// One look at everything unresolved, up to the first silence of the core.
    pub(crate) async fn round(&mut self, fence: &Fence) -> Result<Progress, JournalError> {
        let wall_us = jiff::Timestamp::now().as_microsecond();
        let unresolved = self.unresolved(wall_us - self.abandoned_after_us).await?;
        self.seen.keep_only(&unresolved);
        for entry in &unresolved {
            if self.step(fence, entry, wall_us).await? == Progress::CoreSilent {
                return Ok(Progress::CoreSilent);
            }
        }
        Ok(Progress::Fine)
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

    async fn step(&mut self, fence: &Fence, unresolved: &Unresolved, wall_us: i64) -> Result<Progress, JournalError> {
        let entry = &unresolved.entry;
        if entry.state == EntryState::Submitting {
            // Its sender has been silent for longer than any sender takes. That proves nothing about what it sent.
            return self.record(fence, vec![Change::new(entry.id.clone(), Evidence::NoAnswer)]).await;
        }
        let outcome = self.seen.observe(unresolved, wall_us);
        let now_ms = self.seen.now_ms();
        let step = resolve(&self.core.capabilities(), &outcome, &self.patience, now_ms);
        if !matches!(step, Step::WaitUntil(_)) {
            metrics::counter!(RESOLUTION_STEPS_TOTAL, "step" => name_of(step)).increment(1);
        }
        match step {
            Step::Enquire => self.enquire(fence, unresolved, &outcome).await,
            Step::Resend if self.seen.is_paused(&entry.id) => Ok(Progress::Fine),
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
            Enquiry::Refused { .. } if unresolved.attempts > 1 && !self.settles(known, asked_ms) => {
                return Ok(Progress::Fine);
            }
            Enquiry::Posted { .. } | Enquiry::Refused { .. } => {}
        }
        self.record(fence, settle::after_enquiry(entry, &found, |code| self.reason(entry, code))).await
    }

    /// The same reference again, to a core that remembers it. The attempt is recorded before a byte leaves.
    async fn resend(&mut self, fence: &Fence, entry: &Entry, known: &UnknownOutcome) -> Result<Progress, JournalError> {
        let Ok(request) = settle::post_request(entry) else { return Ok(Progress::Fine) };
        let Some(claimed) = self.journal.begin_resend(fence, &self.instance, &entry.id).await? else {
            return Ok(Progress::Fine);
        };
        let begun_ms = self.seen.now_ms();
        self.seen.attempt_begins(&entry.id);
        let outcome = self.post_if_remembered(&request, known).await;
        let reason = |code: &str| self.reason(entry, code);
        let changes = match settle::after_post(entry, claimed.attempt, &outcome, reason) {
            // A refusal is no answer while an earlier attempt may still post.
            Some(_) if matches!(outcome, Outcome::Refused { .. }) && !self.settles(known, begun_ms) => {
                vec![Change::new(entry.id.clone(), Evidence::NoAnswer).ending(claimed.attempt)]
            }
            Some(changes) => changes,
            None => {
                let found = self.core.enquire(&entry.operation, &entry.core_ref, self.core_timeout).await;
                settle::after_duplicate(entry, claimed.attempt, &found, reason)
            }
        };
        self.record(fence, changes).await?;
        let silent = matches!(outcome, Outcome::Unknown { .. } | Outcome::NotSent { .. });
        Ok(if silent { Progress::CoreSilent } else { Progress::Fine })
    }

    /// No byte leaves when the core may have forgotten the reference: this process may have been stopped since the resend was
    /// decided, and the connector asks the time with a connection in hand.
    async fn post_if_remembered(&self, request: &PostRequest, known: &UnknownOutcome) -> Outcome {
        let until_ms = remembered_until(&self.core.capabilities(), known.first_attempt_ms, &self.patience);
        let left = Duration::from_millis(until_ms.unwrap_or(0).saturating_sub(self.seen.now_ms()));
        self.core.post(request, self.core_timeout.min(left)).await
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
