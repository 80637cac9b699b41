//! The forms of a field: a column's name alone, or `{column, type, scale, codes, pii}`.

use super::currency::Currencies;
use super::identifier::{Id, KeyColumn, KeyForm};
use super::node::{Members, Node, Problems, Value};
use crate::decimal::{DecimalFormat, SCALE_MAX};

/// Reads the fields of one table.
pub(super) struct Fields<'p> {
    pub(super) problems: &'p mut Problems,
    pub(super) currencies: &'p Currencies,
}

/// A field's long form, `{column: …, …}`, or its short form, the column's name alone.
pub(super) struct Field<'n> {
    pub(super) line: u64,
    pub(super) at: String,
    pub(super) columns: Vec<KeyColumn>,
    pub(super) kind: Option<(u64, String)>,
    pub(super) scale: Option<i32>,
    pub(super) codes: Option<&'n Node>,
}

fn undeclared(name: String) -> KeyColumn {
    KeyColumn { name, form: KeyForm::Undeclared }
}

impl Field<'_> {
    fn short(line: u64, at: &str, columns: Vec<KeyColumn>) -> Self {
        Self { line, at: at.to_owned(), columns, kind: None, scale: None, codes: None }
    }
}

impl Fields<'_> {
    pub(super) fn field<'n>(&mut self, node: &'n Node, at: &str) -> Option<Field<'n>> {
        if !matches!(node.value, Value::Map(_)) {
            return self.problems.text(node, at).map(|column| Field::short(node.line, at, vec![undeclared(column)]));
        }
        let members = Members::of(node, at, self.problems)?;
        self.rest(members)
    }

    /// The members of a long form of which a field has taken what only it knows.
    pub(super) fn rest<'n>(&mut self, mut members: Members<'n>) -> Option<Field<'n>> {
        let column = members.take("column").map(|n| self.problems.text(n, &members.path("column")));
        let columns = members.take("columns").map(|n| {
            let (at, currencies) = (members.path("columns"), self.currencies);
            self.problems.list(n, &at, |problems, node, at| Fields { problems, currencies }.key_column(node, at))
        });
        let kind = members.take("type").and_then(|n| Some((n.line, self.problems.text(n, &members.path("type"))?)));
        let scale = members.take("scale").and_then(|n| self.scale(n, &members.path("scale")));
        let codes = members.take("codes");
        // A note for people: names and texts are treated as personal with or without it.
        if let Some(n) = members.take("pii")
            && !matches!(n.value, Value::Bool(_))
        {
            self.problems.add(n.line, &members.path("pii"), "expected true or false");
        }
        let (line, at) = (members.line(), members.at().to_owned());
        members.finish(self.problems);
        let columns = match (column, columns) {
            (Some(column), None) => vec![undeclared(column?)],
            (None, Some(columns)) => columns?,
            _ => {
                self.problems.add(line, &at, "expected one of `column` and `columns`");
                return None;
            }
        };
        Some(Field { kind, scale, codes, ..Field::short(line, &at, columns) })
    }

    /// The members of a long form; none for a short one.
    pub(super) fn long<'n>(&mut self, node: &'n Node, at: &str) -> Option<Members<'n>> {
        matches!(node.value, Value::Map(_)).then(|| Members::of(node, at, self.problems)).flatten()
    }

    /// The text of `{constant: …}`, which has nothing beside it; none where a field is no constant.
    pub(super) fn constant(&mut self, node: &Node, at: &str) -> Option<Option<String>> {
        let Value::Map(all) = &node.value else { return None };
        all.iter().find(|(name, _)| name == "constant")?;
        let mut members = Members::of(node, at, self.problems)?;
        let text = members.take("constant").and_then(|n| self.problems.text(n, &members.path("constant")));
        if all.len() > 1 {
            self.problems.add(node.line, at, "a constant has nothing beside it");
            return Some(None);
        }
        Some(text)
    }

    /// One of an identifier's columns: its name, or `{column, type, scale}`.
    fn key_column(&mut self, node: &Node, at: &str) -> Option<KeyColumn> {
        if !matches!(node.value, Value::Map(_)) {
            return self.problems.text(node, at).map(undeclared);
        }
        let mut field = self.field(node, at)?;
        let form = self.key_form(&field)?;
        let column = field.columns.pop().filter(|_| field.columns.is_empty())?;
        Some(KeyColumn { form, ..column })
    }

    fn key_form(&mut self, field: &Field<'_>) -> Option<KeyForm> {
        const TYPES: &str =
            "expected a type: text, integer, unsigned, decimal (with a scale), decimal_text or decimal_variable";
        if field.codes.is_some() {
            self.problems.add(field.line, &field.at, "this field has no codes");
        }
        match (field.kind.as_ref().map(|(_, kind)| kind.as_str()), field.scale) {
            (None, None) => Some(KeyForm::Undeclared),
            (Some("text"), None) => Some(KeyForm::Text),
            (Some("integer"), None) => Some(KeyForm::Integer),
            (Some("unsigned"), None) => Some(KeyForm::Unsigned),
            (Some("decimal"), Some(scale)) => Some(KeyForm::Decimal(DecimalFormat::Precise { scale })),
            (Some("decimal_text"), scale) => Some(KeyForm::Decimal(DecimalFormat::Text { scale })),
            (Some("decimal_variable"), None) => Some(KeyForm::Decimal(DecimalFormat::Variable)),
            _ => {
                self.problems.add(field.line, &field.at, TYPES);
                None
            }
        }
    }

    pub(super) fn scale(&mut self, node: &Node, at: &str) -> Option<i32> {
        if let Value::Integer(scale) = node.value
            && let Ok(scale) = i32::try_from(scale)
            && (0..=SCALE_MAX).contains(&scale)
        {
            return Some(scale);
        }
        self.problems.add(node.line, at, "expected digits after the point as a non-negative integer");
        None
    }

    pub(super) fn id(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<Id> {
        let node = members.need(name, self.problems)?;
        let field = self.field(node, &members.path(name))?;
        self.id_of(field)
    }

    pub(super) fn id_of(&mut self, field: Field<'_>) -> Option<Id> {
        let form = self.key_form(&field)?;
        let declared = |column: KeyColumn| match column.form {
            KeyForm::Undeclared => KeyColumn { form, ..column },
            _ => column,
        };
        Some(Id(field.columns.into_iter().map(declared).collect()))
    }

    pub(super) fn column(&mut self, members: &mut Members<'_>, name: &'static str, kind: &str) -> Option<String> {
        let node = members.take(name)?;
        let field = self.field(node, &members.path(name))?;
        self.column_of(field, kind)
    }

    /// One column of one type.
    pub(super) fn column_of(&mut self, field: Field<'_>, kind: &str) -> Option<String> {
        self.plain(&field, kind);
        self.single(field)
    }

    pub(super) fn single(&mut self, mut field: Field<'_>) -> Option<String> {
        if field.columns.len() != 1 {
            self.problems.add(field.line, &field.at, "expected one column");
            return None;
        }
        field.columns.pop().map(|column| column.name)
    }

    /// No type but its own, no scale, no codes.
    pub(super) fn plain(&mut self, field: &Field<'_>, kind: &str) {
        if let Some((line, other)) = &field.kind
            && other != kind
        {
            self.problems.add(*line, &field.at, format!("expected type {kind}"));
        }
        if field.scale.is_some() {
            self.problems.add(field.line, &field.at, "only amounts have a scale");
        }
        if field.codes.is_some() {
            self.problems.add(field.line, &field.at, "this field has no codes");
        }
    }
}
