//! Orders about one entry.

use schemas::entry::{EntryState, Evidence, LegKind, Verdict};
use sql::{Tx, params, placeholders};

use super::Act;
use super::Carrying;
use super::Order;
use crate::entry::{Entry, EntryId};
use crate::journal::attempts::{Attempts, ended_for};
use crate::journal::breaks::{ADOPTED, FREED, REFUSAL_ROW, settle_breaks};
use crate::journal::confirm::difference;
use crate::journal::error::JournalError;
use crate::journal::facts::Facts;
use crate::journal::objection::Objection;
use crate::journal::workset::WorkSet;
use crate::journal::{audit, links};

/// Reason of an entry that was written off.
const WRITTEN_OFF: &str = "written-off";

/// A channel's own cancellation; the second time it is done already.
pub(super) async fn cancel(tx: &mut Tx, by: &str, id: &EntryId) -> Result<Entry, JournalError> {
    let mut work = WorkSet::lock(tx, std::slice::from_ref(id)).await?;
    moved(&mut work, id, Evidence::Cancel)?;
    stored(tx, work, by, id).await
}

/// Carries out one order in its transaction, with the entry and its lanes locked.
pub(super) async fn carry_out(
    tx: &mut Tx,
    carrying: &Carrying<'_>,
    order: &Order,
    id: &EntryId,
) -> Result<Entry, JournalError> {
    let mut work = WorkSet::lock(tx, std::slice::from_ref(id)).await?;
    let before = work.entry(id)?.clone();
    if audit::is_done(tx, carrying.id).await? {
        return Ok(before);
    }
    carrying.unchanged(&before.version.to_string())?;
    match &order.act {
        Act::Retry { .. } => {
            parked_and_not_booked(&work, id)?;
            nothing_may_come(tx, id, carrying.request_lifetime_ms).await?;
            moved(&mut work, id, Evidence::Absent)?;
            work.set_reason(id, None)?;
        }
        Act::Force { .. } => {
            parked_and_not_booked(&work, id)?;
            nobody_is_sending(tx, id).await?;
            moved(&mut work, id, Evidence::Forced)?;
            work.set_reason(id, None)?;
        }
        Act::WriteOff { .. } => {
            if before.state != EntryState::WrittenOff {
                parked_and_not_booked(&work, id)?;
            }
            moved(&mut work, id, Evidence::WriteOff)?;
            work.set_reason(id, Some(WRITTEN_OFF.to_owned()))?;
        }
        Act::Adopt { debit_posting_no, .. } => {
            let proven = order.grounds.posted_proof.is_some();
            adopt(tx, carrying.facts, &mut work, id, (*debit_posting_no, proven)).await?;
        }
        Act::Free { .. } => free(tx, &mut work, id).await?,
        Act::Link { postings, .. } => link(tx, carrying, &mut work, id, postings).await?,
        Act::Cancel { .. } => moved(&mut work, id, Evidence::Cancel)?,
        Act::ClearLane { .. } | Act::ResetDay { .. } | Act::DeclareGone { .. } => {
            return Err(JournalError::Corrupt("not an order about an entry"));
        }
    }
    let entry = stored(tx, work, carrying.by, id).await?;
    // Audited only with the order that did it. If it was so already, the first order is in the audit.
    if entry.version != before.version {
        carrying.audit(tx, order).await?;
    }
    Ok(entry)
}

async fn stored(tx: &mut Tx, work: WorkSet, by: &str, id: &EntryId) -> Result<Entry, JournalError> {
    let mut entries = work.store(tx, by).await?;
    entries.remove(id).ok_or(JournalError::NoSuchEntry)
}

/// Weighs a person's evidence; what the state does not allow is [`JournalError::Forbidden`].
fn moved(work: &mut WorkSet, id: &EntryId, evidence: Evidence) -> Result<(), JournalError> {
    let state = work.entry(id)?.state;
    match work.weigh_in(id, evidence)? {
        Verdict::Moves(_) | Verdict::Nothing => Ok(()),
        Verdict::Forbidden | Verdict::Contradicts => Err(JournalError::Forbidden(state)),
    }
}

/// Only a parked entry may be sent again or ended: a person was asked about it. One that the books show may not.
fn parked_and_not_booked(work: &WorkSet, id: &EntryId) -> Result<(), JournalError> {
    match work.entry(id)?.state {
        EntryState::Parked if work.is_booked(id) => Err(Objection::Booked.into()),
        EntryState::Parked => Ok(()),
        state => Err(JournalError::Forbidden(state)),
    }
}

async fn nobody_is_sending(tx: &mut Tx, id: &EntryId) -> Result<(), JournalError> {
    let attempts = Attempts::lock(tx, std::slice::from_ref(id)).await?;
    if attempts.any_open(id) { Err(JournalError::AttemptOpen) } else { Ok(()) }
}

/// A person says that the core does not have the entry. We check that no attempt can still take effect there.
async fn nothing_may_come(tx: &mut Tx, id: &EntryId, request_lifetime_ms: u64) -> Result<(), JournalError> {
    nobody_is_sending(tx, id).await?;
    let is_recent = ended_for(tx, id).await?.is_some_and(|ages| ages.shortest() < request_lifetime_ms);
    if is_recent { Err(JournalError::AttemptRecent) } else { Ok(()) }
}

/// The books have the entry. A leg that was not seen there needs a proof. A posted entry whose change events do not come is
/// confirmed by this order.
async fn adopt(
    tx: &mut Tx,
    facts: &dyn Facts,
    work: &mut WorkSet,
    id: &EntryId,
    (debit_posting_no, proven): (Option<i64>, bool),
) -> Result<(), JournalError> {
    if work.entry(id)?.state == EntryState::Confirmed {
        return Ok(());
    }
    let whole = work.all_legs_seen(id);
    if !whole && !proven {
        return Err(Objection::LegsMissing.into());
    }
    if let Some(number) = debit_posting_no {
        work.number_debit(id, number);
    }
    let waited = work.entry(id)?.state == EntryState::Posted;
    moved(work, id, if waited { Evidence::Vouched } else { Evidence::Adopted })?;
    if whole {
        moved(work, id, Evidence::AllLegsSeen)?;
    }
    work.end_contradiction(id, "settled")?;
    let core_ref = work.entry(id)?.core_ref.clone();
    settle_breaks(tx, &core_ref, &booked_rows(work, id), ADOPTED).await?;
    let of_no_row = ["", REFUSAL_ROW].map(|key| (String::new(), key.to_owned()));
    settle_breaks(tx, &core_ref, &of_no_row, ADOPTED).await?;
    work.release_by(tx, facts).await?;
    // No number will come, so the person has compared with the balance that is served now.
    if waited { work.release_as_served(tx, facts, id).await } else { Ok(()) }
}

/// The core's rows that are linked to its legs, as leg and key.
fn booked_rows(work: &WorkSet, id: &EntryId) -> Vec<(String, String)> {
    let row = |kind: LegKind, key: &Option<String>| key.clone().map(|key| (kind.as_str().to_owned(), key));
    work.legs(id).filter_map(|leg| row(leg.kind?, &leg.row_key)).collect()
}

/// The rows in the books are not this entry's. They are kept as settled breaks, so that their change events say nothing
/// against it if they come again. Its own hold counts again.
async fn free(tx: &mut Tx, work: &mut WorkSet, id: &EntryId) -> Result<(), JournalError> {
    let Entry { state, core_ref, .. } = work.entry(id)?.clone();
    if matches!(state, EntryState::Submitting | EntryState::Posted | EntryState::Confirmed) {
        return Err(JournalError::Forbidden(state));
    }
    let mut rows = booked_rows(work, id);
    let sql = "SELECT leg, row_key FROM breaks WHERE core_ref = ? AND row_key <> '' AND settled_us IS NULL";
    for row in tx.query(sql, params![&core_ref]).await? {
        rows.push((row.get("leg")?, row.get("row_key")?));
    }
    rows.sort();
    rows.dedup();
    if rows.is_empty() {
        return Err(Objection::NothingToFree.into());
    }
    work.free_legs(id)?;
    work.end_contradiction(id, "freed")?;
    settle_breaks(tx, &core_ref, &rows, FREED).await
}

/// Somebody keyed the entry into the core by hand. It is never sent, and those postings are its own.
async fn link(
    tx: &mut Tx,
    carrying: &Carrying<'_>,
    work: &mut WorkSet,
    id: &EntryId,
    postings: &[String],
) -> Result<(), JournalError> {
    if work.is_booked(id) {
        return Err(Objection::Booked.into());
    }
    if work.entry(id)?.state == EntryState::Parked {
        nothing_may_come(tx, id, carrying.request_lifetime_ms).await?;
    }
    let sql = format!("SELECT posting FROM links WHERE core = ? AND posting IN ({})", placeholders(postings.len()));
    let mut values = params![carrying.core];
    values.extend(postings.iter().map(Into::into));
    if !tx.query(&sql, values).await?.is_empty() {
        return Err(Objection::PostingTaken.into());
    }
    let mut seen = Vec::new();
    for posting in carrying.facts.postings(tx, postings).await? {
        if posting.core_ref.as_deref().is_some_and(|text| carrying.references.marks(text)) {
            return Err(Objection::PostingTaken.into());
        }
        let Some(row) = posting.as_leg_of(work.entry(id)?) else { continue };
        if let Some(what) = difference(work.legs(id), &row) {
            return Err(Objection::PostingDiffers(what).into());
        }
        seen.push(row);
    }
    moved(work, id, Evidence::Linked)?;
    work.set_reason(id, None)?;
    work.set_core_id(id, postings.first().map(String::as_str))?;
    for row in &seen {
        work.see_row(id, row);
    }
    if work.all_legs_seen(id) {
        moved(work, id, Evidence::AllLegsSeen)?;
    }
    work.end_contradiction(id, "settled")?;
    work.release_by(tx, carrying.facts).await?;
    links::keep(tx, carrying.core, id, postings, &seen).await
}
