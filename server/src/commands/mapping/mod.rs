//! `locum mapping`: a mapping before it is used.

mod check;
mod draft;
mod input;
mod progress;
mod report;

use super::Failure;
use crate::cli::MappingCommand;

/// Carries it out.
pub async fn run(command: MappingCommand) -> Result<(), Failure> {
    match command {
        MappingCommand::Check { mapping, records, json } => check::run(&mapping, &records, json).await,
        MappingCommand::Draft { records, source } => draft::run(&records, source).await,
    }
}
