//! Names of what the gateway counts.

/// Writes answered, by `status` as the channel sees it and `accepted_by`.
pub const WRITES_TOTAL: &str = "locum_gateway_writes_total";
/// Changes of the core's health, by `to`.
pub const HEALTH_CHANGES_TOTAL: &str = "locum_gateway_health_changes_total";
/// Seconds an attempt at the core took, by `outcome`.
pub const CORE_ATTEMPT_SECONDS: &str = "locum_gateway_core_attempt_seconds";
