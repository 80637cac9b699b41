//! One event seen through its table's mapping: how cells become values.

use std::borrow::Cow;

use super::lookup::{Accounts, NO_ACCOUNTS};
use super::table::Table;
use super::{MapError, MapReason, Mapping, Touched};
use crate::debezium::{Cell, ChangeEvent, ColumnKind, Row};
use crate::decimal::{Decimal, DecimalFormat};
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
    /// What the event's row was stored under before, where its own key does not tell it.
    pub(super) known: &'v [Touched],
    /// The accounts that the event's rows take something from, as far as they are known.
    pub(super) accounts: &'v Accounts,
}

impl<'v> View<'v> {
    /// A view that knows no accounts.
    pub(super) fn plain(
        mapping: &'v Mapping,
        table: &'v Table,
        event: &'v ChangeEvent<'v>,
        version: Version,
        known: &'v [Touched],
    ) -> Self {
        Self { mapping, table, event, version, known, accounts: &NO_ACCOUNTS }
    }
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
    pub(super) fn cell<'r>(&self, row: &Row<'r>, column: &str) -> Result<Cell<'r>, MapError> {
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
            None if cell.is_integer() => Err(self.error(column, MapReason::IntegerRange)),
            None => Err(self.error(column, MapReason::Expected("a text or an integer"))),
        }
    }

    /// An integer, also where the core's column is a DECIMAL without digits after the point (BIGINT UNSIGNED, NUMBER).
    pub(super) fn integer(&self, row: &Row<'_>, column: &str) -> Result<i64, MapError> {
        let cell = self.value(row, column)?;
        let block = self.kind(column);
        if let Some(ColumnKind::Decimal { .. } | ColumnKind::VariableScaleDecimal) = block {
            let decimal = Decimal::from_cell(cell, DecimalFormat::Variable, block);
            return decimal.and_then(|decimal| decimal.to_minor(0)).map_err(|err| self.error(column, err.into()));
        }
        let reason =
            if cell.is_integer() { MapReason::IntegerRange } else { MapReason::Expected("an integer of 64 bits") };
        cell.i64().ok_or_else(|| self.error(column, reason))
    }
}
