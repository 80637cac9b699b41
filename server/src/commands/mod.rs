//! The commands, and how they fail.

pub mod approvals;
pub mod archive;
pub mod check_config;
mod client;
pub mod connector;
mod entries;
mod export;
pub mod instance;
pub mod lane;
pub mod limits;
pub mod mapping;
pub mod mode;
pub mod parked;
pub mod queue;
pub mod replay;
pub mod serve;
pub mod source;
pub mod table;

use std::process::ExitCode;

use crate::config::Faults;

/// Why a command did not do what it was asked; decides the exit code.
#[derive(Debug)]
pub enum Failure {
    /// Something failed here.
    Failed(anyhow::Error),
    /// The command or the configuration is wrong.
    Usage(String),
    /// The server said no.
    Refused(String),
    /// The server does not answer.
    Unreachable(String),
}

impl Failure {
    /// Prints it; returns the exit code that `--help` promises.
    pub fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Failure::Failed(error) => (format!("{error:#}"), 1),
            Failure::Usage(text) => (text.clone(), 2),
            Failure::Refused(text) => (text.clone(), 3),
            Failure::Unreachable(text) => (text.clone(), 4),
        };
        eprintln!("locum: {text}");
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Failed(error)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        let n = faults.0.len();
        let noun = if n == 1 { "fault" } else { "faults" };
        Failure::Usage(format!("{n} {noun} in the configuration\n{faults}"))
    }
}
