//! Canonical rows as they are read back: with their versions, and as the document that tiers keep.

use jiff::Timestamp;
use jiff::civil::Date;
use schemas::model::{Account, AccountState, Balance, Customer, Personal, Transaction};
use schemas::money::Currency;
use schemas::position::{TransactionPlace, Version};
use sql::Row;

/// A stored row that cannot be read as what it must be: corruption, or another release's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The engine gave another kind of value.
    #[error("read-model row")]
    Sql(#[from] sql::Error),
    /// A text outside its vocabulary.
    #[error("read-model column {0} holds no known value")]
    Vocabulary(&'static str),
}

/// A row with the version that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The row.
    pub row: T,
    /// Comparable within one source only.
    pub version: Version,
}

/// An account with what is on it, as one SQL statement showed it: the unit that tiers keep and reads return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDocument {
    /// Where it comes from.
    pub source: String,
    /// What the account is.
    pub account: Versioned<Account>,
    /// What is on it; none until its balance row has arrived.
    pub balance: Option<Versioned<Balance>>,
}

impl AccountDocument {
    /// The account's key.
    pub fn account_id(&self) -> &str {
        &self.account.row.account_id
    }
}

pub(crate) fn version(row: &Row, column: &'static str) -> Result<Version, RowError> {
    Version::from_bytes(row.get(column)?).map_err(|_| RowError::Vocabulary(column))
}

/// The place of a balance or a posting among its source's transactions, where one is kept.
pub(crate) fn place(row: &Row) -> Result<Option<TransactionPlace>, RowError> {
    let bytes: Option<&[u8]> = row.get("source_place")?;
    let read = |bytes| TransactionPlace::from_bytes(bytes).ok_or(RowError::Vocabulary("source_place"));
    bytes.map(read).transpose()
}

fn currency(row: &Row, column: &'static str) -> Result<Currency, RowError> {
    Currency::parse(row.get(column)?).map_err(|_| RowError::Vocabulary(column))
}

/// The columns that [`document`] and [`place`] read, of `account_rows a LEFT JOIN balance_rows b`.
pub(crate) const DOCUMENT_COLUMNS: &str = "a.account_id AS account_id, \
    a.version AS account_version, a.customer_id AS customer_id, a.currency AS account_currency, a.state AS state, \
    a.product AS product, b.version AS balance_version, b.currency AS balance_currency, \
    b.booked_minor AS booked_minor, b.overdraft_line_minor AS overdraft_line_minor, \
    b.core_holds_minor AS core_holds_minor, b.last_posting AS last_posting, b.source_place AS source_place";

/// The join behind [`DOCUMENT_COLUMNS`]; a deleted balance counts as none.
pub(crate) const DOCUMENT_JOIN: &str = "account_rows a LEFT JOIN balance_rows b ON b.account_id = a.account_id \
    AND b.dataset = a.dataset AND b.deleted = 0";

/// The row does not tell its source.
pub(crate) fn document(row: &Row, source: &str) -> Result<AccountDocument, RowError> {
    let account_id: String = row.get("account_id")?;
    let account = Account {
        account_id: account_id.clone(),
        customer_id: row.get("customer_id")?,
        currency: currency(row, "account_currency")?,
        state: AccountState::parse(row.get("state")?).ok_or(RowError::Vocabulary("state"))?,
        product: row.get("product")?,
    };
    let balance = match row.get::<Option<&[u8]>>("balance_version")? {
        None => None,
        Some(_) => Some(Versioned {
            version: version(row, "balance_version")?,
            row: Balance {
                account_id,
                currency: currency(row, "balance_currency")?,
                booked_minor: row.get("booked_minor")?,
                overdraft_line_minor: row.get("overdraft_line_minor")?,
                core_holds_minor: row.get("core_holds_minor")?,
                last_posting: row.get("last_posting")?,
            },
        }),
    };
    let account = Versioned { row: account, version: version(row, "account_version")? };
    Ok(AccountDocument { source: source.to_owned(), account, balance })
}

pub(crate) fn customer(row: &Row) -> Result<Versioned<Customer>, RowError> {
    let name: Option<String> = row.get("name")?;
    let row_of = Customer { customer_id: row.get("customer_id")?, name: name.map(Personal::new) };
    Ok(Versioned { row: row_of, version: version(row, "version")? })
}

pub(crate) fn transaction(row: &Row) -> Result<Versioned<Transaction>, RowError> {
    let remittance: Option<String> = row.get("remittance")?;
    let booked_at = Timestamp::from_microsecond(row.get("booked_at_us")?);
    let transaction = Transaction {
        transaction_id: row.get("transaction_id")?,
        account_id: row.get("account_id")?,
        posting_no: row.get("posting_no")?,
        amount_minor: row.get("amount_minor")?,
        currency: currency(row, "currency")?,
        booked_at: booked_at.map_err(|_| RowError::Vocabulary("booked_at_us"))?,
        value_date: date_of_day(row.get("value_day")?).ok_or(RowError::Vocabulary("value_day"))?,
        remittance: remittance.map(Personal::new),
        core_ref: row.get("core_ref")?,
    };
    Ok(Versioned { row: transaction, version: version(row, "version")? })
}

/// Days since 1970-01-01.
pub(crate) fn day_of_date(date: Date) -> i64 {
    let since = date.since(EPOCH).map(|span| span.get_days());
    since.map_or(0, i64::from)
}

fn date_of_day(day: i64) -> Option<Date> {
    EPOCH.checked_add(jiff::Span::new().try_days(day).ok()?).ok()
}

const EPOCH: Date = Date::constant(1970, 1, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_round_trip() {
        for text in ["1970-01-01", "2026-11-22", "1969-12-31", "1900-02-28", "9999-12-31"] {
            let date: Date = text.parse().unwrap();
            assert_eq!(date_of_day(day_of_date(date)), Some(date), "{text}");
        }
    }
}
