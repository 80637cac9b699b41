//! `locum connector`: a core's connector before it is used.

mod judge;
mod request;
mod told;
mod trial;

use super::Failure;
use crate::cli::ConnectorCommand;

/// Carries it out.
pub async fn run(command: ConnectorCommand) -> Result<(), Failure> {
    match command {
        ConnectorCommand::Try(what) => trial::run(&what).await,
    }
}
