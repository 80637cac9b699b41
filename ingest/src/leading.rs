//! Leading a source: poll, prepare, apply, publish, until told otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use read_model::{
    Advance, Applied, Filling, Lease, Partition, Publication, SourceStatus, WriteError, filling, offsets, parked_queues,
};
use tokio::sync::watch;

use crate::apply::{Applier, Outcome, REFUSALS_MAX};
use crate::attest::{Attestation, Proven};
use crate::feed::{Batch, Feed, FeedError, Polled};
use crate::prepare::{Prepared, Preparer, SnapshotSeen};
use crate::service::{Service, pause};
use crate::topics;

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
    /// SQL or the feed failed before anything was under way; begin again.
    Failed,
}

pub(crate) struct Leading<'s> {
    service: &'s Service,
    lease: Lease,
    shutdown: watch::Receiver<bool>,
    lost: watch::Receiver<bool>,
}

/// What a leader knows of its source between two batches.
struct State {
    applier: Applier,
    preparer: Preparer,
    attestation: Attestation,
    /// Of the generation that is filled.
    status: SourceStatus,
    /// Of the generation that is served meanwhile, while a shadow is filled.
    served: Option<SourceStatus>,
    next: HashMap<Partition, i64>,
}

impl<'s> Leading<'s> {
    pub(crate) fn new(
        service: &'s Service,
        lease: Lease,
        shutdown: watch::Receiver<bool>,
        lost: watch::Receiver<bool>,
    ) -> Self {
        Self { service, lease, shutdown, lost }
    }

    pub(crate) async fn run(mut self) -> Ended {
        match self.begin().await {
            Ok((state, feed)) => {
                let ended = self.work(state, feed).await.unwrap_or_else(|ended| ended);
                // Of a source that was not led, this process has kept nothing.
                self.service.tiers.retire(&self.lease.source);
                ended
            }
            Err(Some(ended)) => ended,
            Err(None) => Ended::Failed,
        }
    }

    /// Reads where the source is. `Err(None)` = a failure, logged.
    async fn begin(&mut self) -> Result<(State, Box<dyn Feed>), Option<Ended>> {
        let (db, source) = (&self.service.db, self.lease.source.as_str());
        let failed = |err: &dyn std::fmt::Display| {
            tracing::warn!(error = %err, source, "cannot begin");
            None
        };
        let filling = filling(db, source).await.map_err(|err| failed(&err))?.ok_or(None)?;
        let writer = filling.writer();
        let Filling { mut status, served, topic_prefix, snapshot_begun } = filling;
        // A time from the future would stand until the future is over.
        status.as_of_ms = status.as_of_ms.map(|ms| ms.min(now_ms()));
        if let Some(reason) = &status.halted {
            tracing::warn!(source, reason, "source is halted");
            metrics::gauge!(crate::metrics::HALTED, "source" => source.to_owned()).set(1.0);
            return Err(Some(Ended::Halted));
        }
        metrics::gauge!(crate::metrics::HALTED, "source" => source.to_owned()).set(0.0);
        let next: HashMap<_, _> = offsets(db, source).await.map_err(|err| failed(&err))?.into_iter().collect();
        let parked = parked_queues(db, source, status.generation).await.map_err(|err| failed(&err))?;
        let mut feed = (self.service.feed)(topic_prefix.as_deref()).map_err(|err| failed(&err))?;
        if !next.is_empty() {
            feed.assign(next.clone().into_iter().collect()).await.map_err(|err| failed(&err))?;
        }
        let mapping = self.service.options.mapping.clone();
        let mut preparer = Preparer::new(mapping, status.generation, status.identity.as_deref(), parked);
        preparer.seen(SnapshotSeen { begun: snapshot_begun, whole: status.loaded });
        let proven = Proven { as_of_ms: status.as_of_ms, loaded: status.loaded };
        if let Some(served) = &served {
            tracing::info!(
                source,
                generation = status.generation,
                served = served.generation,
                "filling a new generation"
            );
        }
        let applier =
            Applier { db: db.clone(), writer, lease: self.lease.clone(), confirm: self.service.confirm.clone() };
        let state = State { applier, preparer, attestation: Attestation::new(proven), status, served, next };
        Ok((state, feed))
    }

    /// Always ends by `Err`.
    async fn work(&mut self, mut state: State, mut feed: Box<dyn Feed>) -> Result<Ended, Ended> {
        loop {
            let polled = tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => return Ok(Ended::Shutdown),
                _ = self.lost.wait_for(|lost| *lost) => return Ok(Ended::LeaseLost),
                polled = feed.poll() => polled,
            };
            match polled {
                Ok(Polled::Batch(batch)) => self.batch(&mut state, batch).await?,
                Ok(Polled::Discovered(found)) => self.discovered(&mut state, &mut *feed, found).await?,
                Err(FeedError::Lost(reason)) => return Err(self.halt(&state, &reason).await),
                Err(err) => {
                    tracing::warn!(error = %err, source = %self.lease.source, "nothing polled");
                    pause(self.service.options.retry, &mut self.shutdown).await;
                }
            }
        }
    }

    /// Registers partitions before the first record of theirs is read.
    ///
    /// A partition of a table that is new to us must be there from its first record. Compaction keeps that offset, so a later
    /// one means that records were deleted: the snapshot's rows, or changes that no later record repeats. What they told would
    /// be called absent for good, so the source halts (C6), whether or not the connector takes snapshots at all.
    async fn discovered(
        &mut self,
        state: &mut State,
        feed: &mut dyn Feed,
        found: Vec<(Partition, i64)>,
    ) -> Result<(), Ended> {
        let new: Vec<_> = found.into_iter().filter(|(partition, _)| !state.next.contains_key(partition)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mapping = &self.service.options.mapping;
        let begun = |(p, first): &&(Partition, i64)| *first > 0 && topics::is_table(&p.topic, mapping.tables());
        if let Some((partition, first)) = new.iter().find(begun) {
            return Err(self.halt(state, &beginning_gone(partition, *first)).await);
        }
        match state.applier.writer.add_partitions(&self.service.db, &self.lease, new.clone()).await {
            Ok(()) => {}
            Err(WriteError::Fenced { .. }) => return Err(Ended::LeaseLost),
            Err(err) => {
                // Written or not: beginning again reads it back.
                tracing::warn!(error = %err, source = %self.lease.source, "partitions not registered");
                return Err(Ended::Failed);
            }
        }
        state.next.extend(new.iter().cloned());
        feed.assign(new).await.map_err(|err| {
            tracing::warn!(error = %err, source = %self.lease.source, "partitions not assigned");
            Ended::Failed
        })
    }

    async fn batch(&mut self, state: &mut State, batch: Batch) -> Result<(), Ended> {
        let mut prepared = state.preparer.prepare(&batch.records, &state.next);
        let halt = prepared.halt.take();
        // What is known of the ends came after all records, also those behind a halt.
        let ends = if halt.is_none() { batch.ends.as_deref() } else { None };
        state.attestation.polled(prepared.signs, ends, now_ms());
        let advance = state.advance(&prepared, batch.ends.as_deref());
        if !prepared.steps.is_empty() || state.differs(&advance) {
            self.apply(state, prepared, advance).await?;
        }
        match halt {
            Some(reason) => Err(self.halt(state, &reason).await),
            None if state.may_swap() => Err(self.swap(state).await),
            None => Ok(()),
        }
    }

    async fn swap(&self, state: &mut State) -> Ended {
        let (shutdown, lost) = (self.shutdown.clone(), self.lost.clone());
        let stopping = move || *shutdown.borrow() || *lost.borrow();
        match state.applier.swap(state.status.applied_seq, stopping).await {
            Outcome::Committed(_) | Outcome::CommittedBefore => {}
            Outcome::Fenced => return Ended::LeaseLost,
            Outcome::Refused(why) => {
                let reason = format!("the store refused the swap to the new generation {REFUSALS_MAX} times: {why}");
                return self.halt(state, &reason).await;
            }
            Outcome::Abandoned if *self.shutdown.borrow() => return Ended::Shutdown,
            Outcome::Abandoned => return Ended::LeaseLost,
        }
        state.status.applied_seq += 1;
        tracing::info!(source = %self.lease.source, generation = state.status.generation, "a new generation is served");
        self.service.tiers.publish(&state.afresh()).await;
        Ended::Swapped
    }

    async fn apply(&mut self, state: &mut State, prepared: Prepared, advance: Advance) -> Result<(), Ended> {
        let (prepared, advance) = (Arc::new(prepared), Arc::new(advance));
        let (shutdown, lost) = (self.shutdown.clone(), self.lost.clone());
        let stopping = move || *shutdown.borrow() || *lost.borrow();
        let applied = match state.applier.apply(prepared.clone(), advance.clone(), stopping).await {
            Outcome::Committed(applied) => Some(applied),
            Outcome::CommittedBefore => None,
            Outcome::Fenced => return Err(Ended::LeaseLost),
            Outcome::Refused(why) => {
                let reason = format!("the store refused the next batch {REFUSALS_MAX} times: {why}");
                return Err(self.halt(state, &reason).await);
            }
            Outcome::Abandoned if *self.shutdown.borrow() => return Err(Ended::Shutdown),
            Outcome::Abandoned => return Err(Ended::LeaseLost),
        };
        state.committed(&advance);
        count(&self.lease.source, &prepared, applied.as_ref(), &state.status);
        warn_of_parked(&self.lease.source, &prepared);
        let publication = state.publication(&prepared, applied);
        self.service.tiers.publish(&publication).await;
        Ok(())
    }

    async fn halt(&self, state: &State, reason: &str) -> Ended {
        tracing::error!(source = %self.lease.source, reason, "source halted");
        metrics::gauge!(crate::metrics::HALTED, "source" => self.lease.source.clone()).set(1.0);
        match state.applier.writer.halt(&self.service.db, &self.lease, reason).await {
            Ok(()) => Ended::Halted,
            Err(WriteError::Fenced { .. }) => Ended::LeaseLost,
            Err(err) => {
                tracing::error!(error = %err, source = %self.lease.source, "halt not recorded; it will be met again");
                Ended::Failed
            }
        }
    }
}

impl State {
    /// What this batch makes of the source.
    fn advance(&mut self, prepared: &Prepared, ends: Option<&[(Partition, i64)]>) -> Advance {
        let mut next = self.next.clone();
        for step in &prepared.steps {
            next.insert(step.partition.clone(), step.to);
        }
        let proven = self.attestation.applied(&next);
        let behind =
            |(partition, end): &(Partition, i64)| end.saturating_sub(next.get(partition).copied().unwrap_or(0)).max(0);
        Advance {
            sequence: self.status.applied_seq,
            offsets: prepared.steps.clone(),
            watermark: prepared.watermark.unwrap_or(self.status.watermark).max(self.status.watermark),
            as_of_ms: proven.as_of_ms,
            loaded: proven.loaded,
            identity: prepared.identity.clone(),
            snapshot_begun: prepared.snapshot_begun,
            events: prepared.records as i64,
            events_behind: ends
                .map_or(self.status.events_behind, |ends| Some(ends.iter().map(behind).fold(0, i64::saturating_add))),
        }
    }

    /// Something to say although no offset moved.
    fn differs(&self, advance: &Advance) -> bool {
        advance.as_of_ms != self.status.as_of_ms || advance.loaded != self.status.loaded
    }

    /// A shadow that is loaded and of known age can be served.
    fn may_swap(&self) -> bool {
        self.served.is_some() && self.status.loaded && self.status.as_of_ms.is_some()
    }

    fn committed(&mut self, advance: &Advance) {
        self.status.applied_seq = advance.sequence + 1;
        self.status.watermark = advance.watermark;
        self.status.as_of_ms = advance.as_of_ms;
        self.status.loaded = advance.loaded;
        self.status.identity.clone_from(&advance.identity);
        self.status.events_applied += advance.events;
        self.status.events_behind = advance.events_behind;
        self.status.token = self.applier.lease.token;
        self.preparer.seen(SnapshotSeen { begun: advance.snapshot_begun, whole: advance.loaded });
        for step in &advance.offsets {
            self.next.insert(step.partition.clone(), step.to);
        }
    }

    /// Of a generation that was not served before, tiers have nothing.
    fn afresh(&self) -> Publication {
        let (documents, gone) = (Vec::new(), Vec::new());
        let previous_seq = self.status.applied_seq - 1;
        Publication { status: Arc::new(self.status.clone()), previous_seq, documents, gone, reset: true }
    }

    fn publication(&self, prepared: &Prepared, applied: Option<Applied>) -> Publication {
        if let Some(served) = &self.served {
            let SourceStatus { applied_seq, token, .. } = self.status;
            let status = SourceStatus { applied_seq, token, ..served.clone() };
            return Publication { status: Arc::new(status), reset: false, ..self.afresh() };
        }
        let doubtful = prepared.doubtful_accounts();
        let known = applied.is_some() && doubtful.is_some();
        let applied = applied.unwrap_or_default();
        let mut gone = applied.gone;
        gone.extend(doubtful.unwrap_or_default());
        Publication {
            status: Arc::new(self.status.clone()),
            previous_seq: self.status.applied_seq - 1,
            documents: applied.documents,
            gone,
            reset: !known,
        }
    }
}

fn beginning_gone(partition: &Partition, first: i64) -> String {
    let Partition { topic, partition } = partition;
    format!(
        "{topic}/{partition}: begins at offset {first}, so its snapshot is not complete any more; delete the topic, keep it \
         from losing records (retention.ms=-1), let the connector take a new snapshot into it, and resume the source"
    )
}

/// This process's wall clock, milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Tells of parked events, without their reasons: these may quote a customer's data, and are kept with the events.
fn warn_of_parked(source: &str, prepared: &Prepared) {
    if !prepared.healed.is_empty() {
        tracing::info!(source, rows = prepared.healed.len(), "later events superseded the parked events of these rows");
    }
    for event in &prepared.parked {
        let Partition { topic, partition } = &event.partition;
        tracing::warn!(
            source,
            topic,
            partition,
            offset = event.offset,
            "an event cannot be applied and is parked; what it touches is served as degraded: GET /admin/v1/parked-events"
        );
    }
}

fn count(source: &str, prepared: &Prepared, applied: Option<&Applied>, status: &SourceStatus) {
    let label = || source.to_owned();
    metrics::counter!(crate::metrics::RECORDS_TOTAL, "source" => label()).increment(prepared.records as u64);
    metrics::counter!(crate::metrics::IGNORED_TOTAL, "source" => label()).increment(prepared.ignored as u64);
    metrics::counter!(crate::metrics::PARKED_TOTAL, "source" => label()).increment(prepared.parked.len() as u64);
    metrics::counter!(crate::metrics::ROWS_TOTAL, "source" => label()).increment(applied.map_or(0, |a| a.rows) as u64);
    metrics::gauge!(crate::metrics::BEHIND_RECORDS, "source" => label()).set(status.events_behind.unwrap_or(0) as f64);
    metrics::gauge!(crate::metrics::AS_OF_MS, "source" => label()).set(status.as_of_ms.unwrap_or(0) as f64);
}
