//! Heartbeats that the connector writes into a table of the core: each names the one before it.

use super::Mapping;
use crate::debezium::{Cell, ChangeEvent, Op};
use crate::position::Beat;

impl Mapping {
    /// True when the core's log carries heartbeats.
    pub fn has_beats(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// The heartbeat that an event is.
    pub fn beat(&self, event: &ChangeEvent<'_>) -> Option<Beat> {
        let (database, name) = self.heartbeat.as_ref()?;
        let here =
            event.source.table == *name && database.as_ref().is_none_or(|database| event.source.database == *database);
        let after = event.after.as_ref().filter(|_| here && event.op != Op::Delete)?;
        let text = |column| after.get(column).and_then(Cell::text).map(std::borrow::Cow::into_owned);
        Some(Beat { beat: text("beat")?, previous: text("previous"), timeline: text("timeline") })
    }
}
