//! Names of this crate's metrics.

/// Reads answered, by `tier`: memory, redis, sql.
pub const READS_TOTAL: &str = "locum_read_model_reads_total";
/// New epochs of the Redis tier: each is a publication that could not follow the one before.
pub const HOT_EPOCHS_TOTAL: &str = "locum_read_model_hot_epochs_total";
