//! The replayer's loop. It hears what its tasks report and starts what is due. It never waits for a task itself: an order, the
//! loss of the fence and the drain are seen at once, whatever the core or the journal are doing.

mod hearing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use connectors::CoreConnector;
use failpoints::{Flaw, flawed};
use schemas::entry::Evidence;
use standin::journal::{Change, Claimed, EntryId, Fence, Instance, JournalError, OpenAttempt, ReplayJournal};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::errands::{Errand, Errands, READY_MAX};
use crate::inquiry::Inquiry;
use crate::keeper::Keeper;
use crate::metrics::{IN_FLIGHT, PACE, RESOLVING, SET_ASIDE};
use crate::options::Options;
use crate::pace::Pace;
use crate::presence::Presence;
use crate::queue::Queue;
use crate::resolver::Resolver;
use crate::runs::Runs;
use crate::sender::Sender;

/// Between two looks for attempts of ours that no task carries.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Entries with an unanswered claim that are remembered. Those of a forgotten one are unknown, which only takes longer.
const LOST_MAX: usize = 65_536;

/// The service. One per process; only the fence's holder schedules.
pub struct Replayer {
    journal: ReplayJournal,
    core: Arc<dyn CoreConnector>,
    instance: Instance,
    options: Options,
    errands: Errands,
    queue: Queue,
    resolver: Resolver,
    pace: Pace,
    runs: Runs,
    presence: Presence,
    fence: Option<Fence>,
    /// By an operator, as far as we know; until we have asked under this fence, yes.
    paused: bool,
    /// The answer under way was asked for under another fence, or none.
    orders_outdated: bool,
    /// Entries that a task of ours is at work on: nothing else is done about them meanwhile.
    in_hand: HashSet<EntryId>,
    /// Entries sent and not yet recorded. One that is followed by the next of its run counts only until it is answered.
    sending: usize,
    /// Those that the core has.
    at_core: usize,
    /// Entries answered and not yet recorded whose place the next of their run has.
    passed_on: HashSet<EntryId>,
    /// Entries that a claim under way asks for.
    claiming: usize,
    resolving: usize,
    /// The last look at the queue: when it began, or when it ended and how long it took.
    looked: Option<(Instant, Duration)>,
    /// Attempts that were sent and whose outcome could not be recorded, and since when we know: not to be taken for unsent ones.
    unrecorded: HashMap<EntryId, (i64, Instant)>,
    /// Entries whose claim went unanswered: an open attempt of theirs was never sent.
    lost: HashSet<EntryId>,
    /// What is to be fetched as soon as it may be.
    due: HashSet<Errand>,
    swept: Option<Instant>,
    /// The journal said that a newer holder of the fence exists.
    fenced_out: bool,
}

impl Replayer {
    /// A replayer of this instance.
    pub fn new(journal: ReplayJournal, core: Arc<dyn CoreConnector>, instance: Instance, options: Options) -> Self {
        let capabilities = core.capabilities();
        Self {
            errands: Errands::new(journal.clone(), core.clone(), instance.clone(), &options),
            queue: Queue::new(Duration::from_millis(options.patience.park_after_ms), READY_MAX),
            resolver: Resolver::new(capabilities, options.patience, options.abandoned_after / 2),
            pace: Pace::new(options.concurrency_max),
            runs: Runs::new(capabilities.enquiry || capabilities.reference_memory_ms.is_some()),
            presence: Presence::Unclear,
            fence: None,
            paused: true,
            orders_outdated: false,
            in_hand: HashSet::new(),
            sending: 0,
            at_core: 0,
            passed_on: HashSet::new(),
            claiming: 0,
            resolving: 0,
            looked: None,
            unrecorded: HashMap::new(),
            lost: HashSet::new(),
            due: HashSet::new(),
            swept: None,
            fenced_out: false,
            journal,
            core,
            instance,
            options,
        }
    }

    /// Replays until `drain` resolves, then finishes what may not be broken off and gives the fence up.
    pub async fn run(mut self, drain: impl Future<Output = ()>) {
        let mut drain = std::pin::pin!(drain);
        let mut keeper = Keeper::start(self.journal.clone(), self.instance.clone(), self.options.fence_ttl);
        let mut ticks = interval(self.options.look_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut drain => break,
                () = keeper.changed() => self.has_fence(keeper.fence()),
                _ = ticks.tick() => self.tick(),
                report = self.errands.next() => self.hear(report),
            }
            if std::mem::take(&mut self.fenced_out) {
                keeper.look_now();
            }
            self.start_what_is_due();
        }
        self.finish().await;
        keeper.give_up().await;
    }

    /// Nothing new is begun. Questions are broken off; attempts and records come to their end.
    async fn finish(&mut self) {
        self.errands.break_off_questions().await;
        // What a claim brings now goes back to the queue, unsent.
        self.fence = None;
        let free = self.runs.break_off_free();
        self.give_back(free);
        while let Some(report) = self.errands.next_binding().await {
            self.hear(report);
        }
        match self.journal.own_open_attempts(&self.instance).await {
            Ok(open) => self.end_idle(open, Instant::now()),
            Err(err) => tracing::warn!(error = %err, "open attempts of the replay stay for the next start"),
        }
        while let Some(report) = self.errands.next_binding().await {
            self.hear(report);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.due.extend([Errand::Orders, Errand::Ready, Errand::Page, Errand::Probe]);
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY) {
            self.due.insert(Errand::Sweep);
        }
        let overdue = self.runs.break_off_overdue(now);
        self.give_back(overdue);
        let gauge = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        metrics::gauge!(IN_FLIGHT).set(gauge(self.sending));
        metrics::gauge!(PACE).set(gauge(self.pace.limit()));
        metrics::gauge!(RESOLVING).set(gauge(self.resolving));
        metrics::gauge!(SET_ASIDE).set(gauge(self.queue.aside(now)));
    }

    fn has_fence(&mut self, fence: Option<Fence>) {
        self.fence = fence;
        // Who does not schedule does not ask, so an order may have been given since.
        self.paused = true;
        self.orders_outdated = self.errands.is_under_way(Errand::Orders);
        self.due.insert(Errand::Orders);
        // Another replayer may have worked in between: what we knew of queue and outcomes is out of date.
        self.queue.clear();
        self.resolver.clear();
    }

    fn may_work(&self) -> bool {
        self.fence.is_some() && !self.paused && self.presence.may_send()
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        // Attempts of this process are its own to end, with or without the fence.
        if self.is_due(Errand::Sweep) {
            self.swept = Some(now);
            self.errands.look_for_open_attempts(now);
        }
        if !self.may_work() {
            let free = self.runs.break_off_free();
            self.give_back(free);
        }
        let Some(fence) = self.fence.clone() else { return };
        if self.is_due(Errand::Orders) {
            self.errands.ask_orders();
        }
        if self.presence.wants_probe() && self.is_due(Errand::Probe) {
            self.errands.probe();
        }
        if !self.may_work() {
            return;
        }
        self.start_resolving(&fence, now);
        self.start_sending(&fence, now);
    }

    /// Is it wanted, and no such errand under way?
    fn is_due(&mut self, errand: Errand) -> bool {
        !self.errands.is_under_way(errand) && self.due.remove(&errand)
    }

    fn start_resolving(&mut self, fence: &Fence, now: Instant) {
        while self.resolving < self.options.resolving_max()
            && let Some(work) = self.resolver.next(now, |id| self.in_hand.contains(id))
        {
            self.in_hand.insert(work.id().clone());
            self.resolving += 1;
            let moment = (self.resolver.now_ms(), now);
            let (instance, patience) = (self.instance.clone(), self.options.patience);
            self.errands.inquire(Inquiry { sender: self.sender(fence), instance, patience, moment }, work);
        }
        if self.resolver.wants_page() && self.is_due(Errand::Page) {
            self.errands.fetch_page(self.resolver.page_after(), self.resolver.now_ms());
        }
    }

    /// What a run has begun goes first. Claims fill what the commits of outcomes leave free; the transaction of a claim is shared by all
    /// that may go when it begins.
    fn start_sending(&mut self, fence: &Fence, now: Instant) {
        while self.sending + self.claiming < self.pace.limit()
            && let Some(next) = self.runs.next(fence, now)
        {
            match next {
                Ok(claimed) => self.send(fence, claimed, now),
                Err(rest) => self.give_back(rest),
            }
        }
        let room = self.pace.limit().saturating_sub(self.sending + self.claiming);
        if self.queue.wants_look(room) && self.may_look(now) && self.is_due(Errand::Ready) {
            self.looked = Some((now, Duration::ZERO));
            self.errands.look_for_ready();
        }
        if room == 0 || self.errands.is_under_way(Errand::Claim) {
            return;
        }
        let next = self.queue.take(room, now, |id| self.in_hand.contains(id));
        if !next.is_empty() {
            self.in_hand.extend(next.iter().cloned());
            self.claiming = next.len();
            // Behind what the core may decline again nothing is claimed in vain.
            let doubtful = next.iter().any(|id| self.queue.was_declined(id));
            let longest = if doubtful { 1 } else { self.runs.room(1).longest };
            self.errands.claim(fence.clone(), next, longest);
        }
    }

    /// Looks take at most a third of the time, however long one takes.
    fn may_look(&self, now: Instant) -> bool {
        self.looked.is_none_or(|(ended, took)| now.saturating_duration_since(ended) >= took * 2)
    }

    fn send(&mut self, fence: &Fence, claimed: Claimed, now: Instant) {
        self.sending += 1;
        self.at_core += 1;
        let last_try = self.queue.is_last_try(&claimed.entry.id, now);
        self.errands.send(self.sender(fence), claimed, last_try);
    }

    /// What was claimed and not sent goes back to the queue.
    fn give_back(&mut self, unsent: Vec<Claimed>) {
        for claimed in unsent {
            self.end(claimed.entry.id, claimed.attempt, Evidence::NotSent);
        }
    }

    fn sender(&self, fence: &Fence) -> Sender {
        Sender {
            journal: self.journal.clone(),
            core: self.core.clone(),
            fence: fence.clone(),
            timeout: self.options.core_timeout,
        }
    }

    /// Ends attempts of this process that no task here carries. That is a fact about us and needs no fence.
    ///
    /// Attempts of a claim whose COMMIT went unanswered were never sent. Attempts whose outcome could not be recorded were
    /// sent. Of any other attempt nothing is known here: an earlier replayer of this process may have sent it. It is left
    /// alone until no byte of it can leave this process any more; then its outcome is unknown.
    fn end_idle(&mut self, open: Vec<OpenAttempt>, asked: Instant) {
        self.unrecorded.retain(|id, (n, since)| *since > asked || open.iter().any(|a| a.id == *id && a.n == *n));
        let longest_ms = i64::try_from(self.options.core_timeout.as_millis()).unwrap_or(i64::MAX).saturating_mul(2);
        for attempt in open.into_iter().filter(|attempt| attempt.token.is_some()) {
            let OpenAttempt { id, n, age_ms, .. } = attempt;
            if self.in_hand.contains(&id) {
                continue;
            }
            if self.unrecorded.get(&id).is_some_and(|(sent, _)| *sent == n) {
                self.end(id, n, if flawed(Flaw::UnrecordedIsUnsent) { Evidence::NotSent } else { Evidence::NoAnswer });
            } else if self.lost.contains(&id) {
                self.end(id, n, Evidence::NotSent);
            } else if age_ms > longest_ms {
                tracing::warn!(entry = %id, attempt = n, "an attempt of this process that nobody knows; its outcome is unknown");
                self.end(id, n, Evidence::NoAnswer);
            }
        }
    }

    fn end(&mut self, id: EntryId, attempt: i64, evidence: Evidence) {
        self.in_hand.insert(id.clone());
        self.errands.end(Change::new(id, evidence).ending(attempt), attempt);
    }

    /// Their claim went unanswered.
    fn lose(&mut self, ids: &[EntryId]) {
        if ids.is_empty() {
            return;
        }
        if self.lost.len() >= LOST_MAX {
            self.lost.clear();
        }
        // Another claim may have got one of them meanwhile: that one is being sent.
        self.lost.extend(ids.iter().filter(|id| !self.in_hand.contains(*id)).cloned());
        self.due.insert(Errand::Sweep);
    }

    fn let_go(&mut self, ids: &[EntryId]) {
        for id in ids {
            self.in_hand.remove(id);
        }
    }

    fn complain(&mut self, what: &str, err: &JournalError) {
        self.fenced_out |= matches!(err, JournalError::Fenced(_));
        tracing::warn!(error = %err, "{what}");
    }
}
