//! A mapping tried on records, without anything being written: what comes of them, by the very code that ingests.
//!
//! Each record is prepared by itself, so that one that is refused hides no other. What is kept is bounded, whatever is read.

mod refusals;
mod shown;
mod sums;
mod tables;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use schemas::debezium::{ChangeEvent, Decoder, Record};
use schemas::mapping::{MapReason, Mapping, RowId, Touched};
use schemas::model::{CanonicalChange, Entity, RowChange};
use schemas::money::Currency;

pub use refusals::{REASONS_MAX, Refusal, Refusals};
pub use shown::{ACCOUNTS_SHOWN, ShownAccount, TRANSACTIONS_SHOWN};
pub use sums::{ROWS_SUMMED_MAX, SumOf};
pub use tables::{CODES_MAX, CodeSeen, ColumnSeen, TableSeen};

use crate::feed::RawRecord;
use crate::isolation::isolated;
use crate::prepare::Preparer;
use crate::prepared::Prepared;
use shown::Shown;
use sums::Sums;
use tables::Tables;
use waiting::Waiting;

/// Rows of the core whose own keys do not tell what they are stored under, kept at most.
pub const KEPT_MAX: usize = 500_000;
/// The generation that everything is prepared in.
const GENERATION: u32 = 1;

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Rows, or the end of some.
    Mapped,
    /// The filter of its table leaves its row out.
    Skipped,
    /// It would be parked, or halt the source.
    Refused,
    /// No table of the mapping takes it.
    Unmapped,
    /// It carries nothing for the read model: heartbeats, tombstones, marks of transactions.
    Other,
}

/// How many records came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub records: u64,
    /// Change events that gave rows, or ended some.
    pub mapped: u64,
    /// Change events of rows that a filter leaves out.
    pub skipped: u64,
    /// Records that would be parked or would halt the source.
    pub refused: u64,
    /// Change events that no table of the mapping takes.
    pub unmapped: u64,
    /// Records that carry nothing for the read model.
    pub other: u64,
}

/// How often canonical rows of a kind were written and ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Written.
    pub upserts: u64,
    /// Ended.
    pub deletes: u64,
}

/// Tries a mapping on records.
pub struct Coverage {
    mapping: Arc<Mapping>,
    preparer: Preparer,
    /// Decodes what was prepared once more, for the columns.
    decoder: Decoder,
    kept: HashMap<RowId, Vec<Touched>>,
    kept_all: bool,
    /// What is known of accounts, where rows take their currency from them; none for one that is deleted or left out.
    accounts: BTreeMap<String, Option<Currency>>,
    /// Records whose accounts have not come.
    waiting: Waiting,
    counts: Counts,
    written: BTreeMap<Entity, Written>,
    unmapped: BTreeMap<String, u64>,
    refusals: Refusals,
    tables: Tables,
    sums: Sums,
    shown: Shown,
}

impl Coverage {
    /// Nothing was read yet.
    pub fn new(mapping: Arc<Mapping>) -> Self {
        Self {
            preparer: Preparer::new(Arc::clone(&mapping), GENERATION, None, BTreeMap::new()),
            decoder: Decoder::new(),
            kept: HashMap::new(),
            kept_all: true,
            accounts: BTreeMap::new(),
            waiting: Waiting::default(),
            counts: Counts::default(),
            written: BTreeMap::new(),
            unmapped: BTreeMap::new(),
            refusals: Refusals::default(),
            tables: Tables::new(&mapping),
            sums: Sums::default(),
            shown: Shown::default(),
            mapping,
        }
    }

    /// Tries the mapping on one more record, and on those that waited for the account that it tells.
    pub fn read(&mut self, record: &RawRecord) {
        self.read_one(record);
        while let Some(record) = self.waiting.next_due() {
            self.read_one(&record);
        }
    }

    /// All was read: what waits for accounts that did not come is refused, and what waits for one that is left out is left out, too.
    pub fn finish(&mut self) {
        for (account, record) in self.waiting.take() {
            let is_left_out = self.accounts.get(&account) == Some(&None);
            let fate = if is_left_out { Fate::Skipped } else { Fate::Refused };
            if fate == Fate::Refused {
                self.refusals.add(&record, MapReason::NoAccount.to_string(), false);
            }
            self.look(&record, fate);
            self.counts.count(fate);
        }
    }

    fn read_one(&mut self, record: &RawRecord) {
        let whole = [(&*record.topic, record.key.as_deref(), record.value.as_deref())];
        let asked = self.preparer.accounts_asked(whole);
        let told = asked.into_iter().filter_map(|account| self.accounts.get_key_value(&account));
        let told = told.map(|(account, currency)| (account.clone(), *currency)).collect();
        self.preparer.know_accounts(told);
        let asked = self.preparer.rows_asked([(&*record.topic, record.key.as_deref())]);
        let known = asked.into_iter().filter_map(|row| self.kept.get(&row).cloned().map(|keys| (row, keys)));
        let known = known.collect();
        self.preparer.know(known);
        let prepared = self.preparer.prepare(std::slice::from_ref(record), &HashMap::new());
        if let Some(waits) = prepared.waits.first()
            && self.waiting.keep(&waits.account_id, record)
        {
            return;
        }
        for (account, currency) in &prepared.told {
            self.accounts.insert(account.clone(), *currency);
            if currency.is_some() {
                self.waiting.came(account);
            }
        }
        let fate = self.fate(record, &prepared);
        self.keep(&prepared);
        self.write(&prepared);
        self.counts.count(fate);
    }

    fn fate(&mut self, record: &RawRecord, prepared: &Prepared) -> Fate {
        let refused = match (&prepared.halt, prepared.parked.first()) {
            (Some(halt), _) => Some((halt.reason().to_owned(), true)),
            (None, Some(parked)) => Some((parked.reason.clone(), false)),
            (None, None) if !prepared.waits.is_empty() => Some((MapReason::NoAccount.to_string(), false)),
            (None, None) => None,
        };
        for (table, events) in &prepared.unmapped {
            *self.unmapped.entry(table.clone()).or_default() += events.unsigned_abs();
        }
        let fate = match &refused {
            Some(_) => Fate::Refused,
            None if !prepared.unmapped.is_empty() => Fate::Unmapped,
            None if !prepared.skipped.is_empty() => Fate::Skipped,
            None if prepared.ignored > 0 => Fate::Other,
            None => Fate::Mapped,
        };
        if let Some((reason, halts)) = refused {
            self.refusals.add(record, reason, halts);
        }
        self.look(record, fate)
    }

    /// Notes the columns of a record's row. Answers its fate.
    fn look(&mut self, record: &RawRecord, fate: Fate) -> Fate {
        let (mapping, decoder, tables) = (&self.mapping, &mut self.decoder, &mut self.tables);
        let is_of_a_table = isolated(|| {
            let decoded = decoder.decode(&record.topic, record.key.as_deref(), record.value.as_deref());
            let Ok(Record::Change(event)) = decoded else { return false };
            look(mapping, tables, &event, fate)
        });
        match is_of_a_table {
            // Heartbeats give no rows, and neither do rows of the table of heartbeats.
            Ok(false) if fate == Fate::Mapped => Fate::Other,
            Ok(_) => fate,
            Err(_) => {
                self.decoder = Decoder::new();
                fate
            }
        }
    }

    /// What the core's rows are stored under, as ingest keeps it in SQL.
    fn keep(&mut self, prepared: &Prepared) {
        for kept in prepared.kept.values() {
            if self.kept.len() < KEPT_MAX || self.kept.contains_key(&kept.row) {
                self.kept.insert(kept.row.clone(), kept.keys.clone());
            } else {
                self.kept_all = false;
            }
        }
    }

    fn write(&mut self, prepared: &Prepared) {
        for change in &prepared.changes {
            let CanonicalChange { entity, row, .. } = change;
            let written = self.written.entry(*entity).or_default();
            match row {
                RowChange::Upsert(_) => written.upserts += 1,
                RowChange::Delete | RowChange::Ended(_) => written.deletes += 1,
            }
            self.sums.take(change);
            self.shown.take(change);
        }
    }

    /// How many records came to what.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Canonical rows by kind.
    pub fn written(&self) -> &BTreeMap<Entity, Written> {
        &self.written
    }

    /// Tables that the mapping does not name, with their events.
    pub fn unmapped(&self) -> &BTreeMap<String, u64> {
        &self.unmapped
    }

    /// What was refused, by reason.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The mapped tables with what was seen of them; those without a single event among them.
    pub fn tables(&self) -> &BTreeMap<String, TableSeen> {
        self.tables.all()
    }

    /// Sums of the newest rows, by currency.
    pub fn sums(&self) -> BTreeMap<String, SumOf> {
        self.sums.totals()
    }

    /// False when there were more rows than are summed.
    pub fn summed_all(&self) -> bool {
        self.sums.has_all()
    }

    /// False when there were more rows than are followed by what they were stored under. Then an update may be refused here that
    /// ingest would take.
    pub fn followed_all(&self) -> bool {
        self.kept_all
    }

    /// The first accounts, as they were at the end.
    pub fn shown(&self) -> &[ShownAccount] {
        self.shown.accounts()
    }

    /// Columns of mapped tables that occur and that the mapping does not use, by table.
    pub fn unused(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let unused = self.tables().iter().map(|(table, seen)| (table.as_str(), seen.unused().collect::<BTreeSet<_>>()));
        unused.filter(|(_, columns)| !columns.is_empty()).collect()
    }
}

impl Counts {
    fn count(&mut self, fate: Fate) {
        self.records += 1;
        *match fate {
            Fate::Mapped => &mut self.mapped,
            Fate::Skipped => &mut self.skipped,
            Fate::Refused => &mut self.refused,
            Fate::Unmapped => &mut self.unmapped,
            Fate::Other => &mut self.other,
        } += 1;
    }
}

/// Notes the columns of an event's row. False for an event that no table of the mapping takes.
fn look(mapping: &Mapping, tables: &mut Tables, event: &ChangeEvent<'_>, fate: Fate) -> bool {
    let Some(table) = mapping.table_of(event) else { return false };
    tables.look(&table, event, fate, mapping.unlisted(event));
    true
}
