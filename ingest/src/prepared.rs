//! What a batch of records comes to, and what it teaches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use read_model::{OffsetStep, ParkedEvent, ParkedQueue, Partition, QueueKey, WaitingEvent, Worked};
use schemas::debezium::Snapshot;
use schemas::mapping::{KeptRow, RowId};
use schemas::model::{CanonicalChange, Entity, LegEvidence, PostingLink, Refusal};
use schemas::money::Currency;
use schemas::position::{Continuity, LogIdentity, Version};

use crate::attest::Signs;
use crate::halt::Halt;

/// What one batch comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Changes of canonical rows.
    pub changes: Vec<CanonicalChange>,
    /// Evidence about entries.
    pub evidence: Vec<LegEvidence>,
    /// Which references belong to postings of other rows.
    pub links: Vec<PostingLink>,
    /// What the core refused.
    pub refusals: Vec<Refusal>,
    /// What its rows say of accounts, where others take their currency from them: none for one that is deleted or left out
    /// without telling it.
    pub told: BTreeMap<String, Option<Currency>>,
    /// Events that wait for the row of an account.
    pub waits: Vec<WaitingEvent>,
    /// Events that waited, and need not any longer as they did.
    pub released: Vec<WaitingEvent>,
    /// What rows of the core are stored under from now on, where the core's own keys do not tell it.
    pub kept: BTreeMap<RowId, KeptRow>,
    /// Events that cannot be applied.
    pub parked: Vec<ParkedEvent>,
    /// Queues of earlier parked events that a later whole row superseded.
    pub healed: BTreeSet<QueueKey>,
    /// What became of a queue that a person ordered something about.
    pub worked: Worked,
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
    /// When the newest of its events was sent and the oldest was made, milliseconds since 1970; of events with rows only.
    pub times: Option<Times>,
    /// Records in it.
    pub records: usize,
    /// Records that carried nothing for the read model.
    pub ignored: usize,
    /// Events that no mapped table takes, by table.
    pub unmapped: BTreeMap<String, i64>,
    /// Events of rows that the filter of their table leaves out, by table.
    pub skipped: BTreeMap<String, u64>,
    /// Why nothing behind these records may be read.
    pub halt: Option<Halt>,
    /// What the preparer keeps once this is committed.
    pub(crate) lessons: Lessons,
}

/// The span of time that a batch's events cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The newest was sent then.
    pub sent_ms: i64,
    /// The oldest was made then.
    pub made_ms: i64,
}

/// What a batch teaches of the source beside its rows and places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lessons {
    /// Identity of the log.
    pub(crate) identity: Option<LogIdentity<'static>>,
    /// What was seen of snapshots.
    pub(crate) snapshot: SnapshotSeen,
    /// Queues of parked events that changed; none = superseded.
    pub(crate) parked: BTreeMap<QueueKey, Option<ParkedQueue>>,
    /// The highest version seen in each partition.
    pub(crate) highest: HashMap<Arc<Partition>, Version>,
    /// How far the core's log has come in each partition.
    pub(crate) reached: HashMap<Arc<Partition>, Continuity>,
    /// Events parked one after the other, up to the last record.
    pub(crate) parked_in_a_row: u32,
}

/// What a generation has seen of snapshots. It may have one only. A row deleted between two snapshots would stay for good:
/// neither the second one nor the stream after it tells of that row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotSeen {
    /// The first row of one.
    pub begun: bool,
    /// All of one: what is loaded is a whole.
    pub whole: bool,
}

impl SnapshotSeen {
    /// Notes a row; `true` when it belongs to another snapshot than the first.
    pub(crate) fn another(&mut self, row: Snapshot) -> bool {
        if matches!(row, Snapshot::Streamed | Snapshot::Incremental) {
            return false;
        }
        let another = self.whole || (self.begun && row == Snapshot::First);
        self.begun |= row == Snapshot::First;
        another
    }
}

/// Accounts whose served balance a confirmation by this evidence needs, whether or not a row of the batch changes it.
pub(crate) fn accounts_of(evidence: &[LegEvidence]) -> BTreeSet<String> {
    evidence.iter().map(|evidence| evidence.account_id.clone()).collect()
}

/// How many changes, pieces of evidence, links and refusals a batch had.
pub(crate) type Length = [usize; 4];

impl Prepared {
    /// How many records, or events that waited, it may be cut into.
    pub(crate) fn size(&self) -> usize {
        self.records.max(self.released.len())
    }

    pub(crate) fn length(&self) -> Length {
        [self.changes.len(), self.evidence.len(), self.links.len(), self.refusals.len()]
    }

    /// Takes back what was added since.
    pub(crate) fn cut(&mut self, [changes, evidence, links, refusals]: Length) {
        self.changes.truncate(changes);
        self.evidence.truncate(evidence);
        self.links.truncate(links);
        self.refusals.truncate(refusals);
    }

    /// True when every change is of a table whose rows say all there is, so that a later one makes earlier ones needless.
    pub(crate) fn is_state(&self) -> bool {
        self.evidence.is_empty()
            && self.links.is_empty()
            && self.refusals.is_empty()
            && self.changes.iter().all(|change| change.entity != Entity::Transaction)
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

    /// An event with rows was sent and made at these times.
    pub(crate) fn covers(&mut self, sent_ms: i64, made_ms: i64) {
        let times = self.times.get_or_insert(Times { sent_ms, made_ms });
        times.sent_ms = times.sent_ms.max(sent_ms);
        times.made_ms = times.made_ms.min(made_ms);
    }
}
