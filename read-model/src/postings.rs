//! Rows of the core's books by the core's own numbers: how a posting is found that carries no reference of ours.

use schemas::money::Currency;
use schemas::position::TransactionPlace;
use sql::{Tx, placeholders};

/// One such row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingFound {
    /// The core's own number of the row.
    pub transaction_id: String,
    /// Which account it moved.
    pub account_id: String,
    /// Signed: credits positive, debits negative.
    pub amount_minor: i64,
    /// Of the amount.
    pub currency: Currency,
    /// The account's own number of the posting, where the core has one.
    pub posting_no: Option<i64>,
    /// Its place among the source's transactions, where the mapping orders by them.
    pub place: Option<TransactionPlace>,
    /// The reference it carries, or that another row of the core gives it.
    pub core_ref: Option<String>,
}

/// Those of these rows that the read model has, read inside the caller's transaction. Locks nothing.
pub async fn postings(tx: &mut Tx, transaction_ids: &[String]) -> Result<Vec<PostingFound>, sql::Error> {
    if transaction_ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT t.transaction_id AS transaction_id, t.account_id AS account_id, t.amount_minor AS amount_minor, \
         t.currency AS currency, t.posting_no AS posting_no, t.source_place AS source_place, \
         COALESCE(l.core_ref, t.core_ref) AS core_ref \
         FROM transaction_rows t JOIN sources s ON s.dataset = t.dataset \
         LEFT JOIN posting_links l ON l.transaction_id = t.transaction_id AND l.dataset = t.dataset \
         WHERE t.deleted = 0 AND t.transaction_id IN ({})",
        placeholders(transaction_ids.len())
    );
    let mut found = Vec::new();
    for row in tx.query(&sql, transaction_ids.iter().map(Into::into).collect()).await? {
        // The writer stored a currency. A row with anything else books nothing of ours.
        let Ok(currency) = Currency::parse(row.get("currency")?) else { continue };
        found.push(PostingFound {
            transaction_id: row.get("transaction_id")?,
            account_id: row.get("account_id")?,
            amount_minor: row.get("amount_minor")?,
            currency,
            posting_no: row.get("posting_no")?,
            place: row.get::<Option<&[u8]>>("source_place")?.and_then(TransactionPlace::from_bytes),
            core_ref: row.get("core_ref")?,
        });
    }
    Ok(found)
}
