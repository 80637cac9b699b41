//! What the bank's core tells: rows of customers, accounts, balances and transactions; and our holds.

use schemas::model::{Account, AccountState, Balance, CanonicalChange, CanonicalRow, Customer, Entity, Personal};
use schemas::model::{RowChange, Transaction};
use schemas::money::Currency;
use schemas::position::Version;
use standin::journal::Hold;

use super::NOW_MS;

/// A version that sorts by `step`.
pub fn version(step: u8) -> Version {
    let mut bytes = *Version::floor(1).as_bytes();
    bytes[11] = step;
    Version::from_bytes(&bytes).unwrap()
}

/// The same change in another generation.
pub fn in_generation(generation: u8, mut change: CanonicalChange) -> CanonicalChange {
    let mut bytes = *change.version.as_bytes();
    bytes[3] = generation;
    change.version = Version::from_bytes(&bytes).unwrap();
    change
}

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn change(entity: Entity, key: &str, step: u8, row: CanonicalRow) -> CanonicalChange {
    let row = RowChange::Upsert(row);
    CanonicalChange { entity, key: key.into(), account_id: None, version: version(step), place: None, row }
}

pub fn customer(id: &str) -> CanonicalChange {
    let row = Customer { customer_id: id.into(), name: Some(Personal::new("Ada")) };
    change(Entity::Customer, id, 1, CanonicalRow::Customer(row))
}

pub fn account(id: &str, customer: &str) -> CanonicalChange {
    let row = Account {
        account_id: id.into(),
        customer_id: customer.into(),
        currency: eur(),
        state: AccountState::Active,
        product: None,
    };
    change(Entity::Account, id, 1, CanonicalRow::Account(row))
}

pub fn balance(id: &str, step: u8, booked_minor: i64) -> CanonicalChange {
    let row = Balance {
        account_id: id.into(),
        currency: eur(),
        booked_minor,
        overdraft_line_minor: 5_000,
        core_holds_minor: 100,
        last_posting: Some(i64::from(step)),
    };
    change(Entity::Balance, id, step, CanonicalRow::Balance(row))
}

pub fn transaction(id: &str, account: &str, amount_minor: i64, second: i64) -> CanonicalChange {
    let booked_at = jiff::Timestamp::from_second(NOW_MS / 1_000 - 1_000 + second).unwrap();
    let row = Transaction {
        transaction_id: id.into(),
        account_id: account.into(),
        posting_no: Some(second),
        amount_minor,
        currency: eur(),
        booked_at,
        value_date: jiff::civil::date(2027, 1, 15),
        remittance: Some(Personal::new(format!("Rent {id}"))),
        core_ref: None,
    };
    change(Entity::Transaction, id, 1, CanonicalRow::Transaction(row))
}

pub fn hold(amount_minor: i64, released_at: Option<u8>) -> Hold {
    Hold { amount_minor, released_at: released_at.map(|step| version(step).as_bytes().to_vec()) }
}
