//! Pages of an account's transactions, newest first, by keyset.

use jiff::Timestamp;
use schemas::model::Transaction;
use sql::{Value, params};

use schemas::grant::Grant;

use crate::grant::condition;
use crate::lookup::{Found, loaded};
use crate::reader::{Floor, Read, ReadError, Reader, Tier};
use crate::rows::{Versioned, transaction};
use crate::table::searchable;

/// Transactions of a page when nothing is said.
pub const PAGE_DEFAULT: u32 = 50;
/// Most transactions of a page.
pub const PAGE_MAX: u32 = 200;

/// A place in an account's list: the last transaction of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageKey {
    /// When it was booked, microseconds since 1970.
    pub booked_at_us: i64,
    /// Its key, which breaks ties.
    pub transaction_id: String,
}

/// Which transactions; `Default` = the newest page of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Booked at or after.
    pub from: Option<Timestamp>,
    /// Booked before.
    pub to: Option<Timestamp>,
    /// Amount without its sign, at least, in minor units.
    pub min_minor: Option<i64>,
    /// Amount without its sign, at most, in minor units.
    pub max_minor: Option<i64>,
    /// Part of the text, without regard to case.
    pub text: Option<String>,
    /// Only what stands behind this place.
    pub after: Option<PageKey>,
    /// Transactions per page; 0 = [`PAGE_DEFAULT`], cut off at [`PAGE_MAX`].
    pub limit: u32,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub transactions: Vec<Versioned<Transaction>>,
    /// Where the next page starts; none at the end.
    pub next: Option<PageKey>,
}

impl TransactionFilter {
    fn limit(&self) -> usize {
        let limit = if self.limit == 0 { PAGE_DEFAULT } else { self.limit.min(PAGE_MAX) };
        limit as usize
    }

    /// May the filter make the read walk an account's whole history for few rows or none? The index knows times only.
    pub fn walks(&self) -> bool {
        self.text.is_some() || self.min_minor.is_some() || self.max_minor.is_some()
    }

    /// Conditions on `transactions t`, with their parameters.
    fn conditions(&self) -> (String, Vec<Value>) {
        let (mut sql, mut values) = (String::new(), Vec::new());
        let mut and = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                sql.push_str(" AND ");
                sql.push_str(condition);
                values.push(value);
            }
        };
        and("t.booked_at_us >= ?", self.from.map(|at| at.as_microsecond().into()));
        and("t.booked_at_us < ?", self.to.map(|at| at.as_microsecond().into()));
        and("ABS(t.amount_minor) >= ?", self.min_minor.map(Value::from));
        and("ABS(t.amount_minor) <= ?", self.max_minor.map(Value::from));
        and("INSTR(t.remittance_search, ?) > 0", self.text.as_deref().map(|text| searchable(text).into()));
        // Not a row comparison: not every engine walks the index with one.
        and("t.booked_at_us <= ?", self.after.as_ref().map(|key| key.booked_at_us.into()));
        if let Some(key) = &self.after {
            sql.push_str(" AND (t.booked_at_us < ? OR t.transaction_id < ?)");
            values.extend(params![key.booked_at_us, &key.transaction_id]);
        }
        (sql, values)
    }
}

impl Reader {
    /// A page of an account's transactions. The position is that of the account's row, read first; the page is at least
    /// as new.
    pub async fn transactions(
        &self,
        grant: &Grant,
        account_id: &str,
        filter: &TransactionFilter,
        floor: &Floor,
    ) -> Result<Read<Page>, ReadError> {
        let Found { status, degraded, dataset, .. } = self.account_found(grant, account_id, floor).await?;
        // A page that lacks what is not loaded yet would look whole.
        loaded(&status)?;
        let (granted, grant_params) = condition(grant, "a.customer_id");
        let (filtered, filter_params) = filter.conditions();
        let sql = format!(
            "SELECT t.transaction_id AS transaction_id, t.account_id AS account_id, t.version AS version, \
               t.posting_no AS posting_no, t.amount_minor AS amount_minor, t.currency AS currency, \
               t.booked_at_us AS booked_at_us, t.value_day AS value_day, t.remittance AS remittance, \
               t.core_ref AS core_ref \
             FROM transaction_rows t JOIN account_rows a ON a.account_id = t.account_id AND a.dataset = t.dataset \
             WHERE t.account_id = ? AND t.dataset = ? AND t.deleted = 0 AND a.deleted = 0 \
               AND {granted}{filtered} ORDER BY t.booked_at_us DESC, t.transaction_id DESC LIMIT ?"
        );
        let limit = filter.limit();
        let mut values = params![account_id, dataset];
        values.extend(grant_params.into_iter().chain(filter_params));
        values.push(Value::Int(limit as i64 + 1));
        let rows = self.db.query(&sql, values).await?;
        let mut transactions = rows.iter().map(transaction).collect::<Result<Vec<_>, _>>()?;
        let more = transactions.len() > limit;
        transactions.truncate(limit);
        let next = transactions.last().filter(|_| more).map(|last| PageKey {
            booked_at_us: last.row.booked_at.as_microsecond(),
            transaction_id: last.row.transaction_id.clone(),
        });
        // Filtered only after the place of the next page is known, because not every engine compares texts byte for byte.
        transactions.retain(|transaction| transaction.row.account_id == account_id);
        Ok(self.answer(Page { transactions, next }, vec![(status, degraded)], Tier::Sql))
    }
}
