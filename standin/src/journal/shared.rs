//! What all handles of the journal share: the store, and how transactions run in it.

use std::sync::Arc;

use schemas::core::ReferenceFormat;
use sql::{Again, BoxFuture, Db, Tx};
use tokio::sync::Semaphore;

use super::admit::Owners;
use super::awaited::Awaited;
use super::outcomes::Outcomes;
use super::schema;
use crate::calendar::Calendar;
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::facts::Facts;
use crate::reference::reference;

/// What every handle holds; cloning is cheap.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) db: Db,
    pub(super) facts: Arc<dyn Facts>,
    pub(super) core: Arc<str>,
    pub(super) references: Arc<ReferenceFormat>,
    pub(super) calendar: Arc<Calendar>,
    /// Outcomes being recorded at once, at most. Each waits for its lanes with a connection in hand: without a bound those of one
    /// busy account would take all connections, and nothing could be admitted.
    pub(super) recording: Arc<Semaphore>,
    /// Those of them that are recorded alone, at most: half, so that the groups of other lanes go on.
    pub(super) recording_alone: Arc<Semaphore>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) awaited: Arc<Awaited>,
    pub(super) owners: Arc<Owners>,
}

impl Shared {
    /// Opens the journal in `db`, bringing its tables to the newest version. `core` is the configured name of the core.
    pub(super) async fn open(db: Db, facts: Arc<dyn Facts>, core: &str) -> Result<Self, JournalError> {
        db.migrate(schema::COMPONENT, schema::MIGRATIONS).await?;
        let writers = db.writers_max();
        let recording = writers.saturating_sub(writers.div_ceil(4)).max(1);
        Ok(Self {
            db,
            facts,
            core: core.into(),
            references: Arc::default(),
            calendar: Arc::default(),
            recording: Arc::new(Semaphore::new(recording)),
            recording_alone: Arc::new(Semaphore::new((recording / 2).max(1))),
            outcomes: Arc::default(),
            awaited: Arc::default(),
            owners: Arc::default(),
        })
    }

    /// Counts the bank's days by this calendar; those of UTC without it.
    pub(super) fn with_calendar(self, calendar: Calendar) -> Self {
        Self { calendar: Arc::new(calendar), ..self }
    }

    /// Writes the references of new entries in this form.
    pub(super) fn with_references(self, format: ReferenceFormat) -> Self {
        Self { references: Arc::new(format), ..self }
    }

    /// The reference that a new entry of this id gets, unless another entry has it already.
    pub(super) fn reference(&self, id: &EntryId) -> String {
        reference(&self.references, id, 0)
    }

    /// As [`Self::run`], for outcomes: a quarter of the connections is left for whatever else there is to be done.
    pub(super) async fn run_outcome<T: Send + 'static>(
        &self,
        work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, JournalError>> + Clone + Send + Sync + 'static,
    ) -> Result<T, JournalError> {
        let _permit = self.recording.acquire().await.map_err(|_| JournalError::Overloaded)?;
        self.run(work).await
    }

    /// Runs `work` in a transaction, again while the engine says so, at most [`TRIES_MAX`] times.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, JournalError>> + Clone + Send + Sync + 'static,
    ) -> Result<T, JournalError> {
        let mut again = Again::at_most(TRIES_MAX).on(self.db.host());
        loop {
            let attempt = work.clone();
            let outcome = self.db.transaction(move |tx| Box::pin(async move { attempt(tx).await })).await;
            match outcome {
                // Every transaction of the journal finds its own traces when it runs again, so an unknown commit runs again too.
                Err(err) if err.is_retryable() || err.is_commit_unknown() => {
                    tracing::debug!(error = %err, tries = again.tries(), "journal transaction failed");
                    if !again.wait().await {
                        return Err(err);
                    }
                }
                outcome => return outcome,
            }
        }
    }
}

/// How often a transaction is run before its error is reported.
const TRIES_MAX: u32 = 8;
