//! Refusals that the core's own books show, as rows of its commands do.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{EntryState, Evidence, Verdict, weigh};
use sql::{Tx, listed, params};

use crate::change::Change;
use crate::entry::EntryId;
use crate::journal::attempts::{Attempts, Heard, hear};
use crate::journal::breaks::{REFUSAL_ROW, keep_break};
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::record::KEYS_PER_STATEMENT;
use crate::journal::workset::WorkSet;

/// A row of the core that says that it refused what carried one of our references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalSeen {
    /// The reference we sent.
    pub core_ref: String,
    /// The core's own code.
    pub code: String,
}

/// What a refusal is kept as that contradicts its entry.
const AGAINST: &str = "the core refused what is posted";

impl Confirmations {
    /// Which of these would change something: those of entries that are not refused yet. Locks nothing.
    pub async fn refusals_news(&self, tx: &mut Tx, seen: &[RefusalSeen]) -> Result<Vec<bool>, JournalError> {
        let named = self.refusable(tx, seen).await?;
        Ok(seen.iter().map(|row| named.contains_key(&row.core_ref)).collect())
    }

    /// The entries of these references that are not refused yet. What is archived has ended, and other systems refuse under references
    /// of their own.
    pub(super) async fn refusable(
        &self,
        tx: &mut Tx,
        seen: &[RefusalSeen],
    ) -> Result<BTreeMap<String, EntryId>, JournalError> {
        let refs: BTreeSet<&str> = seen.iter().map(|row| row.core_ref.as_str()).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        let mut named = BTreeMap::new();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let (list, keys) = listed(refs.iter().copied());
            let sql =
                format!("SELECT id, core_ref FROM entries WHERE core = ? AND state <> ? AND core_ref IN ({list})");
            let values = params![&*self.0.core, EntryState::Refused.as_str()];
            for row in tx.query(&sql, values.into_iter().chain(keys).collect()).await? {
                let id = EntryId::parse(row.get("id")?).ok_or(JournalError::Corrupt("entry id"))?;
                named.insert(row.get("core_ref")?, id);
            }
        }
        Ok(named)
    }
}

/// Ends the entries that the core refused, by the rule for a refusal that an enquiry finds: it counts only where no other attempt may
/// post. `named`: the locked entries of their references. Answers how many ended.
pub(super) async fn weigh_refusals(
    tx: &mut Tx,
    work: &mut WorkSet,
    named: &BTreeMap<String, EntryId>,
    seen: &[RefusalSeen],
) -> Result<usize, JournalError> {
    let ids: Vec<EntryId> = named.values().cloned().collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let mut attempts = Attempts::lock(tx, &ids).await?;
    let linked = linked(tx, work, &ids).await?;
    let mut ended = 0;
    for row in seen {
        let Some(id) = named.get(&row.core_ref) else { continue };
        if is_unposted(work.entry(id)?.state) || linked.contains(id) {
            tracing::info!(entry = %id, "a refusal changes nothing: nobody says that the core posted this reference");
            continue;
        }
        let change = Change::new(id.clone(), Evidence::CoreRefused);
        if !matches!(hear(&mut attempts, &change), Heard::Evidence(Evidence::CoreRefused)) {
            continue;
        }
        let against = work.is_booked(id) || weigh(work.entry(id)?.state, Evidence::CoreRefused) == Verdict::Contradicts;
        // The same row comes again after a rewind, and in each new generation. A person has looked at it once.
        if against && !keep_break(tx, &row.core_ref, "", REFUSAL_ROW, AGAINST).await? {
            continue;
        }
        if matches!(work.weigh_in(id, Evidence::CoreRefused)?, Verdict::Moves(_)) {
            work.set_reason(id, Some(row.code.clone()))?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// States that a refusal says nothing against: the core has posted nothing, and nobody says that it has. A queued entry is sent again, and
/// its sender hears the same.
fn is_unposted(state: EntryState) -> bool {
    matches!(state, EntryState::Queued | EntryState::Cancelled | EntryState::Declined | EntryState::WrittenOff)
}

/// Those of these entries that a person keyed into the core by hand: that the core had refused them may be why. Asked under their locks.
async fn linked(tx: &mut Tx, work: &WorkSet, ids: &[EntryId]) -> Result<BTreeSet<EntryId>, JournalError> {
    let is_posted = |id: &&EntryId| {
        let state = work.entry(id).map(|entry| entry.state);
        matches!(state, Ok(EntryState::Posted | EntryState::Confirmed))
    };
    let posted: Vec<&EntryId> = ids.iter().filter(is_posted).collect();
    let mut linked = BTreeSet::new();
    for ids in posted.chunks(KEYS_PER_STATEMENT) {
        let (list, keys) = listed(ids.iter().map(|id| id.as_str()));
        for row in tx.query(&format!("SELECT entry_id FROM links WHERE entry_id IN ({list})"), keys).await? {
            linked.insert(EntryId::stored(row.get("entry_id")?));
        }
    }
    Ok(linked)
}
