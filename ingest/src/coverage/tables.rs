//! What was seen of the mapped tables: their columns, NULLs, and codes that the mapping does not list.

use std::collections::BTreeMap;

use schemas::debezium::{COLUMNS_MAX, ChangeEvent, Op};
use schemas::mapping::{Mapping, Unlisted};

use super::Fate;

/// Codes that are told apart in a table; those beyond are only counted.
pub const CODES_MAX: usize = 100;

/// One mapped table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableSeen {
    /// Events of it.
    pub events: u64,
    /// Of them those that gave rows, or ended some.
    pub mapped: u64,
    /// Of them those of rows that its filter leaves out.
    pub skipped: u64,
    /// Of them those that were refused.
    pub refused: u64,
    /// Updates of it.
    pub updates: u64,
    /// Of them those that do not tell the row before.
    pub without_before: u64,
    /// Its columns: those that the mapping uses, and those that occurred.
    pub columns: BTreeMap<String, ColumnSeen>,
    /// Codes that the mapping does not list.
    pub codes: Vec<CodeSeen>,
    /// Rows with further ones.
    pub more_codes: u64,
}

/// One column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnSeen {
    /// The mapping names it.
    pub is_used: bool,
    /// Rows that have it.
    pub rows: u64,
    /// Of them those with NULL in it.
    pub nulls: u64,
}

/// A code that the mapping does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSeen {
    /// Which, and where it is not listed.
    pub unlisted: Unlisted,
    /// Rows with it.
    pub rows: u64,
}

impl TableSeen {
    /// Columns that occurred and that the mapping does not use.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        let unused = self.columns.iter().filter(|(_, seen)| !seen.is_used && seen.rows > 0);
        unused.map(|(column, _)| column.as_str())
    }

    /// Columns that the mapping uses and that no row has.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let missing = self.columns.iter().filter(|(_, seen)| seen.is_used && seen.rows == 0);
        missing.map(|(column, _)| column.as_str())
    }

    fn look(&mut self, event: &ChangeEvent<'_>, fate: Fate, unlisted: Vec<Unlisted>) {
        self.events += 1;
        match fate {
            Fate::Mapped => self.mapped += 1,
            Fate::Skipped => self.skipped += 1,
            Fate::Refused => self.refused += 1,
            Fate::Unmapped | Fate::Other => {}
        }
        if event.op == Op::Update {
            self.updates += 1;
            self.without_before += u64::from(event.before.is_none());
        }
        for (column, cell) in event.after.iter().flat_map(|row| row.iter()) {
            let seen = match self.columns.get_mut(column) {
                Some(seen) => seen,
                None if self.columns.len() < COLUMNS_MAX => self.columns.entry(column.to_owned()).or_default(),
                None => continue,
            };
            seen.rows += 1;
            seen.nulls += u64::from(cell.is_null());
        }
        for unlisted in unlisted {
            match self.codes.iter_mut().find(|code| code.unlisted == unlisted) {
                Some(code) => code.rows += 1,
                None if self.codes.len() < CODES_MAX => self.codes.push(CodeSeen { unlisted, rows: 1 }),
                None => self.more_codes += 1,
            }
        }
    }
}

/// All mapped tables.
pub(super) struct Tables(BTreeMap<String, TableSeen>);

impl Tables {
    pub(super) fn new(mapping: &Mapping) -> Self {
        let used = ColumnSeen { is_used: true, ..ColumnSeen::default() };
        let table = |table: schemas::mapping::TableUse| {
            let columns = table.columns.into_iter().map(|column| (column, used)).collect();
            (table.table, TableSeen { columns, ..TableSeen::default() })
        };
        Self(mapping.uses().into_iter().map(table).collect())
    }

    pub(super) fn look(&mut self, table: &str, event: &ChangeEvent<'_>, fate: Fate, unlisted: Vec<Unlisted>) {
        if let Some(seen) = self.0.get_mut(table) {
            seen.look(event, fate, unlisted);
        }
    }

    pub(super) fn all(&self) -> &BTreeMap<String, TableSeen> {
        &self.0
    }
}
