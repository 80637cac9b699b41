//! The tier in process memory. Only a process that ingests a source keeps it: its ingester feeds it after every commit.
//!
//! **Rule.** With a mark at sequence n, every document kept is at least as new as the read model was after apply n. Feeding
//! replaces documents first and raises the mark last. A reader that fills a miss says at which sequence its SQL statement
//! looked; older than the mark, it might undo a feeding, and is refused. Both hold the same lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::publication::Publication;
use crate::rows::AccountDocument;
use crate::source::SourceStatus;

/// Documents kept by default.
pub const DOCUMENTS_MAX: usize = 1_000_000;
/// After this long without a feeding the tier is bypassed: the ingester may have stopped or lost its lease.
pub const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
struct Mark {
    status: Arc<SourceStatus>,
    fed_at: Instant,
}

/// Documents in memory and how far each source is fed. Share it with `Arc`.
pub struct Memory {
    documents: Cache<String, Arc<AccountDocument>>,
    marks: ArcSwap<HashMap<String, Mark>>,
    feeding: Mutex<()>,
}

impl Memory {
    /// An empty tier for at most `documents_max` accounts.
    pub fn new(documents_max: usize) -> Self {
        Self { documents: Cache::new(documents_max.max(1)), marks: ArcSwap::default(), feeding: Mutex::new(()) }
    }

    /// The document and the mark it is at least as new as. `None` says nothing about existence.
    pub fn get(&self, account_id: &str) -> Option<(Arc<AccountDocument>, Arc<SourceStatus>)> {
        let marks = self.marks.load();
        let document = self.documents.get(account_id)?;
        let mark = marks.get(&document.source)?;
        (mark.fed_at.elapsed() <= PATIENCE).then(|| (document, mark.status.clone()))
    }

    /// What the ingester committed. A publication that does not follow the last one empties the tier of its source first.
    pub fn feed(&self, publication: &Publication) {
        let _feeding = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        let status = &publication.status;
        let marks = self.marks.load();
        let follows = marks.get(&status.source).is_some_and(|mark| {
            mark.status.applied_seq == publication.previous_seq && mark.status.generation == status.generation
        });
        if publication.reset || !follows {
            self.empty(&status.source);
        }
        for document in &publication.documents {
            self.documents.insert(document.account_id().to_owned(), document.clone());
        }
        for account_id in &publication.gone {
            self.documents.remove(account_id.as_str());
        }
        self.mark(&status.source, Some(Mark { status: status.clone(), fed_at: Instant::now() }));
    }

    /// Keeps what SQL answered, unless it might be older than what was fed since.
    pub fn fill(&self, document: &Arc<AccountDocument>, seen: &SourceStatus) {
        let _feeding = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = self.marks.load();
        let Some(mark) = marks.get(&document.source) else { return };
        if mark.status.generation == seen.generation && mark.status.applied_seq <= seen.applied_seq {
            self.documents.insert(document.account_id().to_owned(), document.clone());
        }
    }

    /// Forgets a source: this process does not ingest it any more, or cannot say what it missed.
    pub fn forget(&self, source: &str) {
        let _feeding = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        self.mark(source, None);
        self.empty(source);
    }

    fn empty(&self, source: &str) {
        self.mark(source, None);
        self.documents.retain(|_, document| document.source != source);
    }

    fn mark(&self, source: &str, mark: Option<Mark>) {
        let mut marks = HashMap::clone(&self.marks.load());
        match mark {
            Some(mark) => marks.insert(source.to_owned(), mark),
            None => marks.remove(source),
        };
        self.marks.store(Arc::new(marks));
    }

    /// Number of documents kept.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// True when nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }
}
