//! What tiers are told after a commit.

use std::sync::Arc;

use crate::rows::AccountDocument;
use crate::source::SourceStatus;

/// One committed apply transaction, as tiers see it.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The source after it.
    pub status: Arc<SourceStatus>,
    /// `applied_seq` before it: a tier at any other place has missed something.
    pub previous_seq: i64,
    /// Accounts that changed, as they are served now.
    pub documents: Vec<Arc<AccountDocument>>,
    /// Accounts not served from tiers any more: deleted, or degraded.
    pub gone: Vec<String>,
    /// What changed is not known completely: tiers start from nothing.
    pub reset: bool,
}
