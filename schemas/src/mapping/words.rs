//! Texts for people: the column that has one, or the text that every row has.

use super::MapError;
use super::field::Fields;
use super::node::Members;
use super::view::View;
use crate::debezium::Row;

/// Where a text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Words {
    /// In a column, as it is.
    Column(String),
    /// The same for every row.
    Constant(String),
}

impl Fields<'_> {
    /// Reads a column's name, `{column}` or `{constant: …}`.
    pub(super) fn words(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<Words> {
        let node = members.take(name)?;
        let at = members.path(name);
        if let Some(text) = self.constant(node, &at) {
            return text.map(Words::Constant);
        }
        let field = self.field(node, &at)?;
        self.column_of(field, "text").map(Words::Column)
    }
}

impl View<'_> {
    pub(super) fn words(&self, row: &Row<'_>, words: &Words) -> Result<Option<String>, MapError> {
        match words {
            Words::Column(column) => Ok(self.optional(row, Some(column), Self::text)?.map(Into::into)),
            Words::Constant(text) => Ok(Some(text.clone())),
        }
    }
}
