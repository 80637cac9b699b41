//! What is sent to a core: an operation with its reference and fields.

use std::fmt;

use crate::money::Currency;

/// One request to post, the same on every attempt. Its `Debug` names the fields and never shows their values.
#[derive(Clone, PartialEq, Eq)]
pub struct PostRequest {
    /// Name of the operation in configuration.
    pub operation: String,
    /// The reference the core stores, derived from the entry.
    pub core_ref: String,
    /// When the entry was accepted.
    pub accepted_at: jiff::Timestamp,
    /// The business date the posting shall carry.
    pub value_date: jiff::civil::Date,
    /// The operation's own fields by name, as [`Operation::fields`](crate::operation::Operation::fields) has them.
    pub fields: Vec<(String, Field)>,
}

impl PostRequest {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, field)| field)
    }
}

impl fmt::Debug for PostRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("PostRequest")
            .field("operation", &self.operation)
            .field("core_ref", &self.core_ref)
            .field("fields", &names)
            .finish_non_exhaustive()
    }
}

/// One value of a request. Its `Debug` says what it is, not what is in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Field {
    /// An account, a name, a remittance text.
    Text(String),
    /// An amount.
    Money {
        /// Minor units of the currency.
        minor: i64,
        /// The currency.
        currency: Currency,
    },
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Text(_) => "Text(…)",
            Field::Money { .. } => "Money(…)",
        })
    }
}
