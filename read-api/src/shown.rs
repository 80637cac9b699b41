//! Rows in the JSON that channels read, without a server: for a person who tries a mapping.

use read_model::AccountDocument;
use schemas::model::Transaction;
use serde_json::Value;

use crate::accounts::AccountView;
use crate::balance::{BalanceView, NoBalance};
use crate::seams::AccountHolds;
use crate::transactions::TransactionView;

/// `GET /v1/accounts/{id}`
pub fn account(document: &AccountDocument) -> Value {
    serde_json::to_value(AccountView::of(document)).unwrap_or_default()
}

/// `GET /v1/accounts/{id}/balances`, of an account without holds of ours; or why there is none.
pub fn balance(document: &AccountDocument) -> Result<Value, &'static str> {
    match BalanceView::of(document, &AccountHolds::default()) {
        Ok(view) => Ok(serde_json::to_value(view).unwrap_or_default()),
        Err(NoBalance::NotArrived) => Err("no row of a balance has this account"),
        Err(NoBalance::OutOfRange) => Err("what is available leaves 64 bits"),
    }
}

/// One of `GET /v1/accounts/{id}/transactions`
pub fn transaction(row: &Transaction) -> Value {
    serde_json::to_value(TransactionView::of(row)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use read_model::Versioned;
    use schemas::model::{Account, AccountState, Balance};
    use schemas::money::Currency;
    use schemas::position::Version;
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_shown_as_channels_read_them() {
        let (version, currency) = (Version::floor(1), Currency::parse("EUR").unwrap());
        let account_id = || "A1".to_owned();
        let account_row = Account {
            account_id: account_id(),
            customer_id: String::new(),
            currency,
            state: AccountState::Active,
            product: None,
        };
        let mut document =
            AccountDocument { source: "core".into(), account: Versioned { row: account_row, version }, balance: None };
        assert_eq!(account(&document), json!({"account_id": "A1", "currency": "EUR", "state": "active"}));
        assert!(balance(&document).is_err());
        let row = Balance {
            account_id: account_id(),
            currency,
            booked_minor: 12_345,
            overdraft_line_minor: 500,
            core_holds_minor: 45,
            last_posting: None,
        };
        document.balance = Some(Versioned { row, version });
        let shown = balance(&document).unwrap();
        assert_eq!(
            (&shown["booked"], &shown["available"], &shown["pending"]),
            (&json!("123.45"), &json!("128.00"), &json!("0.00"))
        );
    }
}
