//! Rows of the core whose own key does not tell their canonical keys, such as accounts with a surrogate `id`.
//!
//! An event of such a row may carry the row's own key alone (PostgreSQL without `REPLICA IDENTITY FULL`). Then the canonical
//! keys are those that the row was stored under before.

use super::identifier::Id;
use super::table::Table;
use super::view::View;
use super::{Mapping, Touched};
use crate::debezium::{Cell, ChangeEvent, Row};
use crate::model::Entity;
use crate::position::Version;

/// A row of the core, by its table and the table's own key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// The table, as [`Mapping::tables`] names it.
    pub table: String,
    /// The key's columns as one text.
    pub key: String,
}

/// What a row of the core is stored under from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// The row.
    pub row: RowId,
    /// Of the event that tells it.
    pub version: Version,
    /// The canonical rows that it feeds and that its own key does not name.
    pub keys: Vec<Touched>,
}

impl Mapping {
    /// True when some table's own key does not tell the canonical keys of its rows.
    pub fn keeps_rows(&self) -> bool {
        self.tables.iter().any(|table| table.ids_outside_key().next().is_some())
    }

    /// The core's row of an event, if its own key does not tell its canonical keys.
    pub fn kept_row(&self, event: &ChangeEvent<'_>) -> Option<RowId> {
        let table = self.table(event)?;
        table.ids_outside_key().next()?;
        let view = View::plain(self, table, event, Version::floor(0), &[]);
        view.row_id()
    }
}

impl Table {
    /// Those of its identifiers that its own key does not hold, one of each kind.
    pub(super) fn ids_outside_key(&self) -> impl Iterator<Item = (Entity, &Id)> {
        self.ids().into_iter().filter(|(_, id)| !self.key_tells(id))
    }
}

impl Touched {
    /// Says that a row of the core feeds no row of this kind at present: its table's filter leaves it out.
    pub(super) fn nothing(entity: Entity) -> Self {
        Self { entity, key: String::new(), account_id: None }
    }

    /// True for what [`Touched::nothing`] makes. A canonical key is never empty.
    pub(super) fn is_nothing(&self) -> bool {
        self.key.is_empty()
    }
}

impl View<'_> {
    pub(super) fn row_id(&self) -> Option<RowId> {
        self.row_key().ok().map(|key| RowId { table: self.table.full_name(), key })
    }

    /// What the row was stored under before, as far as that is known; it may be nothing.
    pub(super) fn known(&self, entity: Entity) -> Option<&Touched> {
        self.known.iter().find(|known| known.entity == entity)
    }

    /// What a row is stored under from now on; none where its own key tells it.
    pub(super) fn kept(&self, after: &Row<'_>) -> Option<KeptRow> {
        let key_of = |(entity, id)| {
            let key = self.id(after, id).ok()?;
            let account_id = self.account_kept(entity, &key, after);
            Some(Touched { entity, key, account_id })
        };
        let keys: Vec<Touched> = self.table.ids_outside_key().filter_map(key_of).collect();
        let row = if keys.is_empty() { None } else { self.row_id() }?;
        Some(KeptRow { row, version: self.version, keys })
    }

    /// The row before, unless it holds the table's key alone: then its other columns are NULL or the connector's defaults,
    /// which are nobody's values.
    pub(super) fn whole_before(&self) -> Option<&Row<'_>> {
        let before = self.event.before.as_ref()?;
        let empty = |column: &String| before.get(column).is_some_and(is_default);
        let currency = self.table.currency().filter(|column| !self.table.key.contains(column));
        let key_only = match currency {
            Some(currency) => empty(currency),
            None => {
                let mut columns = self.table.ids_outside_key().flat_map(|(_, id)| id.columns()).peekable();
                columns.peek().is_some() && columns.all(empty)
            }
        };
        (!key_only).then_some(before)
    }
}

/// NULL, or what a connector writes for a column that may not be NULL and is not in the log.
fn is_default(cell: Cell<'_>) -> bool {
    let blank = cell.text().is_some_and(|text| text.trim().is_empty());
    cell.is_null() || blank || matches!(cell.json(), "0" | "false")
}
