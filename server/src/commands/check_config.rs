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
    Ok(())
}
