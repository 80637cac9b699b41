//! One event seen through its table's mapping: how cells become values.

use std::borrow::Cow;

use super::{Amount, AmountFormat, Codes, Id, MapError, MapReason, Mapping, Table};
use crate::debezium::{Cell, ChangeEvent, ColumnKind, Row};
use crate::decimal::{Decimal, DecimalFormat};
use crate::money::Currency;
use crate::position::Version;

/// What Debezium writes for a value that the log does not have (PostgreSQL TOAST), as text.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// One event seen through its table's mapping.
#[derive(Clone, Copy)]
pub(super) struct View<'v> {
    pub(super) mapping: &'v Mapping,
    pub(super) table: &'v Table,
    pub(super) event: &'v ChangeEvent<'v>,
    pub(super) version: Version,
}

impl View<'_> {
    pub(super) fn error(&self, column: &str, reason: MapReason) -> MapError {
        MapError { table: self.table.full_name(), column: column.to_owned(), reason }
    }

    /// What the schema block says of a column.
    pub(super) fn kind(&self, column: &str) -> Option<ColumnKind> {
        self.event.schema.as_ref()?.kind(column)
    }

    /// A cell that must be there; it may be NULL.
    fn cell<'r>(&self, row: &Row<'r>, column: &str) -> Result<Cell<'r>, MapError> {
        row.get(column).ok_or_else(|| self.error(column, MapReason::Missing))
    }

    /// A cell that must hold a value.
    pub(super) fn value<'r>(&self, row: &Row<'r>, column: &str) -> Result<Cell<'r>, MapError> {
        let cell = self.cell(row, column)?;
        if cell.is_null() { Err(self.error(column, MapReason::Null)) } else { Ok(cell) }
    }

    pub(super) fn optional<'r, T>(
        &self,
        row: &Row<'r>,
        column: Option<&String>,
        read: impl Fn(&Self, Cell<'r>, &str) -> Result<T, MapError>,
    ) -> Result<Option<T>, MapError> {
        let Some(column) = column else { return Ok(None) };
        let cell = self.cell(row, column)?;
        if cell.is_null() { Ok(None) } else { read(self, cell, column).map(Some) }
    }

    /// Text, or an integer as it is written: identifiers may be either.
    pub(super) fn text<'r>(&self, cell: Cell<'r>, column: &str) -> Result<Cow<'r, str>, MapError> {
        match cell.text() {
            Some(text) if text == UNAVAILABLE => Err(self.error(column, MapReason::Unavailable)),
            Some(text) => Ok(text),
            None if cell.i64().is_some() || cell.u64().is_some() => Ok(Cow::Borrowed(cell.json())),
            None => Err(self.error(column, MapReason::Expected("a text or an integer"))),
        }
    }

    pub(super) fn id(&self, row: &Row<'_>, id: &Id) -> Result<String, MapError> {
        let mut joined = String::new();
        for (i, column) in id.0.iter().enumerate() {
            let part = self.text(self.value(row, column)?, column)?;
            if part.is_empty() {
                return Err(self.error(column, MapReason::Expected("a text that is not empty")));
            }
            if i > 0 {
                joined.push('-');
            }
            if id.0.len() > 1 && part.contains(['-', '%']) {
                joined.push_str(&part.replace('%', "%25").replace('-', "%2D"));
            } else {
                joined.push_str(&part);
            }
        }
        Ok(joined)
    }

    /// The identifier when the row has all its columns.
    pub(super) fn id_if_there(&self, row: &Row<'_>, id: &Id) -> Result<Option<String>, MapError> {
        if id.0.iter().all(|column| row.get(column).is_some()) { self.id(row, id).map(Some) } else { Ok(None) }
    }

    pub(super) fn integer(&self, row: &Row<'_>, column: &str) -> Result<i64, MapError> {
        let cell = self.value(row, column)?;
        cell.i64().ok_or_else(|| self.error(column, MapReason::Expected("an integer of 64 bits")))
    }

    pub(super) fn currency(&self, row: &Row<'_>, column: &str) -> Result<Currency, MapError> {
        let text = self.text(self.value(row, column)?, column)?;
        Currency::parse(&text).map_err(|_| self.error(column, MapReason::UnknownCurrency))
    }

    pub(super) fn code<T: Copy>(&self, row: &Row<'_>, codes: &Codes<T>) -> Result<T, MapError> {
        let text = self.text(self.value(row, &codes.column)?, &codes.column)?;
        let found = codes.codes.iter().find(|(code, _)| *code == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| self.error(&codes.column, MapReason::UnknownCode))
    }

    pub(super) fn amount(&self, row: &Row<'_>, amount: &Amount, currency: Currency) -> Result<i64, MapError> {
        let cell = self.value(row, &amount.column)?;
        let exponent = currency.exponent();
        let format = match amount.format {
            AmountFormat::Decimal(format) => format,
            AmountFormat::MinorUnits => DecimalFormat::Integer { scale: i32::try_from(exponent).unwrap_or(0) },
        };
        Decimal::from_cell(cell, format, self.kind(&amount.column))
            .and_then(|decimal| decimal.to_minor(exponent))
            .map_err(|err| self.error(&amount.column, err.into()))
    }
}
