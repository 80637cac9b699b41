//! New rows, many at once, with few texts.

use crate::dialect::{Dialect, rows};
use crate::error::Error;
use crate::lists::{filled, parts};
use crate::upsert::{Statement, cast, check_width, chunks, nulls};
use crate::value::Value;

/// Rows that must be new: a key that is there already is [`Error::Duplicate`], and nothing of the statement is kept.
///
/// The first column must not be null in any row: where rows of nulls fill the statement up to one of few lengths, they are left out by it.
#[derive(Debug, Clone)]
pub struct Insert {
    table: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Insert {
    /// Names are statement text and must be constants of ours, hence `'static`.
    pub fn new(table: &'static str, columns: &'static [&'static str]) -> Self {
        Insert { table, columns, rows: Vec::new() }
    }

    /// Adds one row, values in the order of the columns.
    pub fn push(&mut self, values: Vec<Value>) {
        self.rows.push(values);
    }

    fn values(&self, count: usize) -> String {
        format!("INSERT INTO {} ({}) VALUES {}", self.table, self.columns.join(", "), rows(count, self.columns.len()))
    }

    /// The statement's text for these rows (the values tell each column's type).
    fn render(&self, dialect: Dialect, values: &[Vec<Value>]) -> String {
        let into = format!("INSERT INTO {} ({})", self.table, self.columns.join(", "));
        let (count, width) = (values.len(), self.columns.len());
        match dialect {
            _ if count == 1 => self.values(1),
            Dialect::MySql => {
                let casts: Vec<_> = (0..width).map(|column| cast(values, column)).collect();
                let named: Vec<_> = casts.iter().zip(self.columns).map(|(c, name)| format!("{c} AS {name}")).collect();
                let next = format!(" UNION ALL SELECT {}", casts.join(", "));
                let given = format!("SELECT {}{}", named.join(", "), next.repeat(count - 1));
                format!("{into} SELECT * FROM ({given}) v WHERE v.{} IS NOT NULL", self.columns[0])
            }
            Dialect::Sqlite => {
                format!("{into} SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL", rows(count, width))
            }
        }
    }

    /// `by_plan`: see `Server::plans_by_constants`.
    pub(crate) fn statements(mut self, dialect: Dialect, by_plan: bool) -> Result<Vec<Statement>, Error> {
        let width = self.columns.len();
        check_width(&self.rows, width, self.table)?;
        let given = std::mem::take(&mut self.rows);
        if given.iter().any(|row| row[0] == Value::Null) {
            return Err(Error::Configuration(format!("a row for {} without its first column", self.table)));
        }
        if by_plan {
            let statement = |values: Vec<Vec<Value>>| Statement {
                sql: self.values(values.len()),
                params: values.into_iter().flatten().collect(),
            };
            return Ok(parts(given).into_iter().map(statement).collect());
        }
        let (chunks, most) = chunks(given, width);
        let statement = |mut values: Vec<Vec<Value>>| {
            values.resize(filled(values.len()).min(most), nulls(width));
            Statement { sql: self.render(dialect, &values), params: values.into_iter().flatten().collect() }
        };
        Ok(chunks.into_iter().map(statement).collect())
    }
}
