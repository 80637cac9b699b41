//! `locum check-config`

use std::path::Path;

use clap::ValueEnum;

use super::{Failure, table};
use crate::config::{Config, overrides};

/// Checks a configuration with everything it names.
pub fn run(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path, overrides(&[]))?;
    let roles = config.roles.iter().filter_map(ValueEnum::to_possible_value);
    let roles: Vec<String> = roles.map(|role| role.get_name().to_owned()).collect();
    table::line(format_args!(
        "{} is good: {} source(s), roles {}",
        path.display(),
        config.sources.len(),
        roles.join(", ")
    ));
    // Only where this process talks to a core. What the SQL server allows is asked at the start.
    if let Some(share) = config.writes().then(|| config.core_share().ok()).flatten() {
        let replay_max = config.replay.options(share).concurrency_max;
        table::line(format_args!("core: {share}; the replay has at most {replay_max} under way"));
    }
    table::line(format_args!("sql: {}", config.sql_demand()));
    for warning in config.warnings().0 {
        table::line(format_args!("warning: {warning}"));
    }
    Ok(())
}
