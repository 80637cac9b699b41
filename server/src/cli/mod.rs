//! The command line: what `--help` teaches.

mod archive;
mod attaching;
mod people;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use archive::ArchiveCommand;
pub use attaching::{ConnectorCommand, MappingCommand, Records, TryConnector};
pub use people::{ApprovalsCommand, ExportFormat, Grounds, InstanceCommand, LaneCommand, QueueCommand};

use crate::roles::Role;

/// Stands in for a legacy core: serves its data while it is slow, takes its writes while it is away, and replays them.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Cli {
    /// How log lines look. LOCUM_LOG sets what is logged, e.g. `info,access=warn`.
    #[arg(long, global = true, value_enum, default_value = "text", env = "LOCUM_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
First steps:
  locum demo                           everything at work, with nothing but this binary
  locum mapping draft --from core.sql  a proposal of how the core's tables are read
  locum mapping check --mapping core.yaml --from events.jsonl   what a mapping makes of the core's records
  locum connector try --config core.yaml   what a connector's file makes of the live core's answers
  locum check-config locum.yaml        everything wrong with a configuration, with the remedy
  locum serve --config locum.yaml      all configured roles in one process
  locum mode get --token-file op.token who takes writes now
  locum queue list --state queued      what waits for the core

Operators' commands talk to the admin listener (--admin, --token-file) and print a table, or JSON with --json.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused by the server, 4 the server does not answer.";

/// Text for people, JSON for collectors.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// Every command.
#[derive(Subcommand)]
pub enum Command {
    /// Run Locum until SIGTERM; then finish what is open.
    Serve {
        /// The configuration file; `LOCUM__SECTION__KEY` in the environment overrides it.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only these roles, instead of those configured.
        #[arg(long, value_delimiter = ',', value_enum)]
        roles: Vec<Role>,
        /// Write the addresses bound to this file once they serve: `PUBLIC=…` and `ADMIN=…` lines.
        #[arg(long, value_name = "FILE")]
        ports_file: Option<PathBuf>,
    },
    /// See it all at work in this terminal: a core dies under load, and no channel sees an error.
    ///
    /// Needs nothing but this binary: the core is a simulated one with its books in SQLite. Afterwards everything stays up
    /// at the addresses printed, to be tried by hand, until Ctrl-C.
    Demo {
        /// End after the closing table, and fail when a figure in it is wrong.
        #[arg(long)]
        check: bool,
    },
    /// The demo's core.
    #[command(hide = true)]
    CoreSim(core_sim::Options),
    /// Check a configuration with everything it names; opens no connection.
    CheckConfig {
        /// The configuration file.
        config: PathBuf,
    },
    /// Try a mapping of a core's tables, or have one proposed. Needs no server.
    Mapping {
        /// What.
        #[command(subcommand)]
        command: MappingCommand,
    },
    /// Try a core's connector against the live core. Needs no server.
    Connector {
        /// What.
        #[command(subcommand)]
        command: ConnectorCommand,
    },
    /// Verify the files of the archive, and look into them. Needs no server.
    Archive {
        /// What.
        #[command(subcommand)]
        command: ArchiveCommand,
    },
    /// Look at the journal's entries, decide about those that need a person, export them.
    Queue {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// See or order who takes writes.
    Mode {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: ModeCommand,
    },
    /// See which lanes a contradiction stopped, and let one go on; take back a lane's day that lies in the future.
    Lane {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: LaneCommand,
    },
    /// See who sends, and declare an instance gone whose state directory or host is lost.
    Instance {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: InstanceCommand,
    },
    /// See which orders wait for a second person; approve or reject one.
    Approvals {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: ApprovalsCommand,
    },
    /// Start, pause or watch the replay into the core.
    Replay {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: ReplayCommand,
    },
    /// See where the core's data come from; let a halted source go on, rebuild it, or end the doubt about its accounts.
    Source {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: SourceCommand,
    },
    /// See change events that could not be applied; try them again after the cause was mended, or discard them.
    ParkedEvents {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: ParkedCommand,
    },
    /// See or change what stand-in may accept.
    Limits {
        /// Where and how.
        #[command(flatten)]
        admin: Admin,
        /// What.
        #[command(subcommand)]
        command: LimitsCommand,
    },
}

/// How to reach the operators' API.
#[derive(Args)]
pub struct Admin {
    /// The admin listener.
    #[arg(long = "admin", global = true, default_value = "http://127.0.0.1:8081", env = "LOCUM_ADMIN")]
    pub url: String,
    /// File that holds an operator's token, and nothing else.
    #[arg(long, global = true, env = "LOCUM_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the server's JSON instead of a table.
    #[arg(long, global = true)]
    pub json: bool,
}

/// `locum mode …`
#[derive(Subcommand)]
pub enum ModeCommand {
    /// The mode, what was ordered, and the core's health.
    Get,
    /// Order a mode.
    Set {
        /// auto follows the core's health; stand-in takes every write; normal always tries the core.
        #[arg(value_parser = ["auto", "stand-in", "normal"])]
        order: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
}

/// `locum replay …`
#[derive(Subcommand)]
pub enum ReplayCommand {
    /// Let the replay go on.
    Start {
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Send nothing more; what is on its way is finished.
    Pause {
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// What is open or unconfirmed, by state, and the age of the oldest without an outcome.
    Status {
        /// Count the entries that have ended, too; slow on a long journal.
        #[arg(long)]
        ended: bool,
    },
}

/// `locum source …`
#[derive(Subcommand)]
pub enum SourceCommand {
    /// Every source: loaded, halted and why, how far behind.
    List,
    /// Let a halted source go on from its offsets, because the cause was removed.
    Resume {
        /// Its name.
        name: String,
        /// What was done; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Trust all accounts again that no parked event names. A parked event that names no account puts every account in doubt: look
    /// at that event first.
    Trust {
        /// Its name.
        name: String,
        /// What it was; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Fill a new generation from a new snapshot while the old one is served, and swap it in whole when it is loaded.
    ///
    /// The way on when the log cannot be followed any more: topics recreated or truncated, offsets lost, the core restored or
    /// moved, a table truncated. Point the connector at a new topic.prefix first; docs/operating.md has it step by step.
    Rebuild {
        /// Its name.
        name: String,
        /// The topic.prefix that the connector writes the new snapshot under; the last one if not given.
        #[arg(long)]
        topic_prefix: Option<String>,
        /// What happened; goes into the audit.
        #[arg(long)]
        reason: String,
    },
}

/// `locum parked-events …`
#[derive(Subcommand)]
pub enum ParkedCommand {
    /// The oldest 1,000: where they stand, what they touch, and why they are parked.
    List {
        /// Only those of this source.
        #[arg(long)]
        source: Option<String>,
    },
    /// One of them.
    Show {
        /// Its source.
        source: String,
        /// Its place, TOPIC/PARTITION@OFFSET.
        event: String,
        /// With its key and value, which are customers' data. Needs the scopes operate and read, and goes into the audit.
        #[arg(long)]
        content: bool,
    },
    /// Try events again, oldest first in each row; the ingester of the source does it within a second.
    ///
    /// An event that fails again stays parked with the new reason, and so do those of its row behind it.
    Retry {
        /// Which.
        #[command(flatten)]
        which: WhichParked,
        /// What was mended; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Forget events. What they would have changed may stay missing or old until a later change of the row, or a rebuild.
    Discard {
        /// Which.
        #[command(flatten)]
        which: WhichParked,
        /// Why this is right; goes into the audit.
        #[arg(long)]
        reason: String,
    },
}

/// Which parked events are meant.
#[derive(Args)]
pub struct WhichParked {
    /// Their source.
    pub source: String,
    /// This one, TOPIC/PARTITION@OFFSET.
    #[arg(required_unless_present_any = ["with_reason", "all"], conflicts_with_all = ["with_reason", "all"])]
    pub event: Option<String>,
    /// All that are parked for this reason, word by word as the list shows it.
    #[arg(long, conflicts_with = "all")]
    pub with_reason: Option<String>,
    /// All of the source.
    #[arg(long)]
    pub all: bool,
}

/// `locum limits …`
#[derive(Subcommand)]
pub enum LimitsCommand {
    /// The limits in force.
    Get,
    /// Change limits; those not named stay.
    Set {
        /// Which limits.
        #[command(flatten)]
        change: LimitsChange,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Accept nothing in a currency any more.
    Remove {
        /// ISO 4217 code.
        #[arg(long)]
        currency: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
}

/// Limits to be changed.
#[derive(Args, Clone)]
pub struct LimitsChange {
    /// Currency of the amounts, an ISO 4217 code such as EUR.
    #[arg(long)]
    pub currency: Option<String>,
    /// Most one transfer may move, in minor units of the currency.
    #[arg(long)]
    pub per_transfer_minor: Option<i64>,
    /// Most of one account's debits in stand-in on one business day, in minor units of the currency.
    #[arg(long)]
    pub per_day_minor: Option<i64>,
    /// Most debits of one account in stand-in on one business day, in any currency.
    #[arg(long)]
    pub per_day_count: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_never_shorter_than_it_was_asked_for() {
        let asked = |limit: &str| Cli::try_parse_from(["locum", "queue", "list", "--limit", limit]).is_ok();
        assert_eq!(["0", "1", "1000", "1001"].map(asked), [false, true, true, false]);
    }
}
