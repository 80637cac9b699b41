//! Names of what the gateway counts.

/// Writes answered, by `status` as the channel sees it and `accepted_by`.
pub const WRITES_TOTAL: &str = "locum_gateway_writes_total";
/// Changes of the core's health, by `to`.
pub const HEALTH_CHANGES_TOTAL: &str = "locum_gateway_health_changes_total";
/// Seconds an attempt at the core took, by `outcome`.
pub const CORE_ATTEMPT_SECONDS: &str = "locum_gateway_core_attempt_seconds";
/// Entries that something must follow, by `state`; those parked wait for a person.
pub const ENTRIES: &str = "locum_journal_entries";
/// Seconds since the oldest entry without an outcome was made.
pub const OLDEST_OPEN_SECONDS: &str = "locum_journal_oldest_open_seconds";
/// Entries that evidence contradicts; their lanes are stopped.
pub const CONTRADICTED: &str = "locum_journal_contradicted";
/// Findings of the core's change data against the journal.
pub const BREAKS: &str = "locum_journal_breaks";
/// Milliseconds that this host's clock is ahead of the SQL server's; behind it, where negative.
pub const CLOCK_AHEAD_MS: &str = "locum_gateway_clock_ahead_milliseconds";
/// 1 while stand-in takes the writes.
pub const STANDS_IN: &str = "locum_gateway_stands_in";
