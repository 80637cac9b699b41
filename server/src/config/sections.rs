//! The sections of the file, with their defaults. `locum.example.yaml` shows them all, and `docs/configuration.md` tells
//! what each is for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gateway::Calendar;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use standin::resolution::Patience;
use standin::rules::{Limits, Rules};

use super::Fault;
use crate::roles::Role;

/// Time within which a channel has its answer to a write, in milliseconds.
const WRITE_DEADLINE_MS: u64 = 2_000;

/// The whole configuration, with absolute paths.
#[derive(Clone)]
pub struct Config {
    /// The channels' listener.
    pub listen: Listen,
    /// The operators' listener.
    pub admin: Admin,
    /// Folder for what this instance keeps between runs: its identity, its cursor key.
    pub state_dir: PathBuf,
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
    /// Time within which a channel has its answer to a write, in milliseconds.
    pub write_deadline_ms: u64,
    /// How the queue is worked off.
    pub replay: Replay,
    /// What this process runs.
    pub roles: Vec<Role>,
}

/// How the queue is worked off.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replay {
    /// Entries sent at once, at most; 1 replays strictly one by one. Default 16.
    pub concurrency_max: usize,
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
            concurrency_max: 16,
            core_timeout_ms: 5_000,
            abandoned_after_ms: 30_000,
            park_after_ms: 600_000,
            memory_margin_ms: 60_000,
        }
    }
}

impl Replay {
    /// As the replayer takes them.
    pub fn options(&self) -> replayer::Options {
        replayer::Options {
            concurrency_max: self.concurrency_max,
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
    /// See `edge::serve::Limits`. Default false.
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
    /// Folder that receives each distinct statement sent, for checking them with another engine's parser. Default none.
    pub record_statements_to: Option<PathBuf>,
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
    /// Instead of Kafka: `http://host:port` of the simulated core's change log, for the demo.
    #[serde(default)]
    pub change_log: Option<String>,
    /// Which kind of connector: mariadb, mysql or postgresql. None = as the mapping says.
    #[serde(default)]
    pub connector: Option<String>,
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
}

impl Default for Listen {
    fn default() -> Self {
        let edge::serve::Limits { connections_max, drain_ms_max, pipeline_flush, .. } = Default::default();
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
    pub fn limits(&self) -> edge::serve::Limits {
        edge::serve::Limits {
            connections_max: self.connections_max,
            drain_ms_max: self.drain_ms_max,
            pipeline_flush: self.pipeline_flush,
            ..Default::default()
        }
    }
}

/// Reads every section for itself, so that a fault in one does not hide those of the next.
pub(super) fn read(tree: Value) -> (Config, Vec<Fault>) {
    let mut faults = Vec::new();
    let Value::Object(tree) = tree else {
        faults.push(Fault::new("", "the file must be a list of sections, such as `sql: {url: …}`"));
        return (Reading { tree: Map::new(), faults: &mut Vec::new() }.config(), faults);
    };
    let mut reading = Reading { tree, faults: &mut faults };
    let config = reading.config();
    let unknown: Vec<String> = reading.tree.keys().cloned().collect();
    faults.extend(unknown.into_iter().map(|name| Fault::new(name, "there is no such section; see locum.example.yaml")));
    (config, faults)
}

struct Reading<'f> {
    tree: Map<String, Value>,
    faults: &'f mut Vec<Fault>,
}

/// Members of limits while one amount counted for all currencies.
const BEFORE_CURRENCIES: [&str; 2] = ["per_transfer_minor", "per_day_minor"];

impl Reading<'_> {
    /// One member of a section, taken out of it.
    fn take_member<T: DeserializeOwned>(&mut self, section: &str, member: &str) -> Option<T> {
        let value = self.tree.get_mut(section)?.as_object_mut()?.remove(member)?;
        match serde_json::from_value(value) {
            Ok(read) => Some(read),
            Err(error) => {
                self.faults.push(Fault::new(format!("{section}.{member}"), redacted(&error.to_string())));
                None
            }
        }
    }

    /// A section whose type passes over what it does not know, because it is kept in SQL too. The file may not name such things.
    fn take_known<T: DeserializeOwned + Serialize>(&mut self, section: &str) -> Option<T> {
        let written = self.tree.get(section).cloned().unwrap_or_default();
        let outdated = BEFORE_CURRENCIES.iter().any(|member| written.get(member).is_some());
        if outdated {
            let remedy = "limits are per currency, in its own minor units: write `currencies: {EUR: {per_transfer_minor: …, \
                          per_day_minor: …}}` with an entry for each currency, and leave `per_transfer_minor` and \
                          `per_day_minor` of the section itself out";
            self.tree.remove(section);
            self.faults.push(Fault::new(section, remedy));
            return None;
        }
        let read: T = self.take(section)?;
        let known = serde_json::to_value(&read).unwrap_or_default();
        for path in unknown(&written, &known, section) {
            self.faults.push(Fault::new(path, "unknown field"));
        }
        Some(read)
    }

    fn config(&mut self) -> Config {
        Config {
            listen: self.take("listen").unwrap_or_default(),
            admin: self.take("admin").unwrap_or_default(),
            state_dir: self.take("state_dir").unwrap_or_else(|| "state".into()),
            sql: self.take("sql").unwrap_or_default(),
            redis: self.take("redis"),
            kafka: self.take("kafka").unwrap_or_default(),
            sources: self.take("sources").unwrap_or_default(),
            core: self.take("core").unwrap_or_default(),
            supersede_limits: self.take_member("limits", "supersede_version"),
            limits: self.take_known("limits").unwrap_or_default(),
            rules: self.take_known("rules").unwrap_or_default(),
            business_day: self.take("business_day").unwrap_or_default(),
            tokens: self.take("tokens"),
            cursor_key: self.take("cursor_key"),
            write_deadline_ms: self.take("write_deadline_ms").unwrap_or(WRITE_DEADLINE_MS),
            replay: self.take("replay").unwrap_or_default(),
            roles: self.take("roles").unwrap_or_else(|| Role::ALL.to_vec()),
        }
    }

    fn take<T: DeserializeOwned>(&mut self, section: &str) -> Option<T> {
        let value = self.tree.remove(section).filter(|value| !value.is_null())?;
        match serde_path_to_error::deserialize(value) {
            Ok(read) => Some(read),
            Err(error) => {
                let inner = error.path().to_string();
                let path = match inner.as_str() {
                    "." => section.to_owned(),
                    inner if inner.starts_with('[') => format!("{section}{inner}"),
                    inner => format!("{section}.{inner}"),
                };
                self.faults.push(Fault::new(path, redacted(&error.into_inner().to_string())));
                None
            }
        }
    }
}

/// Where `written` has members that `known`, which was read from it, has not.
fn unknown(written: &Value, known: &Value, at: &str) -> Vec<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => written
            .iter()
            .flat_map(|(name, value)| match known.get(name) {
                Some(known) => unknown(value, known, &format!("{at}.{name}")),
                None => vec![format!("{at}.{name}")],
            })
            .collect(),
        (Value::Array(written), Value::Array(known)) => {
            let items = written.iter().zip(known).enumerate();
            items.flat_map(|(index, (written, known))| unknown(written, known, &format!("{at}[{index}]"))).collect()
        }
        _ => Vec::new(),
    }
}

/// serde quotes what it did not expect, and that may be a password.
fn redacted(message: &str) -> String {
    match message.split_once("string \"") {
        Some((before, rest)) => {
            let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
            format!("{before}a text{after}")
        }
        None => message.to_owned(),
    }
}
