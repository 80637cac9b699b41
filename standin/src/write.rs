//! A write, as it is asked for.

use schemas::grant::Grant;

use crate::admission::CoreBelief;
use crate::entry::{EntryId, Transfer};

/// A well-formed write to be admitted.
#[derive(Clone)]
pub struct Write {
    /// Made by the caller, so that a repeated transaction finds itself.
    pub id: EntryId,
    /// Whose key it is.
    pub principal: String,
    /// Operation, e.g. `transfer`.
    pub operation: String,
    /// The client's key.
    pub idempotency_key: String,
    /// Versioned hash of the parsed command and its path parameters.
    pub fingerprint: Vec<u8>,
    /// What is asked for.
    pub command: Transfer,
    /// Whose accounts may be debited.
    pub grant: Grant,
    /// What the gateway believes of the core.
    pub belief: CoreBelief,
}
