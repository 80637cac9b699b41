//! Locum beside its peers, measured in one run: `dev/bench` builds this, starts the parts, and calls it.
//!
//! Every figure is a ratio of two measurements that alternate on the same machine, because absolute figures of shared machines tell
//! nothing. A goal that is missed is printed as missed.
#![allow(clippy::float_arithmetic)]

mod bytes;
mod calm;
mod cpu;
mod failover;
mod flat;
mod load;
mod million;
mod multiply;
mod open;
mod outcome;
mod peer;
mod proxy;
mod recovery;
mod replay;
mod report;
mod rounds;
mod window;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use locum_tests::world::Engine;

use crate::failover::Extent;
use crate::million::Length;

/// Locum beside its peers. Start it by dev/bench, which brings the parts up.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs arms and prints one table.
    Run {
        /// What is measured.
        #[arg(required = true, value_enum)]
        arms: Vec<Arm>,
        /// Rounds; in each, Locum and its peer are measured next to each other.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Seconds of one measurement under load.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Engines of the journal, by comma: mariadb, oceanbase.
        #[arg(long, value_delimiter = ',', default_value = "mariadb,oceanbase")]
        engines: Vec<EngineName>,
        /// Queued entries of a replay.
        #[arg(long, default_value_t = 1_000)]
        entries: usize,
        /// Requests a second of a failover, reads and writes together.
        #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Minutes of a failover's run without a fault.
        #[arg(long, default_value_t = calm::MINUTES, value_parser = clap::value_parser!(u64).range(1..))]
        calm_minutes: u64,
        /// Seconds that the core is away in a recovery.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
        away: u64,
        /// Queued entries of the arm million.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
        queue: u64,
        /// Seconds for which the arm million measures its rate.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..))]
        window: u64,
        /// The arm million goes on until the queue's end.
        #[arg(long, conflicts_with = "window")]
        whole: bool,
        /// Writes the same rows into this file.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// The peer of an arm as a process of its own; for `run`.
    #[command(hide = true)]
    Peer(peer::Peer),
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Arm {
    /// Writes accepted while the core is away.
    Writes,
    /// The core dies or hangs under load.
    Failover,
    /// The queue after an outage.
    Replay,
    /// The core dies and comes back under a steady load of transfers.
    Recovery,
    /// A queue of a million entries.
    Million,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum EngineName {
    Mariadb,
    Oceanbase,
}

impl EngineName {
    fn engine(self) -> Engine {
        match self {
            Self::Mariadb => Engine::MariaDb,
            Self::Oceanbase => Engine::OceanBase,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Peer(peer) => peer.serve().await,
        Command::Run {
            arms,
            rounds,
            seconds,
            engines,
            entries,
            rate,
            calm_minutes,
            away,
            queue,
            window,
            whole,
            json,
        } => {
            let window = (!whole).then_some(Duration::from_secs(window));
            let length = Length { queue: usize::try_from(queue)?, window };
            let mut rows = Vec::new();
            for engine in engines.into_iter().map(EngineName::engine) {
                for arm in &arms {
                    rows.extend(match arm {
                        Arm::Writes => writes::measure(engine, rounds, seconds).await?,
                        Arm::Failover => {
                            failover::measure(engine, Extent { rounds, seconds, rate, calm_minutes }).await?
                        }
                        Arm::Replay => replay::measure(engine, rounds, entries).await?,
                        Arm::Recovery => recovery::measure(engine, rounds, away).await?,
                        Arm::Million => million::measure(engine, length).await?,
                    });
                }
            }
            report::print(&rows);
            json.map_or(Ok(()), |file| report::write(&rows, &file))
        }
    }
}
