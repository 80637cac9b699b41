//! Which mapped tables the source has. A table without a topic has told nothing, not even that it is empty.

use std::collections::BTreeMap;

use read_model::Partition;
use schemas::mapping::Mapping;

use crate::change_log::CHANGE_LOG_TOPIC;
use crate::topics;

/// The mapped tables, and whether a topic of each was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tables {
    seen: BTreeMap<String, bool>,
    /// Tables whose rows say which accounts and customers there are.
    masters: Vec<String>,
    noted: bool,
}

impl Tables {
    /// The tables of a mapping; none was seen.
    pub(crate) fn new(mapping: &Mapping) -> Self {
        let seen = mapping.tables().map(|table| (table, false)).collect();
        Self { seen, masters: mapping.master_tables().collect(), noted: false }
    }

    /// Partitions are there.
    pub(crate) fn found<'a>(&mut self, partitions: impl IntoIterator<Item = &'a Partition>) {
        for partition in partitions {
            for (table, seen) in self.seen.iter_mut().filter(|(_, seen)| !**seen) {
                // A change log is one topic for all tables.
                let named = topics::is_table(&partition.topic, [table.clone()].into_iter());
                if named || partition.topic == CHANGE_LOG_TOPIC {
                    (*seen, self.noted) = (true, false);
                }
            }
        }
    }

    /// Tables that have no topic.
    pub(crate) fn never_seen(&self) -> Vec<&str> {
        self.seen.iter().filter(|(_, seen)| !**seen).map(|(table, _)| table.as_str()).collect()
    }

    /// May a missing account or customer be called absent? Only when every table that would name it has a topic. A
    /// connector makes a topic with the first row, and no bank is without accounts.
    pub(crate) fn answer_for_absence(&self) -> bool {
        self.masters.iter().all(|table| self.seen.get(table).copied().unwrap_or(false))
    }

    /// What is to be written down, if anything changed since [`Tables::noted`].
    pub(crate) fn news(&self) -> Option<&BTreeMap<String, bool>> {
        (!self.noted).then_some(&self.seen)
    }

    /// It is written down.
    pub(crate) fn noted(&mut self) {
        self.noted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_known_when_every_table_of_accounts_and_customers_has_a_topic() {
        let mapping = Mapping::from_yaml(include_str!("../../schemas/mappings/core-sim.yaml")).unwrap();
        let topic = |topic: &str| Partition { topic: topic.into(), partition: 0 };
        let mut tables = Tables::new(&mapping);
        assert_eq!(tables.never_seen(), ["accounts", "customers", "postings"]);
        tables.found(&[topic("core.bank.accounts"), topic("__debezium-heartbeat.core"), topic("core.bank.ACCOUNTS2")]);
        assert_eq!((tables.never_seen(), tables.answer_for_absence()), (vec!["customers", "postings"], false));
        tables.found(&[topic("core.bank.customers")]);
        assert_eq!((tables.never_seen(), tables.answer_for_absence()), (vec!["postings"], true));
        tables.noted();
        tables.found(&[topic("core.bank.customers")]);
        assert_eq!(tables.news(), None);
        let mut log = Tables::new(&mapping);
        log.found(&[topic(CHANGE_LOG_TOPIC)]);
        assert!(log.answer_for_absence() && log.never_seen().is_empty());
    }
}
