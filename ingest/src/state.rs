//! What a leader knows of its source between two batches. Changed only by what is committed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use read_model::{
    Advance, Applied, Due, OffsetStep, Partition, Place, Publication, SourceStatus, WaitingEvent, WriteError,
};
use sql::Db;

use crate::apply::{Applier, Committed};
use crate::attest::{Attestation, LATE_MS, Proven};
use crate::feed::Ends;
use crate::pace::Pace;
use crate::prepare::Preparer;
use crate::prepared::{Prepared, SnapshotSeen};
use crate::tables::Tables;

/// A leader's knowledge.
pub(crate) struct State {
    pub(crate) applier: Applier,
    pub(crate) preparer: Preparer,
    pub(crate) attestation: Attestation,
    /// Of the generation that is filled.
    pub(crate) status: SourceStatus,
    /// Of the generation that is served meanwhile, while a shadow is filled.
    pub(crate) served: Option<SourceStatus>,
    pub(crate) places: HashMap<Partition, Place>,
    pub(crate) pace: Pace,
    pub(crate) tables: Tables,
    /// A balance may wait for its posting.
    pub(crate) any_waiting: bool,
    /// Which accounts events may wait for that are there.
    pub(crate) told: Told,
}

/// What may let events go that wait for accounts.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Everything that waits was looked through since the start.
    pub(crate) looked: bool,
    /// Accounts that came since.
    pub(crate) accounts: BTreeSet<String>,
    /// Everything that was sent before is applied, or waits.
    pub(crate) attested_ms: Option<i64>,
}

impl State {
    /// What this batch makes of the source. `attestation` has seen its signs and is kept only if it is committed.
    pub(crate) fn advance(
        &self,
        prepared: &mut Prepared,
        ends: Option<&Ends>,
        attestation: &mut Attestation,
        now_ms: i64,
    ) -> Advance {
        self.step_past_markers(prepared, ends);
        let mut next: HashMap<_, _> =
            self.places.iter().map(|(partition, place)| (partition.clone(), place.next)).collect();
        next.extend(prepared.steps.iter().map(|step| (step.partition.clone(), step.to)));
        // What is known of the ends came after all records, also those behind a halt.
        let known = ends.filter(|_| prepared.halt.is_none());
        attestation.polled(prepared.signs, known, now_ms);
        let Proven { as_of_ms, loaded } = attestation.applied(&next);
        let behind =
            |(partition, end): &(Partition, i64)| end.saturating_sub(next.get(partition).copied().unwrap_or(0)).max(0);
        let sum = |ends: &Ends| ends.offsets.iter().map(behind).fold(0, i64::saturating_add);
        Advance {
            sequence: self.status.applied_seq,
            offsets: prepared.steps.clone(),
            watermark: prepared.watermark.unwrap_or(self.status.watermark).max(self.status.watermark),
            as_of_ms,
            loaded: self.status.loaded || (loaded && self.tables.answer_for_absence()),
            identity: prepared.identity.clone(),
            snapshot_begun: prepared.snapshot_begun,
            events: prepared.records as i64,
            events_behind: ends.map_or(self.status.events_behind, |ends| Some(sum(ends))),
        }
    }

    /// Partitions that end in records of the broker's own are read to their end.
    fn step_past_markers(&self, prepared: &mut Prepared, ends: Option<&Ends>) {
        if prepared.halt.is_some() {
            return;
        }
        for (partition, reached) in ends.into_iter().flat_map(|ends| &ends.reached) {
            if let Some(step) = prepared.steps.iter_mut().find(|step| step.partition == *partition) {
                step.to = step.to.max(*reached);
            } else if let Some(Place { next, marks }) = self.places.get(partition).filter(|place| place.next < *reached)
            {
                let (partition, marks) = (partition.clone(), marks.clone());
                prepared.steps.push(OffsetStep { partition, from: *next, to: *reached, marks });
            }
        }
    }

    /// Something to say although no offset moved.
    pub(crate) fn differs(&self, advance: &Advance) -> bool {
        advance.as_of_ms.max(self.status.as_of_ms) != self.status.as_of_ms || advance.loaded != self.status.loaded
    }

    /// A shadow can be served when it is loaded and not older than what is served, because no data may go back in the swap.
    pub(crate) fn may_swap(&self) -> bool {
        let young = |served: &SourceStatus| self.status.as_of_ms.is_some() && self.status.as_of_ms >= served.as_of_ms;
        self.status.loaded && self.served.as_ref().is_some_and(young)
    }

    /// Keeps what a committed batch made of the source.
    pub(crate) fn committed(&mut self, prepared: &Prepared, advance: &Advance, attestation: Attestation) {
        self.attestation = attestation;
        self.preparer.learn(prepared);
        let there = prepared.told.iter().filter(|(_, currency)| currency.is_some());
        self.told.accounts.extend(there.map(|(account, _)| account.clone()));
        self.told.attested_ms = self.told.attested_ms.max(advance.as_of_ms);
        self.status.applied_seq = advance.sequence + 1;
        self.status.watermark = advance.watermark;
        self.status.loaded = advance.loaded;
        self.status.identity.clone_from(&advance.identity);
        self.status.events_applied += advance.events;
        self.status.events_behind = advance.events_behind;
        self.status.token = self.applier.lease.token;
        self.preparer.seen(SnapshotSeen { begun: advance.snapshot_begun, whole: advance.loaded });
        for step in &advance.offsets {
            self.places.insert(step.partition.clone(), Place { next: step.to, marks: step.marks.clone() });
        }
    }

    /// The next events that wait and need not any longer; true: their accounts do not come.
    pub(crate) async fn due(&mut self, db: &Db) -> Result<(Vec<WaitingEvent>, bool), WriteError> {
        let (writer, told) = (&self.applier.writer, &mut self.told);
        if !told.looked {
            let found = writer.events_due(db, Due::Known).await?;
            if !found.is_empty() {
                return Ok((found, false));
            }
            told.looked = true;
        }
        if !told.accounts.is_empty() {
            let found = writer.events_due(db, Due::Of(&told.accounts)).await?;
            if !found.is_empty() {
                return Ok((found, false));
            }
            told.accounts.clear();
        }
        match told.attested_ms {
            None => Ok((Vec::new(), true)),
            Some(ms) => Ok((writer.events_due(db, Due::SentUntil(ms.saturating_sub(LATE_MS))).await?, true)),
        }
    }

    /// Keeps how the commit itself went.
    pub(crate) fn applied(&mut self, committed: &Committed) {
        self.status.as_of_ms = committed.as_of_ms;
        self.any_waiting = committed.any_waiting;
        self.pace.applied(committed.held);
    }

    /// Of a generation that was not served before, tiers have nothing.
    pub(crate) fn afresh(&self) -> Publication {
        let (documents, gone) = (Vec::new(), Vec::new());
        let previous_seq = self.status.applied_seq - 1;
        Publication { status: Arc::new(self.status.clone()), previous_seq, documents, gone, reset: true }
    }

    /// What tiers are told.
    pub(crate) fn publication(&self, prepared: &Prepared, applied: Applied) -> Publication {
        if let Some(served) = &self.served {
            let SourceStatus { applied_seq, token, .. } = self.status;
            let status = SourceStatus { applied_seq, token, ..served.clone() };
            return Publication { status: Arc::new(status), reset: false, ..self.afresh() };
        }
        let doubtful = prepared.doubtful_accounts();
        let known = doubtful.is_some();
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
