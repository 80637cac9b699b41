//! Codes: what a column's texts, small integers and booleans mean.

use std::borrow::Cow;

use super::view::View;
use super::{MapError, MapReason};
use crate::debezium::{Cell, Row};

/// A column of codes and what each means.
#[derive(Debug, Clone)]
pub(super) struct Codes<T> {
    pub(super) column: String,
    pub(super) codes: Vec<(String, T)>,
}

/// Holds for rows whose column has one of these codes.
#[derive(Debug, Clone)]
pub(super) struct Predicate {
    pub(super) column: String,
    pub(super) equals: Vec<String>,
}

/// The codes of a boolean. BOOLEAN, BIT(1) and TINYINT(1) arrive as `true` or as `1`, and one column may arrive as both.
const YES: [&str; 2] = ["true", "1"];
const NO: [&str; 2] = ["false", "0"];

/// True when two codes stand for one boolean. A mapping must not give them two meanings.
pub(super) fn one_boolean(a: &str, b: &str) -> bool {
    [YES, NO].iter().any(|codes| codes.contains(&a) && codes.contains(&b))
}

/// A code as it came.
struct Seen<'r> {
    text: Cow<'r, str>,
    /// A text column's `1` is that text and nothing else.
    is_text: bool,
}

impl Seen<'_> {
    fn is(&self, code: &str) -> bool {
        code == self.text || (!self.is_text && one_boolean(code, &self.text))
    }
}

impl View<'_> {
    fn seen<'r>(&self, cell: Cell<'r>, column: &str) -> Result<Seen<'r>, MapError> {
        match cell.bool() {
            Some(_) => Ok(Seen { text: Cow::Borrowed(cell.json()), is_text: false }),
            None => Ok(Seen { text: self.text(cell, column)?, is_text: cell.kind() == "string" }),
        }
    }

    pub(super) fn code<T: Copy>(&self, row: &Row<'_>, codes: &Codes<T>) -> Result<T, MapError> {
        let seen = self.seen(self.value(row, &codes.column)?, &codes.column)?;
        let found = codes.codes.iter().find(|(code, _)| seen.is(code));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| self.error(&codes.column, MapReason::UnknownCode))
    }

    pub(super) fn holds(&self, row: &Row<'_>, predicate: &Predicate) -> Result<bool, MapError> {
        let seen = self.optional(row, Some(&predicate.column), Self::seen)?;
        Ok(seen.is_some_and(|seen| predicate.equals.iter().any(|code| seen.is(code))))
    }
}
