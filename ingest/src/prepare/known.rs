//! What rows of the core were stored under before, where the core's own keys do not tell it.

use std::collections::{BTreeSet, HashMap};

use schemas::debezium::ChangeEvent;
use schemas::mapping::{RowId, Touched};

use super::Preparer;
use super::touching::by_key;
use crate::isolation::isolated;
use crate::prepared::Prepared;

impl Preparer {
    /// The rows of which it must know what they were stored under, by topic and key of their records.
    pub fn rows_asked<'r>(
        &mut self,
        records: impl IntoIterator<Item = (&'r str, Option<&'r [u8]>)>,
    ) -> BTreeSet<RowId> {
        if !self.mapping.keeps_rows() {
            return BTreeSet::new();
        }
        let (mapping, decoder) = (&self.mapping, &mut self.decoder);
        let asked = records.into_iter().filter_map(|(topic, key)| {
            // A key that makes us panic is met again, and parked then.
            isolated(|| by_key(mapping, decoder, topic, key).and_then(|event| mapping.kept_row(&event))).ok().flatten()
        });
        asked.collect()
    }

    /// What these rows were stored under, before the next batch.
    pub fn know(&mut self, known: HashMap<RowId, Vec<Touched>>) {
        self.known = known;
    }

    /// What an event's row was stored under before, as far as this batch.
    pub(super) fn known(&self, event: &ChangeEvent<'_>, prepared: &Prepared) -> Vec<Touched> {
        let row = self.mapping.keeps_rows().then(|| self.mapping.kept_row(event)).flatten();
        let known = row.and_then(|row| {
            let kept = prepared.kept.get(&row).map(|kept| &kept.keys);
            kept.or_else(|| self.known.get(&row)).cloned()
        });
        known.unwrap_or_default()
    }
}
