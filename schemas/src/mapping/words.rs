//! Texts for people: the column or columns that make one, and what stands in where it is empty.

use super::MapError;
use super::field::{Field, Fields};
use super::identifier::KeyForm;
use super::node::{Members, Node};
use super::view::View;
use crate::debezium::Row;

/// Where a text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    parts: Parts,
    /// Where it is NULL or blank: another one.
    otherwise: Option<Box<Words>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Parts {
    /// In a column, as it is.
    Column(String),
    /// In a column, without the reference of ours in it.
    WithoutReference(String),
    /// In several columns: those that are not blank, with one blank between them.
    Joined(Vec<String>),
    /// The same for every row.
    Constant(String),
}

impl Words {
    /// Every column that it may come from.
    pub(super) fn columns(&self) -> Vec<&String> {
        let mut columns: Vec<&String> = match &self.parts {
            Parts::Column(column) => vec![column],
            Parts::Joined(columns) => columns.iter().collect(),
            Parts::Constant(_) => Vec::new(),
        };
        columns.extend(self.otherwise.iter().flat_map(|other| other.columns()));
        columns
    }
}

impl Fields<'_> {
    /// Reads a column's name, `{column, without, empty_is}`, `{columns, empty_is}` or `{constant: …}`.
    pub(super) fn words(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<Words> {
        let node = members.take(name)?;
        self.words_at(node, &members.path(name))
    }

    fn words_at(&mut self, node: &Node, at: &str) -> Option<Words> {
        if let Some(text) = self.constant(node, at) {
            return text.map(|text| Words { parts: Parts::Constant(text), otherwise: None });
        }
        let (field, empty, without) = match self.long(node, at) {
            None => (self.field(node, at)?, None, None),
            Some(mut members) => {
                let empty = members.take("empty_is").map(|n| self.words_at(n, &members.path("empty_is")));
                let without = members.take("without").map(|n| self.core_ref_only(n, &members.path("without")));
                (self.rest(members)?, empty, without)
            }
        };
        let parts = match (self.parts(field)?, without) {
            (parts, None) => parts,
            (Parts::Column(column), Some(true)) => Parts::WithoutReference(column),
            (_, Some(true)) => {
                self.problems.add(node.line, at, "`without` is of one column");
                return None;
            }
            (_, Some(false)) => return None,
        };
        match empty {
            None => Some(Words { parts, otherwise: None }),
            Some(other) => Some(Words { parts, otherwise: Some(Box::new(other?)) }),
        }
    }

    /// Reads the one thing that a text can be without; false where it is another.
    fn core_ref_only(&mut self, node: &Node, at: &str) -> bool {
        let text = self.problems.text(node, at);
        if text.as_deref().is_some_and(|text| text != "core_ref") {
            self.problems.add(node.line, at, "expected core_ref: the text without our reference");
        }
        text.as_deref() == Some("core_ref")
    }

    fn parts(&mut self, field: Field<'_>) -> Option<Parts> {
        if field.columns.len() == 1 {
            return self.column_of(field, "text").map(Parts::Column);
        }
        self.plain(&field, "text");
        if field.columns.iter().any(|column| column.form != KeyForm::Undeclared) {
            self.problems.add(field.line, &field.at, "expected names of columns, without types");
            return None;
        }
        Some(Parts::Joined(field.columns.into_iter().map(|column| column.name).collect()))
    }
}

impl Words {
    /// True when a reference is cut out of it, or of what stands in for it.
    pub(super) fn is_without_reference(&self) -> bool {
        let other = self.otherwise.as_deref();
        matches!(self.parts, Parts::WithoutReference(_)) || other.is_some_and(Words::is_without_reference)
    }
}

impl View<'_> {
    pub(super) fn words(&self, row: &Row<'_>, words: &Words) -> Result<Option<String>, MapError> {
        let text = match &words.parts {
            Parts::Constant(text) => Some(text.clone()),
            Parts::Column(column) => self.optional(row, Some(column), Self::text)?.map(Into::into),
            Parts::WithoutReference(column) => {
                self.optional(row, Some(column), Self::text)?.map(|text| self.without_reference(&text))
            }
            Parts::Joined(columns) => self.joined_words(row, columns)?,
        };
        match &words.otherwise {
            Some(other) if text.as_ref().is_none_or(|text: &String| text.trim().is_empty()) => self.words(row, other),
            _ => Ok(text),
        }
    }

    fn joined_words(&self, row: &Row<'_>, columns: &[String]) -> Result<Option<String>, MapError> {
        let mut joined = String::new();
        for column in columns {
            let part = self.optional(row, Some(column), Self::text)?.unwrap_or_default();
            let part = part.trim();
            if !part.is_empty() && !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(part);
        }
        Ok((!joined.is_empty()).then_some(joined))
    }
}
