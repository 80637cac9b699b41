//! Reads: memory, Redis, SQL, in this order. A tier answers only with what it has; **absence is decided by SQL alone**.
//!
//! Every answer carries the position that the tier's mark proves for it, and a read with a floor skips tiers below it, so
//! that an answer never goes back behind one shown before, across tiers and instances. Reads of several keys come from one
//! SQL statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use sql::Db;

use crate::rows::{AccountDocument, RowError};
use crate::source::{Freshness, Position, Progress, SourceStatus, statuses};
use crate::tiers::Tiers;
use schemas::grant::Grant;

/// Most keys of one batch read.
pub const BATCH_KEYS_MAX: usize = 200;
/// Most accounts of one customer that are listed.
pub const ACCOUNTS_PER_CUSTOMER_MAX: u32 = 1_000;

/// Which tier answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// This process.
    Memory,
    /// Redis.
    Redis,
    /// The SQL database.
    Sql,
}

impl Tier {
    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Memory => "memory",
            Tier::Redis => "redis",
            Tier::Sql => "sql",
        }
    }
}

/// An answer with where and when it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What was asked for.
    pub value: T,
    /// One per source that contributed.
    pub freshness: Vec<Freshness>,
    /// Who answered.
    pub tier: Tier,
}

/// Positions that an answer must contain: what the client was shown before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Floor(pub Vec<(String, Position)>);

impl Floor {
    /// Anything will do.
    pub fn none() -> Self {
        Self::default()
    }

    /// True when this status of its source contains what is asked for of it. A position of another generation never is: a core
    /// that was restored to an earlier time looks like one that went on.
    pub fn reached_by(&self, status: &SourceStatus) -> bool {
        let of_source = self.0.iter().filter(|(source, _)| *source == status.source);
        of_source
            .map(|(_, wanted)| wanted)
            .all(|wanted| status.generation == wanted.generation && status.applied_seq >= wanted.sequence)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// SQL has no such row, or it is not this principal's.
    #[error("not found")]
    NotFound,
    /// The first load is not complete, so that absence means nothing yet.
    #[error("source {source_name} is not loaded yet")]
    NotLoaded {
        /// Which source.
        source_name: String,
        /// How far it is.
        progress: Progress,
    },
    /// A parked event may be about what is missing, so that its absence means nothing.
    #[error("an event of source {source_name} that may be about it is parked")]
    Doubtful {
        /// Which source.
        source_name: String,
    },
    /// The list would have more than this many; a part of it is not given for the whole.
    #[error("more than {max}")]
    TooMany {
        /// What one list holds.
        max: u32,
    },
    /// SQL itself does not contain the position asked for yet.
    #[error("position of source {source_name} is not reached")]
    Behind {
        /// Which source.
        source_name: String,
        /// Where it is.
        at: Position,
    },
    /// SQL cannot be asked.
    #[error("read-model store")]
    Store(#[from] sql::Error),
    /// A stored row is not what it must be.
    #[error("read-model row")]
    Row(RowError),
}

impl From<RowError> for ReadError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Sql(error) => ReadError::Store(error),
            other => ReadError::Row(other),
        }
    }
}

/// How a reader judges.
#[derive(Clone)]
pub struct ReaderOptions {
    /// Older than this is [`Quality::Stale`](crate::Quality::Stale), in milliseconds. 10 s.
    pub stale_after_ms: i64,
    /// How far, in milliseconds of source time, Redis may be behind what SQL was last seen at. 2 s.
    pub redis_lag_max_ms: i64,
    /// The wall clock, milliseconds since 1970.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        let now_ms = Arc::new(|| jiff::Timestamp::now().as_millisecond());
        Self { stale_after_ms: 10_000, redis_lag_max_ms: 2_000, now_ms }
    }
}

/// The reading side. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    pub(crate) db: Db,
    pub(crate) tiers: Tiers,
    options: ReaderOptions,
    sources: Arc<Sources>,
}

/// What SQL last said of the sources: which exist, and how far they were.
#[derive(Default)]
struct Sources {
    statuses: ArcSwap<Vec<Arc<SourceStatus>>>,
    asked_at: ArcSwapOption<Instant>,
    asking: AtomicBool,
}

/// The one task that asks SQL for the statuses. When it ends, in whatever way, the next one may.
struct Asking {
    sources: Arc<Sources>,
    since: Instant,
}

impl Asking {
    /// Nobody asks now, and what was told before is not believed any more.
    fn begin(sources: &Arc<Sources>) -> Option<Self> {
        let fresh = sources.asked_at.load().as_ref().is_some_and(|at| at.elapsed() < SOURCES_BELIEVED);
        let begins = !fresh && !sources.asking.swap(true, Ordering::AcqRel);
        begins.then(|| Self { sources: sources.clone(), since: Instant::now() })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.sources.asked_at.store(Some(Arc::new(self.since)));
        self.sources.asking.store(false, Ordering::Release);
    }
}

/// How long the statuses of the sources are believed.
const SOURCES_BELIEVED: Duration = Duration::from_secs(1);

pub(crate) const DEGRADED: &str = "CASE WHEN EXISTS (SELECT 1 FROM parked_marks d WHERE d.source = s.source \
    AND d.generation = s.generation AND d.entity = 'account' AND d.entity_key IN (a.account_id, '*')) \
    THEN 1 ELSE 0 END AS degraded";

impl Reader {
    /// A reader of the tables in `db`, with the tiers in front of it.
    pub fn new(db: Db, tiers: Tiers, options: ReaderOptions) -> Self {
        Self { db, tiers, options, sources: Arc::default() }
    }

    /// One account with its balance.
    pub async fn account(
        &self,
        grant: &Grant,
        account_id: &str,
        floor: &Floor,
    ) -> Result<Read<Arc<AccountDocument>>, ReadError> {
        match self.account_kept(grant, account_id, floor).await {
            Some(read) => Ok(read),
            None => self.account_from_sql(grant, account_id, floor).await,
        }
    }

    /// One account as memory or Redis has it, at the floor. `None` says nothing about existence.
    pub async fn account_kept(
        &self,
        grant: &Grant,
        account_id: &str,
        floor: &Floor,
    ) -> Option<Read<Arc<AccountDocument>>> {
        let ((document, status), tier) = match self.kept_in_memory(account_id) {
            Some(found) => (found, Tier::Memory),
            None => (self.kept_in_redis(account_id).await?, Tier::Redis),
        };
        if !floor.reached_by(&status) || !grant.covers(&document.account.row.customer_id) {
            return None;
        }
        if let (Tier::Redis, Some(memory)) = (tier, &self.tiers.memory) {
            memory.fill(&document, &status);
        }
        Some(self.answer(document, vec![(status, false)], tier))
    }

    fn kept_in_memory(&self, account_id: &str) -> Option<(Arc<AccountDocument>, Arc<SourceStatus>)> {
        self.tiers.memory.as_ref()?.get(account_id)
    }

    async fn kept_in_redis(&self, account_id: &str) -> Option<(Arc<AccountDocument>, Arc<SourceStatus>)> {
        let redis = self.tiers.redis.as_ref()?;
        self.refresh_sources();
        let known = self.sources.statuses.load_full();
        let (document, mark) = redis.get(account_id, &known).await?;
        let sql = known.iter().find(|status| status.source == mark.source)?;
        let lag_ms = sql.as_of_ms.unwrap_or(0).saturating_sub(mark.as_of_ms.unwrap_or(0));
        let current = mark.generation == sql.generation && lag_ms <= self.options.redis_lag_max_ms;
        current.then_some((document, mark))
    }

    /// Source time before which an answer is stale.
    pub(crate) fn oldest_ok_ms(&self) -> i64 {
        (self.options.now_ms)() - self.options.stale_after_ms
    }

    /// Asks SQL in the background how far the sources are, at most once a second.
    fn refresh_sources(&self) {
        let Some(asking) = Asking::begin(&self.sources) else { return };
        let db = self.db.clone();
        tokio::spawn(async move {
            if let Ok(statuses) = statuses(&db).await {
                asking.sources.statuses.store(Arc::new(statuses.into_iter().map(Arc::new).collect()));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_while_it_asks_for_the_sources_keeps_no_other_from_asking() {
        let sources = Arc::new(Sources::default());
        let asking = Asking::begin(&sources).unwrap();
        assert!(Asking::begin(&sources).is_none(), "one at a time");
        let asked = tokio::spawn(async move {
            let _asking = asking;
            panic!("a row that cannot be read");
        });
        assert!(asked.await.unwrap_err().is_panic());
        assert!(Asking::begin(&sources).is_none(), "not before the next second");
        sources.asked_at.store(None);
        assert!(Asking::begin(&sources).is_some());
    }
}
