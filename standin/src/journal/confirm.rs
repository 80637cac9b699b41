//! Confirmation: the core's own change events end entries and release holds, in the transaction that applies the rows.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{Evidence, LegKind, Verdict, weigh};
use schemas::money::Currency;
use sql::{Tx, params, placeholders};

use super::record::{EntryId, Leg};
use super::transitions::now_us;
use super::workset::WorkSet;
use super::{Journal, JournalError};

/// A row of the core's books that carries one of our references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegSeen {
    /// The reference we sent.
    pub core_ref: String,
    /// Which leg the row books.
    pub kind: LegKind,
    /// On which account.
    pub account: String,
    /// Positive minor units.
    pub amount_minor: i64,
    /// Of the amount.
    pub currency: Currency,
    /// The account's own number of the posting.
    pub posting_no: i64,
    /// The row's primary key; a second row for the same leg is a break.
    pub row_key: String,
}

/// What one batch of change events did to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confirmed {
    /// Entries that ended confirmed.
    pub entries: usize,
    /// Rows, found for the first time, that no entry of ours explains or that contradict one.
    pub breaks: usize,
}

const ACTOR: &str = "ingest";

impl Journal {
    /// Applies what the core booked and releases what the served balances of `changed_accounts` now include.
    ///
    /// Called inside the apply transaction, after the read-model rows and before the offsets.
    pub async fn confirm(
        &self,
        tx: &mut Tx,
        seen: &[LegSeen],
        changed_accounts: &[String],
    ) -> Result<Confirmed, JournalError> {
        let booked = self.entries_of(tx, seen).await?;
        let waiting = entries_awaiting(tx, changed_accounts).await?;
        let ids: Vec<EntryId> = booked.values().cloned().chain(waiting).collect::<BTreeSet<_>>().into_iter().collect();
        if ids.is_empty() && seen.is_empty() {
            return Ok(Confirmed::default());
        }
        let mut work = WorkSet::lock(tx, &ids).await?;
        let mut confirmed = Confirmed::default();
        for row in seen {
            let finding = match booked.get(&row.core_ref) {
                Some(id) => see(&mut work, id, row)?,
                None if is_ours(&row.core_ref) => Some("no entry has this reference"),
                // Other systems post under references of their own.
                None => None,
            };
            if let Some(finding) = finding {
                let kept = keep_break(tx, &row.core_ref, row.kind.as_str(), &row.row_key, finding).await?;
                confirmed.breaks += usize::from(kept);
            }
        }
        for id in booked.values().collect::<BTreeSet<_>>() {
            if work.legs(id).all(|leg| leg.row_key.is_some()) {
                let before = work.entry(id)?.state;
                work.weigh_in(id, Evidence::AllLegsSeen)?;
                confirmed.entries += usize::from(before != work.entry(id)?.state);
            }
        }
        work.release_by(tx, &*self.facts).await?;
        work.store(tx, ACTOR, now_us()).await?;
        Ok(confirmed)
    }

    /// Which entry each reference belongs to.
    async fn entries_of(&self, tx: &mut Tx, seen: &[LegSeen]) -> Result<BTreeMap<String, EntryId>, JournalError> {
        let refs: BTreeSet<&str> = seen.iter().map(|row| row.core_ref.as_str()).collect();
        if refs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql =
            format!("SELECT id, core_ref FROM entries WHERE core = ? AND core_ref IN ({})", placeholders(refs.len()));
        let mut values = params![&*self.core];
        values.extend(refs.into_iter().map(sql::Value::from));
        let mut entries = BTreeMap::new();
        for row in tx.query(&sql, values).await? {
            let id: String = row.get("id")?;
            entries.insert(row.get("core_ref")?, EntryId::parse(&id).ok_or(JournalError::Corrupt("entry id"))?);
        }
        Ok(entries)
    }
}

/// Entries with a debit that a new balance may include: those sent, or known to be booked.
///
/// Also those whose posting number is not known yet: whoever is recording it now read the old balance and will not look
/// again. Locking the entry's lanes waits for him, and the number is read after that.
async fn entries_awaiting(tx: &mut Tx, accounts: &[String]) -> Result<Vec<EntryId>, JournalError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT DISTINCT l.entry_id AS entry_id FROM legs l JOIN entries e ON e.id = l.entry_id \
         WHERE l.account IN ({}) AND l.released_at IS NULL AND (l.posting_no IS NOT NULL OR e.state <> 'queued')",
        placeholders(accounts.len())
    );
    let rows = tx.query(&sql, accounts.iter().map(Into::into).collect()).await?;
    rows.iter().map(|row| EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))).collect()
}

/// A reference in the form that [`EntryId::core_ref`] gives.
fn is_ours(core_ref: &str) -> bool {
    core_ref.strip_prefix("LC").is_some_and(|hex| EntryId::parse(&hex.to_ascii_lowercase()).is_some())
}

/// Notes the row on its leg; answers what is wrong with it, if anything is.
fn see(work: &mut WorkSet, id: &EntryId, row: &LegSeen) -> Result<Option<&'static str>, JournalError> {
    let leg: Option<Leg> = work.legs(id).find(|leg| leg.kind == row.kind).cloned();
    let mismatch = match &leg {
        None => Some("the entry has no such leg"),
        Some(leg) if leg.account != row.account => Some("booked on another account"),
        Some(leg) if leg.amount_minor != row.amount_minor => Some("booked with another amount"),
        Some(leg) if leg.currency != row.currency.code() => Some("booked in another currency"),
        Some(leg) if leg.row_key.as_ref().is_some_and(|key| *key != row.row_key) => Some("booked twice"),
        Some(_) => None,
    };
    if let (None, Some(leg)) = (mismatch, &leg) {
        work.see_leg(id, leg.leg, &row.row_key, row.posting_no);
    }
    // One leg is evidence enough: a queued entry must not be sent while its other leg is on its way.
    let unlawful = weigh(work.entry(id)?.state, Evidence::AllLegsSeen) == Verdict::Contradicts;
    let finding = mismatch.or(unlawful.then_some("booked in a state that must not post"));
    if finding.is_some() {
        work.contradict(id)?;
    }
    Ok(finding)
}

/// Keeps a finding once; answers whether it is new. `leg` and `row_key` are empty where it is about no row.
pub(super) async fn keep_break(
    tx: &mut Tx,
    core_ref: &str,
    leg: &str,
    row_key: &str,
    finding: &str,
) -> Result<bool, JournalError> {
    let known = "SELECT id FROM breaks WHERE core_ref = ? AND leg = ? AND row_key = ?";
    if tx.query_opt(known, params![core_ref, leg, row_key]).await?.is_some() {
        return Ok(false);
    }
    tracing::error!(core_ref, leg, finding, "the core's books and the journal disagree");
    tx.exec(
        "INSERT INTO breaks (id, at_us, core_ref, leg, row_key, finding) VALUES (?, ?, ?, ?, ?, ?)",
        params![EntryId::generate().as_str(), now_us(), core_ref, leg, row_key, finding],
    )
    .await?;
    Ok(true)
}
