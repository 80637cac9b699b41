//! `locum`: the one binary. Serves any of the roles, and is the operators' tool.

mod admin;
mod cli;
mod commands;
mod config;
mod demo;
mod roles;
mod signals;
mod supervisor;
mod telemetry;
mod write_side;

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::{Cli, Command, LogFormat};
use crate::commands::{
    Failure, approvals, archive, check_config, connector, instance, lane, limits, mapping, mode, parked, queue, replay,
    serve, source,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let folder = match begin_logs(&cli) {
        Ok(folder) => folder,
        Err(error) => return Failure::from(error).report(),
    };
    #[cfg(feature = "failpoints")]
    if let Err(text) = arm_failpoints() {
        return Failure::Usage(text).report();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(anyhow::Error::from(error)).report(),
    };
    let outcome = runtime.block_on(run(cli, &folder));
    // What still runs is not waited for: a thread that hangs would keep the process, and with it the instance lock.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// `LOCUM_FAILPOINTS=FOLDER`: this process kills itself at the place that a file in there names.
#[cfg(feature = "failpoints")]
fn arm_failpoints() -> Result<(), String> {
    let Some(orders) = std::env::var_os("LOCUM_FAILPOINTS") else { return Ok(()) };
    tracing::warn!(?orders, "failpoints are armed: this process kills itself when a file there orders it");
    failpoints::arm(orders.into())
}

/// Logs go to standard error, results to standard output; the demo tells its story there and logs into its folder, which is
/// returned.
fn begin_logs(cli: &Cli) -> anyhow::Result<PathBuf> {
    let serving = matches!(cli.command, Command::Serve { .. } | Command::Demo { .. } | Command::CoreSim(_));
    let default = if serving { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("LOCUM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let (folder, writer) = match cli.command {
        Command::Demo { .. } => {
            let folder = demo::folder()?;
            let file = File::create(folder.join("locum.log"))?;
            (folder, BoxMakeWriter::new(file))
        }
        _ => (PathBuf::new(), BoxMakeWriter::new(std::io::stderr)),
    };
    let ansi = folder.as_os_str().is_empty() && std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(ansi);
    match cli.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(folder)
}

async fn run(cli: Cli, folder: &Path) -> Result<(), Failure> {
    match cli.command {
        Command::Serve { config, roles, ports_file } => serve::run(&config, roles, ports_file.as_deref()).await,
        Command::Demo { check } => demo::run(folder, check).await,
        Command::CoreSim(options) => Ok(demo::be_the_core(options).await?),
        Command::CheckConfig { config } => check_config::run(&config),
        Command::Connector { command } => connector::run(command).await,
        Command::Mapping { command } => mapping::run(command).await,
        Command::Archive { command } => archive::run(command),
        Command::Queue { admin, command } => queue::run(&admin, command).await,
        Command::Lane { admin, command } => lane::run(&admin, command).await,
        Command::Instance { admin, command } => instance::run(&admin, command).await,
        Command::Approvals { admin, command } => approvals::run(&admin, command).await,
        Command::Mode { admin, command } => mode::run(&admin, command).await,
        Command::Replay { admin, command } => replay::run(&admin, command).await,
        Command::ParkedEvents { admin, command } => parked::run(&admin, command).await,
        Command::Source { admin, command } => source::run(&admin, command).await,
        Command::Limits { admin, command } => limits::run(&admin, command).await,
    }
}
