//! Names of this crate's metrics. Label `source`: bounded by the configuration.

/// Records applied, parked ones included.
pub const RECORDS_TOTAL: &str = "locum_ingest_records_total";
/// Records that carried nothing for the read model: markers, tombstones, repetitions.
pub const IGNORED_TOTAL: &str = "locum_ingest_ignored_total";
/// Events of tables that the mapping does not name. Labels `source`, `table`: the tables whose topics are read.
pub const UNMAPPED_TOTAL: &str = "locum_ingest_unmapped_total";
/// Events of rows that the filter of their table leaves out. Labels `source`, `table`: the tables of the mapping.
pub const SKIPPED_TOTAL: &str = "locum_ingest_skipped_total";
/// Records parked.
pub const PARKED_TOTAL: &str = "locum_ingest_parked_total";
/// Rows sent to SQL after coalescing.
pub const ROWS_TOTAL: &str = "locum_ingest_rows_total";
/// Duration of an apply transaction, retries included, in seconds.
pub const APPLY_SECONDS: &str = "locum_ingest_apply_seconds";
/// Failed tries to apply.
pub const APPLY_FAILURES_TOTAL: &str = "locum_ingest_apply_failures_total";
/// 1 while the source is halted.
pub const HALTED: &str = "locum_ingest_halted";
/// 1 while this process holds the source's lease.
pub const LEADING: &str = "locum_ingest_leading";
/// Records known to wait.
pub const BEHIND_RECORDS: &str = "locum_ingest_behind_records";
/// Source time up to which everything is applied, milliseconds since 1970.
pub const AS_OF_MS: &str = "locum_ingest_as_of_ms";
/// Delete markers of transactions that nothing needs any more, and that are gone.
pub const MARKERS_GONE_TOTAL: &str = "locum_ingest_delete_markers_gone_total";
/// 1 while no delete marker may go, however old it is; the log says why.
pub const MARKERS_HELD: &str = "locum_ingest_delete_markers_held";
