//! Turns raw records into one apply transaction's worth of work. Pure: no IO, no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use read_model::{OffsetStep, ParkedEvent, ParkedQueue, Partition, Queue, marks_of};
use schemas::debezium::{ChangeEvent, Connector, Decoder, Op, Record, Snapshot, Source};
use schemas::mapping::{Mapping, Touched};
use schemas::model::{CanonicalChange, Entity, LegEvidence};
use schemas::position::{LogIdentity, SourcePosition, Version};

use crate::attest::Signs;
use crate::feed::RawRecord;
use crate::{identity, topics};

/// Why an event is parked that may be good itself.
const QUEUED: &str = "queued behind a parked event of its key";
/// Events parked in a row after which the source is stopped instead: then it is not the events. Those that only queue behind
/// a parked event of their key do not count.
pub const PARKED_IN_A_ROW_MAX: u32 = 100;

/// What one batch comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Changes of canonical rows.
    pub changes: Vec<CanonicalChange>,
    /// Evidence about entries.
    pub evidence: Vec<LegEvidence>,
    /// Events that cannot be applied.
    pub parked: Vec<ParkedEvent>,
    /// Queues of earlier parked events that a later whole row superseded.
    pub healed: BTreeSet<Queue>,
    /// Where each partition goes.
    pub steps: Vec<OffsetStep>,
    /// Highest version seen, if any row was.
    pub watermark: Option<Version>,
    /// Identity of the log, merged with what was known.
    pub identity: Option<String>,
    /// A snapshot began in this generation.
    pub snapshot_begun: bool,
    /// What it says about time.
    pub signs: Signs,
    /// Records in it.
    pub records: usize,
    /// Records that carried nothing for the read model.
    pub ignored: usize,
    /// Why nothing behind these records may be read.
    pub halt: Option<String>,
}

impl Prepared {
    /// Accounts whose served balance the confirmation needs, whether or not a row of this batch changes it.
    pub fn evidence_accounts(&self) -> BTreeSet<String> {
        self.evidence.iter().map(|evidence| evidence.account_id.clone()).collect()
    }

    /// True when every change is of a table whose rows say all there is, so that a later one makes earlier ones needless.
    fn is_state(&self) -> bool {
        self.evidence.is_empty() && self.changes.iter().all(|change| change.entity != Entity::Transaction)
    }

    /// Accounts that parked events touch; `None` = an event did not tell, so any.
    pub fn doubtful_accounts(&self) -> Option<BTreeSet<String>> {
        let mut accounts = BTreeSet::new();
        for event in &self.parked {
            if event.touches.is_empty() {
                return None;
            }
            let of_accounts = event.touches.iter().filter(|(entity, _)| *entity == Entity::Account);
            accounts.extend(of_accounts.map(|(_, key)| key.clone()));
        }
        Some(accounts)
    }
}

/// Decodes, maps and parks. Each source has its own.
pub struct Preparer {
    mapping: Arc<Mapping>,
    decoder: Decoder,
    generation: u32,
    identity: Option<LogIdentity<'static>>,
    parked: BTreeMap<Queue, ParkedQueue>,
    /// The highest version seen in each partition since the start: an event sent again is not later than that.
    highest: HashMap<Arc<Partition>, Version>,
    parked_in_a_row: u32,
    snapshot: SnapshotSeen,
}

/// What a generation has seen of snapshots. It may have one: a row that was deleted between two would stay for good, because
/// neither the second nor the stream after it says anything of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotSeen {
    /// The first row of one.
    pub begun: bool,
    /// All of one: what is loaded is a whole.
    pub whole: bool,
}

impl SnapshotSeen {
    fn another(&mut self, row: Snapshot) -> bool {
        if matches!(row, Snapshot::Streamed | Snapshot::Incremental) {
            return false;
        }
        let another = self.whole || (self.begun && row == Snapshot::First);
        self.begun |= row == Snapshot::First;
        another
    }
}

const ANOTHER_SNAPSHOT: &str = "the connector began another snapshot into topics that were read already: rows deleted in the \
    meantime would stay; let it write a snapshot under a new topic.prefix and order `locum source rebuild` with that prefix";

/// What becomes of one record.
enum Fate {
    Done,
    Ignored,
    Parked {
        reason: String,
        touches: Vec<(Entity, String)>,
        version: Option<Version>,
    },
    /// Behind a parked event of its key: says nothing about itself.
    Queued {
        touches: Vec<(Entity, String)>,
        version: Version,
    },
    Halt(String),
}

impl Preparer {
    /// A preparer that goes on from what SQL remembers of the source.
    pub fn new(
        mapping: Arc<Mapping>,
        generation: u32,
        identity: Option<&str>,
        parked: BTreeMap<Queue, ParkedQueue>,
    ) -> Self {
        let identity = identity.map(identity::parse);
        let (decoder, highest) = (Decoder::new(), HashMap::new());
        let snapshot = SnapshotSeen::default();
        Self { mapping, decoder, generation, identity, parked, highest, parked_in_a_row: 0, snapshot }
    }

    /// What the generation has seen of snapshots so far.
    pub fn seen(&mut self, snapshot: SnapshotSeen) {
        self.snapshot = snapshot;
    }

    /// Prepares records; stops before the first that must halt the source. `next` = next offset of each partition before.
    pub fn prepare(&mut self, records: &[RawRecord], next: &HashMap<Partition, i64>) -> Prepared {
        let mut prepared = Prepared::default();
        let mut steps: HashMap<&Partition, OffsetStep> = HashMap::new();
        for record in records {
            let from = next.get(&*record.partition).copied().unwrap_or(0);
            if record.offset < steps.get(&*record.partition).map_or(from, |step| step.to) {
                // Delivered again: it is applied already, and the offsets may only go forward.
                prepared.ignored += 1;
                continue;
            }
            match self.one(record, &mut prepared) {
                Fate::Done => self.parked_in_a_row = 0,
                Fate::Ignored => prepared.ignored += 1,
                Fate::Parked { reason, touches, version } => {
                    self.parked_in_a_row += 1;
                    if self.parked_in_a_row > PARKED_IN_A_ROW_MAX {
                        prepared.halt = Some(format!("{PARKED_IN_A_ROW_MAX} events in a row parked, last: {reason}"));
                        break;
                    }
                    self.park(record, reason, touches, version, &mut prepared);
                }
                Fate::Queued { touches, version } => {
                    self.park(record, QUEUED.into(), touches, Some(version), &mut prepared);
                }
                Fate::Halt(reason) => {
                    prepared.halt = Some(reason);
                    break;
                }
            }
            prepared.records += 1;
            let to = record.offset.saturating_add(1);
            let new = || OffsetStep { partition: Partition::clone(&record.partition), from, to };
            steps.entry(&record.partition).or_insert_with(new).to = to;
        }
        prepared.steps = steps.into_values().collect();
        prepared.steps.sort_by(|a, b| a.partition.cmp(&b.partition));
        prepared.snapshot_begun = self.snapshot.begun;
        prepared.identity = self.identity.as_ref().map(identity::render);
        prepared
    }

    fn park(
        &mut self,
        record: &RawRecord,
        reason: String,
        touches: Vec<(Entity, String)>,
        version: Option<Version>,
        prepared: &mut Prepared,
    ) {
        let queue = self.parked.entry(queue(record)).or_default();
        queue.marks.extend(marks_of(&touches));
        queue.version = queue.version.max(version);
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

    /// A parked event that could not be read far enough to tell its version is not older than what its partition held before.
    fn unread(&mut self, record: &RawRecord, reason: String) -> Fate {
        let touches = self.touched_by_key(record);
        Fate::Parked { reason, touches, version: self.highest.get(&record.partition).copied() }
    }

    /// An event whose key has parked ones. It supersedes them if it is a later, whole row of a state table and touches
    /// everything that they do; of transactions, each counts.
    fn behind(&mut self, queue: Queue, event: &ChangeEvent<'_>, version: Version, prepared: &mut Prepared) -> Fate {
        let touches = touches(self.mapping.touched(event));
        let waiting = &self.parked[&queue];
        let later = waiting.version.is_none_or(|parked| version > parked);
        let covers = !touches.is_empty() && waiting.marks.is_subset(&marks_of(&touches));
        let mut alone = Prepared::default();
        let heals = later && covers && self.map(event, &mut alone).is_ok() && alone.is_state();
        if !heals {
            return Fate::Queued { touches, version };
        }
        self.parked.remove(&queue);
        prepared.parked.retain(|event| event.queue() != queue);
        prepared.healed.insert(queue);
        prepared.changes.append(&mut alone.changes);
        Fate::Done
    }

    fn one(&mut self, record: &RawRecord, prepared: &mut Prepared) -> Fate {
        let decoded = self.decoder.decode(&record.topic, record.key.as_deref(), record.value.as_deref());
        let event = match decoded {
            Ok(Record::Change(event)) => event,
            Ok(Record::Heartbeat { .. }) if !topics::is_heartbeat(&record.topic) => {
                return self.unread(record, "a heartbeat outside the heartbeat topic".into());
            }
            Ok(Record::Heartbeat { ts_ms }) => {
                prepared.signs.heartbeat_ms = prepared.signs.heartbeat_ms.max(Some(ts_ms));
                // The connector beats after its snapshot only.
                prepared.signs.snapshot_over = true;
                return Fate::Done;
            }
            Ok(Record::Truncate { source }) => {
                return Fate::Halt(format!("table {}.{} was truncated: re-snapshot", source.database, source.table));
            }
            Ok(Record::Tombstone { .. } | Record::Transaction(_) | Record::Ignored(_)) => return Fate::Ignored,
            Err(err) => return self.unread(record, err.to_string()),
        };
        if let Err(reason) = self.identify(&event.source.identity) {
            return Fate::Halt(reason);
        }
        if self.snapshot.another(event.source.snapshot) {
            return Fate::Halt(ANOTHER_SNAPSHOT.into());
        }
        let version = Version::from_event(self.generation, &event);
        let waiting = (!self.parked.is_empty()).then(|| queue(record)).filter(|queue| self.parked.contains_key(queue));
        let fate = match waiting {
            Some(queue) => self.behind(queue, &event, version, prepared),
            None => match self.map(&event, prepared) {
                Ok(()) => Fate::Done,
                Err(reason) => {
                    Fate::Parked { reason, touches: touches(self.mapping.touched(&event)), version: Some(version) }
                }
            },
        };
        match self.highest.get_mut(&record.partition) {
            Some(highest) => *highest = version.max(*highest),
            None => drop(self.highest.insert(record.partition.clone(), version)),
        }
        if let Fate::Done = fate {
            self.sign(record, &event, &mut prepared.signs);
            prepared.watermark = prepared.watermark.max(Some(version));
        }
        fate
    }

    fn map(&self, event: &ChangeEvent<'_>, prepared: &mut Prepared) -> Result<(), String> {
        let applied = self.mapping.apply(event, self.generation).map_err(|err| err.to_string())?;
        applied.changes.iter().try_for_each(read_model::check).map_err(|err| err.to_string())?;
        prepared.changes.extend(applied.changes);
        prepared.evidence.extend(applied.evidence);
        Ok(())
    }

    fn sign(&self, record: &RawRecord, event: &ChangeEvent<'_>, signs: &mut Signs) {
        let source = &event.source;
        if !source.snapshot.is_snapshot() {
            signs.saw(record.timestamp_ms.unwrap_or(source.ts_source_ms), source.ts_source_ms);
        }
        signs.snapshot_over |= source.snapshot == Snapshot::Last;
    }

    fn identify(&mut self, seen: &LogIdentity<'_>) -> Result<(), String> {
        match &self.identity {
            Some(known) if known != seen => {
                let (was, is) = (identity::render(known), identity::render(seen));
                Err(format!("the core's log changed its identity from {was} to {is}: open a new generation"))
            }
            Some(_) => Ok(()),
            None => {
                self.identity = Some(seen.clone().into_owned());
                Ok(())
            }
        }
    }

    /// What an undecodable value touches, by its record key, if that at least can be read.
    fn touched_by_key(&mut self, record: &RawRecord) -> Vec<(Entity, String)> {
        let Ok(Record::Tombstone { key }) = self.decoder.decode(&record.topic, record.key.as_deref(), None) else {
            return Vec::new();
        };
        let mut names = record.topic.rsplit('.');
        let (Some(table), Some(database)) = (names.next(), names.next()) else { return Vec::new() };
        let source = Source {
            connector: self.mapping.connector(),
            name: "".into(),
            database: database.into(),
            table: table.into(),
            identity: LogIdentity { log: "".into() },
            position: nowhere(self.mapping.connector()),
            snapshot: Snapshot::Streamed,
            ts_source_ms: 0,
        };
        let (op, before, after, transaction, schema) = (Op::Delete, None, None, None, None);
        touches(self.mapping.touched(&ChangeEvent { source, op, key, before, after, transaction, schema }))
    }
}

fn queue(record: &RawRecord) -> Queue {
    Queue::of(&record.topic, &record.partition, record.offset, record.key.as_deref())
}

fn nowhere(connector: Connector) -> SourcePosition<'static> {
    match connector {
        Connector::MariaDb | Connector::MySql => SourcePosition::Binlog { file: 0, pos: 0, row: 0, gtid: None },
        Connector::Postgres => SourcePosition::Wal { lsn: 0, commit_lsn: None },
    }
}

/// Marks by account wherever the event tells it: that is what reads look up. None when a posting does not tell its account:
/// it may be anybody's.
fn touches(touched: Vec<Touched>) -> Vec<(Entity, String)> {
    if touched.iter().any(|touched| touched.entity == Entity::Transaction && touched.account_id.is_none()) {
        return Vec::new();
    }
    let mut marks = BTreeSet::new();
    for touched in touched {
        match touched.account_id {
            Some(account_id) => marks.insert((Entity::Account, account_id)),
            None => marks.insert((touched.entity, touched.key)),
        };
    }
    marks.into_iter().collect()
}
