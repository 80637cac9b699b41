//! Who waits in this process for the outcome of an entry.
//!
//! Whatever records it here tells them. What other processes record is found by a look now and then, one for all who wait.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::entry::EntryState;
use sql::{BoxFuture, listed, params};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::record::{COLUMNS, KEYS_PER_STATEMENT};
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::handles::GatewayJournal;
use crate::journal::shared::Shared;

#[cfg(test)]
mod tests;

/// Pause before somebody who waits wants a look, growing up to the second.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// Reads where entries stand; those without an outcome may be left out.
type Read<'r> = dyn Fn(Vec<EntryId>) -> BoxFuture<'r, Vec<Entry>> + Send + Sync + 'r;

/// The entries that somebody waits for; shared by all handles of a journal.
#[derive(Default)]
pub(super) struct Awaited {
    entries: Mutex<HashMap<EntryId, Told>>,
    /// When the last look for all began. Locked while one is under way.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

/// The newest that was told of an entry, and how many wait for it.
struct Told {
    newest: watch::Sender<Option<Entry>>,
    waiting: usize,
}

/// A place among those who wait for an entry, given back when it is dropped.
struct Place<'a> {
    awaited: &'a Awaited,
    id: EntryId,
    told: watch::Receiver<Option<Entry>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut entries = self.awaited.entries();
        if let Some(told) = entries.get_mut(&self.id) {
            told.waiting -= 1;
            if told.waiting == 0 {
                entries.remove(&self.id);
            }
        }
    }
}

impl Place<'_> {
    /// Waits until an outcome is told.
    async fn outcome(&mut self) -> Entry {
        let told = self.told.wait_for(|told| told.as_ref().is_some_and(has_outcome)).await;
        match told.ok().and_then(|told| told.clone()) {
            Some(entry) => entry,
            // Its sender is there as long as this place is.
            None => std::future::pending().await,
        }
    }
}

impl Awaited {
    /// Says where an entry stands, once that is durable.
    pub(super) fn tell(&self, entry: &Entry) {
        if let Some(told) = self.entries().get(&entry.id) {
            told.newest.send_if_modified(|newest| {
                let is_news = newest.as_ref().is_none_or(|newest| newest.version < entry.version);
                if is_news {
                    *newest = Some(entry.clone());
                }
                is_news
            });
        }
    }

    /// Waits for the outcome of an entry.
    async fn outcome(&self, id: &EntryId, read: &Read<'_>) -> Entry {
        // First a place, then a look: what is recorded after the look is told.
        let mut place = self.join(id);
        let (mut last, mut pause) = (Instant::now(), LOOK_AFTER.0);
        read(vec![id.clone()]).await.iter().for_each(|entry| self.tell(entry));
        loop {
            tokio::select! {
                biased;
                entry = place.outcome() => return entry,
                looked = self.look(last, pause, read) => last = looked,
            }
            pause = (pause * 2).min(LOOK_AFTER.1);
        }
    }

    /// Looks for all who wait, unless another look began since the `last` one this caller knows of. Answers when that was.
    async fn look(&self, last: Instant, pause: Duration, read: &Read<'_>) -> Instant {
        sleep_until(last + pause).await;
        let mut looked = self.looked.lock().await;
        if let Some(began) = looked.filter(|began| *began > last) {
            return began;
        }
        let began = Instant::now();
        let ids = self.entries().keys().cloned().collect();
        read(ids).await.iter().for_each(|entry| self.tell(entry));
        *looked = Some(began);
        began
    }

    fn join(&self, id: &EntryId) -> Place<'_> {
        let mut entries = self.entries();
        let new = || Told { newest: watch::Sender::new(None), waiting: 0 };
        let told = entries.entry(id.clone()).or_insert_with(new);
        told.waiting += 1;
        Place { awaited: self, id: id.clone(), told: told.newest.subscribe() }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<EntryId, Told>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GatewayJournal {
    /// Waits until the core's or a person's word about the entry is recorded, by whichever process. Drop it to wait no more.
    pub async fn outcome_of(&self, id: &EntryId) -> Entry {
        let read = |ids: Vec<EntryId>| -> BoxFuture<'_, Vec<Entry>> {
            Box::pin(async move {
                let complain = |err: &JournalError| tracing::debug!(error = %err, "looking for outcomes");
                self.0.with_outcome(&ids).await.inspect_err(complain).unwrap_or_default()
            })
        };
        self.0.awaited.outcome(id, &read).await
    }
}

impl Shared {
    /// Those of these entries that may have an outcome.
    async fn with_outcome(&self, ids: &[EntryId]) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        for ids in ids.chunks(KEYS_PER_STATEMENT) {
            let (list, mut values) = listed(ids.iter().map(EntryId::as_str));
            let sql = format!("SELECT {COLUMNS} FROM entries WHERE id IN ({list}) AND state NOT IN (?, ?)");
            values.extend(params![EntryState::Queued.as_str(), EntryState::Submitting.as_str()]);
            entries.extend(self.db.query(&sql, values).await?.iter().filter_map(Entry::read_or_complain));
        }
        Ok(entries)
    }
}

fn has_outcome(entry: &Entry) -> bool {
    entry.state.is_terminal() || entry.state == EntryState::Posted
}
