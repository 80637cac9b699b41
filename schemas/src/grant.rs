//! Whose accounts a principal may see and debit. Made once, where the caller is authenticated.

use std::sync::Arc;

/// What a principal may touch. Cloning is cheap: one goes with every request.
#[derive(Clone, PartialEq, Eq)]
pub enum Grant {
    /// Accounts of these customers. None of them: nothing.
    Customers(Arc<[String]>),
    /// Everything: operators, and Locum itself.
    Any,
}

impl Grant {
    /// The grant for these customers.
    pub fn customers<T: Into<String>>(ids: impl IntoIterator<Item = T>) -> Self {
        Self::Customers(ids.into_iter().map(Into::into).collect())
    }

    /// True when it covers a customer's accounts.
    pub fn covers(&self, customer_id: &str) -> bool {
        match self {
            Self::Customers(ids) => ids.iter().any(|id| id == customer_id),
            Self::Any => true,
        }
    }

    /// True when it covers nothing at all.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Customers(ids) if ids.is_empty())
    }
}

impl std::fmt::Debug for Grant {
    /// Says how many customers, not which: they are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Customers(ids) => write!(f, "Customers({})", ids.len()),
            Self::Any => f.write_str("Any"),
        }
    }
}
