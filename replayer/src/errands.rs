//! The tasks of the replayer, and what they report. Acts; `service` decides.
//!
//! Questions may be broken off at any time. What records or sends something is *binding*: it comes to its end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use connectors::{CoreConnector, Probe};
use failpoints::{CLAIM_AFTER_COMMIT, reached};
use schemas::entry::Evidence;
use standin::journal::{
    Change, Claimed, Claims, EntryId, Fence, Instance, JournalError, OpenAttempt, Recorded, ReplayJournal, Room,
    Unresolved,
};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::inquiry::{Came, Inquiry, Work};
use crate::options::Options;
use crate::resolver::PAGE;
use crate::sender::{Answered, Sender};

/// Longest wait for a probe's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Entries looked for in one go.
pub(crate) const READY_MAX: usize = 2_048;

/// What one task at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Errand {
    /// Reads the operators' orders.
    Orders,
    /// Looks for entries that may go.
    Ready,
    /// Reads a page of unresolved entries.
    Page,
    /// Looks for open attempts of ours.
    Sweep,
    /// Asks the core whether it takes work.
    Probe,
    /// Claims entries.
    Claim,
}

/// What a task reports.
pub(crate) enum Report {
    /// Is the replay paused?
    Orders(Result<bool, JournalError>),
    /// What may go.
    Ready(Result<Vec<EntryId>, JournalError>),
    /// Unresolved entries, asked for at this moment of the observer's clock.
    Page { page: Result<Vec<Unresolved>, JournalError>, read_from_ms: i64 },
    /// Open attempts of ours, asked for at this moment.
    OpenAttempts { open: Result<Vec<OpenAttempt>, JournalError>, asked: Instant },
    /// Does the core take work?
    Probed(bool),
    /// What of the entries asked for is ours to send.
    Claimed { asked: Vec<EntryId>, claimed: Result<Claims, JournalError> },
    /// What the core answered.
    Answered(Answered),
    /// Whether that was recorded, and what the same commit claimed, if it was to claim, of what was `offered` to it.
    Recorded {
        id: EntryId,
        attempt: i64,
        offered: Option<Vec<EntryId>>,
        recorded: Result<Recorded, JournalError>,
        since: Instant,
    },
    /// What a step about an unknown outcome came to.
    Resolved { id: EntryId, came: Came },
    /// An attempt that no task carried was ended.
    Ended { id: EntryId, attempt: i64, evidence: Evidence, ended: Result<(), JournalError> },
}

impl Report {
    fn errand(&self) -> Option<Errand> {
        match self {
            Self::Orders(_) => Some(Errand::Orders),
            Self::Ready(_) => Some(Errand::Ready),
            Self::Page { .. } => Some(Errand::Page),
            Self::OpenAttempts { .. } => Some(Errand::Sweep),
            Self::Probed(_) => Some(Errand::Probe),
            Self::Claimed { .. } => Some(Errand::Claim),
            Self::Answered(_) | Self::Recorded { .. } | Self::Resolved { .. } | Self::Ended { .. } => None,
        }
    }
}

/// The tasks under way.
pub(crate) struct Errands {
    journal: ReplayJournal,
    core: Arc<dyn CoreConnector>,
    instance: Instance,
    submitting_for: Duration,
    questions: JoinSet<Report>,
    binding: JoinSet<Report>,
    under_way: HashSet<Errand>,
}

impl Errands {
    pub(crate) fn new(
        journal: ReplayJournal,
        core: Arc<dyn CoreConnector>,
        instance: Instance,
        options: &Options,
    ) -> Self {
        Self {
            journal,
            core,
            instance,
            submitting_for: options.abandoned_after / 2,
            questions: JoinSet::new(),
            binding: JoinSet::new(),
            under_way: HashSet::new(),
        }
    }

    /// Is such an errand under way?
    pub(crate) fn is_under_way(&self, errand: Errand) -> bool {
        self.under_way.contains(&errand)
    }

    /// The next report; waits for ever while nothing is under way.
    pub(crate) async fn next(&mut self) -> Report {
        let report = tokio::select! {
            biased;
            Some(report) = self.questions.join_next() => report,
            Some(report) = self.binding.join_next() => report,
            else => std::future::pending().await,
        };
        self.arrived(report)
    }

    /// The next report of a binding errand; `None` when there is none under way.
    pub(crate) async fn next_binding(&mut self) -> Option<Report> {
        let report = self.binding.join_next().await?;
        Some(self.arrived(report))
    }

    /// Ends all questions without their answers.
    pub(crate) async fn break_off_questions(&mut self) {
        self.questions.shutdown().await;
    }

    fn arrived(&mut self, report: Result<Report, JoinError>) -> Report {
        // A successor must find out what a task sent before it panicked: only the end of this process ends the attempt.
        let report = report.unwrap_or_else(|err| panic!("a task of the replayer failed: {err}"));
        if let Some(errand) = report.errand() {
            self.under_way.remove(&errand);
        }
        report
    }

    pub(crate) fn ask_orders(&mut self) {
        self.under_way.insert(Errand::Orders);
        let journal = self.journal.clone();
        self.questions.spawn(async move { Report::Orders(journal.replay_paused().await) });
    }

    pub(crate) fn look_for_ready(&mut self) {
        self.under_way.insert(Errand::Ready);
        let journal = self.journal.clone();
        self.questions.spawn(async move { Report::Ready(journal.ready(READY_MAX).await) });
    }

    pub(crate) fn fetch_page(&mut self, after: Option<EntryId>, read_from_ms: i64) {
        self.under_way.insert(Errand::Page);
        let (journal, submitting_for) = (self.journal.clone(), self.submitting_for);
        self.questions.spawn(async move {
            let page = journal.unresolved(submitting_for, after.as_ref(), PAGE as i64).await;
            Report::Page { page, read_from_ms }
        });
    }

    pub(crate) fn look_for_open_attempts(&mut self, asked: Instant) {
        self.under_way.insert(Errand::Sweep);
        let (journal, instance) = (self.journal.clone(), self.instance.clone());
        self.questions.spawn(async move {
            let open = journal.own_open_attempts(&instance).await;
            Report::OpenAttempts { open, asked }
        });
    }

    pub(crate) fn probe(&mut self) {
        self.under_way.insert(Errand::Probe);
        let core = self.core.clone();
        self.questions.spawn(async move { Report::Probed(core.probe(PROBE_TIMEOUT).await == Probe::Up) });
    }

    /// Claims these entries, each with a run of up to `longest` behind it.
    pub(crate) fn claim(&mut self, fence: Fence, asked: Vec<EntryId>, longest: usize) {
        self.under_way.insert(Errand::Claim);
        let (journal, instance) = (self.journal.clone(), self.instance.clone());
        self.binding.spawn(async move {
            let claimed = journal.claim_free(&fence, &instance, asked.clone(), longest).await;
            claimed.iter().flat_map(|claims| &claims.claimed).for_each(|_| reached(CLAIM_AFTER_COMMIT));
            Report::Claimed { asked, claimed }
        });
    }

    pub(crate) fn send(&mut self, sender: Sender, claimed: Claimed, last_try: bool) {
        self.binding.spawn(async move { Report::Answered(sender.carry(claimed, last_try).await) });
    }

    /// Records what the core answered. The same commit claims what there is room for: what is next in its lanes, or offered.
    pub(crate) fn record(&mut self, answered: Answered, claim: Option<(Vec<EntryId>, Room)>, since: Instant) {
        let instance = self.instance.clone();
        self.binding.spawn(async move {
            let Answered { sender, id, attempt, changes, .. } = answered;
            let offered = claim.as_ref().map(|(offered, _)| offered.clone());
            let claim = claim.map(|claim| (&instance, claim));
            let recorded = sender.record((&id, attempt), changes, claim).await;
            recorded.iter().flat_map(|recorded| &recorded.claimed).for_each(|_| reached(CLAIM_AFTER_COMMIT));
            Report::Recorded { id, attempt, offered, recorded, since }
        });
    }

    pub(crate) fn inquire(&mut self, inquiry: Inquiry, work: Work) {
        let tasks = if work.is_question() { &mut self.questions } else { &mut self.binding };
        tasks.spawn(async move {
            let came = inquiry.carry_out(&work).await;
            Report::Resolved { id: work.id().clone(), came }
        });
    }

    pub(crate) fn end(&mut self, change: Change, attempt: i64) {
        let (journal, actor, id) = (self.journal.clone(), self.instance.to_string(), change.id.clone());
        let evidence = change.evidence;
        self.binding.spawn(async move {
            let ended = journal.record(&actor, None, vec![change]).await.map(drop);
            Report::Ended { id, attempt, evidence, ended }
        });
    }
}
