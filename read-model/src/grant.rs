//! Whose accounts a principal may read. Checked in the query itself.

use sql::{Value, placeholders};

/// What a principal may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Accounts of these customers. None of them: nothing.
    Customers(Vec<String>),
    /// Everything: operators, and Locum itself.
    Any,
}

impl Grant {
    /// True when it covers a customer's accounts.
    pub fn covers(&self, customer_id: &str) -> bool {
        match self {
            Grant::Customers(ids) => ids.iter().any(|id| id == customer_id),
            Grant::Any => true,
        }
    }

    /// The condition on `column`, and its parameters.
    pub(crate) fn condition(&self, column: &str) -> (String, Vec<Value>) {
        match self {
            Grant::Any => ("1 = 1".to_owned(), Vec::new()),
            Grant::Customers(ids) => {
                (format!("{column} IN ({})", placeholders(ids.len())), ids.iter().map(Value::from).collect())
            }
        }
    }
}
