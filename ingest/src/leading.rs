//! Leading a source: poll, prepare, apply, publish, until told otherwise.

mod releasing;

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use read_model::{Advance, Lease, Partition, Place, WriteError, filling, ordered_queues, waiting_in};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::apply::{ApplyOutcome, REFUSALS_MAX, Try};
use crate::attest::Attestation;
use crate::beginning::{begin, now_ms};
use crate::discovery::beginning_gone;
use crate::feed::{Batch, Ends, Feed, FeedError, Polled, RawRecord};
use crate::halt::Halt;
use crate::ingester::Ingester;
use crate::prepared::Prepared;
use crate::report::{count, warn_of_parked};
use crate::shutdown::pause;
use crate::state::State;

/// Why leading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Told to stop.
    Shutdown,
    /// Somebody else leads, or nobody may.
    LeaseLost,
    /// The source waits for a person.
    Halted,
    /// A new generation is served; begin again with it.
    Swapped,
    /// SQL or the feed failed; begin again from what SQL remembers.
    Failed,
}

/// Goes on, or ends leading.
type Flow = ControlFlow<Ended>;

pub(crate) struct Leading<'s> {
    ingester: &'s Ingester,
    lease: Lease,
    shutdown: watch::Receiver<bool>,
    lost: watch::Receiver<bool>,
}

/// How long a connector may take to make its first topics before their absence is told.
const TOPICS_AFTER: Duration = Duration::from_secs(20);
/// How often orders about parked events are looked for.
const LOOK_FOR_ORDERS: Duration = Duration::from_millis(500);

impl<'s> Leading<'s> {
    pub(crate) fn new(
        ingester: &'s Ingester,
        lease: Lease,
        shutdown: watch::Receiver<bool>,
        lost: watch::Receiver<bool>,
    ) -> Self {
        Self { ingester, lease, shutdown, lost }
    }

    pub(crate) async fn run(mut self) -> Ended {
        let filling = match filling(&self.ingester.db, &self.lease.source).await {
            Ok(Some(filling)) => filling,
            Ok(None) => return Ended::Failed,
            Err(err) => return self.cannot_begin(&err),
        };
        let halted = || metrics::gauge!(crate::metrics::HALTED, "source" => self.lease.source.clone());
        if let Some(reason) = &filling.status.halted {
            tracing::warn!(source = %self.lease.source, reason, "source is halted");
            halted().set(1.0);
            return Ended::Halted;
        }
        halted().set(0.0);
        match begin(self.ingester, &self.lease, filling).await {
            Ok((state, feed)) => {
                let ended = self.work(state, feed).await;
                // Of a source that was not led, this process has kept nothing.
                self.ingester.tiers.retire(&self.lease.source);
                ended
            }
            Err(err) => self.cannot_begin(&err),
        }
    }

    fn cannot_begin(&self, err: &dyn std::fmt::Display) -> Ended {
        tracing::warn!(error = %err, source = %self.lease.source, "cannot begin");
        Ended::Failed
    }

    async fn work(&mut self, mut state: State, mut feed: Box<dyn Feed>) -> Ended {
        let begun = Instant::now();
        if let Break(ended) = self.none_left_behind(&state).await {
            return ended;
        }
        if state.may_swap() {
            // Loaded by a leader that ended before it could.
            return self.swap(&mut state).await;
        }
        if let Break(ended) = self.release(&mut state).await {
            return ended;
        }
        let mut look = tokio::time::interval(LOOK_FOR_ORDERS);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let mut polling = feed.poll();
            let polled = loop {
                tokio::select! {
                    biased;
                    _ = self.shutdown.wait_for(|stop| *stop) => return Ended::Shutdown,
                    _ = self.lost.wait_for(|lost| *lost) => return Ended::LeaseLost,
                    _ = look.tick() => {}
                    polled = &mut polling => break polled,
                }
                // The poll goes on: one that is dropped and begun anew might never end.
                if let Break(ended) = self.orders(&mut state).await {
                    return ended;
                }
            };
            drop(polling);
            let flow = match polled {
                Ok(Polled::Batch(batch)) => {
                    self.tell_of_tables(&mut state, begun).await;
                    self.batch(&mut state, batch).await
                }
                Ok(Polled::Discovered(found)) => self.discovered(&mut state, &mut *feed, found).await,
                Err(err) => self.not_polled(&state, err).await,
            };
            if let Break(ended) = flow {
                return ended;
            }
        }
    }

    async fn not_polled(&mut self, state: &State, err: FeedError) -> Flow {
        let source = &self.lease.source;
        match err {
            FeedError::Lost(reason) => Break(self.halt(state, &Halt::rebuild(reason)).await),
            FeedError::Unavailable(_) => {
                tracing::warn!(error = %err, source, "nothing polled");
                pause(self.ingester.options.retry, &mut self.shutdown).await;
                Continue(())
            }
            FeedError::Ended(_) => {
                tracing::warn!(error = %err, source, "the feed is over; another one begins");
                Break(Ended::Failed)
            }
            FeedError::Configuration(_) => {
                tracing::error!(error = %err, source, "the feed cannot work as it is configured");
                Break(Ended::Failed)
            }
        }
    }

    /// Registers partitions before the first record of theirs is read.
    async fn discovered(&self, state: &mut State, feed: &mut dyn Feed, found: Vec<(Partition, i64)>) -> Flow {
        let new: Vec<_> = found.into_iter().filter(|(partition, _)| !state.places.contains_key(partition)).collect();
        if new.is_empty() {
            return Continue(());
        }
        if let Some(halt) = beginning_gone(&new, || self.ingester.options.mapping.tables()) {
            return Break(self.halt(state, &halt).await);
        }
        match state.applier.writer.add_partitions(&self.ingester.db, &self.lease, new.clone()).await {
            Ok(()) => {}
            Err(WriteError::Fenced { .. }) => return Break(Ended::LeaseLost),
            Err(err) => {
                // Written or not: beginning again reads it back.
                tracing::warn!(error = %err, source = %self.lease.source, "partitions not registered");
                return Break(Ended::Failed);
            }
        }
        state.tables.found(new.iter().map(|(partition, _)| partition));
        if !state.status.loaded {
            state.attestation.load_again();
        }
        let place = |(partition, next)| (partition, Place { next, ..Place::default() });
        let new: Vec<_> = new.into_iter().map(place).collect();
        state.places.extend(new.iter().cloned());
        match feed.assign(new).await {
            Ok(()) => Continue(()),
            Err(err) => {
                tracing::warn!(error = %err, source = %self.lease.source, "partitions not assigned");
                Break(Ended::Failed)
            }
        }
    }

    /// Writes down which mapped tables were seen, and says which were not.
    async fn tell_of_tables(&self, state: &mut State, begun: Instant) {
        let Some(news) = state.tables.news() else { return };
        if begun.elapsed() < TOPICS_AFTER && !state.tables.never_seen().is_empty() {
            return;
        }
        if let Err(err) = state.applier.writer.note_tables(&self.ingester.db, news).await {
            tracing::warn!(error = %err, source = %self.lease.source, "tables not noted");
            return;
        }
        let never_seen = state.tables.never_seen();
        if !never_seen.is_empty() {
            tracing::warn!(source = %self.lease.source, tables = ?never_seen,
                "these mapped tables have no topic: their names or the topic prefix are wrong, or they have no row yet");
        }
        state.tables.noted();
    }

    /// Applies a batch in pieces of the size that the store takes.
    async fn batch(&self, state: &mut State, batch: Batch) -> Flow {
        let mut rest = &batch.records[..];
        loop {
            let size = rest.len().min(state.pace.records());
            let (piece, later) = rest.split_at(size);
            let ends = if later.is_empty() { batch.ends.as_ref() } else { None };
            match self.piece(state, piece, ends).await? {
                Piece::TooMuch => state.pace.failed(size),
                Piece::Crowded => state.pace.crowded(size),
                Piece::Done if later.is_empty() => return Continue(()),
                Piece::Done => rest = later,
            }
        }
    }

    async fn piece(&self, state: &mut State, records: &[RawRecord], ends: Option<&Ends>) -> ControlFlow<Ended, Piece> {
        self.know(state, records.iter().map(|record| (&*record.topic, record.key.as_deref()))).await?;
        let whole = records.iter().map(|record| (&*record.topic, record.key.as_deref(), record.value.as_deref()));
        self.know_accounts(state, whole).await?;
        let mut prepared = state.preparer.prepare(records, &state.places);
        let halt = prepared.halt.take();
        let mut attestation = state.attestation.clone();
        let ends = ends.filter(|_| halt.is_none());
        let advance = state.advance(&mut prepared, ends, &mut attestation, now_ms());
        if prepared.steps.is_empty() && !state.differs(&advance) {
            // Nothing to commit, and nothing that a later batch could contradict.
            state.attestation = attestation;
        } else {
            match self.commit(state, prepared, advance, attestation).await? {
                Ok(Piece::Done) => {}
                Ok(cut) => return Continue(cut),
                Err(why) => return Break(self.halt(state, &refused(records, &why)).await),
            }
        }
        if halt.is_none() {
            self.release(state).await?;
        }
        match halt {
            Some(halt) => Break(self.halt(state, &halt).await),
            None if state.may_swap() => Break(self.swap(state).await),
            None => Continue(Piece::Done),
        }
    }

    /// Reads what the rows of these records were stored under, where the core's own keys do not tell it.
    async fn know<'r>(
        &self,
        state: &mut State,
        records: impl IntoIterator<Item = (&'r str, Option<&'r [u8]>)>,
    ) -> Flow {
        let rows = state.preparer.rows_asked(records);
        match state.applier.writer.rows_known(&self.ingester.db, &rows).await {
            Ok(known) => {
                state.preparer.know(known);
                Continue(())
            }
            Err(err) => {
                tracing::warn!(error = %err, source = %self.lease.source, "cannot read what rows are stored under");
                Break(Ended::Failed)
            }
        }
    }

    /// Reads what is known of the accounts that these records ask for, by topic, key and value.
    async fn know_accounts<'r>(
        &self,
        state: &mut State,
        records: impl IntoIterator<Item = (&'r str, Option<&'r [u8]>, Option<&'r [u8]>)>,
    ) -> Flow {
        let asked = state.preparer.accounts_asked(records);
        match state.applier.writer.accounts_known(&self.ingester.db, &asked).await {
            Ok(known) => {
                state.preparer.know_accounts(known);
                Continue(())
            }
            Err(err) => {
                tracing::warn!(error = %err, source = %self.lease.source, "cannot read what is known of accounts");
                Break(Ended::Failed)
            }
        }
    }

    /// Commits, keeps what was learned, and tells the tiers. The error: why what cannot be cut is refused.
    async fn commit(
        &self,
        state: &mut State,
        prepared: Prepared,
        advance: Advance,
        attestation: Attestation,
    ) -> ControlFlow<Ended, Result<Piece, String>> {
        let (prepared, advance) = (Arc::new(prepared), Arc::new(advance));
        let (as_of_before_ms, any_waiting) = (state.status.as_of_ms, state.any_waiting);
        let batch = Try { prepared: prepared.clone(), advance: advance.clone(), as_of_before_ms, any_waiting };
        let (shutdown, lost) = (self.shutdown.clone(), self.lost.clone());
        let committed = match state.applier.apply(batch, move || *shutdown.borrow() || *lost.borrow()).await {
            ApplyOutcome::Committed(committed) => committed,
            ApplyOutcome::CommittedBefore => {
                tracing::info!(source = %self.lease.source, "committed by a try whose answer was lost; reading it back");
                return Break(Ended::Failed);
            }
            ApplyOutcome::TooMuch => return Continue(Ok(Piece::TooMuch)),
            ApplyOutcome::Crowded => return Continue(Ok(Piece::Crowded)),
            ApplyOutcome::Fenced => return Break(Ended::LeaseLost),
            ApplyOutcome::Refused(why) => return Continue(Err(why)),
            ApplyOutcome::Abandoned if *self.shutdown.borrow() => return Break(Ended::Shutdown),
            ApplyOutcome::Abandoned => return Break(Ended::LeaseLost),
        };
        state.committed(&prepared, &advance, attestation);
        state.applied(&committed);
        count(&self.lease.source, &prepared, &committed.applied, &state.status);
        warn_of_parked(&self.lease.source, &prepared);
        self.ingester.tiers.publish(&state.publication(&prepared, committed.applied)).await;
        Continue(Ok(Piece::Done))
    }

    /// Carries out what people ordered about parked events, each queue in an apply transaction of its own.
    async fn orders(&self, state: &mut State) -> Flow {
        let (db, source, generation) = (&self.ingester.db, self.lease.source.clone(), state.status.generation);
        let failed = |err: &dyn std::fmt::Display| tracing::warn!(error = %err, source, "cannot look for orders");
        let queues = match ordered_queues(db, &source, generation).await {
            Ok(queues) => queues,
            Err(err) => {
                failed(&err);
                return Continue(());
            }
        };
        for queue in queues {
            let waiting = match waiting_in(db, &source, generation, &queue).await {
                Ok(waiting) => waiting,
                Err(err) => {
                    failed(&err);
                    return Continue(());
                }
            };
            self.know(state, waiting.iter().map(|event| (&*event.topic, event.key.as_deref()))).await?;
            let whole = waiting.iter().map(|event| (&*event.topic, event.key.as_deref(), event.value.as_deref()));
            self.know_accounts(state, whole).await?;
            let mut prepared = state.preparer.again(queue, &waiting);
            let (left, failed) = (prepared.worked.left.len(), prepared.worked.failed.is_some());
            let mut attestation = state.attestation.clone();
            let advance = state.advance(&mut prepared, None, &mut attestation, now_ms());
            if let Err(why) = self.commit(state, prepared, advance, attestation).await? {
                return Break(self.halt(state, &refused(&[], &why)).await);
            }
            tracing::info!(source, left, failed, "parked events worked on, as ordered");
            self.release(state).await?;
        }
        Continue(())
    }

    async fn swap(&self, state: &mut State) -> Ended {
        let (shutdown, lost) = (self.shutdown.clone(), self.lost.clone());
        let stopping = move || *shutdown.borrow() || *lost.borrow();
        match state.applier.swap(state.status.applied_seq, stopping).await {
            ApplyOutcome::Committed(_) | ApplyOutcome::CommittedBefore => {}
            ApplyOutcome::Fenced => return Ended::LeaseLost,
            ApplyOutcome::Refused(why) => {
                let reason = format!("the swap to the new generation was refused {REFUSALS_MAX} times: {why}");
                return self.halt(state, &Halt::resumable(reason)).await;
            }
            ApplyOutcome::TooMuch | ApplyOutcome::Crowded => return Ended::Failed,
            ApplyOutcome::Abandoned if *self.shutdown.borrow() => return Ended::Shutdown,
            ApplyOutcome::Abandoned => return Ended::LeaseLost,
        }
        state.status.applied_seq += 1;
        tracing::info!(source = %self.lease.source, generation = state.status.generation, "a new generation is served");
        self.ingester.tiers.publish(&state.afresh()).await;
        Ended::Swapped
    }

    async fn halt(&self, state: &State, halt: &Halt) -> Ended {
        let reason = halt.text(&self.lease.source);
        tracing::error!(source = %self.lease.source, reason, "source halted");
        metrics::gauge!(crate::metrics::HALTED, "source" => self.lease.source.clone()).set(1.0);
        match state.applier.writer.halt(&self.ingester.db, &self.lease, &reason).await {
            Ok(()) => Ended::Halted,
            Err(WriteError::Fenced { .. }) => Ended::LeaseLost,
            Err(err) => {
                tracing::error!(error = %err, source = %self.lease.source, "halt not recorded; it will be met again");
                Ended::Failed
            }
        }
    }
}

/// What became of a piece of a batch.
enum Piece {
    Done,
    /// Nothing was kept; a smaller one may succeed.
    TooMuch,
    /// Nothing was tried: it would have locked too much.
    Crowded,
}

fn refused(records: &[RawRecord], why: &str) -> Halt {
    let place = records.first().map(|record| format!("{record:?}")).unwrap_or_default();
    Halt::resumable(format!("record {place} was refused {REFUSALS_MAX} times: {why}"))
}
