//! Canonical changes as rows of their tables: columns, values, and what does not fit.

use schemas::model::{CanonicalChange, CanonicalRow, Entity, RowChange, Transaction, Was};
use sql::{Policy, Upsert, Value, params};

use crate::rows::day_of_date;

/// Why a change cannot be stored; such an event is parked, not retried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// More characters than its column holds.
    #[error("{column} is longer than {max} characters")]
    TooLong {
        /// Which.
        column: &'static str,
        /// What fits.
        max: usize,
    },
    /// The row is not of the kind the change says.
    #[error("a {0} change carries another kind of row")]
    Kind(&'static str),
}

/// Longest keys of accounts and customers, in characters.
pub const KEY_LEN_MAX: usize = 64;
/// Longest key of a transaction, in characters.
pub const TRANSACTION_ID_LEN_MAX: usize = 128;
/// Longest text of a transaction, in characters.
pub const REMITTANCE_LEN_MAX: usize = 1_024;
/// Longest name of a customer, in characters.
pub const NAME_LEN_MAX: usize = 512;

/// Says whether a change can be stored. Ask before `apply`: inside the transaction it would fail its neighbours.
pub fn check(change: &CanonicalChange) -> Result<(), Unfit> {
    let key_max = if change.entity == Entity::Transaction { TRANSACTION_ID_LEN_MAX } else { KEY_LEN_MAX };
    fits("key", &change.key, key_max)?;
    fits("account_id", change.account_id.as_deref().unwrap_or_default(), KEY_LEN_MAX)?;
    let row = match &change.row {
        RowChange::Upsert(row) => row,
        RowChange::Ended(Was::Posting(row)) => return check_transaction(row),
        RowChange::Ended(Was::Account(_)) | RowChange::Delete => return Ok(()),
    };
    match (change.entity, row) {
        (Entity::Customer, CanonicalRow::Customer(row)) => {
            fits("name", row.name.as_ref().map(|n| n.expose()).unwrap_or_default(), NAME_LEN_MAX)
        }
        (Entity::Account, CanonicalRow::Account(row)) => {
            fits("customer_id", &row.customer_id, KEY_LEN_MAX)?;
            fits("product", row.product.as_deref().unwrap_or_default(), 128)
        }
        (Entity::Balance, CanonicalRow::Balance(_)) => Ok(()),
        (Entity::Transaction, CanonicalRow::Transaction(row)) => check_transaction(row),
        (entity, _) => Err(Unfit::Kind(entity.as_str())),
    }
}

fn check_transaction(row: &Transaction) -> Result<(), Unfit> {
    fits("account_id", &row.account_id, KEY_LEN_MAX)?;
    fits("core_ref", row.core_ref.as_deref().unwrap_or_default(), KEY_LEN_MAX)?;
    fits("remittance", row.remittance.as_ref().map(|r| r.expose()).unwrap_or_default(), REMITTANCE_LEN_MAX)
}

pub(crate) fn fits(column: &'static str, text: &str, max: usize) -> Result<(), Unfit> {
    let long = text.len() > max && text.chars().count() > max;
    if long { Err(Unfit::TooLong { column, max }) } else { Ok(()) }
}

/// The guarded upsert of an entity, without rows yet.
pub(crate) fn upsert(entity: Entity) -> Upsert {
    let newer = Policy::Newer("version");
    match entity {
        Entity::Customer => Upsert::new("customer_rows", CUSTOMERS, &CUSTOMERS[..2], newer),
        Entity::Account => Upsert::new("account_rows", ACCOUNTS, &ACCOUNTS[..2], newer),
        Entity::Balance => Upsert::new("balance_rows", BALANCES, &BALANCES[..2], newer),
        Entity::Transaction => Upsert::new("transaction_rows", TRANSACTIONS, &TRANSACTIONS[..2], newer),
    }
}

/// Columns of the tables of canonical rows; the first two are the key.
pub(crate) const CUSTOMERS: &[&str] = &["customer_id", "dataset", "version", "deleted", "name"];
pub(crate) const ACCOUNTS: &[&str] =
    &["account_id", "dataset", "version", "deleted", "customer_id", "currency", "state", "product"];
pub(crate) const BALANCES: &[&str] = &[
    "account_id",
    "dataset",
    "version",
    "deleted",
    "currency",
    "booked_minor",
    "overdraft_line_minor",
    "core_holds_minor",
    "last_posting",
];
pub(crate) const TRANSACTIONS: &[&str] = &[
    "transaction_id",
    "dataset",
    "version",
    "deleted",
    "account_id",
    "booked_at_us",
    "posting_no",
    "amount_minor",
    "currency",
    "value_day",
    "remittance",
    "remittance_search",
    "core_ref",
];

/// The values of a change, in the order of the columns of [`upsert`]. A delete keeps nothing but its marker; what ended keeps what it was.
pub(crate) fn values(dataset: u32, change: &CanonicalChange) -> Vec<Value> {
    let deleted = matches!(change.row, RowChange::Delete | RowChange::Ended(_));
    let mut values = params![&change.key, dataset, change.version.as_bytes(), deleted];
    values.extend(match &change.row {
        RowChange::Upsert(row) => row_values(row),
        RowChange::Ended(Was::Posting(row)) => transaction_values(row),
        RowChange::Ended(Was::Account(currency)) => params!["", currency.code(), "", Value::Null],
        RowChange::Delete => marker_values(change),
    });
    values
}

fn row_values(row: &CanonicalRow) -> Vec<Value> {
    match row {
        CanonicalRow::Customer(row) => params![row.name.as_ref().map(|name| name.expose())],
        CanonicalRow::Account(row) => {
            params![&row.customer_id, row.currency.code(), row.state.as_str(), row.product.as_deref()]
        }
        CanonicalRow::Balance(row) => params![
            row.currency.code(),
            row.booked_minor,
            row.overdraft_line_minor,
            row.core_holds_minor,
            row.last_posting
        ],
        CanonicalRow::Transaction(row) => transaction_values(row),
    }
}

fn transaction_values(row: &Transaction) -> Vec<Value> {
    let remittance = row.remittance.as_ref().map(|text| text.expose());
    params![
        &row.account_id,
        row.booked_at.as_microsecond(),
        row.posting_no,
        row.amount_minor,
        row.currency.code(),
        day_of_date(row.value_date),
        remittance,
        remittance.map(searchable),
        row.core_ref.as_deref()
    ]
}

fn marker_values(change: &CanonicalChange) -> Vec<Value> {
    match change.entity {
        Entity::Customer => params![Value::Null],
        Entity::Account => params!["", "", "", Value::Null],
        Entity::Balance => params!["", 0, 0, 0, Value::Null],
        Entity::Transaction => {
            let account_id = change.account_id.as_deref().unwrap_or_default();
            params![account_id, 0, Value::Null, 0, "", 0, Value::Null, Value::Null, Value::Null]
        }
    }
}

/// The form in which texts are compared: engines disagree about case, so we do it.
pub(crate) fn searchable(text: &str) -> String {
    text.to_lowercase().chars().take(2 * REMITTANCE_LEN_MAX).collect()
}
