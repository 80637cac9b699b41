//! The demo's folder: configuration, tokens, mapping, databases, logs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use connectors::http::CORE_SIM;
use serde_json::json;

use super::bank::Bank;
use super::{CHANNEL, OPERATOR};
use crate::config::Config;

/// The files that a bank would write for this core, as they are in the repository.
const MAPPING: &str = include_str!("../../../schemas/mappings/core-sim.yaml");

/// A folder of its own for one run.
pub fn folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("locum-demo-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// A configuration as `locum serve` would read it, for SQLite and the core's change log instead of TiDB and Kafka.
pub fn configuration(folder: &Path, bank: &Bank) -> anyhow::Result<Config> {
    let tokens = json!({
        "channels": [{"principal": "mobile", "token": CHANNEL, "customers": ["*"], "scopes": ["read", "write"]}],
        "operators": [{"principal": "operator", "token": OPERATOR, "scopes": ["operate", "read"]}],
    });
    let config = json!({
        "listen": {"address": "127.0.0.1:0"},
        "admin": {"address": "127.0.0.1:0"},
        "state_dir": "state",
        "sql": {"url": format!("sqlite:{}", folder.join("locum.db").display())},
        "sources": [{"name": "corebank", "mapping": "mapping.yaml", "change_log": format!("http://{}", bank.control)}],
        "core": {"connector": "core.yaml", "base_url": format!("http://{}", bank.address)},
        "tokens": "tokens.yaml",
        "limits": {
            "currencies": {"EUR": {"per_transfer_minor": 100_000, "per_day_minor": 10_000_000}}, "per_day_count": 10_000,
            "age_bands": [{"age_s_max": 3_600, "percent": 100}],
        },
    });
    for (name, content) in [
        ("mapping.yaml", MAPPING.to_owned()),
        ("core.yaml", CORE_SIM.to_owned()),
        ("tokens.yaml", format!("{tokens:#}\n")),
        ("operator.token", format!("{OPERATOR}\n")),
        ("locum.yaml", format!("{config:#}\n")),
    ] {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Config::load(&folder.join("locum.yaml"), [])?)
}
