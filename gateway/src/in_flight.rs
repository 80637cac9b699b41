//! Which entries tasks of this process are at work on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use standin::journal::EntryId;

/// Who is at work on an entry of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// A task.
    AtWork,
    /// No task any more. Its attempt may have been sent, and its outcome could not be recorded.
    Lost,
}

/// The entries that tasks of this process are, or were, at work on.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashMap<EntryId, Carried>>);

impl InFlight {
    /// Who is at work on an entry; `None` = no task ever was, or its task ended as it should.
    pub(crate) fn carried(&self, id: &EntryId) -> Option<Carried> {
        self.entries().get(id).copied()
    }

    /// The attempt of a lost task was ended.
    pub(crate) fn forget(&self, id: &EntryId) {
        self.entries().remove(id);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<EntryId, Carried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a task is at work on an entry, for as long as it lives. A task that panics loses it.
pub(crate) struct Carrier {
    in_flight: Arc<InFlight>,
    id: EntryId,
}

impl Carrier {
    pub(crate) fn new(in_flight: &Arc<InFlight>, id: &EntryId) -> Self {
        in_flight.entries().insert(id.clone(), Carried::AtWork);
        Self { in_flight: in_flight.clone(), id: id.clone() }
    }

    /// This task gives up what it sent.
    pub(crate) fn lose(&self) {
        self.in_flight.entries().insert(self.id.clone(), Carried::Lost);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lose();
        }
        let mut in_flight = self.in_flight.entries();
        if in_flight.get(&self.id) == Some(&Carried::AtWork) {
            in_flight.remove(&self.id);
        }
    }
}
