//! The replayer's loop: hold the fence, claim what may go, send, record; in between, find out about unknown outcomes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use connectors::{CoreConnector, Probe};
use failpoints::{CLAIM_AFTER_COMMIT, REPLAY_AFTER_RECORD, REPLAY_AFTER_SEND, reached};
use schemas::core::Outcome;
use schemas::entry::Evidence;
use standin::journal::{Change, Claimed, EntryId, Fence, Instance, Journal, JournalError};
use standin::resolution::Patience;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::metrics::{IN_FLIGHT, REPLAYED_TOTAL};
use crate::pace::Pace;
use crate::resolver::{Progress, Resolver};
use crate::sender::Sender;

/// How the replayer works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Entries sent at once, at most; 1 replays strictly one by one.
    pub concurrency_max: usize,
    /// Longest wait for the core's answer.
    pub core_timeout: Duration,
    /// Between two looks at the queue while it is empty.
    pub look_every: Duration,
    /// How long the fence is held without renewal, on the SQL server's clock.
    pub fence_ttl: Duration,
    /// Submitting for longer than this means that its sender will not record an outcome any more.
    pub abandoned_after: Duration,
    /// When a person is called.
    pub patience: Patience,
}

impl Default for Options {
    /// 16 at once, 5 s for an answer, looks every 100 ms, a fence of 10 s, senders abandoned after 30 s, parked after 10 minutes.
    fn default() -> Self {
        Self {
            concurrency_max: 16,
            core_timeout: Duration::from_secs(5),
            look_every: Duration::from_millis(100),
            fence_ttl: Duration::from_secs(10),
            abandoned_after: Duration::from_secs(30),
            patience: Patience { park_after_ms: 600_000, memory_margin_ms: 60_000 },
        }
    }
}

/// The fence's name in the journal.
const FENCE: &str = "replay";
/// Longest wait for a probe's answer: shorter than the fence lasts.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Entries looked for in one go.
const READY_MAX: usize = 256;

/// The service. One per process; only the fence's holder schedules.
pub struct Replayer {
    journal: Journal,
    core: Arc<dyn CoreConnector>,
    instance: Instance,
    options: Options,
    resolver: Resolver,
    pace: Pace,
    /// Found ready by the last look and not claimed yet. A hint: the claim decides.
    ready: VecDeque<EntryId>,
    sending: JoinSet<Sent>,
    /// Attempts that a sending task carries.
    under_way: HashMap<EntryId, i64>,
    /// Attempts that were sent and whose outcome could not be recorded: not to be taken for unsent ones.
    unrecorded: HashMap<EntryId, i64>,
    held: Option<(Fence, Instant)>,
    core_up: bool,
    /// The last turn found nothing against sending.
    open: bool,
}

/// What became of one sending.
struct Sent {
    id: EntryId,
    attempt: i64,
    answered: bool,
    recorded: Result<(), JournalError>,
}

impl Replayer {
    /// A replayer of this instance.
    pub fn new(journal: Journal, core: Arc<dyn CoreConnector>, instance: Instance, options: Options) -> Self {
        let resolver = Resolver::new(
            journal.clone(),
            core.clone(),
            instance.clone(),
            options.core_timeout,
            options.patience,
            options.abandoned_after,
        );
        let pace = Pace::new(options.concurrency_max);
        Self {
            journal,
            core,
            instance,
            options,
            resolver,
            pace,
            ready: VecDeque::new(),
            sending: JoinSet::new(),
            under_way: HashMap::new(),
            unrecorded: HashMap::new(),
            held: None,
            core_up: false,
            open: false,
        }
    }

    /// Replays until `drain` resolves, then finishes what is under way and gives the fence up.
    pub async fn run(mut self, drain: impl Future<Output = ()>) {
        let mut drain = std::pin::pin!(drain);
        let mut ticks = interval(self.options.look_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let turned = tokio::select! {
                () = &mut drain => break,
                Some(sent) = self.sending.join_next(), if !self.sending.is_empty() => {
                    self.account_for(sent);
                    while let Some(more) = self.sending.try_join_next() {
                        self.account_for(more);
                    }
                    self.refill().await
                }
                _ = ticks.tick() => self.turn().await,
            };
            if let Err(err) = turned {
                self.held = None;
                self.open = false;
                tracing::warn!(error = %err, "a turn of the replayer failed");
            }
        }
        while let Some(sent) = self.sending.join_next().await {
            self.account_for(sent);
        }
        if let Some((fence, _)) = self.held.take()
            && let Err(err) = self.journal.release_fence(&fence).await
        {
            tracing::warn!(error = %err, "the fence could not be given up; it runs out by itself");
        }
    }

    /// One look at everything: fence, own attempts, orders, unknown outcomes, queue.
    async fn turn(&mut self) -> Result<(), JournalError> {
        self.open = false;
        self.end_open_attempts().await?;
        let Some(fence) = self.hold_fence().await? else { return Ok(()) };
        if !self.core_is_up().await || self.journal.replay_paused().await? {
            return Ok(());
        }
        match self.resolver.round(&fence).await? {
            Progress::Fine => {}
            // Whether it is the core that answers so, its probe tells before anything else goes out.
            Progress::CoreOdd | Progress::CoreSilent => {
                self.core_up = false;
                return Ok(());
            }
        }
        self.open = true;
        self.send_ready(&fence).await
    }

    /// Between two turns, while the last one found all well: claims anew once half of what may be under way has come back, so
    /// that a claim's transaction is shared.
    async fn refill(&mut self) -> Result<(), JournalError> {
        let half_free = self.sending.len() * 2 <= self.pace.limit();
        match &self.held {
            Some((fence, _)) if self.open && self.core_up && half_free => {
                let fence = fence.clone();
                self.send_ready(&fence).await
            }
            _ => Ok(()),
        }
    }

    /// The fence, taken or renewed in good time; `None` while another replayer holds it.
    async fn hold_fence(&mut self) -> Result<Option<Fence>, JournalError> {
        if let Some((fence, renewed)) = &self.held
            && renewed.elapsed() < self.options.fence_ttl / 3
        {
            return Ok(Some(fence.clone()));
        }
        let ttl_ms = i64::try_from(self.options.fence_ttl.as_millis()).unwrap_or(i64::MAX);
        let asked = Instant::now();
        let fence = self.journal.hold_fence(FENCE, &self.instance, ttl_ms).await?;
        self.held = fence.clone().map(|fence| (fence, asked));
        Ok(fence)
    }

    /// Ends attempts of ours that no task here carries: sent ones without a recorded outcome are unknown; all others were
    /// recorded by a claim whose COMMIT went unanswered, and nothing of them was sent. That is a fact about us and needs no fence:
    /// whoever holds it by now could not prove what we know.
    async fn end_open_attempts(&mut self) -> Result<(), JournalError> {
        self.unrecorded.extend(self.resolver.take_unrecorded());
        let open = self.journal.own_open_attempts(&self.instance).await?;
        let idle = open.into_iter().filter(|a| a.token.is_some() && self.under_way.get(&a.id) != Some(&a.n));
        let changes: Vec<Change> = idle
            .map(|attempt| {
                let sent = self.unrecorded.get(&attempt.id) == Some(&attempt.n);
                let evidence = if sent { Evidence::NoAnswer } else { Evidence::NotSent };
                Change::new(attempt.id, evidence).ending(attempt.n)
            })
            .collect();
        if !changes.is_empty() {
            self.journal.record(&self.instance.to_string(), None, changes).await?;
        }
        self.unrecorded.clear();
        Ok(())
    }

    /// Asked only after a failure: while answers come, they are the probe.
    async fn core_is_up(&mut self) -> bool {
        if !self.core_up {
            self.core_up = self.core.probe(PROBE_TIMEOUT).await == Probe::Up;
        }
        self.core_up
    }

    async fn send_ready(&mut self, fence: &Fence) -> Result<(), JournalError> {
        let room = self.pace.limit().saturating_sub(self.sending.len());
        if room == 0 {
            return Ok(());
        }
        if self.ready.len() < room {
            self.ready = self.journal.ready(READY_MAX).await?.into();
        }
        let next: Vec<EntryId> = self.ready.drain(..room.min(self.ready.len())).collect();
        if next.is_empty() {
            return Ok(());
        }
        let claimed = self.journal.claim(fence, &self.instance, next).await?;
        for claimed in claimed {
            reached(CLAIM_AFTER_COMMIT);
            self.under_way.insert(claimed.entry.id.clone(), claimed.attempt);
            let sender = Sender {
                journal: self.journal.clone(),
                core: self.core.clone(),
                fence: fence.clone(),
                timeout: self.options.core_timeout,
            };
            self.sending.spawn(carry(sender, claimed));
        }
        metrics::gauge!(IN_FLIGHT).set(u32::try_from(self.sending.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    fn account_for(&mut self, sent: Result<Sent, tokio::task::JoinError>) {
        match sent {
            Ok(Sent { id, attempt, answered, recorded }) => {
                self.under_way.remove(&id);
                if answered {
                    self.pace.answered();
                } else {
                    self.pace.failed();
                    self.core_up = false;
                }
                if let Err(err) = recorded {
                    tracing::warn!(entry = %id, error = %err, "an outcome of the replay was not recorded; it will be found out");
                    self.unrecorded.insert(id, attempt);
                }
            }
            // What it sent is for its successor to find out: only the end of this process ends the attempt.
            Err(err) => panic!("a sending task of the replayer failed: {err}"),
        }
    }
}

/// Carries one claimed entry to the core and its outcome to the journal.
async fn carry(sender: Sender, claimed: Claimed) -> Sent {
    let Claimed { entry, attempt } = claimed;
    let (outcome, changes) = sender.post(&entry, attempt, sender.timeout).await;
    reached(REPLAY_AFTER_SEND);
    metrics::counter!(REPLAYED_TOTAL, "outcome" => outcome.as_str()).increment(1);
    let answered = matches!(outcome, Outcome::Posted(_) | Outcome::Refused { .. } | Outcome::Duplicate);
    let recorded = sender.record(&entry.id, attempt, changes).await;
    reached(REPLAY_AFTER_RECORD);
    Sent { id: entry.id, attempt, answered, recorded }
}
