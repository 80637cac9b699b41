//! The forms of a field: a column's name alone, or `{column, type, scale, codes, pii}`.

use super::code::{Codes, one_boolean};
use super::identifier::{Id, KeyColumn, KeyForm};
use super::node::{Members, Node, Problems, Value};
use super::table::{Amount, AmountFormat, Time};
use crate::decimal::{DecimalFormat, SCALE_MAX};
use crate::temporal::TimeFormat;

/// Reads the fields of one table.
pub(super) struct Fields<'p> {
    pub(super) problems: &'p mut Problems,
}

/// A field's long form, `{column: …, …}`, or its short form, the column's name alone.
struct Field<'n> {
    line: u64,
    at: String,
    columns: Vec<KeyColumn>,
    kind: Option<(u64, String)>,
    scale: Option<i32>,
    codes: Option<&'n Node>,
}

impl Fields<'_> {
    fn field<'n>(&mut self, node: &'n Node, at: &str) -> Option<Field<'n>> {
        let short =
            |columns| Field { line: node.line, at: at.to_owned(), columns, kind: None, scale: None, codes: None };
        let undeclared = |name| KeyColumn { name, form: KeyForm::Undeclared };
        if !matches!(node.value, Value::Map(_)) {
            return self.problems.text(node, at).map(|column| short(vec![undeclared(column)]));
        }
        let mut members = Members::of(node, at, self.problems)?;
        let column = members.take("column").map(|n| self.problems.text(n, &members.path("column")));
        let columns = members.take("columns").map(|n| {
            let at = members.path("columns");
            self.problems.list(n, &at, |problems, node, at| Fields { problems }.key_column(node, at))
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
        members.finish(self.problems);
        let columns = match (column, columns) {
            (Some(column), None) => vec![undeclared(column?)],
            (None, Some(columns)) => columns?,
            _ => {
                self.problems.add(node.line, at, "expected one of `column` and `columns`");
                return None;
            }
        };
        Some(Field { kind, scale, codes, ..short(columns) })
    }

    /// One of an identifier's columns: its name, or `{column, type, scale}`.
    fn key_column(&mut self, node: &Node, at: &str) -> Option<KeyColumn> {
        if !matches!(node.value, Value::Map(_)) {
            return self.problems.text(node, at).map(|name| KeyColumn { name, form: KeyForm::Undeclared });
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

    fn scale(&mut self, node: &Node, at: &str) -> Option<i32> {
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
        self.plain(&field, kind);
        self.single(field)
    }

    pub(super) fn need_column(&mut self, members: &mut Members<'_>, name: &'static str, kind: &str) -> Option<String> {
        let node = members.need(name, self.problems)?;
        let field = self.field(node, &members.path(name))?;
        self.plain(&field, kind);
        self.single(field)
    }

    fn single(&mut self, mut field: Field<'_>) -> Option<String> {
        if field.columns.len() != 1 {
            self.problems.add(field.line, &field.at, "expected one column");
            return None;
        }
        field.columns.pop().map(|column| column.name)
    }

    /// No type but its own, no scale, no codes.
    fn plain(&mut self, field: &Field<'_>, kind: &str) {
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

    pub(super) fn amount(&mut self, node: &Node, at: &str) -> Option<Amount> {
        const TYPES: &str = "expected a type: decimal (with a scale), decimal_text, decimal_variable or minor_units";
        let field = self.field(node, at)?;
        if field.codes.is_some() {
            self.problems.add(field.line, at, "this field has no codes");
        }
        let kind = field.kind.as_ref().map(|(_, kind)| kind.as_str());
        let format = match (kind, field.scale) {
            (Some("decimal"), Some(scale)) => AmountFormat::Decimal(DecimalFormat::Precise { scale }),
            (Some("decimal"), None) => {
                self.problems.add(field.line, at, "missing scale: events without a schema block do not tell it");
                return None;
            }
            (Some("decimal_text"), scale) => AmountFormat::Decimal(DecimalFormat::Text { scale }),
            (Some("decimal_variable"), None) => AmountFormat::Decimal(DecimalFormat::Variable),
            (Some("minor_units"), None) => AmountFormat::MinorUnits,
            (Some("decimal_variable" | "minor_units"), Some(_)) => {
                self.problems.add(field.line, at, "only types decimal and decimal_text have a scale");
                return None;
            }
            _ => {
                self.problems.add(field.line, at, TYPES);
                return None;
            }
        };
        self.single(field).map(|column| Amount { column, format })
    }

    pub(super) fn time(&mut self, node: &Node, at: &str) -> Option<Time> {
        let mut field = self.field(node, at)?;
        let format = match field.kind.take().as_ref().map(|(_, kind)| kind.as_str()) {
            Some("timestamp_ms") => TimeFormat::Millis,
            Some("timestamp_us") => TimeFormat::Micros,
            Some("timestamp_ns") => TimeFormat::Nanos,
            Some("timestamp_zoned") => TimeFormat::Zoned,
            _ => {
                let types = "expected a type: timestamp_ms, timestamp_us, timestamp_ns or timestamp_zoned";
                self.problems.add(field.line, at, types);
                return None;
            }
        };
        self.plain(&field, "");
        self.single(field).map(|column| Time { column, format })
    }

    pub(super) fn codes<T>(
        &mut self,
        node: &Node,
        at: &str,
        parse: fn(&str) -> Option<T>,
        meanings: &str,
    ) -> Option<Codes<T>> {
        let mut field = self.field(node, at)?;
        let Some(Node { value: Value::Map(codes), .. }) =
            field.codes.take().filter(|n| matches!(&n.value, Value::Map(m) if !m.is_empty()))
        else {
            self.problems.add(field.line, at, format!("expected codes, each with one of: {meanings}"));
            return None;
        };
        // Whatever the column is, its codes are written as texts here.
        field.kind = field.kind.take().filter(|(_, kind)| !matches!(kind.as_str(), "boolean" | "integer"));
        self.plain(&field, "text");
        let mut read: Vec<(String, T)> = Vec::with_capacity(codes.len());
        for (code, meaning) in codes {
            let at = format!("{at}.codes.{code}");
            if let Some((other, _)) = read.iter().find(|(other, _)| one_boolean(other, code)) {
                self.problems.add(meaning.line, &at, format!("the same boolean as `{other}`: it arrives as either"));
            }
            let parsed = self.problems.text(meaning, &at).map(|text| parse(&text));
            match parsed {
                Some(Some(value)) => read.push((code.clone(), value)),
                Some(None) => self.problems.add(meaning.line, &at, format!("expected one of: {meanings}")),
                None => {}
            }
        }
        self.single(field).map(|column| Codes { column, codes: read })
    }
}
