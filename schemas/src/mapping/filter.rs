//! Which rows of a table are meant, and what becomes of a row that is not meant any more.
//!
//! A row that stops matching by an update ends what it had fed. Where the table's own key tells the canonical key, that is
//! told by the key alone, whatever the log says of the row before. Otherwise it is what the row is stored under.

use super::code::Predicate;
use super::field::Fields;
use super::known::KeptRow;
use super::node::{Members, Node, Value};
use super::table::Feed;
use super::view::View;
use super::{MapError, MappedRows, Touched};
use crate::debezium::{Op, Row, Snapshot};

/// Tests that all hold for the rows that are meant; without tests every row is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Where(pub(super) Vec<Predicate>);

impl Where {
    /// The columns that are tested.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|test| &test.column)
    }

    /// True when a row can pass only with one certain code in this column.
    pub(super) fn pins(&self, column: &str) -> bool {
        self.0.iter().any(|test| test.column == column && !test.not && test.codes.len() == 1)
    }
}

impl Fields<'_> {
    /// Reads `where`: columns, each with a code, a list of codes, or `{not: codes}`.
    pub(super) fn filter(&mut self, node: &Node, at: &str) -> Option<Where> {
        let Value::Map(members) = &node.value else {
            self.problems.add(node.line, at, "expected columns, each with the codes of the rows that are meant");
            return None;
        };
        if members.is_empty() {
            self.problems.add(node.line, at, "expected at least one column");
            return None;
        }
        let tests: Vec<_> = members.iter().filter_map(|(column, node)| self.test(column, node, at)).collect();
        (tests.len() == members.len()).then_some(Where(tests))
    }

    fn test(&mut self, column: &str, node: &Node, at: &str) -> Option<Predicate> {
        let at = format!("{at}.{column}");
        if column.is_empty() {
            self.problems.add(node.line, &at, "expected the name of a column");
            return None;
        }
        let (not, codes) = match &node.value {
            Value::Map(_) => {
                let mut members = Members::of(node, &at, self.problems)?;
                let codes = members.need("not", self.problems);
                let codes = codes.and_then(|n| self.problems.filter_codes(n, &members.path("not")));
                members.finish(self.problems);
                (true, codes)
            }
            _ => (false, self.problems.filter_codes(node, &at)),
        };
        Some(Predicate { column: column.to_owned(), codes: codes?, not })
    }
}

impl View<'_> {
    /// False for a row that fails a test on the table's own key, which never changes: it never fed anything.
    pub(super) fn may_feed(&self) -> Result<bool, MapError> {
        let rows = [Some(&self.event.key), self.event.after.as_ref(), self.event.before.as_ref()];
        for test in self.table.filter.0.iter().filter(|test| self.table.key.contains(&test.column)) {
            let row = rows.into_iter().flatten().find(|row| row.get(&test.column).is_some());
            if let Some(row) = row
                && !self.passes_test(row, test)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True when a row is meant.
    pub(super) fn passes(&self, row: &Row<'_>) -> Result<bool, MapError> {
        if !self.fits(row, &self.table.filter)? {
            return Ok(false);
        }
        for field in self.table.currencies() {
            if !self.is_in_known_currency(row, field)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True when all tests hold.
    pub(super) fn fits(&self, row: &Row<'_>, tests: &Where) -> Result<bool, MapError> {
        for test in &tests.0 {
            if !self.passes_test(row, test)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A row that is not meant, or not any more.
    pub(super) fn skip(&self, after: &Row<'_>, applied: &mut MappedRows) -> Result<(), MapError> {
        applied.skipped = Some(self.table.full_name());
        for feed in self.table.feeds() {
            let ended = match self.ended(after, &feed)? {
                None if self.must_be_told(feed.entity) => Some(feed.key(self.id(after, feed.id)?)),
                ended => ended,
            };
            if let Some(key) = ended {
                self.push_end(&feed, key, after, applied)?;
            }
        }
        applied.kept = self.kept_under_nothing();
        Ok(())
    }

    /// A row that fails a test on its table's own key: it is never meant, and never fed anything. Only accounts that others ask for
    /// are told.
    pub(super) fn skip_for_good(&self, applied: &mut MappedRows) -> Result<(), MapError> {
        applied.skipped = Some(self.table.full_name());
        let Some(after) = self.event.after.as_ref().filter(|_| self.event.op != Op::Delete) else { return Ok(()) };
        for feed in self.table.feeds() {
            // Where the filter pins a column that is no part of the identifier, a row that is meant may have the same one.
            let is_alone = self.table.key.iter().all(|column| feed.id.columns().any(|own| own == column));
            if is_alone && self.must_be_told(feed.entity) {
                let key = feed.key(self.id(after, feed.id)?);
                self.push_end(&feed, key, after, applied)?;
            }
        }
        Ok(())
    }

    /// True unless the row is new or read by the first snapshot: then it has fed nothing yet. One that is read again may have.
    pub(super) fn may_have_fed(&self) -> bool {
        self.event.op == Op::Update || self.event.source.snapshot == Snapshot::Incremental
    }

    /// The canonical key that a row which is not meant may have fed until now.
    fn ended(&self, after: &Row<'_>, feed: &Feed<'_>) -> Result<Option<String>, MapError> {
        if !self.may_have_fed() {
            return Ok(None);
        }
        if self.table.key_tells(feed.id) {
            return self.id(after, feed.id).map(|id| Some(feed.key(id)));
        }
        if self.event.op != Op::Update && self.known(feed.entity).is_none() {
            return Ok(None);
        }
        self.before(feed)
    }

    /// What says that a row feeds nothing at present; only where its own key does not tell what it feeds.
    fn kept_under_nothing(&self) -> Option<KeptRow> {
        let keys: Vec<Touched> = self.table.ids_outside_key().map(|(entity, _)| Touched::nothing(entity)).collect();
        let row = if keys.is_empty() { None } else { self.row_id() }?;
        Some(KeptRow { row, version: self.version, keys })
    }
}
