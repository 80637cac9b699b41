//! The handles to the journal: one for each of its users, with what that user may do and nothing else.
//!
//! Ingest can only confirm, and the read API can only ask for holds. A handle's methods stand beside what they do.

use std::sync::Arc;

use schemas::core::ReferenceFormat;
use sql::Db;

use super::archive::{ArchiveJournal, ArchivedEntry};
use super::error::JournalError;
use super::facts::Facts;
use super::shared::Shared;
use crate::calendar::Calendar;
use crate::entry::{Entry, EntryId};
use crate::instance::Instance;

/// The journal, for the process that opened it. It starts the process, and makes the handles of the journal's users. Cheap to
/// clone, as they are.
#[derive(Clone)]
pub struct Journal(pub(super) Shared);

/// What a gateway may do, beside admitting: record what the core answered, and look after what was left open.
#[derive(Clone)]
pub struct GatewayJournal(pub(super) Shared);

/// What a replayer may do: schedule under its fence, claim, and record what the core answered.
#[derive(Clone)]
pub struct ReplayJournal(pub(super) Shared);

/// What ingest may do: tell what the core booked, inside its own transaction.
#[derive(Clone)]
pub struct Confirmations(pub(super) Shared);

/// What the read API may do: ask for holds.
#[derive(Clone)]
pub struct HoldsView(pub(super) Shared);

/// What people may do: look at everything, steer, and give orders.
#[derive(Clone)]
pub struct OperatorsJournal(pub(super) Shared);

impl Journal {
    /// Opens the journal in `db`, bringing its tables to the newest version. `core` is the configured name of the core.
    pub async fn open(db: Db, facts: Arc<dyn Facts>, core: &str) -> Result<Self, JournalError> {
        Shared::open(db, facts, core).await.map(Self)
    }

    /// Counts the bank's days by this calendar; those of UTC without it.
    pub fn with_calendar(self, calendar: Calendar) -> Self {
        Self(self.0.with_calendar(calendar))
    }

    /// Writes the references of new entries in this form.
    pub fn with_references(self, format: ReferenceFormat) -> Self {
        Self(self.0.with_references(format))
    }

    /// For a gateway.
    pub fn gateway(&self) -> GatewayJournal {
        GatewayJournal(self.0.clone())
    }

    /// For a replayer.
    pub fn replay(&self) -> ReplayJournal {
        ReplayJournal(self.0.clone())
    }

    /// For ingest.
    pub fn confirmations(&self) -> Confirmations {
        Confirmations(self.0.clone())
    }

    /// For the read API.
    pub fn holds(&self) -> HoldsView {
        HoldsView(self.0.clone())
    }

    /// For the archiving.
    pub fn archive(&self) -> ArchiveJournal {
        ArchiveJournal(self.0.clone())
    }

    /// For operators.
    pub fn operators(&self) -> OperatorsJournal {
        OperatorsJournal(self.0.clone())
    }
}

impl GatewayJournal {
    /// The reference that a new entry of this id gets, unless another entry has it already.
    pub fn reference(&self, id: &EntryId) -> String {
        self.0.reference(id)
    }

    /// The entry of this id.
    pub async fn get(&self, id: &EntryId) -> Result<Option<Entry>, JournalError> {
        self.0.get(id).await
    }

    /// Ends the attempts of earlier holders of this identity; the outcomes of their entries are unknown. Call it again and
    /// again: a dead process's last commit may land after its successor's first look.
    pub async fn end_predecessors(&self, instance: &Instance) -> Result<Vec<EntryId>, JournalError> {
        self.0.end_predecessors(instance).await
    }
}

impl ReplayJournal {
    /// Was the replay paused by an operator?
    pub async fn replay_paused(&self) -> Result<bool, JournalError> {
        self.0.replay_paused().await
    }
}

impl OperatorsJournal {
    /// What stayed of an archived entry. Ask for the entry first: it may be archived between the two.
    pub async fn archived(&self, id: &EntryId) -> Result<Option<ArchivedEntry>, JournalError> {
        self.0.archived(id).await
    }

    /// The entry of this id.
    pub async fn get(&self, id: &EntryId) -> Result<Option<Entry>, JournalError> {
        self.0.get(id).await
    }

    /// Was the replay paused by an operator?
    pub async fn replay_paused(&self) -> Result<bool, JournalError> {
        self.0.replay_paused().await
    }
}
