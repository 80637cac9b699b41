//! Which services a process runs.

use clap::ValueEnum;
use serde::Deserialize;

/// One service of Locum. Small sites run all in one process, large ones scale them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Change data from Kafka into the read model.
    Ingest,
    /// The channels' reads.
    ReadApi,
    /// The channels' writes.
    Gateway,
    /// Sends what was queued to the core.
    Replayer,
}

impl Role {
    /// All of them: the default.
    pub const ALL: [Role; 4] = [Role::Ingest, Role::ReadApi, Role::Gateway, Role::Replayer];
}
