//! Turns raw records into one apply transaction's worth of work. Pure: no IO, no clock.
//!
//! What a batch teaches is kept only when the batch is committed ([`Preparer::learn`]). A batch that fails is prepared
//! again, in parts, from what was known before.

mod accounts;
mod again;
mod known;
mod parking;
#[cfg(test)]
mod tests;
mod touching;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use read_model::{Marks, OffsetStep, PARKED_BYTES_MAX, ParkedQueue, Partition, Place, QueueKey, WaitingEvent};
use schemas::debezium::{ChangeEvent, Decoder, Record, Snapshot};
use schemas::mapping::{KeptRow, MapReason, Mapped, Mapping, RowId, Touched};
use schemas::model::Entity;
use schemas::position::{Continuity, LogIdentity, Version};

use crate::feed::RawRecord;
use crate::halt::Halt;
use crate::isolation::isolated;
use crate::prepared::{Lessons, Prepared, SnapshotSeen};
use crate::{identity, marks, topics};
pub(crate) use accounts::Known;
use parking::queue;
use touching::touches;

/// Why an event is parked that may be good itself.
const QUEUED: &str = "queued behind a parked event of its key";
/// Events parked in a row after which the source halts: more in a row means a broken mapping, not broken events. Those that
/// only queue behind a parked event of their key do not count.
pub const PARKED_IN_A_ROW_MAX: u32 = 100;

/// Why an event is parked at once whose account has not come.
const TOO_LARGE_TO_WAIT: &str = "the row of its account has not come, and it is too large to be kept whole until then";

const ANOTHER_SNAPSHOT: &str = "the connector began another snapshot into topics that were read already: rows deleted in the \
    meantime would stay; let it write a snapshot under a new topic.prefix and rebuild with --topic-prefix";

/// Decodes, maps and parks. Each source has its own.
pub struct Preparer {
    mapping: Arc<Mapping>,
    decoder: Decoder,
    generation: u32,
    identity: Option<LogIdentity<'static>>,
    parked: BTreeMap<QueueKey, ParkedQueue>,
    /// The highest version seen in each partition since the start: an event sent again is not later than that.
    highest: HashMap<Arc<Partition>, Version>,
    /// How far the core's log has come in each partition: one that goes back is noticed by it.
    reached: HashMap<Arc<Partition>, Continuity>,
    parked_in_a_row: u32,
    snapshot: SnapshotSeen,
    /// What rows of the next batch were stored under, where the core's own keys do not tell it.
    known: HashMap<RowId, Vec<Touched>>,
    /// What is known of the accounts that the next batch asks for.
    accounts: Known,
    /// Called for each record before it is decoded.
    #[cfg(test)]
    trip: fn(&RawRecord),
}

/// What becomes of one record.
enum Fate {
    Done,
    Ignored,
    /// An event of a table that the mapping does not name.
    Unmapped(String),
    /// A row that the filter of its table leaves out. It says nothing about whether the mapping is right.
    Skipped(String),
    Parked {
        reason: String,
        touches: Vec<(Entity, String)>,
        version: Option<Version>,
    },
    /// It waits for the row of an account.
    Waits(Box<WaitingEvent>),
    /// Behind a parked event of its key: says nothing about itself.
    Queued {
        touches: Vec<(Entity, String)>,
        version: Version,
    },
    Halt(Halt),
}

/// Where a partition stands inside a batch.
struct Walk<'r> {
    step: OffsetStep,
    reached: Continuity,
    last: Option<&'r RawRecord>,
}

/// Why an event gives no rows.
enum NotMapped {
    /// No table of the mapping takes it.
    NoTable,
    /// It cannot be applied.
    Event(String),
    /// It differs from the mapping in a way that puts all events of its table in doubt.
    Contradiction(String),
    /// It takes its currency from this account, which is not there.
    NoAccount(String),
    /// It shows that what is stored was read wrongly.
    Outdated(String),
}

impl NotMapped {
    fn reason(self) -> String {
        match self {
            Self::NoTable => "no table of the mapping takes it".into(),
            Self::NoAccount(_) => MapReason::NoAccount.to_string(),
            Self::Event(reason) | Self::Contradiction(reason) | Self::Outdated(reason) => reason,
        }
    }
}

impl Preparer {
    /// A preparer that goes on from what SQL remembers of the source.
    pub fn new(
        mapping: Arc<Mapping>,
        generation: u32,
        identity: Option<&str>,
        parked: BTreeMap<QueueKey, ParkedQueue>,
    ) -> Self {
        Self {
            mapping,
            decoder: Decoder::new(),
            generation,
            identity: identity.map(identity::parse),
            parked,
            highest: HashMap::new(),
            reached: HashMap::new(),
            parked_in_a_row: 0,
            snapshot: SnapshotSeen::default(),
            known: HashMap::new(),
            accounts: Known::new(),
            #[cfg(test)]
            trip: |_| (),
        }
    }

    /// What the generation has seen of snapshots so far.
    pub fn seen(&mut self, snapshot: SnapshotSeen) {
        self.snapshot = snapshot;
    }

    /// Prepares records; stops before the first that must halt the source. `places` = where each partition was before.
    pub fn prepare(&mut self, records: &[RawRecord], places: &HashMap<Partition, Place>) -> Prepared {
        let mut prepared = self.blank();
        let mut walks: HashMap<&Partition, Walk<'_>> = HashMap::new();
        for record in records {
            let walk = walks.entry(&*record.partition).or_insert_with(|| self.walk(record, places));
            if record.offset < walk.step.to {
                // Delivered again: it is applied already, and the offsets may only go forward.
                prepared.ignored += 1;
                continue;
            }
            match self.isolated(record, &mut walk.reached, &mut prepared) {
                Fate::Done => prepared.lessons.parked_in_a_row = 0,
                Fate::Ignored => prepared.ignored += 1,
                Fate::Unmapped(table) => *prepared.unmapped.entry(table).or_default() += 1,
                Fate::Skipped(table) => *prepared.skipped.entry(table).or_default() += 1,
                Fate::Parked { reason, touches, version } => {
                    prepared.lessons.parked_in_a_row += 1;
                    if prepared.lessons.parked_in_a_row > PARKED_IN_A_ROW_MAX {
                        let reason = format!("{PARKED_IN_A_ROW_MAX} events in a row parked, last: {reason}");
                        prepared.halt = Some(Halt::resumable(reason));
                        break;
                    }
                    self.park(record, reason, touches, version, &mut prepared);
                }
                Fate::Waits(event) => prepared.waits.push(*event),
                Fate::Queued { touches, version } => {
                    self.park(record, QUEUED.into(), touches, Some(version), &mut prepared);
                }
                Fate::Halt(halt) => {
                    prepared.halt = Some(halt);
                    break;
                }
            }
            prepared.records += 1;
            walk.step.to = record.offset.saturating_add(1);
            walk.last = Some(record);
        }
        for walk in walks.into_values() {
            let Some(last) = walk.last else { continue };
            let marks = Marks { record: Some(marks::of(last)), log: walk.reached.to_text() };
            prepared.lessons.reached.insert(last.partition.clone(), walk.reached);
            prepared.steps.push(OffsetStep { marks, ..walk.step });
        }
        prepared.steps.sort_by(|a, b| a.partition.cmp(&b.partition));
        prepared.snapshot_begun = prepared.lessons.snapshot.begun;
        prepared.identity = prepared.lessons.identity.as_ref().map(identity::render);
        prepared
    }

    /// A batch that has taught nothing yet.
    fn blank(&self) -> Prepared {
        let mut prepared = Prepared::default();
        prepared.lessons.identity.clone_from(&self.identity);
        prepared.lessons.parked_in_a_row = self.parked_in_a_row;
        prepared.lessons.snapshot = self.snapshot;
        prepared
    }

    /// Where a record's partition stands before the batch.
    fn walk<'r>(&self, record: &'r RawRecord, places: &HashMap<Partition, Place>) -> Walk<'r> {
        let Place { next, marks } = places.get(&*record.partition).cloned().unwrap_or_default();
        let stored = || marks.log.as_deref().and_then(Continuity::parse).unwrap_or_default();
        let reached = self.reached.get(&record.partition).cloned().unwrap_or_else(stored);
        let step = OffsetStep { partition: Partition::clone(&record.partition), from: next, to: next, marks };
        Walk { step, reached, last: None }
    }

    /// Keeps what a batch taught: it is committed.
    pub fn learn(&mut self, prepared: &Prepared) {
        let Lessons { identity, parked, highest, reached, parked_in_a_row, snapshot } = &prepared.lessons;
        self.snapshot = *snapshot;
        self.identity.clone_from(identity);
        self.parked_in_a_row = *parked_in_a_row;
        self.highest.extend(highest.iter().map(|(partition, version)| (partition.clone(), *version)));
        self.reached.extend(reached.iter().map(|(partition, reached)| (partition.clone(), reached.clone())));
        for (queue, waiting) in parked {
            match waiting {
                Some(waiting) => drop(self.parked.insert(*queue, waiting.clone())),
                None => drop(self.parked.remove(queue)),
            }
        }
    }

    /// One record whose panic parks it: nothing of it is in `prepared` then.
    fn isolated(&mut self, record: &RawRecord, reached: &mut Continuity, prepared: &mut Prepared) -> Fate {
        let before = prepared.length();
        let outcome = isolated(|| self.one(record, reached, prepared));
        outcome.unwrap_or_else(|panicked| {
            self.decoder = Decoder::new();
            prepared.cut(before);
            let unread = || self.unread(record, panicked.to_string(), prepared);
            let whole = |_| Fate::Parked { reason: panicked.to_string(), touches: Vec::new(), version: None };
            isolated(unread).unwrap_or_else(whole)
        })
    }

    fn one(&mut self, record: &RawRecord, reached: &mut Continuity, prepared: &mut Prepared) -> Fate {
        #[cfg(test)]
        (self.trip)(record);
        let decoded = self.decoder.decode(&record.topic, record.key.as_deref(), record.value.as_deref());
        let event = match decoded {
            Ok(Record::Change(event)) => event,
            Ok(Record::Heartbeat { .. }) if !topics::is_heartbeat(&record.topic) => {
                return self.unread(record, "a heartbeat outside the heartbeat topic".into(), prepared);
            }
            Ok(Record::Heartbeat { ts_ms }) => {
                if !self.mapping.has_beats() {
                    prepared.signs.heartbeat_ms = prepared.signs.heartbeat_ms.max(Some(ts_ms));
                }
                // The connector beats after its snapshot only.
                prepared.signs.snapshot_over = true;
                return Fate::Done;
            }
            Ok(Record::Truncate { source }) => {
                let table = format!("{}.{}", source.database, source.table);
                return Fate::Halt(Halt::rebuild(format!(
                    "table {table} was truncated: its rows ended without an event"
                )));
            }
            Ok(Record::Tombstone { .. } | Record::Transaction(_) | Record::Ignored(_)) => return Fate::Ignored,
            Err(err) => return self.unread(record, err.to_string(), prepared),
        };
        self.event(record, &event, reached, prepared)
    }

    fn event(
        &self,
        record: &RawRecord,
        event: &ChangeEvent<'_>,
        reached: &mut Continuity,
        prepared: &mut Prepared,
    ) -> Fate {
        if let Err(reason) = identity::identify(&mut prepared.lessons.identity, &event.source.identity) {
            return Fate::Halt(Halt::rebuild(reason));
        }
        if prepared.lessons.snapshot.another(event.source.snapshot) {
            return Fate::Halt(Halt::rebuild(ANOTHER_SNAPSHOT));
        }
        let beat = self.mapping.beat(event);
        let follows = reached.observe(self.generation, event);
        let follows =
            follows.and_then(|()| beat.iter().try_for_each(|beat| reached.beats(self.generation, event, beat)));
        if let Err(err) = follows {
            let Partition { topic, partition } = &*record.partition;
            return Fate::Halt(Halt::rebuild(format!("{topic}/{partition} at offset {}: {err}", record.offset)));
        }
        let version = Version::from_event(self.generation, event);
        let queue = queue(record);
        let known = self.known(event, prepared);
        let fate = match self.waiting(&queue, &prepared.lessons) {
            _ if beat.is_some() => {
                prepared.signs.beat(event);
                Fate::Done
            }
            Some(_) => self.behind(queue, event, version, prepared),
            None => match self.map(event, &known, prepared) {
                Ok(fate) => fate,
                Err(NotMapped::NoTable) => Fate::Unmapped(format!("{}.{}", event.source.database, event.source.table)),
                Err(NotMapped::Contradiction(reason)) => return Fate::Halt(Halt::resumable(reason)),
                Err(NotMapped::Outdated(reason)) => return Fate::Halt(Halt::rebuild(reason)),
                Err(NotMapped::NoAccount(_)) if is_cut(record) => {
                    let touches = touches(&self.mapping, event, &known);
                    Fate::Parked { reason: TOO_LARGE_TO_WAIT.into(), touches, version: Some(version) }
                }
                Err(NotMapped::NoAccount(account)) => {
                    Fate::Waits(Box::new(self.waiting_for(account, record, event, prepared)))
                }
                Err(NotMapped::Event(reason)) => {
                    Fate::Parked { reason, touches: touches(&self.mapping, event, &known), version: Some(version) }
                }
            },
        };
        let before = prepared.lessons.highest.get(&record.partition).or_else(|| self.highest.get(&record.partition));
        let highest = before.map_or(version, |before| version.max(*before));
        prepared.lessons.highest.insert(record.partition.clone(), highest);
        if matches!(fate, Fate::Waits(_)) {
            // It is durable, and what waits holds the time of the data back.
            sign(record, event, prepared);
        }
        if matches!(fate, Fate::Done | Fate::Unmapped(_) | Fate::Skipped(_)) {
            sign(record, event, prepared);
            prepared.watermark = prepared.watermark.max(Some(version));
        }
        fate
    }

    /// Adds the event's rows.
    fn map(&self, event: &ChangeEvent<'_>, known: &[Touched], prepared: &mut Prepared) -> Result<Fate, NotMapped> {
        let (accounts, missing) = self.accounts_of(event, prepared);
        let applied = match self.mapping.apply_with(event, self.generation, known, &accounts) {
            Ok(Mapped::Rows(applied)) => applied,
            Ok(Mapped::Unmapped) => return Err(NotMapped::NoTable),
            Err(err) if err.reason == MapReason::NoAccount => {
                return Err(missing.map_or_else(|| NotMapped::Event(err.to_string()), NotMapped::NoAccount));
            }
            Err(err) if err.is_contradiction() => return Err(NotMapped::Contradiction(err.to_string())),
            Err(err) => return Err(NotMapped::Event(err.to_string())),
        };
        let fits = applied.changes.iter().try_for_each(read_model::check);
        let fits = fits.and_then(|()| applied.links.iter().try_for_each(read_model::check_link));
        fits.map_err(|err| NotMapped::Event(err.to_string()))?;
        let told = self.hear(&applied.changes, prepared)?;
        prepared.told.extend(told);
        prepared.changes.extend(applied.changes);
        prepared.evidence.extend(applied.evidence);
        prepared.links.extend(applied.links);
        prepared.refusals.extend(applied.refusals);
        let is_newest = |kept: &KeptRow| prepared.kept.get(&kept.row).is_none_or(|of| of.version <= kept.version);
        if let Some(kept) = applied.kept.filter(|kept| kept.keys != known && is_newest(kept)) {
            prepared.kept.insert(kept.row.clone(), kept);
        }
        Ok(applied.skipped.map_or(Fate::Done, Fate::Skipped))
    }
}

/// Is it larger than what is kept whole?
fn is_cut(record: &RawRecord) -> bool {
    [&record.key, &record.value].into_iter().flatten().any(|bytes| bytes.len() > PARKED_BYTES_MAX)
}

fn sign(record: &RawRecord, event: &ChangeEvent<'_>, prepared: &mut Prepared) {
    let (source, signs) = (&event.source, &mut prepared.signs);
    let sent_ms = record.timestamp_ms.unwrap_or(source.ts_source_ms);
    if !source.snapshot.is_snapshot() {
        signs.saw(sent_ms, source.ts_source_ms);
    }
    signs.snapshot_over |= source.snapshot == Snapshot::Last;
    prepared.covers(sent_ms, source.ts_source_ms);
}
