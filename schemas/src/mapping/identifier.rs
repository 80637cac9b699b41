//! Identifiers: the columns they are made of, and how each column's cell becomes text without guessing.

use std::borrow::Cow;

use super::field::Fields;
use super::node::Members;
use super::view::View;
use super::{MapError, MapReason};
use crate::debezium::{Cell, ColumnKind, Row};
use crate::decimal::{Decimal, DecimalFormat, is_base64};

/// Columns whose texts make an identifier; several are joined by `-`, with `-` and `%` inside a part escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id(pub(super) Vec<KeyColumn>);

/// One column of an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    pub(super) form: KeyForm,
}

/// What the mapping says of the column. The schema block decides over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyForm {
    /// Nothing: a text or a non-negative integer that cannot be taken for something else.
    Undeclared,
    /// A text, whatever it looks like, or an integer as it is written.
    Text,
    /// An integer; negative ones are meant.
    Integer,
    /// An integer that is never negative.
    Unsigned,
    /// A decimal; equal numbers are one identifier.
    Decimal(DecimalFormat),
}

/// Whose an account is. Not every account has a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The columns that tell it; none = every row has the same.
    pub(super) id: Option<Id>,
    /// The customer of rows without columns, or with NULL or an empty text in one; empty = nobody.
    pub(super) otherwise: Option<String>,
}

/// Instead of a customer's identifier: nobody.
const NOBODY: &str = "none";

impl Id {
    /// The first column, for messages about the whole identifier.
    pub(super) fn first(&self) -> &str {
        self.0.first().map_or("", |column| &column.name)
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|column| &column.name)
    }
}

/// True for NULL and an empty text: no identifier has either.
pub(super) fn names_nothing(cell: Cell<'_>) -> bool {
    cell.is_null() || cell.text().is_some_and(|text| text.is_empty())
}

impl Fields<'_> {
    /// Reads an identifier, `{…, null_is}` or `{constant: …}`; `none` stands for nobody in both.
    pub(super) fn holder(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<Holder> {
        let nobody = |text: String| if text == NOBODY { String::new() } else { text };
        let node = members.need(name, self.problems)?;
        let at = members.path(name);
        if let Some(text) = self.constant(node, &at) {
            return Some(Holder { id: None, otherwise: Some(nobody(text?)) });
        }
        let (field, null) = match self.long(node, &at) {
            None => (self.field(node, &at)?, None),
            Some(mut members) => {
                let null = members.take("null_is").map(|n| self.problems.text(n, &members.path("null_is")));
                (self.rest(members)?, null)
            }
        };
        let id = Some(self.id_of(field)?);
        match null {
            None => Some(Holder { id, otherwise: None }),
            Some(text) => Some(Holder { id, otherwise: Some(nobody(text?)) }),
        }
    }
}

impl Fields<'_> {
    /// Reads the account of a leg, and whether a row may be without the leg: `null_is: none`.
    pub(super) fn leg_account(&mut self, members: &mut Members<'_>) -> Option<(Id, bool)> {
        let node = members.need("account_id", self.problems)?;
        let at = members.path("account_id");
        let Some(mut members) = self.long(node, &at) else {
            let field = self.field(node, &at)?;
            return self.id_of(field).map(|id| (id, false));
        };
        let null = members.take("null_is").map(|n| {
            let text = self.problems.text(n, &members.path("null_is"));
            let nobody = text.as_deref() == Some(NOBODY);
            if text.is_some() && !nobody {
                self.problems.add(n.line, &members.path("null_is"), "expected none: such a row has no such leg");
            }
            nobody
        });
        let field = self.rest(members)?;
        let id = self.id_of(field)?;
        (null != Some(false)).then_some((id, null.is_some()))
    }
}

impl View<'_> {
    /// The customer's identifier; empty where nobody holds the account.
    pub(super) fn holder(&self, row: &Row<'_>, holder: &Holder) -> Result<String, MapError> {
        match (&holder.id, &holder.otherwise) {
            (Some(id), None) => self.id(row, id),
            (Some(id), Some(otherwise)) => Ok(self.id_unless_null(row, id)?.unwrap_or_else(|| otherwise.clone())),
            (None, otherwise) => Ok(otherwise.clone().unwrap_or_default()),
        }
    }

    /// The identifier, unless a column of it is NULL or an empty text.
    pub(super) fn id_unless_null(&self, row: &Row<'_>, id: &Id) -> Result<Option<String>, MapError> {
        if id.columns().any(|column| row.get(column).is_some_and(names_nothing)) {
            return Ok(None);
        }
        self.id(row, id).map(Some)
    }

    pub(super) fn id(&self, row: &Row<'_>, id: &Id) -> Result<String, MapError> {
        self.joined(id.columns().count(), id.0.iter().map(|column| self.key_part(row, column)))
    }

    /// The identifier when the row has all its columns.
    pub(super) fn id_if_there(&self, row: &Row<'_>, id: &Id) -> Result<Option<String>, MapError> {
        if id.columns().all(|column| row.get(column).is_some()) { self.id(row, id).map(Some) } else { Ok(None) }
    }

    /// The core row's own key as one text, as it is written: it only has to be the same each time.
    pub(super) fn row_key(&self) -> Result<String, MapError> {
        let rows = [Some(&self.event.key), self.event.after.as_ref(), self.event.before.as_ref()];
        let whole = |row: &&Row<'_>| self.table.key.iter().all(|column| row.get(column).is_some());
        let missing = || self.error(&self.table.key[0], MapReason::Missing);
        let row = rows.into_iter().flatten().find(whole).ok_or_else(missing)?;
        self.joined(self.table.key.len(), self.table.key.iter().map(|column| self.written(row, column)))
    }

    fn written<'r, 'c>(&self, row: &Row<'r>, column: &'c String) -> Result<(&'c String, Cow<'r, str>), MapError> {
        let cell = self.value(row, column)?;
        Ok((column, cell.text().unwrap_or(Cow::Borrowed(cell.json()))))
    }

    fn joined<'r, 'c>(
        &self,
        count: usize,
        parts: impl Iterator<Item = Result<(&'c String, Cow<'r, str>), MapError>>,
    ) -> Result<String, MapError> {
        let mut joined = String::new();
        for (i, part) in parts.enumerate() {
            let (column, part) = part?;
            if part.is_empty() {
                return Err(self.error(column, MapReason::Expected("a text that is not empty")));
            }
            if i > 0 {
                joined.push('-');
            }
            if count > 1 && part.contains(['-', '%']) {
                joined.push_str(&part.replace('%', "%25").replace('-', "%2D"));
            } else {
                joined.push_str(&part);
            }
        }
        Ok(joined)
    }

    fn key_part<'r, 'c>(&self, row: &Row<'r>, column: &'c KeyColumn) -> Result<(&'c String, Cow<'r, str>), MapError> {
        let name = &column.name;
        let cell = self.value(row, name)?;
        let block = self.kind(name);
        let text = match (block, column.form) {
            (Some(ColumnKind::Decimal { .. } | ColumnKind::VariableScaleDecimal | ColumnKind::Float), _) => {
                self.decimal_key(cell, name, DecimalFormat::Variable)?
            }
            (_, KeyForm::Decimal(format)) => self.decimal_key(cell, name, format)?,
            (_, form) => {
                self.plain_key(cell, block, form).map_err(|reason| self.error(name, reason))?;
                self.text(cell, name)?
            }
        };
        Ok((name, text))
    }

    fn decimal_key<'r>(&self, cell: Cell<'r>, column: &str, declared: DecimalFormat) -> Result<Cow<'r, str>, MapError> {
        let decimal = Decimal::from_cell(cell, declared, self.kind(column));
        decimal.map(|decimal| Cow::Owned(decimal.to_string())).map_err(|err| self.error(column, err.into()))
    }

    /// Refuses a cell that may be something else than it looks like.
    fn plain_key(&self, cell: Cell<'_>, block: Option<ColumnKind>, form: KeyForm) -> Result<(), MapReason> {
        if cell.kind() == "number" {
            if cell.i64().is_none() && cell.u64().is_none() {
                return Err(if cell.is_integer() {
                    MapReason::IntegerRange
                } else {
                    MapReason::Expected("a text or an integer")
                });
            }
            let negative = cell.json().starts_with('-');
            let signed = matches!(form, KeyForm::Integer | KeyForm::Text) && block != Some(ColumnKind::Unsigned);
            return if negative && !signed { Err(MapReason::NegativeKey) } else { Ok(()) };
        }
        match (form, cell.text()) {
            (KeyForm::Integer | KeyForm::Unsigned, Some(_)) => Err(MapReason::OtherForm("an integer, as mapped")),
            (KeyForm::Undeclared, Some(text)) if block.is_none() && text.ends_with('=') && is_base64(&text) => {
                Err(MapReason::UndeclaredKey)
            }
            _ => Ok(()),
        }
    }
}
