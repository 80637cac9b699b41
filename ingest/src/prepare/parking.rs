//! Events that cannot be applied, and those that wait behind them.

use read_model::{ParkedEvent, ParkedQueue, Partition, QueueKey, marks_of};
use schemas::debezium::ChangeEvent;
use schemas::model::Entity;
use schemas::position::Version;

use super::touching::{by_key, touches};
use super::{Fate, Preparer};
use crate::feed::RawRecord;
use crate::prepared::{Lessons, Prepared};

impl Preparer {
    /// What waits in a queue, as far as this batch.
    pub(super) fn waiting<'a>(&'a self, queue: &QueueKey, lessons: &'a Lessons) -> Option<&'a ParkedQueue> {
        lessons.parked.get(queue).map_or_else(|| self.parked.get(queue), Option::as_ref)
    }

    pub(super) fn park(
        &self,
        record: &RawRecord,
        reason: String,
        touches: Vec<(Entity, String)>,
        version: Option<Version>,
        prepared: &mut Prepared,
    ) {
        let queue = queue(record);
        let mut waiting = self.waiting(&queue, &prepared.lessons).cloned().unwrap_or_default();
        waiting.marks.extend(marks_of(&touches));
        waiting.version = waiting.version.max(version);
        prepared.lessons.parked.insert(queue, Some(waiting));
        prepared.parked.push(ParkedEvent {
            partition: Partition::clone(&record.partition),
            offset: record.offset,
            topic: record.topic.to_string(),
            key: record.key.clone(),
            value: record.value.clone(),
            touches,
            version,
            reason,
        });
    }

    /// An event that cannot be read far enough to tell its version. It is taken for as new as the newest that its partition
    /// held before.
    pub(super) fn unread(&mut self, record: &RawRecord, reason: String, prepared: &Prepared) -> Fate {
        let event = by_key(&self.mapping, &mut self.decoder, &record.topic, record.key.as_deref());
        let touched = |event: ChangeEvent<'_>| touches(&self.mapping, &event, &self.known(&event, prepared));
        let touches = event.map(touched).unwrap_or_default();
        let highest = prepared.lessons.highest.get(&record.partition).or_else(|| self.highest.get(&record.partition));
        Fate::Parked { reason, touches, version: highest.copied() }
    }

    /// An event whose key has parked events. It supersedes them if it is later, is a whole row of a state table, and
    /// touches everything that they touch. Every transaction counts, so it never supersedes one.
    pub(super) fn behind(
        &self,
        queue: QueueKey,
        event: &ChangeEvent<'_>,
        version: Version,
        prepared: &mut Prepared,
    ) -> Fate {
        let known = self.known(event, prepared);
        let touches = touches(&self.mapping, event, &known);
        let waiting = self.waiting(&queue, &prepared.lessons).cloned().unwrap_or_default();
        let later = waiting.version.is_none_or(|parked| version > parked);
        let covers = !touches.is_empty() && waiting.marks.is_subset(&marks_of(&touches));
        let mut alone = Prepared::default();
        let mapped = if later && covers { self.map(event, &known, &mut alone).ok() } else { None };
        // A row that is skipped and ends nothing says nothing about what the parked events would have changed.
        let whole = |_: &Fate| alone.is_state() && !alone.changes.is_empty();
        let Some(fate) = mapped.filter(whole) else { return Fate::Queued { touches, version } };
        prepared.lessons.parked.insert(queue, None);
        prepared.parked.retain(|event| event.queue() != queue);
        prepared.healed.insert(queue);
        prepared.changes.append(&mut alone.changes);
        prepared.kept.append(&mut alone.kept);
        prepared.told.append(&mut alone.told);
        fate
    }
}

/// The queue of a record: the events of its key.
pub(super) fn queue(record: &RawRecord) -> QueueKey {
    QueueKey::of(&record.topic, &record.partition, record.offset, record.key.as_deref())
}
