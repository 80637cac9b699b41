//! Names of what this crate counts.

/// Reads refused because the data was older than `Max-Staleness`.
pub const STALE_REFUSALS_TOTAL: &str = "locum_read_stale_refusals_total";
/// Reads that had to wait for their `Min-Position`, by `outcome` (`reached`, `given-up`, `no-room`).
pub const POSITION_WAITS_TOTAL: &str = "locum_read_position_waits_total";
/// Conditional reads answered 304.
pub const NOT_MODIFIED_TOTAL: &str = "locum_read_not_modified_total";
