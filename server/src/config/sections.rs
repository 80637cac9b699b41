//! The sections of the file, with their defaults. `locum.example.yaml` shows them all, and `docs/configuration.md` tells
//! what each is for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gateway::FourEyes;
use serde::Deserialize;
use serde_json::Value;
use standin::calendar::Calendar;
use standin::journal::OrderKind;
use standin::resolution::Patience;
use standin::rules::{Limits, Rules};

use super::principals::Principals;
use super::retention::Retention;
use super::shares::CoreShare;
use crate::roles::Role;

/// The whole configuration, with absolute paths.
#[derive(Clone)]
pub struct Config {
    /// The channels' listener.
    pub listen: Listen,
    /// The operators' listener.
    pub admin: Admin,
    /// Folder for what this instance keeps between runs: its identity, its cursor key.
    pub state_dir: PathBuf,
    /// Instances that run a gateway or a replayer, at most at once: they share the connections to the core.
    pub instances_max: usize,
    /// The one transactional store.
    pub sql: Sql,
    /// The shared tier; none = memory and SQL only.
    pub redis: Option<Redis>,
    /// Where change data comes from.
    pub kafka: Kafka,
    /// The core's databases.
    pub sources: Vec<Source>,
    /// The core that takes writes.
    pub core: Core,
    /// What stand-in may accept until operators change it live.
    pub limits: Limits,
    /// Version of limits set live, in the form before there were limits per currency, that these may replace.
    pub supersede_limits: Option<i64>,
    /// Which account states each operation may touch, and what it tells of a payee.
    pub rules: Rules,
    /// When the bank's days begin.
    pub business_day: Calendar,
    /// The tokens file.
    pub tokens: Option<PathBuf>,
    /// File of 32 bytes that signs cursors, the same on every instance; none = one of this instance's own.
    pub cursor_key: Option<PathBuf>,
    /// What each principal may take of this process.
    pub principals: Principals,
    /// Time within which a channel has its answer to a write, in milliseconds.
    pub write_deadline_ms: u64,
    /// A gateway whose clock is further than this from the SQL server's takes no writes, in milliseconds.
    pub clock_difference_ms_max: u64,
    /// How the queue is worked off.
    pub replay: Replay,
    /// What the operators' orders want.
    pub operators: Operators,
    /// How long the journal keeps what, and the read model its delete markers.
    pub retention: Retention,
    /// What this process runs.
    pub roles: Vec<Role>,
}

/// What the operators' orders want.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operators {
    /// Orders that take effect only when a second person approves. Default none.
    pub four_eyes: Vec<OrderKind>,
    /// For so long an order waits for its second person. Default 86 400.
    pub approval_expires_after_s: u64,
}

impl Default for Operators {
    fn default() -> Self {
        let FourEyes { kinds, expires_after } = FourEyes::default();
        Self { four_eyes: kinds, approval_expires_after_s: expires_after.as_secs() }
    }
}

impl Operators {
    /// As the gateway takes them.
    pub fn four_eyes(&self) -> FourEyes {
        let expires_after = Duration::from_secs(self.approval_expires_after_s);
        FourEyes { kinds: self.four_eyes.clone(), expires_after }
    }
}

/// How the queue is worked off.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replay {
    /// Entries sent at once, at most; 1 replays one by one. Default 16, or half of this instance's connections to the core where that is less.
    pub concurrency_max: Option<usize>,
    /// Longest wait for the core's answer. Default 5 000.
    pub core_timeout_ms: u64,
    /// Submitting for longer than this means that its sender will not record an outcome any more. Default 30 000.
    pub abandoned_after_ms: u64,
    /// An unknown outcome that nothing resolves for this long waits for a person. Default 600 000.
    pub park_after_ms: u64,
    /// Taken off the core's memory of references, for clocks and journeys. Default 60 000.
    pub memory_margin_ms: u64,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            concurrency_max: None,
            core_timeout_ms: 5_000,
            abandoned_after_ms: 30_000,
            park_after_ms: 600_000,
            memory_margin_ms: 60_000,
        }
    }
}

impl Replay {
    /// As the replayer takes them, with this instance's share of the core.
    pub fn options(&self, share: CoreShare) -> replayer::Options {
        replayer::Options {
            concurrency_max: self.concurrency_max.unwrap_or_else(|| share.replay_default()),
            core_timeout: Duration::from_millis(self.core_timeout_ms),
            abandoned_after: Duration::from_millis(self.abandoned_after_ms),
            patience: Patience { park_after_ms: self.park_after_ms, memory_margin_ms: self.memory_margin_ms },
            ..replayer::Options::default()
        }
    }
}

/// A listener and its bounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Address and port. Default 0.0.0.0:8080.
    pub address: SocketAddr,
    /// Connections at once. Default 4096.
    pub connections_max: usize,
    /// On SIGTERM, time for load balancers to see that this instance is not ready; it serves on meanwhile. Default 0.
    pub drain_notice_ms: u64,
    /// Time open requests get on shutdown. Default 20 000.
    pub drain_ms_max: u64,
    /// See `edge::serve::ListenerLimits`. Default false.
    pub pipeline_flush: bool,
}

/// The operators' listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port. Default 127.0.0.1:8081.
    pub address: SocketAddr,
}

/// The transactional store.
#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Sql {
    /// `mysql://user:password@host:port/database`, or `sqlite:PATH` for trying it out.
    pub url: String,
    /// Most connections for writing; reads have half as many of their own. Default 32.
    pub connections_max: Option<usize>,
    /// Processes that use the store at once, at most, whatever their roles. Default `instances_max`.
    pub processes_max: Option<usize>,
    /// Folder that receives each distinct statement sent, for checking them with another engine's parser. Default none.
    pub record_statements_to: Option<PathBuf>,
}

impl Sql {
    /// As the store takes them.
    pub fn options(&self) -> sql::Options {
        let mut options = sql::Options::default();
        if let Some(max) = self.connections_max {
            (options.connections_max, options.readers_max) = (max, max.div_ceil(2));
        }
        options.record_statements_to.clone_from(&self.record_statements_to);
        options
    }
}

/// The shared tier.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://host:port`.
    pub url: String,
    /// In front of every key, so that several Locums share one server. Default `locum`.
    #[serde(default = "redis_prefix")]
    pub prefix: String,
}

fn redis_prefix() -> String {
    "locum".into()
}

/// Where change data comes from.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port,host:port`.
    pub bootstrap: String,
}

/// One of the core's databases, as one Debezium connector sends it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name in Locum: in positions, metrics and the admin API.
    pub name: String,
    /// File that maps its tables to the canonical model.
    pub mapping: PathBuf,
    /// `topic.prefix` of its connector.
    #[serde(default)]
    pub topic_prefix: String,
    /// `delivery.timeout.ms` of its connector's producer.
    #[serde(default = "delivery_timeout_ms")]
    pub delivery_timeout_ms: u64,
    /// Instead of Kafka: `http://host:port` of the simulated core's change log, for the demo.
    #[serde(default)]
    pub change_log: Option<String>,
    /// Which kind of connector: mariadb, mysql or postgresql. None = as the mapping says.
    #[serde(default)]
    pub connector: Option<String>,
}

fn delivery_timeout_ms() -> u64 {
    120_000
}

/// The core that takes writes; one of the two.
#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Core {
    /// File with the connector's configuration.
    pub connector: Option<PathBuf>,
    /// The same, inline.
    pub http: Option<Value>,
    /// Instead of the configuration's `base-url`, so that one file serves every place where such a core stands.
    pub base_url: Option<String>,
    /// The folder of the configuration file: what an inline connector names is relative to it.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Default for Listen {
    fn default() -> Self {
        let edge::serve::ListenerLimits { connections_max, drain_ms_max, pipeline_flush, .. } = Default::default();
        let address = SocketAddr::from(([0, 0, 0, 0], 8080));
        Self { address, connections_max, drain_notice_ms: 0, drain_ms_max, pipeline_flush }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 8081)) }
    }
}

impl Listen {
    /// Between SIGTERM and the end of service.
    pub fn drain_notice(&self) -> Duration {
        Duration::from_millis(self.drain_notice_ms)
    }

    /// As the listener takes them.
    pub fn limits(&self) -> edge::serve::ListenerLimits {
        edge::serve::ListenerLimits {
            connections_max: self.connections_max,
            drain_ms_max: self.drain_ms_max,
            pipeline_flush: self.pipeline_flush,
            ..Default::default()
        }
    }
}
