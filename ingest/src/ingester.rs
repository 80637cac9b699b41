//! What the ingester of one source works with.

use std::sync::Arc;

use read_model::Tiers;
use sql::Db;

use crate::confirm::Confirm;
use crate::options::{FeedFactory, Options};

/// One source's ingester, as far as it outlives a lease. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ingester {
    pub(crate) options: Options,
    pub(crate) db: Db,
    pub(crate) tiers: Tiers,
    pub(crate) confirm: Arc<dyn Confirm>,
    pub(crate) feed: FeedFactory,
}
