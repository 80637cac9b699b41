//! Confirmation: the core's own change events end entries and release holds, in the transaction that applies the rows.

mod refusals;
mod taken;
mod to_lock;
mod unrecorded;

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{Evidence, Verdict, weigh};
use sql::{Tx, listed, params};

use super::archive::{Ended, OF_REFERENCES};
use super::breaks::FREED;
use super::breaks::FreedRow;
use super::breaks::keep_break;
use super::record::COLUMNS;
use super::record::KEYS_PER_STATEMENT;
use super::record::Leg;
use super::record::legs_of;
use super::workset::WorkSet;
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::facts::KnownAccounts;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;

pub use refusals::RefusalSeen;
pub(super) use taken::ANOTHERS;
pub use to_lock::ToLock;

/// What one batch of change events did to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confirmed {
    /// Entries that ended confirmed.
    pub entries: usize,
    /// New rows that no entry of ours explains, or that contradict one.
    pub breaks: usize,
}

/// What the references of some rows name.
#[derive(Default)]
struct Named {
    /// The entry of each reference.
    booked: BTreeMap<String, EntryId>,
    /// What stayed of those that are archived.
    archived: BTreeMap<String, Ended>,
    /// The rows that a person found not to belong to the entry they name.
    freed: BTreeSet<FreedRow>,
}

const ACTOR: &str = "ingest";

/// What a row is kept as whose entry the journal cannot read.
const UNREADABLE: &str = "the journal cannot read its entry";

impl Confirmations {
    /// As [`Confirmations::confirm_and_refuse`], where the core refused nothing.
    pub async fn confirm(
        &self,
        tx: &mut Tx,
        seen: &[LegSeen],
        changed_accounts: &[String],
    ) -> Result<Confirmed, JournalError> {
        Ok(self.confirm_and_refuse(tx, seen, &[], changed_accounts).await?.0)
    }

    /// Applies what the core booked and what it refused, and releases what the served balances of `changed_accounts` now include.
    /// Answers how many entries were refused, too.
    ///
    /// All that it needs is locked at once, because lanes have one order. What is booked is weighed first, so it is not refused.
    /// Called inside the apply transaction, after the read-model rows and before the offsets. An entry that cannot be read
    /// is set aside: its rows are kept as breaks, and the batch goes on.
    pub async fn confirm_and_refuse(
        &self,
        tx: &mut Tx,
        seen: &[LegSeen],
        refused: &[RefusalSeen],
        changed_accounts: &[String],
    ) -> Result<(Confirmed, usize), JournalError> {
        let seen: Vec<LegSeen> = seen.iter().cloned().map(LegSeen::bounded).collect();
        let seen = seen.as_slice();
        let Named { booked, mut archived, freed } = self.entries_of(tx, seen).await?;
        let refusable = self.refusable(tx, refused).await?;
        let concerned: BTreeSet<&String> = changed_accounts.iter().chain(seen.iter().map(|row| &row.account)).collect();
        let holding = accounts_holding(tx, &concerned.into_iter().collect::<Vec<_>>()).await?;
        if booked.is_empty() && holding.is_empty() && seen.is_empty() && refusable.is_empty() {
            return Ok((Confirmed::default(), 0));
        }
        let taken = self.taken(tx, seen, &booked).await?;
        let ids = booked.values().chain(taken.values()).chain(refusable.values()).cloned().collect();
        let (mut work, unreadable) = lock_readable(tx, ids, &holding).await?;
        if self.taken(tx, seen, &booked).await? != taken {
            // A person needs the same lanes to link a posting, and was first.
            return Err(JournalError::Lost("a posting was linked meanwhile"));
        }
        if booked.values().chain(refusable.values()).any(|id| !unreadable.contains(id) && work.entry(id).is_err()) {
            // The next run finds it where it is now.
            return Err(JournalError::Lost("an entry was archived meanwhile"));
        }
        let facts = self.facts_of(tx, &holding).await?;
        work.release_stored(tx, &facts).await?;
        let mut confirmed = Confirmed::default();
        for row in seen {
            if freed.contains(&(row.core_ref.clone(), row.kind.as_str().to_owned(), row.row_key.clone())) {
                continue;
            }
            let finding = match (booked.get(&row.core_ref), archived.get_mut(&row.core_ref)) {
                (Some(id), _) if unreadable.contains(id) => Some(UNREADABLE),
                (Some(id), _) => match taken.get(&row.row_key).filter(|other| *other != id) {
                    Some(other) => Some(taken_from(&mut work, id, other)?),
                    None => see(&mut work, id, row)?,
                },
                (None, Some(ended)) => ended.hear(tx, row).await?,
                (None, None) if self.0.references.marks(&row.core_ref) => Some("no entry has this reference"),
                // Other systems post under references of their own.
                (None, None) => None,
            };
            if let Some(finding) = finding {
                let kept = keep_break(tx, &row.core_ref, row.kind.as_str(), &row.row_key, finding).await?;
                confirmed.breaks += usize::from(kept);
            }
        }
        for id in booked.values().collect::<BTreeSet<_>>().into_iter().filter(|id| !unreadable.contains(id)) {
            if work.all_legs_seen(id) {
                let before = work.entry(id)?.state;
                work.weigh_in(id, Evidence::AllLegsSeen)?;
                confirmed.entries += usize::from(before != work.entry(id)?.state);
            }
        }
        // Now with the numbers that this batch brought, by the balances of every concerned account.
        work.release_absorbed(&facts)?;
        let readable: BTreeMap<String, EntryId> =
            refusable.into_iter().filter(|(_, id)| !unreadable.contains(id)).collect();
        let ended = refusals::weigh_refusals(tx, &mut work, &readable, refused).await?;
        work.store(tx, ACTOR).await?;
        Ok((confirmed, ended))
    }

    /// Those of the accounts with a debit that was sent and whose posting number is not known yet. A balance of theirs may
    /// include that debit, and nobody can tell.
    ///
    /// A write that is admitted after this was read is sent later still, so no balance in hand can include it.
    pub async fn accounts_without_numbers(
        &self,
        tx: &mut Tx,
        accounts: &[String],
    ) -> Result<BTreeSet<String>, JournalError> {
        let mut found = BTreeSet::new();
        for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
            let (list, accounts) = listed(accounts.iter().map(String::as_str));
            let sql = format!(
                "SELECT DISTINCT l.account AS account FROM legs l JOIN entries e ON e.id = l.entry_id \
                 WHERE l.account IN ({list}) AND l.released_at IS NULL AND l.posting_no IS NULL AND e.state <> 'queued'"
            );
            for row in tx.query(&sql, accounts).await? {
                found.insert(row.get("account")?);
            }
        }
        Ok(found)
    }

    /// What the references of these rows name. One statement: an entry that is archived meanwhile is found in one of the two places.
    async fn entries_of(&self, tx: &mut Tx, seen: &[LegSeen]) -> Result<Named, JournalError> {
        let refs: BTreeSet<&str> = seen.iter().map(|row| row.core_ref.as_str()).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        let mut named = Named::default();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let (list, keys) = listed(refs.iter().copied());
            let sql = format!(
                "SELECT e.id AS id, e.core_ref AS core_ref, b.leg AS leg, b.row_key AS row_key, NULL AS state, \
                 NULL AS debit_row, NULL AS credit_row FROM entries e \
                 LEFT JOIN breaks b ON b.core_ref = e.core_ref AND b.settled_as = ? WHERE e.core = ? AND e.core_ref IN ({list}) \
                 UNION ALL {OF_REFERENCES} ({list})"
            );
            let mut values = params![FREED, &*self.0.core];
            values.extend(keys.iter().cloned());
            values.extend(values.clone());
            for row in tx.query(&sql, values).await? {
                let (id, core_ref): (String, String) = (row.get("id")?, row.get("core_ref")?);
                if let (Some(leg), Some(row_key)) = (row.get("leg")?, row.get("row_key")?) {
                    named.freed.insert((core_ref.clone(), leg, row_key));
                }
                let id = EntryId::parse(&id).ok_or(JournalError::Corrupt("entry id"))?;
                match Ended::read(&row)? {
                    Some(ended) => drop(named.archived.insert(core_ref, ended)),
                    None => drop(named.booked.insert(core_ref, id)),
                }
            }
        }
        Ok(named)
    }

    /// The balances that are served of these accounts.
    async fn facts_of(&self, tx: &mut Tx, accounts: &BTreeSet<String>) -> Result<KnownAccounts, JournalError> {
        let accounts: Vec<String> = accounts.iter().cloned().collect();
        let mut facts = KnownAccounts::default();
        for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
            facts.accounts.extend(self.0.facts.read(tx, accounts).await?.accounts);
        }
        Ok(facts)
    }
}

/// Those of the accounts on which a hold counts. All their lanes are locked, also where no hold can be released yet. A
/// gateway that records a posting number at the same time has read the old balance and will not look again, so one of the
/// two must wait for the other.
async fn accounts_holding(tx: &mut Tx, accounts: &[&String]) -> Result<BTreeSet<String>, JournalError> {
    let mut holding = BTreeSet::new();
    for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
        let (list, accounts) = listed(accounts.iter().map(|account| account.as_str()));
        let sql = format!("SELECT account FROM lanes WHERE account IN ({list}) AND held_minor <> 0");
        for row in tx.query(&sql, accounts).await? {
            holding.insert(row.get("account")?);
        }
    }
    Ok(holding)
}

/// Locks those of these entries that can be read, and these further lanes. Answers the entries that cannot be read.
async fn lock_readable(
    tx: &mut Tx,
    ids: BTreeSet<EntryId>,
    further: &BTreeSet<String>,
) -> Result<(WorkSet, BTreeSet<EntryId>), JournalError> {
    let ids: Vec<EntryId> = ids.into_iter().collect();
    match WorkSet::lock_beside(tx, &ids, further).await {
        Err(err) if is_corrupt(&err) => {}
        locked => return Ok((locked?, BTreeSet::new())),
    }
    let mut unreadable = BTreeSet::new();
    for id in &ids {
        match read_plainly(tx, id).await {
            Ok(()) => {}
            Err(err) if is_corrupt(&err) => {
                tracing::error!(entry = %id, error = %err, "an entry of the journal cannot be read; it is not confirmed");
                unreadable.insert(id.clone());
            }
            Err(err) => return Err(err),
        }
    }
    let readable: Vec<EntryId> = ids.into_iter().filter(|id| !unreadable.contains(id)).collect();
    Ok((WorkSet::lock_beside(tx, &readable, further).await?, unreadable))
}

async fn read_plainly(tx: &mut Tx, id: &EntryId) -> Result<(), JournalError> {
    let sql = format!("SELECT {COLUMNS} FROM entries WHERE id = ?");
    Entry::read(&tx.query_one(&sql, params![id.as_str()]).await?)?;
    legs_of(tx, std::slice::from_ref(id)).await.map(drop)
}

/// A stored row is not what our own writers write. The transaction is not spoiled by it.
fn is_corrupt(err: &JournalError) -> bool {
    matches!(err, JournalError::Corrupt(_) | JournalError::Sql(sql::Error::Column { .. }))
}

/// What is wrong with a row that is said to book one of these legs, if anything is.
pub(super) fn difference<'a>(mut legs: impl Iterator<Item = &'a Leg>, row: &LegSeen) -> Option<&'static str> {
    match legs.find(|leg| leg.kind == Some(row.kind)) {
        None => Some("the entry has no such leg"),
        Some(leg) if leg.account != row.account => Some("booked on another account"),
        Some(leg) if leg.amount_minor != row.amount_minor => Some("booked with another amount"),
        Some(leg) if leg.currency != row.currency.code() => Some("booked in another currency"),
        Some(leg) if leg.row_key.as_ref().is_some_and(|key| *key != row.row_key) => Some("booked twice"),
        Some(_) => None,
    }
}

/// One posting would book two entries: a person must look at both. The other one may be archived.
fn taken_from(work: &mut WorkSet, id: &EntryId, other: &EntryId) -> Result<&'static str, JournalError> {
    work.contradict(id)?;
    if work.entry(other).is_ok() {
        work.contradict(other)?;
    }
    Ok(ANOTHERS)
}

/// Notes the row on its leg; answers what is wrong with it, if anything is.
pub(super) fn see(work: &mut WorkSet, id: &EntryId, row: &LegSeen) -> Result<Option<&'static str>, JournalError> {
    let mismatch = difference(work.legs(id), row);
    if mismatch.is_none() {
        work.see_row(id, row);
    }
    // One leg is evidence enough: a queued entry must not be sent while its other leg is on its way.
    let unlawful = weigh(work.entry(id)?.state, Evidence::AllLegsSeen) == Verdict::Contradicts;
    let finding = mismatch.or(unlawful.then_some("booked in a state that must not post"));
    if finding.is_some() {
        work.contradict(id)?;
    }
    Ok(finding)
}
