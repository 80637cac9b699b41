//! The entries, legs and lanes that one transaction changes: locked in order, changed in memory by the pure functions, written once.

mod people;
mod release;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use failpoints::{Flaw, flawed};
use schemas::core::Posting;
use schemas::entry::{EntryState, Evidence, LegKind, Verdict, weigh};
use schemas::position::TransactionPlace;
use sql::Tx;

use super::admit::readmit;
use super::admit::use_up;
use super::lanes::LockedLanes;
use super::limits;
use super::record::Leg;
use super::record::legs_of;
use super::record::lock_entries;
use crate::admission::{CoreBelief, Decision, not_sent};
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::facts::{Facts, KnownAccounts};
use crate::journal::postings::LegSeen;
use crate::lane::{LanePlace, delta, gives_back, is_promised, lane_place, mark};
use crate::rules::Rulebook;

pub(super) struct WorkSet {
    lanes: LockedLanes,
    entries: BTreeMap<EntryId, Touched<Entry>>,
    legs: BTreeMap<EntryId, Vec<Touched<Leg>>>,
    /// Balance version at which a leg's hold ended in this transaction; empty = dropped without a posting, `None` = it counts again.
    released: BTreeMap<(EntryId, i64), Option<Vec<u8>>>,
    log: Vec<(EntryId, i64, EntryState, &'static str)>,
    /// Entries whose promise, if they get one here, is made with the core there.
    reserving: BTreeSet<EntryId>,
    /// What new decisions about entries rested on.
    decisions: BTreeMap<EntryId, Vec<u8>>,
    /// The SQL server's now, as the entries were locked: what is stamped, and how old data are, whichever host asks.
    now_us: i64,
}

struct Touched<T> {
    now: T,
    read: T,
}

impl<T: Clone> Touched<T> {
    fn new(read: T) -> Self {
        Self { now: read.clone(), read }
    }
}

impl WorkSet {
    /// Locks the lanes of these entries, then the entries.
    pub(super) async fn lock(tx: &mut Tx, ids: &[EntryId]) -> Result<Self, JournalError> {
        Self::lock_beside(tx, ids, &BTreeSet::new()).await
    }

    /// The SQL server's now, as the entries were locked.
    pub(super) fn now_us(&self) -> i64 {
        self.now_us
    }

    /// Where the entry stands now in the order of its lanes; `None`: it is not of this work set.
    pub(super) fn place_of(&self, id: &EntryId) -> Option<LanePlace> {
        self.entries.get(id).map(|touched| lane_place(touched.now.state, touched.now.ordered))
    }

    /// The legs, with a place in an order, of those entries that are gone from it.
    pub(super) fn legs_of_gone(&self) -> impl Iterator<Item = &Leg> {
        let gone = self.entries.keys().filter(|id| self.place_of(id) == Some(LanePlace::Gone));
        gone.flat_map(|id| self.places(id))
    }

    /// Locks the lanes of these entries and of these further accounts in one order, then the entries.
    pub(super) async fn lock_beside(
        tx: &mut Tx,
        ids: &[EntryId],
        further: &BTreeSet<String>,
    ) -> Result<Self, JournalError> {
        // Which accounts an entry touches never changes, so this may be read before the lanes are locked.
        let touched = legs_of(tx, ids).await?;
        let accounts: BTreeSet<String> =
            touched.into_iter().map(|leg| leg.account).chain(further.iter().cloned()).collect();
        let lanes = LockedLanes::lock(tx, accounts).await?;
        let (entries, now_us) = lock_entries(tx, ids).await?;
        let mut legs: BTreeMap<EntryId, Vec<Touched<Leg>>> = BTreeMap::new();
        for leg in legs_of(tx, ids).await? {
            legs.entry(leg.entry_id.clone()).or_default().push(Touched::new(leg));
        }
        let entries = entries.into_iter().map(|entry| (entry.id.clone(), Touched::new(entry))).collect();
        Ok(Self {
            lanes,
            entries,
            legs,
            released: BTreeMap::new(),
            log: Vec::new(),
            reserving: BTreeSet::new(),
            decisions: BTreeMap::new(),
            now_us,
        })
    }

    pub(super) fn entry(&self, id: &EntryId) -> Result<&Entry, JournalError> {
        self.entries.get(id).map(|touched| &touched.now).ok_or(JournalError::NoSuchEntry)
    }

    pub(super) fn any_lane_stopped(&self, id: &EntryId) -> Result<bool, JournalError> {
        for leg in self.legs.get(id).into_iter().flatten() {
            if self.lanes.get(&leg.now.account)?.stopped {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Weighs evidence and moves the entry, its lanes and its holds accordingly.
    pub(super) fn weigh_in(&mut self, id: &EntryId, evidence: Evidence) -> Result<Verdict, JournalError> {
        let verdict = weigh(self.entry(id)?.state, evidence);
        let verdict = if matches!(verdict, Verdict::Moves(_)) && self.is_booked(id) {
            despite_booked_leg(evidence, verdict)
        } else {
            verdict
        };
        let entry = &mut self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?.now;
        match verdict {
            Verdict::Moves(next) => {
                let from = (entry.state, entry.ordered);
                let to = (next, mark(entry.ordered, next, evidence));
                (entry.state, entry.ordered) = to;
                entry.version += 1;
                let (version, day) = (entry.version, entry.business_day);
                self.log.push((id.clone(), version, next, evidence.as_str()));
                self.move_lanes(id, from, to, day)?;
            }
            Verdict::Contradicts => self.contradict(id)?,
            Verdict::Nothing | Verdict::Forbidden => {}
        }
        Ok(verdict)
    }

    /// Has the core's row of one of its legs been seen?
    pub(super) fn is_booked(&self, id: &EntryId) -> bool {
        self.legs(id).any(|leg| leg.row_key.is_some())
    }

    fn move_lanes(
        &mut self,
        id: &EntryId,
        from: (EntryState, bool),
        to: (EntryState, bool),
        business_day: i64,
    ) -> Result<(), JournalError> {
        let newly_promised = !from.1 && to.1;
        let reserved = &mut self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?.now.reserved_day;
        for Touched { now: leg, .. } in self.legs.get_mut(id).into_iter().flatten() {
            self.lanes.add(&leg.account, delta(Some(from), to, &leg.placed()))?;
            if leg.kind == Some(LegKind::Debit) {
                let lane = self.lanes.get_mut(&leg.account)?;
                if newly_promised {
                    use_up(lane, business_day, leg.amount_minor)?;
                    *reserved = self.reserving.contains(id).then_some(lane.usage.business_day);
                }
                if let Some(day) = reserved.filter(|_| gives_back(from.0, to.0)) {
                    lane.usage = lane.usage.minus(day, leg.amount_minor);
                }
            }
            if !to.0.holds() && !leg.released && !flawed(Flaw::RefusalKeepsHold) {
                leg.released = true;
                self.released.insert((id.clone(), leg.leg), Some(Vec::new()));
            }
        }
        Ok(())
    }

    /// Flags the entry and stops its lanes: a person must look.
    pub(super) fn contradict(&mut self, id: &EntryId) -> Result<(), JournalError> {
        let touched = self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?;
        if !touched.now.contradicted {
            tracing::error!(entry = %id, state = %touched.now.state, "evidence contradicts an entry; its lanes are stopped");
            touched.now.contradicted = true;
            touched.now.version += 1;
            self.log.push((id.clone(), touched.now.version, touched.now.state, "contradicted"));
        }
        // What contradicts is about these accounts. The lane of all accounts goes on.
        for leg in self.legs.get(id).into_iter().flatten().filter(|leg| leg.now.kind.is_some()) {
            self.lanes.get_mut(&leg.now.account)?.stopped = true;
        }
        Ok(())
    }

    /// An entry that nobody was told of joins the order of its lanes before "accepted" is said. Stand-in's rules are asked, because that is
    /// a promise. With the core there it only reserves the day. If they say no, an entry that waits is declined where the core is away, and
    /// else nothing changes.
    pub(super) fn promise(
        &mut self,
        id: &EntryId,
        facts: &KnownAccounts,
        book: &Rulebook,
        belief: CoreBelief,
    ) -> Result<(), JournalError> {
        let entry = self.entry(id)?;
        if is_promised(entry.state, entry.ordered) {
            return Ok(());
        }
        let state = entry.state;
        let (decision, kept) = readmit(entry, facts, book, &self.lanes, self.now_us)?;
        match decision {
            Decision::Direct | Decision::Wait | Decision::Queue => {
                self.believe(id, belief);
                self.mark_ordered(id)
            }
            Decision::Decline(reason) if state == EntryState::Queued && belief == CoreBelief::Away => {
                self.decisions.insert(id.clone(), kept);
                if matches!(self.weigh_in(id, Evidence::Decline)?, Verdict::Moves(_)) {
                    self.set_reason(id, Some(reason.code().to_owned()))?;
                }
                Ok(())
            }
            Decision::Decline(_) => Ok(()),
        }
    }

    /// What is promised with the core there rests on the core's decision.
    fn believe(&mut self, id: &EntryId, belief: CoreBelief) {
        if belief == CoreBelief::Available {
            self.reserving.insert(id.clone());
        }
    }

    fn mark_ordered(&mut self, id: &EntryId) -> Result<(), JournalError> {
        let entry = &mut self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?.now;
        let (from, to, day) = ((entry.state, false), (entry.state, true), entry.business_day);
        entry.ordered = true;
        entry.version += 1;
        self.log.push((id.clone(), entry.version, entry.state, "answered"));
        self.move_lanes(id, from, to, day)
    }

    /// The evidence for an attempt that was provably not sent: stand-in decides anew, unless it has promised already. With it the reason
    /// of a decline.
    pub(super) fn after_not_sent(
        &mut self,
        id: &EntryId,
        facts: &KnownAccounts,
        book: &Rulebook,
        belief: CoreBelief,
    ) -> Result<(Evidence, Option<String>), JournalError> {
        let entry = self.entry(id)?;
        let (state, ordered) = (entry.state, entry.ordered);
        if state != EntryState::Submitting || (ordered && !flawed(Flaw::PromiseBroken)) {
            return Ok((Evidence::NotSent, None));
        }
        let (decision, kept) = readmit(entry, facts, book, &self.lanes, self.now_us)?;
        self.decisions.insert(id.clone(), kept);
        self.believe(id, belief);
        let evidence = not_sent(state, ordered, belief, decision);
        let reason = match decision {
            Decision::Decline(reason) if evidence == Evidence::Decline => Some(reason.code().to_owned()),
            _ => None,
        };
        Ok((evidence, reason))
    }

    pub(super) fn set_reason(&mut self, id: &EntryId, reason: Option<String>) -> Result<(), JournalError> {
        let touched = self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?;
        touched.now.reason = reason.map(|text| text.chars().take(64).collect());
        Ok(())
    }

    /// What the core said of its posting: its id, and the numbers by which holds are released.
    pub(super) fn set_posting(&mut self, id: &EntryId, posting: &Posting) -> Result<(), JournalError> {
        let touched = self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?;
        if touched.now.core_id.is_none() {
            touched.now.core_id = posting.core_id.as_ref().map(|text| text.chars().take(64).collect());
        }
        for Touched { now: leg, .. } in self.legs.get_mut(id).into_iter().flatten() {
            if let Some((_, number)) = posting.numbers.iter().find(|(account, _)| *account == leg.account) {
                leg.posting_no.get_or_insert(*number);
            }
        }
        Ok(())
    }

    /// The legs that move money.
    pub(super) fn legs(&self, id: &EntryId) -> impl Iterator<Item = &Leg> {
        self.legs.get(id).into_iter().flatten().map(|touched| &touched.now).filter(|leg| leg.kind.is_some())
    }

    /// The places that it takes in the orders of lanes.
    pub(super) fn places(&self, id: &EntryId) -> impl Iterator<Item = &Leg> {
        self.legs.get(id).into_iter().flatten().map(|touched| &touched.now).filter(|leg| leg.in_order)
    }

    /// Remembers the core's row that booked a leg. A later change of that row moves neither its number nor its place.
    pub(super) fn see_leg(&mut self, id: &EntryId, n: i64, row: &LegSeen) {
        let legs = self.legs.get_mut(id).into_iter().flatten();
        for Touched { now: leg, .. } in legs.filter(|leg| leg.now.leg == n) {
            leg.row_key = Some(row.row_key.clone());
            leg.posting_no = row.posting_no.or(leg.posting_no);
            leg.booked_place = TransactionPlace::first_of(leg.booked_place, row.place);
        }
    }

    /// Facts and rules for new decisions about `ids`.
    pub(super) async fn facts_for(
        &self,
        tx: &mut Tx,
        facts: &dyn Facts,
        ids: &[EntryId],
    ) -> Result<(KnownAccounts, Rulebook), JournalError> {
        let accounts: BTreeSet<String> =
            ids.iter().flat_map(|id| self.legs(id)).map(|leg| leg.account.clone()).collect();
        let accounts: Vec<String> = accounts.into_iter().collect();
        Ok((facts.read(tx, &accounts).await?, limits::rulebook(tx).await?))
    }
}

/// What evidence means that would move an entry, if a leg of it is in the core's books already.
fn despite_booked_leg(evidence: Evidence, verdict: Verdict) -> Verdict {
    match evidence {
        // "It was not posted": the books say otherwise.
        Evidence::NotSent | Evidence::Undecided | Evidence::Decline | Evidence::CoreRefused | Evidence::Absent => {
            Verdict::Contradicts
        }
        // A booked entry is neither sent nor taken back nor given up: its hold ends with its balance.
        Evidence::ReplayAttempt | Evidence::Cancel | Evidence::WriteOff | Evidence::Forced | Evidence::Linked => {
            Verdict::Forbidden
        }
        _ => verdict,
    }
}
