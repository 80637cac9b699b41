//! Codes: what a column's texts, small integers and booleans mean.

use std::borrow::Cow;

use super::view::View;
use super::{MapError, MapReason};
use crate::debezium::{Cell, ColumnKind, Row};

/// Holds for rows whose column has one of these codes, or none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Predicate {
    pub(super) column: String,
    pub(super) codes: Vec<Code>,
    pub(super) not: bool,
}

/// A code that a predicate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    /// NULL.
    Null,
    /// A text; `true` and `false` are the booleans, too.
    Text(String),
    /// An integer without quotes: never a text, so that `01` is not taken for `1`.
    Number(i64),
}

impl Code {
    /// True when one cell may be both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self.written(), other.written()) {
            (Some(a), Some(b)) => a == b || one_boolean(&a, &b),
            (a, b) => a == b,
        }
    }

    /// As it is written in a cell; none for NULL.
    pub(super) fn written(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written().unwrap_or(Cow::Borrowed("null")))
    }
}

impl Predicate {
    /// True when a row may have this code and pass.
    pub(super) fn admits(&self, code: &Code) -> bool {
        self.codes.iter().any(|own| own.overlaps(code)) != self.not
    }
}

/// The codes of a boolean. BOOLEAN, BIT(1) and TINYINT(1) arrive as `true` or as `1`, and one column may arrive as both.
const YES: [&str; 2] = ["true", "1"];
const NO: [&str; 2] = ["false", "0"];

/// What a column of codes holds.
const CODES: &str = "an integer, a boolean or a text; codes of a text column are written in quotes";

/// True when two codes stand for one boolean. A mapping must not give them two meanings.
pub(super) fn one_boolean(a: &str, b: &str) -> bool {
    [YES, NO].iter().any(|codes| codes.contains(&a) && codes.contains(&b))
}

/// A code as it came.
pub(super) struct Seen<'r> {
    text: Cow<'r, str>,
    /// A text column's `1` is that text and nothing else.
    is_text: bool,
}

impl Seen<'_> {
    pub(super) fn is(&self, code: &str) -> bool {
        code == self.text || (!self.is_text && one_boolean(code, &self.text))
    }
}

impl View<'_> {
    pub(super) fn seen<'r>(&self, cell: Cell<'r>, column: &str) -> Result<Seen<'r>, MapError> {
        match cell.bool() {
            Some(_) => Ok(Seen { text: Cow::Borrowed(cell.json()), is_text: false }),
            None => Ok(Seen { text: self.text(cell, column)?, is_text: cell.kind() == "string" }),
        }
    }

    /// True when a row passes a test of `where`. A column that holds no codes as written there contradicts the mapping.
    pub(super) fn passes_test(&self, row: &Row<'_>, test: &Predicate) -> Result<bool, MapError> {
        let number = test.codes.iter().any(|code| matches!(code, Code::Number(_)));
        let text = row.get(&test.column).is_some_and(|cell| cell.kind() == "string");
        if (text && number) || self.kind(&test.column).is_some_and(ColumnKind::holds_no_code) {
            return Err(self.error(&test.column, MapReason::OtherForm(CODES)));
        }
        self.holds(row, test)
    }

    pub(super) fn holds(&self, row: &Row<'_>, predicate: &Predicate) -> Result<bool, MapError> {
        let Predicate { column, codes, not } = predicate;
        let found = match self.optional(row, Some(column), Self::seen)? {
            None => codes.contains(&Code::Null),
            Some(seen) => codes.iter().filter_map(Code::written).any(|code| seen.is(&code)),
        };
        Ok(found != *not)
    }
}
