//! What is known of a core's tables before anything is guessed.

use std::collections::BTreeSet;

use crate::debezium::Connector;

/// Codes of a column that are kept; a column with more has no codes.
pub(super) const CODES_MAX: usize = 24;

/// The tables of a core.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// Which connector reads them, where that is told.
    pub connector: Option<Connector>,
    /// All of them.
    pub tables: Vec<Table>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Database or schema, where it is told.
    pub database: Option<String>,
    /// Its name.
    pub name: String,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// Its columns.
    pub columns: Vec<Column>,
}

impl Table {
    /// A column by its name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The key's only column.
    pub(super) fn only_key(&self) -> Option<&str> {
        match self.key.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// One column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How the connector writes it.
    pub form: Form,
    /// It may be NULL, or was.
    pub may_be_null: bool,
    /// Table, without its database, and column that its values name.
    pub refers_to: Option<(String, String)>,
    /// Its values, where they are few and short.
    pub codes: BTreeSet<String>,
}

/// How a connector writes a column, with the settings of our templates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// An integer.
    Integer,
    /// `true` and `false`, or 1 and 0.
    Boolean,
    /// A text.
    Text,
    /// A text that may be base64 of a decimal whose scale nobody told.
    TextOrDecimal,
    /// Base64 with this scale.
    Decimal {
        /// Digits after the point.
        scale: i32,
    },
    /// A decimal as text.
    DecimalText,
    /// A struct of scale and value.
    DecimalVariable,
    /// Days since 1970.
    Date,
    /// A time; the word for it in a mapping.
    Time(&'static str),
    /// Binary fractions, documents, bytes: no field reads them.
    Other,
    /// Only NULL was seen.
    #[default]
    Unknown,
}

impl Form {
    /// True for what an amount may be.
    pub(super) fn is_amount(self) -> bool {
        use Form::{Decimal, DecimalText, DecimalVariable, Integer, TextOrDecimal};
        matches!(self, Integer | TextOrDecimal | Decimal { .. } | DecimalText | DecimalVariable)
    }

    /// True for what has few values.
    pub(super) fn is_code(self) -> bool {
        matches!(self, Self::Integer | Self::Boolean | Self::Text | Self::TextOrDecimal)
    }

    /// True for texts.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::TextOrDecimal)
    }

    /// True for what may be an identifier.
    pub(super) fn is_id(self) -> bool {
        matches!(self, Self::Integer | Self::Text | Self::TextOrDecimal | Self::Decimal { scale: 0 })
    }
}
