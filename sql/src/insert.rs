//! New rows, many at once, with few texts.

use crate::dialect::{Dialect, placeholders, rows};
use crate::error::Error;
use crate::lists::{filled, repeating_last};
use crate::upsert::{Statement, cast, check_width, chunks};
use crate::value::Value;

/// Rows that must be new: a key that is there already is [`Error::Duplicate`], and nothing of the statement is kept.
///
/// Rows that are left out fill the statement up to one of few lengths.
#[derive(Debug, Clone)]
pub struct Insert {
    table: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

/// The name of the column that says whether a row counts.
const COUNTS: &str = "counts";

impl Insert {
    /// Names are statement text and must be constants of ours, hence `'static`.
    pub fn new(table: &'static str, columns: &'static [&'static str]) -> Self {
        Insert { table, columns, rows: Vec::new() }
    }

    /// Adds one row, values in the order of the columns.
    pub fn push(&mut self, values: Vec<Value>) {
        self.rows.push(values);
    }

    /// The statement's text for these rows (the values tell each column's type). Of more than one row each is followed by 1, or by 0 if it
    /// is left out.
    fn render(&self, dialect: Dialect, values: &[Vec<Value>]) -> String {
        let (columns, count, width) = (self.columns.join(", "), values.len(), self.columns.len());
        let into = format!("INSERT INTO {} ({columns})", self.table);
        match dialect {
            _ if count == 1 => format!("{into} VALUES ({})", placeholders(width)),
            Dialect::MySql => {
                let casts: Vec<_> = (0..=width).map(|column| cast(values, column)).collect();
                let names = self.columns.iter().chain(&[COUNTS]);
                let named: Vec<_> = casts.iter().zip(names).map(|(c, name)| format!("{c} AS {name}")).collect();
                let next = format!(" UNION ALL SELECT {}", casts.join(", "));
                let given = format!("SELECT {}{}", named.join(", "), next.repeat(count - 1));
                format!("{into} SELECT {columns} FROM ({given}) v WHERE v.{COUNTS} = 1")
            }
            Dialect::Sqlite => {
                let names: Vec<_> = (1..=width).map(|n| format!("column{n}")).collect();
                let given = rows(count, width + 1);
                format!("{into} SELECT {} FROM (VALUES {given}) WHERE column{} = 1", names.join(", "), width + 1)
            }
        }
    }

    /// These rows, filled up to `count` rows. What fills up repeats the last row: OceanBase plans a text anew for each choice of the
    /// parameters that are null.
    fn statement(&self, dialect: Dialect, mut values: Vec<Vec<Value>>, count: usize) -> Statement {
        if count > 1 {
            let given = values.len();
            values = repeating_last(values, count);
            for (n, row) in values.iter_mut().enumerate() {
                row.push(Value::Int(i64::from(n < given)));
            }
        }
        Statement { sql: self.render(dialect, &values), params: values.into_iter().flatten().collect() }
    }

    pub(crate) fn statements(mut self, dialect: Dialect) -> Result<Vec<Statement>, Error> {
        let width = self.columns.len();
        check_width(&self.rows, width, self.table)?;
        let (chunks, most) = chunks(std::mem::take(&mut self.rows), width + 1);
        let statement = |values: Vec<Vec<Value>>| {
            let count = filled(values.len()).min(most);
            self.statement(dialect, values, count)
        };
        Ok(chunks.into_iter().map(statement).collect())
    }
}
