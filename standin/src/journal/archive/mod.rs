//! Archiving: what ended long ago leaves the tables for files, month by month, and a slim row stays for its key and its reference.
//!
//! A file is written, made durable and given its name; then it is noted, read back and verified; only then its rows are deleted, at most
//! [`TOGETHER_MAX`] entries in one transaction, each only if the file's line is what the tables still say. A process that dies on the way leaves
//! the rows, or the rows and the file, and the next pass goes on there. One process archives at a time, under a fence.

mod due;
mod files;
mod forget;
mod load;
mod rows;
mod slim;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::fence::Fence;
use super::shared::Shared;
use crate::archive::{FileFault, Month, last_due};
use crate::instance::Instance;
use crate::journal::error::JournalError;

pub use slim::ArchivedEntry;
pub(super) use slim::{Ended, Kept, Late, OF_KEYS, OF_NO_KEY, OF_REFERENCES, keys_of};

/// What is fenced.
const FENCE: &str = "archive";
/// How long one process archives without renewal.
const FENCE_TTL: Duration = Duration::from_secs(60);
/// Entries whose rows one transaction deletes, at most: its locks are those of an admission.
const TOGETHER_MAX: usize = 64;
const DAY_US: i64 = 86_400_000_000;

/// What may do the archiving, and look at it.
#[derive(Clone)]
pub struct ArchiveJournal(pub(super) Shared);

/// How long what is kept where.
#[derive(Debug, Clone)]
pub struct Retention {
    /// So many full months entries stay in the tables after the month in which they ended.
    pub journal_months: u32,
    /// Where the files are written.
    pub directory: PathBuf,
    /// For so many days after its entry ended a key is honoured.
    pub keys_days: u32,
    /// For so many days after its entry ended a reference that was sent is known; `None`: for ever.
    pub references_days: Option<u32>,
    /// Most entries of one file.
    pub entries_per_file: u64,
}

/// What one pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pass {
    /// Files written or taken over.
    pub files: u64,
    /// Entries that left the tables.
    pub entries: u64,
    /// Slim rows that were not needed any more.
    pub forgotten: u64,
}

/// Why a pass ended early. What it had done by then is done.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileFault),
    /// A file that is not where the chain has its place for it.
    #[error("{0} is not the next file of the chain; move it away, and look where it came from")]
    Stray(String),
    /// A file that was noted is not what was noted.
    #[error("{0} is not the file that was noted; nothing more is archived until it is back")]
    Exchanged(String),
    /// The work on a file panicked.
    #[error("the work on a file panicked; the log of that time tells where")]
    Panicked,
}

impl From<sql::Error> for ArchiveError {
    fn from(err: sql::Error) -> Self {
        Self::Journal(err.into())
    }
}

/// The fence of the process that archives, with all that a pass goes by.
pub struct Lease {
    fence: Fence,
    instance: Instance,
    renewed: Instant,
    retention: Retention,
    /// The last month whose entries may leave.
    due: Month,
    /// The earlier of the two clocks, microseconds since 1970.
    now_us: i64,
}

impl ArchiveJournal {
    /// One pass: goes on with files that were not emptied, archives every month that is due, forgets slim rows that are not needed.
    /// `None`: another process archives.
    pub async fn pass(&self, instance: &Instance, retention: &Retention) -> Result<Option<Pass>, ArchiveError> {
        let Some(mut lease) = self.begin(instance, retention).await? else { return Ok(None) };
        let outcome = self.archive_all(&mut lease).await;
        let ended = self.end(lease).await;
        // Why the pass ended says more than why its fence could not be given up.
        let pass = outcome?;
        ended.map(|()| Some(pass))
    }

    /// Takes the fence. `None`: another process holds it.
    pub async fn begin(&self, instance: &Instance, retention: &Retention) -> Result<Option<Lease>, ArchiveError> {
        let Some(fence) = self.hold(instance).await? else { return Ok(None) };
        // The earlier of the two: one clock that is ahead sends nothing away early.
        let now_us = self.0.server_now_ms().await?.saturating_mul(1_000).min(self.0.db.host().now_us());
        let due = last_due(now_us, retention.journal_months).ok_or(JournalError::Corrupt("the clock"))?;
        let (instance, retention, renewed) = (instance.clone(), retention.clone(), Instant::now());
        Ok(Some(Lease { fence, instance, renewed, retention, due, now_us }))
    }

    /// Gives the fence up.
    pub async fn end(&self, lease: Lease) -> Result<(), ArchiveError> {
        Ok(self.0.release_fence(&lease.fence).await?)
    }

    async fn hold(&self, instance: &Instance) -> Result<Option<Fence>, JournalError> {
        let ttl_ms = i64::try_from(FENCE_TTL.as_millis()).unwrap_or(i64::MAX);
        self.0.hold_fence(FENCE, instance, ttl_ms).await
    }

    /// Renews the fence in time. It is lost if another process has had it since.
    async fn renew(&self, lease: &mut Lease) -> Result<(), JournalError> {
        if lease.renewed.elapsed() > FENCE_TTL / 3 {
            self.renew_now(lease).await?;
        }
        Ok(())
    }

    async fn renew_now(&self, lease: &mut Lease) -> Result<(), JournalError> {
        let renewed = Instant::now();
        match self.hold(&lease.instance).await? {
            Some(fence) if fence == lease.fence => lease.renewed = renewed,
            _ => return Err(JournalError::Fenced(FENCE.to_owned())),
        }
        Ok(())
    }

    async fn archive_all(&self, lease: &mut Lease) -> Result<Pass, ArchiveError> {
        files::clear(&lease.retention.directory).await?;
        let mut pass = Pass::default();
        for file in self.unfinished().await? {
            pass.entries += self.empty(lease, &file).await?;
        }
        let mut month = self.oldest_month().await?;
        while let Some(due) = month.filter(|month| *month <= lease.due) {
            while let Some(file) = self.write(lease, due).await? {
                self.note(lease, &file, due).await?;
                let left = self.empty(lease, &file).await?;
                (pass.files, pass.entries) = (pass.files + 1, pass.entries + left);
                if left == 0 {
                    // Changed since it was written, all of it: the next pass looks again.
                    break;
                }
            }
            month = Some(due.plus(1));
        }
        pass.forgotten = self.forget(lease).await?;
        Ok(pass)
    }
}
