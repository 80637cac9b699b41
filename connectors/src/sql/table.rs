//! What a statement answered: rows of named values, as a document that rules and postings are read from.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::heard::shown;
use crate::json::Json;

/// Most rows of an answer: an answer is about one posting.
pub(super) const ROWS_MAX: usize = 64;
/// Most bytes of all texts of an answer together.
pub(super) const BYTES_MAX: usize = 65_536;

/// Member of the document with the columns of the first row.
pub(super) const FIRST_ROW: &str = "/row";
/// Member of the document with all rows.
pub(super) const ALL_ROWS: &str = "/rows";

/// The rows of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table {
    rows: Vec<Vec<(String, Json)>>,
    bytes: usize,
    /// After the statement: is a transaction open? `None` where the server does not tell.
    pub(super) in_transaction: Option<bool>,
}

impl Table {
    /// Adds a row; the error says which bound it breaks.
    pub(super) fn push(&mut self, row: Vec<(String, Json)>) -> Result<(), String> {
        self.bytes += row.iter().map(|(_, value)| value.digits_or_text().map_or(0, str::len)).sum::<usize>();
        if self.rows.len() == ROWS_MAX || self.bytes > BYTES_MAX {
            return Err(format!("the answer has more than {ROWS_MAX} rows or {BYTES_MAX} bytes"));
        }
        for (index, (name, _)) in row.iter().enumerate() {
            if row[..index].iter().any(|(other, _)| other == name) {
                return Err(format!("the answer has two columns of the name {name}"));
            }
        }
        self.rows.push(row);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every column of the first row has its value.
    pub(super) fn fits(&self, when: &BTreeMap<String, Value>) -> bool {
        when.iter().all(|(column, expected)| self.first(column).is_some_and(|found| found.is(expected)))
    }

    /// The columns of the first row that do not have their value, in words.
    pub(super) fn misses(&self, when: &BTreeMap<String, Value>) -> Vec<String> {
        let other = |(column, expected): (&String, &Value)| match self.first(column) {
            Some(found) if found.is(expected) => None,
            Some(found) => Some(format!("{column} is {}, not {expected}", shown(column, found, &[]))),
            None => Some(format!("{column} is missing, not {expected}")),
        };
        when.iter().filter_map(other).collect()
    }

    /// The text or the digits in a column of the first row.
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        self.first(column)?.digits_or_text()
    }

    fn first(&self, column: &str) -> Option<&Json> {
        self.rows.first()?.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    /// The rows under [`FIRST_ROW`] and [`ALL_ROWS`].
    pub(super) fn document(&self) -> Json {
        let object = |row: &Vec<(String, Json)>| Json::Object(row.clone());
        let rows = self.rows.iter().map(object).collect();
        let first = self.rows.first().map_or(Json::Null, object);
        Json::Object(vec![("row".to_owned(), first), ("rows".to_owned(), Json::List(rows))])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(cells: &[(&str, Json)]) -> Vec<(String, Json)> {
        cells.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn conditions_are_about_the_first_row_and_compare_kind_and_value() {
        let mut table = Table::default();
        let first = row(&[
            ("status", Json::Text("POSTED".into())),
            ("number", Json::Number("1".into())),
            ("reason", Json::Null),
            ("again", Json::Bool(false)),
        ]);
        table.push(first).unwrap();
        table.push(row(&[("status", Json::Text("REFUSED".into()))])).unwrap();
        let fits = |column: &str, expected: Value| table.fits(&BTreeMap::from([(column.to_owned(), expected)]));
        assert!(fits("status", json!("POSTED")) && fits("number", json!(1)) && fits("again", json!(false)));
        for (column, other) in [
            ("status", json!("REFUSED")),
            ("number", json!("1")),
            ("reason", json!("")),
            ("again", json!(0)),
            ("nothing", json!("POSTED")),
        ] {
            assert!(!fits(column, other), "{column}");
        }
        assert_eq!((table.text("number"), table.text("reason"), table.text("again")), (Some("1"), None, None));
    }

    #[test]
    fn an_answer_is_bounded_and_its_columns_have_names_of_their_own() {
        let mut table = Table::default();
        for _ in 0..ROWS_MAX {
            table.push(row(&[("a", Json::Null)])).unwrap();
        }
        assert!(table.push(row(&[("a", Json::Null)])).is_err());
        assert!(Table::default().push(row(&[("a", Json::Text("x".repeat(BYTES_MAX + 1)))])).is_err());
        assert!(Table::default().push(row(&[("a", Json::Null), ("a", Json::Null)])).is_err());
    }
}
