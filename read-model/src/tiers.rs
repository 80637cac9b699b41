//! The tiers in front of SQL.

use std::sync::Arc;

use crate::hot::Hot;
use crate::memory::Memory;
use crate::publication::Publication;

/// The tiers in front of SQL. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tiers {
    /// Fed by the ingester of this process.
    pub memory: Option<Arc<Memory>>,
    /// Shared between processes.
    pub hot: Option<Arc<Hot>>,
}

impl Tiers {
    /// SQL only.
    pub fn none() -> Self {
        Self::default()
    }

    /// Tells every tier. Never fails: a tier that did not hear it is behind, says so and repairs itself.
    pub async fn publish(&self, publication: &Publication) {
        if let Some(memory) = &self.memory {
            memory.feed(publication);
        }
        if let Some(hot) = &self.hot {
            hot.publish(publication).await;
        }
    }

    /// This process does not ingest the source any more.
    pub fn retire(&self, source: &str) {
        if let Some(memory) = &self.memory {
            memory.forget(source);
        }
    }
}
