//! Currencies: the column that names a row's currency, or the one that every row has.

use super::field::Fields;
use super::node::{Members, Node};
use super::view::View;
use super::{MapError, MapReason};
use crate::debezium::Row;
use crate::money::Currency;

/// Where the currency of a row stands.
#[derive(Debug, Clone)]
pub(super) struct CurrencyField {
    /// The column; none = every row has the same.
    pub(super) column: Option<String>,
    /// The currency of rows without a column, or with NULL in it.
    pub(super) otherwise: Option<Currency>,
}

impl Fields<'_> {
    /// Reads a column's name, `{column, null_is}` or `{constant: …}`.
    pub(super) fn currency(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<CurrencyField> {
        let node = members.need(name, self.problems)?;
        let at = members.path(name);
        if let Some(text) = self.constant(node, &at) {
            let otherwise = self.currency_of(&text?, node.line, &format!("{at}.constant"))?;
            return Some(CurrencyField { column: None, otherwise: Some(otherwise) });
        }
        let (field, otherwise) = match self.long(node, &at) {
            None => (self.field(node, &at)?, None),
            Some(mut members) => {
                let null = members.take("null_is");
                let null = null.map(|n| self.currency_named(n, &members.path("null_is")));
                (self.rest(members)?, null)
            }
        };
        let column = self.column_of(field, "text")?;
        match otherwise {
            None => Some(CurrencyField { column: Some(column), otherwise: None }),
            Some(currency) => Some(CurrencyField { column: Some(column), otherwise: Some(currency?) }),
        }
    }

    fn currency_named(&mut self, node: &Node, at: &str) -> Option<Currency> {
        let text = self.problems.text(node, at)?;
        self.currency_of(&text, node.line, at)
    }

    fn currency_of(&mut self, code: &str, line: u64, at: &str) -> Option<Currency> {
        let currency = Currency::parse(code).ok();
        if currency.is_none() {
            self.problems.add(line, at, "unknown currency: expected an ISO 4217 code such as EUR");
        }
        currency
    }
}

impl View<'_> {
    pub(super) fn currency(&self, row: &Row<'_>, field: &CurrencyField) -> Result<Currency, MapError> {
        let text = self.optional(row, field.column.as_ref(), Self::text)?;
        let column = field.column.as_deref().unwrap_or_default();
        match (text, field.otherwise) {
            (Some(text), _) => Currency::parse(&text).map_err(|_| self.error(column, MapReason::UnknownCurrency)),
            (None, Some(currency)) => Ok(currency),
            (None, None) => Err(self.error(column, MapReason::Null)),
        }
    }
}
