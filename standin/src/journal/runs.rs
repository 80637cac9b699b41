//! Runs: entries of one replayer that one commit claims, and that go one after the other.
//!
//! The lane of one account would else wait for a commit between any two of its entries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use failpoints::{Flaw, flawed};
use schemas::entry::{EntryState, Evidence, Verdict};
use sql::Tx;

use super::attempts::{Alone, Attempts};
use super::claim::Claimed;
use super::ready::{Place, first_places};
use super::record::{Leg, legs_of};
use super::workset::WorkSet;
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::lane::{GLOBAL_LANE, LanePlace, may_replay};

/// Entries that one transaction looks at behind the heads of lanes, about: it locks them and all their lanes. OceanBase begins a statement
/// that meets one locked row anew, without the rows that it had, so a claim of many lanes may find one of them locked each time.
const CANDIDATES_MAX: usize = 64;

/// What a commit may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Runs, at most.
    pub runs: usize,
    /// Entries of one run, at most; 1: no entry is claimed behind another one.
    pub longest: usize,
}

/// Entries that may be claimed. A hint, read without a lock.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// First in their lanes, as far as is known, or offered.
    pub(super) heads: Vec<EntryId>,
    /// The heads, and behind each what stands in its lanes.
    pub(super) all: Vec<EntryId>,
}

impl Candidates {
    /// What is `offered`, and what is next in the lanes of `followed` once all that is `ended` is out of the way; the oldest first.
    pub(super) async fn read(
        tx: &mut Tx,
        ended: &BTreeSet<EntryId>,
        followed: &BTreeSet<EntryId>,
        offered: &BTreeSet<EntryId>,
        longest: usize,
    ) -> Result<Self, JournalError> {
        let beside: Vec<EntryId> = offered.difference(ended).cloned().collect();
        if followed.is_empty() && longest <= 1 {
            return Ok(Self { heads: beside.clone(), all: beside });
        }
        let ids: Vec<EntryId> = ended.iter().chain(&beside).cloned().collect();
        let mut legs = legs_of(tx, &ids).await?;
        legs.retain(|leg| leg.in_order);
        let wanted = |leg: &&Leg| followed.contains(&leg.entry_id) || (longest > 1 && offered.contains(&leg.entry_id));
        let lanes = lanes_to_follow(&legs.iter().filter(wanted).collect::<Vec<_>>());
        let gone = most_in_a_lane(legs.iter().filter(|leg| ended.contains(&leg.entry_id)));
        let depth = longest.min(CANDIDATES_MAX / lanes.len().max(1)).max(1);
        let mut standing: BTreeMap<String, Vec<EntryId>> = BTreeMap::new();
        for place in first_places(tx, &lanes, depth + gone).await? {
            if !ended.contains(&place.id) {
                standing.entry(place.account).or_default().push(place.id);
            }
        }
        let mut standing: Vec<Vec<EntryId>> = standing.into_values().collect();
        standing.iter_mut().for_each(|lane| lane.truncate(depth));
        standing.extend(beside.into_iter().map(|id| vec![id]));
        let begins = |lane: &Vec<EntryId>| lane.first().map(|id| id.time().to_owned());
        standing.sort_by_cached_key(begins);
        let mut candidates = Self::default();
        let (mut heads, mut known) = (BTreeSet::new(), BTreeSet::new());
        for lane in standing {
            candidates.heads.extend(lane.first().filter(|id| heads.insert((*id).clone())).cloned());
            candidates.all.extend(lane.into_iter().filter(|id| known.insert(id.clone())));
        }
        Ok(candidates)
    }
}

/// The lanes in which what comes behind these places may be next. What has a place in the lane of all accounts waits there, so its
/// accounts tell nothing.
fn lanes_to_follow<'l>(places: &[&'l Leg]) -> BTreeSet<&'l str> {
    let is_global = |place: &&&Leg| place.account == GLOBAL_LANE;
    let global: BTreeSet<&EntryId> = places.iter().filter(is_global).map(|place| &place.entry_id).collect();
    let told = places.iter().filter(|place| is_global(place) || !global.contains(&place.entry_id));
    told.map(|place| place.account.as_str()).collect()
}

/// Entries that the open transaction claims.
#[derive(Default)]
pub(super) struct Taken(Vec<Took>);

struct Took {
    id: EntryId,
    behind: Option<EntryId>,
    attempt: i64,
}

/// A run that grows.
struct Run {
    last: EntryId,
    length: usize,
}

impl Taken {
    /// Takes those of `ids` that may be sent now, and those that may be sent behind them, with all their lanes locked.
    pub(super) async fn take(
        tx: &mut Tx,
        work: &mut WorkSet,
        attempts: &mut Attempts,
        ids: &[EntryId],
        room: Room,
    ) -> Result<Self, JournalError> {
        let lanes = open_places(tx, work, ids).await?;
        let (mut runs, mut run_of, mut taken) = (Vec::<Run>::new(), HashMap::new(), Vec::new());
        for id in ids {
            let before = Before::of(work.places(id), &lanes, &run_of);
            let lower = (before == Before::Others).then_some(LanePlace::Ordered);
            if !(may_replay(lower, work.any_lane_stopped(id)?) || flawed(Flaw::ClaimIgnoresOrder)) {
                continue;
            }
            let joins = if let Before::Run(run) = before { Some(run) } else { None };
            let fits = match joins {
                Some(run) => runs.get(run).is_some_and(|run| run.length < room.longest),
                None => runs.len() < room.runs,
            };
            if !fits || work.weigh_in(id, Evidence::ReplayAttempt)? != Verdict::Moves(EntryState::Submitting) {
                continue;
            }
            let behind = match joins.and_then(|run| runs.get_mut(run)) {
                Some(run) => {
                    run.length += 1;
                    Some(std::mem::replace(&mut run.last, id.clone()))
                }
                None => {
                    runs.push(Run { last: id.clone(), length: 1 });
                    None
                }
            };
            run_of.insert(id.clone(), joins.unwrap_or(runs.len() - 1));
            taken.push((id.clone(), behind));
        }
        let ids: Vec<EntryId> = taken.iter().map(|(id, _)| id.clone()).collect();
        let numbers = attempts.begin(tx, &ids, Alone::Queued).await?;
        let took = |((id, behind), attempt)| Took { id, behind, attempt };
        Ok(Self(taken.into_iter().zip(numbers).map(took).collect()))
    }

    /// Which.
    pub(super) fn ids(&self) -> impl Iterator<Item = &EntryId> {
        self.0.iter().map(|took| &took.id)
    }

    /// With the entries as they were stored.
    pub(super) fn with(self, entries: &BTreeMap<EntryId, Entry>) -> Result<Vec<Claimed>, JournalError> {
        let claimed = |Took { id, behind, attempt }| {
            let entry = entries.get(&id).cloned().ok_or(JournalError::NoSuchEntry)?;
            Ok(Claimed { entry, attempt, behind })
        };
        self.0.into_iter().map(claimed).collect()
    }
}

/// What has a lower open place in an entry's lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Only entries of this run.
    Run(usize),
    Others,
}

impl Before {
    fn of<'l>(
        legs: impl Iterator<Item = &'l Leg>,
        lanes: &HashMap<String, Vec<Place>>,
        run_of: &HashMap<EntryId, usize>,
    ) -> Self {
        let mut before = Self::Nothing;
        for leg in legs {
            let Some(places) = lanes.get(&leg.account) else { continue };
            for place in places.iter().take_while(|place| place.seq < leg.seq) {
                before = match (before, run_of.get(&place.id)) {
                    (Self::Nothing, Some(run)) => Self::Run(*run),
                    (Self::Run(known), Some(run)) if known == *run => before,
                    _ => return Self::Others,
                };
            }
            // It stands further behind than was read, so others are before it.
            if places.last().is_some_and(|last| last.seq < leg.seq) {
                return Self::Others;
            }
        }
        before
    }
}

/// Is nothing open before this entry in the lanes in whose order it stands?
pub(super) async fn is_first(tx: &mut Tx, work: &WorkSet, id: &EntryId) -> Result<bool, JournalError> {
    let lanes = open_places(tx, work, std::slice::from_ref(id)).await?;
    Ok(Before::of(work.places(id), &lanes, &HashMap::new()) == Before::Nothing)
}

/// The lowest open places in each lane of `ids`, as far as `ids` can reach, read with those lanes locked. What this transaction has ended
/// and not yet written is passed over.
async fn open_places(
    tx: &mut Tx,
    work: &WorkSet,
    ids: &[EntryId],
) -> Result<HashMap<String, Vec<Place>>, JournalError> {
    let legs: Vec<&Leg> = ids.iter().flat_map(|id| work.places(id)).collect();
    let accounts: BTreeSet<&str> = legs.iter().map(|leg| leg.account.as_str()).collect();
    let gone = most_in_a_lane(work.legs_of_gone());
    let mut lanes: HashMap<String, Vec<Place>> = HashMap::new();
    for place in first_places(tx, &accounts, most_in_a_lane(legs.iter().copied()) + gone).await? {
        if work.place_of(&place.id) != Some(LanePlace::Gone) {
            lanes.entry(place.account.clone()).or_default().push(place);
        }
    }
    Ok(lanes)
}

fn most_in_a_lane<'l>(legs: impl Iterator<Item = &'l Leg>) -> usize {
    let mut lanes: HashMap<&str, usize> = HashMap::new();
    legs.for_each(|leg| *lanes.entry(&leg.account).or_default() += 1);
    lanes.into_values().max().unwrap_or(0)
}
