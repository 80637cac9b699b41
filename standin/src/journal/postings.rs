//! Rows of the core's books, as they come to the journal.

use schemas::entry::LegKind;
use schemas::money::Currency;
use schemas::position::TransactionPlace;
use sha2::{Digest, Sha256};

use crate::entry::Entry;

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
    /// The account's own number of the posting. It has this, or a place.
    pub posting_no: Option<i64>,
    /// The place of the row among the source's transactions, where the core numbers nothing.
    pub place: Option<TransactionPlace>,
    /// The row's primary key; a second row for the same leg is a break.
    pub row_key: String,
}

/// Longest key of a row that is kept as it is.
const ROW_KEY_CHARS_MAX: usize = 128;

impl LegSeen {
    /// With a row key that fits its columns. Of a longer key the beginning is kept, for people, and its SHA-256, which
    /// tells rows apart.
    pub(super) fn bounded(mut self) -> Self {
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

/// A row of the core's books as the read model has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingRow {
    /// The core's own number of the row.
    pub posting: String,
    /// Which account it moved.
    pub account: String,
    /// Signed: credits positive, debits negative.
    pub amount_minor: i64,
    /// Of the amount.
    pub currency: Currency,
    /// The account's own number of the posting, where the core has one.
    pub posting_no: Option<i64>,
    /// Its place among the source's transactions, where the core numbers nothing.
    pub place: Option<TransactionPlace>,
    /// The reference it carries.
    pub core_ref: Option<String>,
}

impl PostingRow {
    /// The leg of this entry that it would book. A posting with neither number nor place confirms nothing.
    pub(super) fn as_leg_of(&self, entry: &Entry) -> Option<LegSeen> {
        (self.posting_no.is_some() || self.place.is_some()).then(|| LegSeen {
            core_ref: entry.core_ref.clone(),
            kind: if self.amount_minor < 0 { LegKind::Debit } else { LegKind::Credit },
            account: self.account.clone(),
            amount_minor: self.amount_minor.saturating_abs(),
            currency: self.currency,
            posting_no: self.posting_no,
            place: self.place,
            row_key: self.posting.clone(),
        })
    }
}
