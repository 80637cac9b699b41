//! Names of what this crate counts.

/// Requests refused because a caller, or all callers together, have too much under way, by `why`: `rate`, `concurrency`,
/// `store-share` (the caller's turns at the store), `store` (everybody's), `store-wait` (no turn in time). Principals are not
/// told apart here; the access log does that.
pub const REFUSED_TOTAL: &str = "locum_edge_refused_total";
