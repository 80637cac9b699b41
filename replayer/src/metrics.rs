//! Names of what the replayer counts.

/// Entries sent, by `outcome`.
pub const REPLAYED_TOTAL: &str = "locum_replayer_replayed_total";
/// Steps taken about unknown outcomes, by `step`.
pub const RESOLUTION_STEPS_TOTAL: &str = "locum_replayer_resolution_steps_total";
/// Unknown outcomes being worked on at once.
pub const RESOLVING: &str = "locum_replayer_resolving";
/// Queued entries that wait for their next try, because the core did not take them or a lane was locked.
pub const SET_ASIDE: &str = "locum_replayer_set_aside";
/// Entries sent whose outcome is not recorded yet.
pub const IN_FLIGHT: &str = "locum_replayer_in_flight";
/// How many entries the core may have at once, as the pace stands.
pub const PACE: &str = "locum_replayer_pace";
/// How long the core took for one entry.
pub const CORE_SECONDS: &str = "locum_replayer_core_seconds";
/// How long the journal took to record what the core said.
pub const RECORD_SECONDS: &str = "locum_replayer_record_seconds";
