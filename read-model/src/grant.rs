//! A grant as a condition of a query: what a principal may not see is not read at all.

use schemas::grant::Grant;
use sql::{Value, placeholders};

/// The condition on `column`, and its parameters.
pub(crate) fn condition(grant: &Grant, column: &str) -> (String, Vec<Value>) {
    match grant {
        Grant::Any => ("1 = 1".to_owned(), Vec::new()),
        Grant::Customers(ids) => {
            (format!("{column} IN ({})", placeholders(ids.len())), ids.iter().map(Value::from).collect())
        }
    }
}
