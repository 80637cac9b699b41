//! Amounts: the column that an amount stands in, and how it becomes minor units, exactly.

use super::MapError;
use super::field::Fields;
use super::node::{Node, Value};
use super::view::View;
use crate::debezium::{Cell, Row};
use crate::decimal::{Decimal, DecimalError, DecimalFormat, is_base64};
use crate::money::Currency;

/// Where an amount stands.
#[derive(Debug, Clone)]
pub(super) struct Amount {
    pub(super) column: String,
    pub(super) format: AmountFormat,
    /// NULL is no amount; otherwise the field needs a value.
    pub(super) null_is_zero: bool,
}

/// How an amount's column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AmountFormat {
    Decimal(DecimalFormat),
    MinorUnits,
}

impl Fields<'_> {
    pub(super) fn amount(&mut self, node: &Node, at: &str) -> Option<Amount> {
        const TYPES: &str = "expected a type: decimal (with a scale), decimal_text, decimal_variable or minor_units";
        let (field, null_is_zero) = match self.long(node, at) {
            None => (self.field(node, at)?, false),
            Some(mut members) => {
                let null = members.take("null_is");
                let zero = null.is_none_or(|n| self.zero(n, &members.path("null_is")));
                (self.rest(members)?, null.is_some() && zero)
            }
        };
        if field.codes.is_some() {
            self.problems.add(field.line, at, "this field has no codes");
        }
        let kind = field.kind.as_ref().map(|(_, kind)| kind.as_str());
        let format = match (kind, field.scale) {
            (Some("decimal"), Some(scale)) => AmountFormat::Decimal(DecimalFormat::Precise { scale }),
            (Some("decimal"), None) => {
                self.problems.add(field.line, at, "missing scale: events without a schema block do not tell it");
                return None;
            }
            (Some("decimal_text"), scale) => AmountFormat::Decimal(DecimalFormat::Text { scale }),
            (Some("decimal_variable"), None) => AmountFormat::Decimal(DecimalFormat::Variable),
            (Some("minor_units"), None) => AmountFormat::MinorUnits,
            (Some("decimal_variable" | "minor_units"), Some(_)) => {
                self.problems.add(field.line, at, "only types decimal and decimal_text have a scale");
                return None;
            }
            _ => {
                self.problems.add(field.line, at, TYPES);
                return None;
            }
        };
        self.single(field).map(|column| Amount { column, format, null_is_zero })
    }

    /// NULL may stand for zero and for no other amount.
    fn zero(&mut self, node: &Node, at: &str) -> bool {
        let zero = matches!(node.value, Value::Integer(0));
        if !zero {
            self.problems.add(node.line, at, "expected 0: NULL may stand for no other amount");
        }
        zero
    }
}

impl View<'_> {
    pub(super) fn amount(&self, row: &Row<'_>, amount: &Amount, currency: Currency) -> Result<i64, MapError> {
        if amount.null_is_zero && self.cell(row, &amount.column)?.is_null() {
            return Ok(0);
        }
        let cell = self.value(row, &amount.column)?;
        let exponent = currency.exponent();
        let format = match amount.format {
            AmountFormat::Decimal(format) => format,
            AmountFormat::MinorUnits => DecimalFormat::Integer { scale: i32::try_from(exponent).unwrap_or(0) },
        };
        let decimal = match (Decimal::from_cell(cell, format, self.kind(&amount.column)), format) {
            (Err(DecimalError::Ambiguous), DecimalFormat::Precise { scale }) if self.writes_base64(row) => cell
                .text()
                .ok_or(DecimalError::Expected("a string"))
                .and_then(|text| Decimal::from_base64(&text, scale)),
            (decimal, _) => decimal,
        };
        decimal.and_then(|decimal| decimal.to_minor(exponent)).map_err(|err| self.error(&amount.column, err.into()))
    }

    /// True when another amount of the row can only be base64. A connector writes all decimals in one form.
    fn writes_base64(&self, row: &Row<'_>) -> bool {
        let precise = |amount: &&Amount| matches!(amount.format, AmountFormat::Decimal(DecimalFormat::Precise { .. }));
        self.table.amounts().filter(precise).any(|amount| {
            let text = row.get(&amount.column).and_then(Cell::text);
            text.is_some_and(|text| is_base64(&text) && Decimal::from_text(&text).is_err())
        })
    }
}
