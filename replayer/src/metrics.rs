//! Names of what the replayer counts.

/// Entries sent, by `outcome`.
pub const REPLAYED_TOTAL: &str = "locum_replayer_replayed_total";
/// Steps taken about unknown outcomes, by `step`.
pub const RESOLUTION_STEPS_TOTAL: &str = "locum_replayer_resolution_steps_total";
/// Entries being sent at once.
pub const IN_FLIGHT: &str = "locum_replayer_in_flight";
