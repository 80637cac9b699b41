//! `locum`: the one binary. Serves any of the roles, and is the operators' tool.

mod admin;
mod cli;
mod commands;
mod config;
mod roles;
mod signals;
mod write_side;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, LogFormat};
use crate::commands::{Failure, check_config, limits, mode, queue, replay, serve};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(anyhow::Error::from(error)).report(),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Logs go to standard error, results to standard output.
fn logs(cli: &Cli) {
    let serving = matches!(cli.command, Command::Serve { .. });
    let default = if serving { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("LOCUM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve { config, roles, ports_file } => serve::run(&config, roles, ports_file.as_deref()).await,
        Command::CheckConfig { config } => check_config::run(&config),
        Command::Queue { admin, command } => queue::run(&admin, command).await,
        Command::Mode { admin, command } => mode::run(&admin, command).await,
        Command::Replay { admin, command } => replay::run(&admin, command).await,
        Command::Limits { admin, command } => limits::run(&admin, command).await,
    }
}
