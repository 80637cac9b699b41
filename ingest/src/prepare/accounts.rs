//! Events that take their currency from an account: what is known of accounts, and what becomes of events that waited for one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use read_model::WaitingEvent;
use schemas::debezium::{ChangeEvent, Record};
use schemas::mapping::Accounts;
use schemas::model::{CanonicalChange, CanonicalRow, Entity, RowChange, Was};
use schemas::money::Currency;
use schemas::position::Version;

use super::parking::queue;
use super::touching::touches;
use super::{Fate, NotMapped, Preparer, QUEUED};
use crate::feed::RawRecord;
use crate::identity;
use crate::isolation::isolated;
use crate::prepared::Prepared;

/// What is known of accounts: the currency, or none where it is deleted or left out and nothing told its currency. One of which nothing
/// came is not there.
pub(crate) type Known = BTreeMap<String, Option<Currency>>;

impl Preparer {
    /// The accounts that must be known before these records are prepared.
    pub fn accounts_asked<'r>(
        &mut self,
        records: impl IntoIterator<Item = (&'r str, Option<&'r [u8]>, Option<&'r [u8]>)>,
    ) -> BTreeSet<String> {
        if !self.mapping.asks_accounts() {
            return BTreeSet::new();
        }
        let (mapping, decoder) = (&self.mapping, &mut self.decoder);
        let mut asked = BTreeSet::new();
        for (topic, key, value) in records {
            // A record that makes us panic is met again, and parked then.
            let of_event = isolated(|| match decoder.decode(topic, key, value) {
                Ok(Record::Change(event)) => mapping.accounts_asked(&event),
                _ => Vec::new(),
            });
            asked.extend(of_event.unwrap_or_default());
        }
        asked
    }

    /// What is known of these accounts, before the next batch.
    pub fn know_accounts(&mut self, known: Known) {
        self.accounts = known;
    }

    /// What is known of an account as far as this batch; none where nothing came of it.
    fn account(&self, id: &str, prepared: &Prepared) -> Option<Option<Currency>> {
        prepared.told.get(id).or_else(|| self.accounts.get(id)).copied()
    }

    /// The accounts that an event asks for, and the first that is not there.
    pub(super) fn accounts_of(&self, event: &ChangeEvent<'_>, prepared: &Prepared) -> (Accounts, Option<String>) {
        let (mut there, mut missing) = (Accounts::new(), None);
        if self.mapping.asks_accounts() {
            for id in self.mapping.accounts_asked(event) {
                match self.account(&id, prepared).flatten() {
                    Some(currency) => drop(there.insert(id, currency)),
                    None => missing = missing.or(Some(id)),
                }
            }
        }
        (there, missing)
    }

    /// Notes what changes say of accounts. An account whose currency changed has postings that were read in the other one.
    pub(super) fn hear(&self, changes: &[CanonicalChange], prepared: &Prepared) -> Result<Known, NotMapped> {
        let mut told = Known::new();
        if !self.mapping.asks_accounts() {
            return Ok(told);
        }
        for change in changes.iter().filter(|change| change.entity == Entity::Account) {
            let currency = match &change.row {
                RowChange::Upsert(CanonicalRow::Account(account)) => Some(account.currency),
                RowChange::Ended(Was::Account(currency)) => Some(*currency),
                _ => None,
            };
            let before = self.account(&change.key, prepared).flatten();
            if before.zip(currency).is_some_and(|(before, now)| before != now) {
                let reason = "the currency of an account changed, and other rows take theirs from it: they were read in the other one";
                return Err(NotMapped::Outdated(reason.into()));
            }
            told.insert(change.key.clone(), currency);
        }
        Ok(told)
    }

    /// An event that waits for this account.
    pub(super) fn waiting_for(
        &self,
        account_id: String,
        record: &RawRecord,
        event: &ChangeEvent<'_>,
        prepared: &Prepared,
    ) -> WaitingEvent {
        let left_out = self.account(&account_id, prepared) == Some(None);
        let made_ms = event.source.ts_source_ms;
        WaitingEvent {
            account_id,
            partition: (*record.partition).clone(),
            offset: record.offset,
            topic: record.topic.to_string(),
            key: record.key.clone(),
            value: record.value.clone(),
            sent_ms: record.timestamp_ms.unwrap_or(made_ms),
            made_ms,
            left_out,
        }
    }

    /// What becomes of events that waited. `overdue`: their accounts do not come, so they are parked.
    pub fn release(&mut self, events: Vec<WaitingEvent>, overdue: bool) -> Prepared {
        self.let_go(events, overdue, None)
    }

    /// Parks events that waited: the store does not take them, for this reason. They count as parked in a row.
    pub(crate) fn refuse(&mut self, events: Vec<WaitingEvent>, reason: &str) -> Prepared {
        let parked = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let mut prepared = self.let_go(events, false, Some(reason));
        prepared.lessons.parked_in_a_row = prepared.lessons.parked_in_a_row.saturating_add(parked);
        prepared
    }

    fn let_go(&mut self, mut events: Vec<WaitingEvent>, overdue: bool, refused: Option<&str>) -> Prepared {
        let mut prepared = self.blank();
        // The events of one row come in their order.
        events.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
        for event in &events {
            let record = RawRecord {
                topic: event.topic.as_str().into(),
                partition: Arc::new(event.partition.clone()),
                offset: event.offset,
                timestamp_ms: Some(event.sent_ms),
                key: event.key.clone(),
                value: event.value.clone(),
            };
            prepared.covers(event.sent_ms, event.made_ms);
            let before = prepared.length();
            let released = isolated(|| self.release_one(&record, overdue, refused, &mut prepared));
            if let Err(reason) = released.unwrap_or_else(|panicked| Err(panicked.to_string())) {
                prepared.cut(before);
                if let Fate::Parked { reason, touches, version } = self.unread(&record, reason, &prepared) {
                    self.park(&record, reason, touches, version, &mut prepared);
                }
            }
        }
        prepared.released = events;
        prepared.snapshot_begun = self.snapshot.begun;
        prepared.identity = self.identity.as_ref().map(identity::render);
        prepared
    }

    /// Applies one event, keeps it for another account, or parks it. The error: it cannot even be read.
    fn release_one(
        &mut self,
        record: &RawRecord,
        overdue: bool,
        refused: Option<&str>,
        prepared: &mut Prepared,
    ) -> Result<(), String> {
        let decoded = self.decoder.decode(&record.topic, record.key.as_deref(), record.value.as_deref());
        let event = match decoded.map_err(|err| err.to_string())? {
            Record::Change(event) => event,
            _ => return Err("it waited for an account and is no change of a row".into()),
        };
        let known = self.known(&event, prepared);
        let parked = |reason: String| (reason, touches(&self.mapping, &event, &known));
        let version = Version::from_event(self.generation, &event);
        let is_queued = self.waiting(&queue(record), &prepared.lessons).is_some();
        if let Some(reason) = refused.or(is_queued.then_some(QUEUED)) {
            let (reason, touches) = parked(reason.into());
            self.park(record, reason, touches, Some(version), prepared);
            return Ok(());
        }
        match self.map(&event, &known, prepared) {
            Ok(_) => {}
            Err(NotMapped::NoAccount(account_id)) if !overdue => {
                let waiting = self.waiting_for(account_id, record, &event, prepared);
                prepared.waits.push(waiting);
            }
            Err(err) => {
                let (reason, touches) = parked(err.reason());
                self.park(record, reason, touches, Some(version), prepared);
            }
        }
        Ok(())
    }
}
