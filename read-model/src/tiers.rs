//! The tiers in front of SQL.

use std::sync::Arc;

use crate::memory::Memory;
use crate::publication::Publication;
use crate::redis_tier::RedisTier;

/// The tiers in front of SQL. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tiers {
    /// Fed by the ingester of this process.
    pub memory: Option<Arc<Memory>>,
    /// Shared between processes.
    pub redis: Option<Arc<RedisTier>>,
}

impl Tiers {
    /// SQL only.
    pub fn none() -> Self {
        Self::default()
    }

    /// Tells every tier. Never fails: a tier that did not hear it knows that it is behind, says so and repairs itself.
    pub async fn publish(&self, publication: &Publication) {
        if let Some(memory) = &self.memory {
            memory.feed(publication);
        }
        if let Some(redis) = &self.redis {
            redis.publish(publication).await;
        }
    }

    /// This process does not ingest the source any more.
    pub fn retire(&self, source: &str) {
        if let Some(memory) = &self.memory {
            memory.forget(source);
        }
    }
}
