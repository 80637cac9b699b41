//! `locum check-config`

use std::path::Path;

use super::Failure;
use crate::config::Config;

/// Checks a configuration with everything it names.
pub fn run(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path, std::env::vars())?;
    let roles: Vec<String> = config.roles.iter().map(|role| format!("{role:?}")).collect();
    println!("{} is good: {} source(s), roles {}", path.display(), config.sources.len(), roles.join(", "));
    Ok(())
}
