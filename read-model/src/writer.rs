//! Applies canonical changes inside the ingester's transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use schemas::model::{CanonicalChange, Entity};
use sql::{Tx, Upsert, listed, params};

use crate::rows::{AccountDocument, DOCUMENT_COLUMNS, DOCUMENT_JOIN, RowError, document};
use crate::table;

/// Why an apply transaction did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The engine; see [`sql::Error`] for what to do.
    #[error("read-model write")]
    Sql(#[from] sql::Error),
    /// A stored row is not what it must be.
    #[error("read-model row")]
    Row(RowError),
    /// Offsets, sequence or token are not what this ingester left: another one works, or an unknown commit landed.
    #[error("source {source_name} is not where this ingester left it ({what})")]
    Fenced {
        /// Which source.
        source_name: String,
        /// Which check failed.
        what: &'static str,
    },
}

impl From<RowError> for WriteError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Sql(error) => WriteError::Sql(error),
            other => WriteError::Row(other),
        }
    }
}

/// What a batch of changes made visible.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Every account whose document a change may have altered.
    pub accounts: BTreeSet<String>,
    /// The accounts touched, as they are served now: what tiers are told after the commit.
    pub documents: Vec<Arc<AccountDocument>>,
    /// Accounts touched that are not served any more.
    pub gone: Vec<String>,
    /// Rows sent to the engine after coalescing.
    pub rows: usize,
}

/// Keys per read-back statement.
const KEYS_PER_QUERY: usize = 500;

/// The writing side of one source and generation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(crate) source: Arc<str>,
    pub(crate) generation: u32,
    /// Nobody is served from what it writes yet.
    pub(crate) shadow: bool,
    /// The number of source and generation, once it was read; it never changes.
    pub(crate) dataset: Arc<OnceLock<u32>>,
}

impl Writer {
    /// A writer of `generation` of `source`, which is served.
    pub fn new(source: &str, generation: u32) -> Self {
        Self { source: source.into(), generation, shadow: false, dataset: Arc::default() }
    }

    /// A writer of a generation that is filled in the shadow of the served one.
    pub fn shadow(source: &str, generation: u32) -> Self {
        Self { source: source.into(), generation, shadow: true, dataset: Arc::default() }
    }

    /// True for a generation that is not served yet.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// The generation it writes.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Applies changes by version-guarded upserts: state tables coalesced per key, transactions never; deletes leave markers, and those of
    /// transactions are noted.
    ///
    /// Rows are written in one order everywhere (customers, accounts, balances, transactions; keys in byte order). Reads back
    /// what is served now for the accounts touched, which is nothing of a shadow. Changes must have passed [`check`](crate::check).
    pub async fn apply(&self, tx: &mut Tx, changes: &[CanonicalChange]) -> Result<Applied, WriteError> {
        let mut applied = Applied::default();
        let dataset = self.dataset(tx).await?;
        for entity in Entity::ALL {
            let upsert = upsert(dataset, entity, changes);
            applied.rows += upsert.len();
            tx.upsert(upsert).await?;
        }
        self.note_markers(tx, dataset, changes).await?;
        if self.shadow {
            return Ok(applied);
        }
        let touched: BTreeSet<&str> = changes.iter().filter_map(document_key).collect();
        applied.documents = self.documents(tx, dataset, &touched).await?;
        let served: BTreeSet<&str> = applied.documents.iter().map(|d| d.account_id()).collect();
        applied.gone = touched.difference(&served).map(|key| (*key).to_owned()).collect();
        applied.accounts = touched.into_iter().map(str::to_owned).collect();
        Ok(applied)
    }

    async fn documents(
        &self,
        tx: &mut Tx,
        dataset: u32,
        keys: &BTreeSet<&str>,
    ) -> Result<Vec<Arc<AccountDocument>>, WriteError> {
        let mut documents = Vec::with_capacity(keys.len());
        for keys in chunks(keys) {
            let (list, keys) = listed(keys.iter().copied());
            let sql = format!(
                "SELECT {DOCUMENT_COLUMNS} FROM {DOCUMENT_JOIN} \
                 WHERE a.dataset = ? AND a.deleted = 0 AND a.account_id IN ({list}) \
                   AND NOT EXISTS (SELECT 1 FROM parked_marks d WHERE d.source = ? \
                     AND d.generation = ? AND d.entity = 'account' AND d.entity_key IN (a.account_id, '*'))"
            );
            let mut values = params![dataset];
            values.extend(keys);
            values.extend(params![&*self.source, self.generation]);
            for row in tx.query(&sql, values).await? {
                documents.push(Arc::new(document(&row, &self.source)?));
            }
        }
        Ok(documents)
    }
}

/// The newest change of each key, in byte order of the keys.
///
/// Transactions are a journal and are written one by one; only a repetition of the same version is dropped, because
/// one statement must not name a key twice on every engine.
fn upsert(dataset: u32, entity: Entity, changes: &[CanonicalChange]) -> Upsert {
    let mut upsert = table::upsert(entity);
    newest(entity, changes).values().for_each(|change| upsert.push(table::values(dataset, change)));
    upsert
}

/// The newest change of each key of this kind, by key.
pub(crate) fn newest(entity: Entity, changes: &[CanonicalChange]) -> BTreeMap<&str, &CanonicalChange> {
    let mut newest: BTreeMap<&str, &CanonicalChange> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.entity == entity) {
        let kept = newest.entry(change.key.as_str()).or_insert(change);
        if change.version > kept.version {
            *kept = change;
        }
    }
    newest
}

/// The account whose document a change may alter.
fn document_key(change: &CanonicalChange) -> Option<&str> {
    matches!(change.entity, Entity::Account | Entity::Balance).then_some(change.key.as_str())
}

/// Keys in groups of one size, filled up by repeating the last, so that few statements are prepared.
fn chunks<'a>(keys: &BTreeSet<&'a str>) -> Vec<Vec<&'a str>> {
    let keys: Vec<&str> = keys.iter().copied().collect();
    let group = |chunk: &[&'a str]| {
        let size = chunk.len().next_power_of_two().min(KEYS_PER_QUERY);
        let mut group = chunk.to_vec();
        group.resize(size.max(chunk.len()), chunk.last().copied().unwrap_or_default());
        group
    };
    keys.chunks(KEYS_PER_QUERY).map(group).collect()
}
