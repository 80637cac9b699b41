//! Rows of the core that name a posting and carry our reference: kept by the posting, until it comes and after.
//!
//! Link and posting come on topics of their own, in either order, perhaps days apart. Both are in SQL, so whichever comes second
//! finds the other one.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::LegKind;
use schemas::model::{CanonicalChange, CanonicalRow, LegEvidence, LegVerdict, PostingLink, RowChange, Was};
use schemas::money::Currency;
use schemas::position::Version;
use sql::{Policy, Row, Tx, Upsert, Value, listed, params};

use crate::rows::{RowError, version};
use crate::table::{TRANSACTION_ID_LEN_MAX, Unfit, fits};
use crate::writer::{WriteError, Writer};

/// Postings per statement.
const POSTINGS_PER_QUERY: usize = 500;

/// What a posting says of the leg that it books.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Posting {
    account_id: String,
    amount_minor: i64,
    currency: Currency,
    posting_no: Option<i64>,
    version: Version,
}

/// Says whether a link can be stored; see [`check`](crate::check).
pub fn check_link(link: &PostingLink) -> Result<(), Unfit> {
    fits("transaction_id", &link.transaction_id, TRANSACTION_ID_LEN_MAX)
}

impl Writer {
    /// What the links among these and the postings among these changes say of entries, together with what is stored of both. Asked
    /// before they are written; locks nothing.
    pub async fn linked(
        &self,
        tx: &mut Tx,
        changes: &[CanonicalChange],
        links: &[PostingLink],
    ) -> Result<Vec<LegEvidence>, WriteError> {
        let mut postings = postings(changes);
        let named = links.iter().map(|link| link.transaction_id.as_str());
        let concerned: BTreeSet<&str> = postings.keys().map(String::as_str).chain(named).collect();
        if concerned.is_empty() {
            return Ok(Vec::new());
        }
        let dataset = self.dataset(tx).await?;
        let mut first = stored_links(tx, dataset, &concerned).await?;
        for link in first_of_each(links).into_values() {
            first.entry(link.transaction_id.clone()).or_insert_with(|| link.clone());
        }
        let missing: Vec<&str> = first.keys().map(String::as_str).filter(|id| !postings.contains_key(*id)).collect();
        let stored = stored_postings(tx, dataset, &missing).await?;
        postings.extend(stored);
        Ok(first.values().filter_map(|link| Some(evidence(link, postings.get(&link.transaction_id)?))).collect())
    }

    /// Keeps links. A posting has one: the first that names it.
    pub async fn keep_links(&self, tx: &mut Tx, links: &[PostingLink]) -> Result<(), WriteError> {
        const COLUMNS: &[&str] = &["transaction_id", "dataset", "core_ref", "version"];
        if links.is_empty() {
            return Ok(());
        }
        let dataset = self.dataset(tx).await?;
        let mut upsert = Upsert::new("posting_links", COLUMNS, &COLUMNS[..2], Policy::KeepExisting);
        for link in first_of_each(links).values() {
            upsert.push(params![&link.transaction_id, dataset, &link.core_ref, link.version.as_bytes()]);
        }
        Ok(tx.upsert(upsert).await?)
    }
}

/// One statement must not name a key twice on every engine.
fn first_of_each(links: &[PostingLink]) -> BTreeMap<&str, &PostingLink> {
    let mut first: BTreeMap<&str, &PostingLink> = BTreeMap::new();
    for link in links {
        let known = first.entry(&link.transaction_id).or_insert(link);
        if link.version < known.version {
            *known = link;
        }
    }
    first
}

/// The postings among these changes, as they came first; also those that end here.
fn postings(changes: &[CanonicalChange]) -> BTreeMap<String, Posting> {
    let mut found: BTreeMap<String, Posting> = BTreeMap::new();
    for change in changes {
        let (RowChange::Upsert(CanonicalRow::Transaction(row)) | RowChange::Ended(Was::Posting(row))) = &change.row
        else {
            continue;
        };
        let posting = Posting {
            account_id: row.account_id.clone(),
            amount_minor: row.amount_minor,
            currency: row.currency,
            posting_no: row.posting_no,
            version: change.version,
        };
        let known = found.entry(row.transaction_id.clone()).or_insert_with(|| posting.clone());
        if posting.version < known.version {
            *known = posting;
        }
    }
    found
}

async fn stored_links(
    tx: &mut Tx,
    dataset: u32,
    postings: &BTreeSet<&str>,
) -> Result<BTreeMap<String, PostingLink>, WriteError> {
    let postings: Vec<&str> = postings.iter().copied().collect();
    let mut links = BTreeMap::new();
    for postings in postings.chunks(POSTINGS_PER_QUERY) {
        let (list, keys) = listed(postings.iter().copied());
        let sql = format!(
            "SELECT transaction_id, core_ref, version FROM posting_links WHERE dataset = ? AND transaction_id IN ({list})"
        );
        for row in tx.query(&sql, of_dataset(dataset, keys)).await? {
            let transaction_id: String = row.get("transaction_id")?;
            let (core_ref, version) = (row.get("core_ref")?, version(&row, "version")?);
            links.insert(transaction_id.clone(), PostingLink { transaction_id, core_ref, version });
        }
    }
    Ok(links)
}

/// Also those that ended, as far as their markers tell what they were.
async fn stored_postings(
    tx: &mut Tx,
    dataset: u32,
    postings: &[&str],
) -> Result<BTreeMap<String, Posting>, WriteError> {
    let mut found = BTreeMap::new();
    for postings in postings.chunks(POSTINGS_PER_QUERY) {
        let (list, keys) = listed(postings.iter().copied());
        let sql = format!(
            "SELECT transaction_id, account_id, amount_minor, currency, posting_no, version FROM transaction_rows \
             WHERE dataset = ? AND currency <> '' AND transaction_id IN ({list})"
        );
        for row in tx.query(&sql, of_dataset(dataset, keys)).await? {
            found.insert(row.get("transaction_id")?, read(&row)?);
        }
    }
    Ok(found)
}

fn of_dataset(dataset: u32, keys: Vec<Value>) -> Vec<Value> {
    let mut values = params![dataset];
    values.extend(keys);
    values
}

fn read(row: &Row) -> Result<Posting, RowError> {
    Ok(Posting {
        account_id: row.get("account_id")?,
        amount_minor: row.get("amount_minor")?,
        currency: Currency::parse(row.get("currency")?).map_err(|_| RowError::Vocabulary("currency"))?,
        posting_no: row.get("posting_no")?,
        version: version(row, "version")?,
    })
}

/// The posting is what the core's books say; the link adds whose it is. So a second posting under one reference is noticed by its key.
fn evidence(link: &PostingLink, posting: &Posting) -> LegEvidence {
    LegEvidence {
        core_ref: link.core_ref.clone(),
        leg: if posting.amount_minor < 0 { LegKind::Debit } else { LegKind::Credit },
        verdict: LegVerdict::Posted,
        account_id: posting.account_id.clone(),
        amount_minor: posting.amount_minor,
        currency: posting.currency,
        posting_no: posting.posting_no,
        row_key: link.transaction_id.clone(),
        version: posting.version,
    }
}
