//! Parked events that a person wants tried again or discarded.

use read_model::{ParkedOrder, QueueKey, RETRIED_AT_ONCE, Waiting, Worked};
use schemas::debezium::Record;

use super::{NotMapped, Preparer};
use crate::identity;
use crate::isolation::isolated;
use crate::prepared::Prepared;

impl Preparer {
    /// Carries out what was ordered about the events of one queue: discards those named, and tries the others again, oldest
    /// first, until one fails. Rows are written by their versions, so trying an event twice changes nothing.
    pub fn again(&mut self, queue: QueueKey, waiting: &[Waiting]) -> Prepared {
        let mut prepared = self.blank();
        let mut worked = Worked { queue: Some(queue), ..Worked::default() };
        let retry = waiting.iter().any(|event| event.order == Some(ParkedOrder::Retry));
        for event in waiting {
            if event.order == Some(ParkedOrder::Discard) {
                worked.left.push(event.at.clone());
            } else if retry && worked.failed.is_none() {
                match self.isolated_again(event, &mut prepared) {
                    Ok(()) => worked.left.push(event.at.clone()),
                    Err(reason) => worked.failed = Some((event.at.clone(), reason)),
                }
            }
        }
        let whole = waiting.len() < RETRIED_AT_ONCE as usize;
        worked.more = !whole && retry && worked.failed.is_none();
        if whole && worked.left.len() == waiting.len() {
            prepared.lessons.parked.insert(queue, None);
        }
        prepared.snapshot_begun = self.snapshot.begun;
        prepared.identity = self.identity.as_ref().map(identity::render);
        prepared.worked = worked;
        prepared
    }

    fn isolated_again(&mut self, event: &Waiting, prepared: &mut Prepared) -> Result<(), String> {
        let before = prepared.length();
        isolated(|| self.once_more(event, prepared)).unwrap_or_else(|panicked| {
            prepared.cut(before);
            Err(panicked.to_string())
        })
    }

    fn once_more(&mut self, event: &Waiting, prepared: &mut Prepared) -> Result<(), String> {
        let decoded = self.decoder.decode(&event.topic, event.key.as_deref(), event.value.as_deref());
        let event = match decoded {
            Ok(Record::Change(event)) => event,
            Ok(Record::Tombstone { .. } | Record::Transaction(_) | Record::Ignored(_)) => return Ok(()),
            Ok(Record::Heartbeat { .. }) => return Err("a heartbeat outside the heartbeat topic".into()),
            Ok(Record::Truncate { .. }) => return Err("the table was truncated".into()),
            Err(err) => return Err(err.to_string()),
        };
        if self.identity.as_ref().is_some_and(|known| known.log != event.source.identity.log) {
            return Err("of another log than the one that is followed".into());
        }
        let known = self.known(&event, prepared);
        self.map(&event, &known, prepared).map(drop).map_err(NotMapped::reason)
    }
}
