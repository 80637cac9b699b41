//! The binary `core-sim`.

use clap::Parser;
use core_sim::Options;
use tokio::signal::unix::{SignalKind, signal};

/// A small legacy core with its own database and switchable faults.
///
/// It posts transfers between accounts over HTTP (the bank's interface) and is told over a second, local port to refuse,
/// hang, slow down, lose its answers or die (the control interface). Both are described in docs/core-contract.md.
#[derive(Parser)]
#[command(name = "core-sim", version, args_override_self = true, after_long_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = r#"Examples:
  A core in one file, on ports of its choice, which it prints:
    core-sim --database sqlite:/tmp/core.db
  The same on MariaDB, without any memory of references:
    core-sim --database mysql://core:secret@127.0.0.1:3306/corebank --class enquiry --listen 127.0.0.1:7001 --control 127.0.0.1:7002
  Post, then let every third answer get lost after the commit:
    curl -X POST localhost:7001/api/postings -H 'content-type: application/json' -d '{"reference":"R1","debit_account":"100000000001","credit_account":"100000000002","amount":"10.50","currency":"EUR","text":"rent"}'
    curl -X PUT localhost:7002/faults -d '{"kind":"drop_after_commit","share":33}'
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let told_to_stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    core_sim::run(cli.options, told_to_stop).await
}
