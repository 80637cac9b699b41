//! Confirmation: the core's own change events end entries and release holds, in the transaction that applies the rows.

mod unrecorded;

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{Evidence, LegKind, Verdict, weigh};
use schemas::money::Currency;
use sha2::{Digest, Sha256};
use sql::{Tx, Value, params, placeholders};

use super::record::{COLUMNS, Entry, EntryId, KEYS_PER_STATEMENT, Leg, legs_of};
use super::transitions::now_us;
use super::workset::WorkSet;
use super::{FactSheet, Journal, JournalError};

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

/// Longest key of a row that is kept as it is.
const ROW_KEY_CHARS_MAX: usize = 128;

impl LegSeen {
    /// With a row key that fits its columns. Of a longer one its beginning is kept, for people, and its SHA-256, which tells rows
    /// apart.
    fn bounded(mut self) -> Self {
        if self.row_key.chars().count() > ROW_KEY_CHARS_MAX {
            let digest: String =
                Sha256::digest(self.row_key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            let mark = format!("…sha256:{digest}");
            let beginning: String = self.row_key.chars().take(ROW_KEY_CHARS_MAX - mark.chars().count()).collect();
            self.row_key = beginning + &mark;
        }
        self
    }
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

/// What a row is kept as whose entry the journal cannot read.
const UNREADABLE: &str = "the journal cannot read its entry";

impl Journal {
    /// Applies what the core booked and releases what the served balances of `changed_accounts` now include.
    ///
    /// Called inside the apply transaction, after the read-model rows and before the offsets. An entry that cannot be read
    /// is set aside: its rows are kept as breaks, and the batch goes on.
    pub async fn confirm(
        &self,
        tx: &mut Tx,
        seen: &[LegSeen],
        changed_accounts: &[String],
    ) -> Result<Confirmed, JournalError> {
        let seen: Vec<LegSeen> = seen.iter().cloned().map(LegSeen::bounded).collect();
        let seen = seen.as_slice();
        let booked = self.entries_of(tx, seen).await?;
        let concerned: BTreeSet<&String> = changed_accounts.iter().chain(seen.iter().map(|row| &row.account)).collect();
        let holding = accounts_holding(tx, &concerned.into_iter().collect::<Vec<_>>()).await?;
        if booked.is_empty() && holding.is_empty() && seen.is_empty() {
            return Ok(Confirmed::default());
        }
        let (mut work, unreadable) = lock_readable(tx, booked.values().cloned().collect(), &holding).await?;
        let facts = self.facts_of(tx, &holding).await?;
        work.release_stored(tx, &facts).await?;
        let mut confirmed = Confirmed::default();
        for row in seen {
            let finding = match booked.get(&row.core_ref) {
                Some(id) if unreadable.contains(id) => Some(UNREADABLE),
                Some(id) => see(&mut work, id, row)?,
                None if self.references.marks(&row.core_ref) => Some("no entry has this reference"),
                // Other systems post under references of their own.
                None => None,
            };
            if let Some(finding) = finding {
                let kept = keep_break(tx, &row.core_ref, row.kind.as_str(), &row.row_key, finding).await?;
                confirmed.breaks += usize::from(kept);
            }
        }
        for id in booked.values().collect::<BTreeSet<_>>().into_iter().filter(|id| !unreadable.contains(id)) {
            if work.legs(id).all(|leg| leg.row_key.is_some()) {
                let before = work.entry(id)?.state;
                work.weigh_in(id, Evidence::AllLegsSeen)?;
                confirmed.entries += usize::from(before != work.entry(id)?.state);
            }
        }
        // The numbers that this batch brought, by the balances of every account that is concerned.
        work.release_absorbed(&facts)?;
        work.store(tx, ACTOR, now_us()).await?;
        Ok(confirmed)
    }

    /// Which of these accounts have a debit that was sent and whose posting number nobody knows yet: a balance of theirs may
    /// include it without anyone being able to tell.
    ///
    /// A write that is admitted after this was read is sent later still, so no balance in hand can include it.
    pub async fn accounts_without_numbers(
        &self,
        tx: &mut Tx,
        accounts: &[String],
    ) -> Result<BTreeSet<String>, JournalError> {
        let mut found = BTreeSet::new();
        for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
            let sql = format!(
                "SELECT DISTINCT l.account AS account FROM legs l JOIN entries e ON e.id = l.entry_id \
                 WHERE l.account IN ({}) AND l.released_at IS NULL AND l.posting_no IS NULL AND e.state <> 'queued'",
                placeholders(accounts.len())
            );
            for row in tx.query(&sql, texts(accounts)).await? {
                found.insert(row.get("account")?);
            }
        }
        Ok(found)
    }

    /// Which entry each reference belongs to.
    async fn entries_of(&self, tx: &mut Tx, seen: &[LegSeen]) -> Result<BTreeMap<String, EntryId>, JournalError> {
        let refs: BTreeSet<&str> = seen.iter().map(|row| row.core_ref.as_str()).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        let mut entries = BTreeMap::new();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let list = placeholders(refs.len());
            let sql = format!("SELECT id, core_ref FROM entries WHERE core = ? AND core_ref IN ({list})");
            let mut values = params![&*self.core];
            values.extend(texts(refs));
            for row in tx.query(&sql, values).await? {
                let id: String = row.get("id")?;
                entries.insert(row.get("core_ref")?, EntryId::parse(&id).ok_or(JournalError::Corrupt("entry id"))?);
            }
        }
        Ok(entries)
    }

    /// The balances that are served of these accounts.
    async fn facts_of(&self, tx: &mut Tx, accounts: &BTreeSet<String>) -> Result<FactSheet, JournalError> {
        let accounts: Vec<String> = accounts.iter().cloned().collect();
        let mut facts = FactSheet::default();
        for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
            facts.accounts.extend(self.facts.read(tx, accounts).await?.accounts);
        }
        Ok(facts)
    }
}

/// Those of the accounts on which a hold counts. Their lanes are locked, whichever of the holds can be released: a gateway
/// that records a posting number meanwhile read the old balance and will not look again, so one must wait for the other.
async fn accounts_holding(tx: &mut Tx, accounts: &[&String]) -> Result<BTreeSet<String>, JournalError> {
    let mut holding = BTreeSet::new();
    for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
        let list = placeholders(accounts.len());
        let sql = format!("SELECT account FROM lanes WHERE account IN ({list}) AND held_minor <> 0");
        for row in tx.query(&sql, texts(accounts)).await? {
            holding.insert(row.get("account")?);
        }
    }
    Ok(holding)
}

/// Locks what can be read of these entries, and these further lanes; answers the entries that cannot be read.
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

fn texts(texts: &[impl AsRef<str>]) -> Vec<Value> {
    texts.iter().map(|text| text.as_ref().into()).collect()
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
