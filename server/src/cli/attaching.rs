//! What helps to attach a core: its tables by a mapping, its calls by a connector.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `locum mapping …`
#[derive(Subcommand)]
pub enum MappingCommand {
    /// Try a mapping on records that a Debezium connector wrote; writes nothing anywhere.
    ///
    /// Tells what comes of the records by the code that ingests them: refused and why, left out, NULLs, columns that the mapping does
    /// not use, codes that it does not list, sums by currency, and the first accounts as a channel reads them. What it prints is
    /// customers' data. Ends with 1 if any record was refused.
    Check {
        /// The mapping.
        #[arg(long, value_name = "FILE")]
        mapping: PathBuf,
        /// What it is tried on.
        #[command(flatten)]
        records: Records,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Propose a mapping for the tables of a core, to be finished by a person.
    ///
    /// Reads the tables' definitions (CREATE TABLE) or their records, and guesses which hold accounts, balances, transactions and
    /// customers. Every guess has its reason in a comment. What nobody can guess is FILL-IN, which `check`, `check-config` and `serve`
    /// refuse with the line.
    Draft {
        /// What it is made from.
        #[command(flatten)]
        records: Records,
        /// Name of the source; for --topics the prefix if not given.
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
    },
}

/// `locum connector …`
#[derive(Subcommand)]
pub enum ConnectorCommand {
    /// Try a connector's file against the live core: one harmless call after another, and what each answer was read as.
    ///
    /// Without --yes nothing can change in the core: it is probed, and asked for a reference that nobody ever sent. With --yes a smallest
    /// posting is sent, asked for, and sent once more under the same reference: **with money of the core**, so name two accounts of a
    /// test system. A Locum that runs beside it on that core finds a posting with a reference of ours that no entry has, and keeps a break. Ends with 1 if an answer shows that the file is wrong.
    Try(TryConnector),
}

/// What is tried, and how far.
#[derive(Args)]
pub struct TryConnector {
    /// The connector's file, as `core.connector` names it.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The operation that is tried.
    #[arg(long, value_name = "NAME", default_value = "transfer")]
    pub operation: String,
    /// Another address than the file has.
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// Longest wait for an answer, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    pub timeout_ms: u64,
    /// Post: the smallest amount, from one of the accounts to the other.
    #[arg(long, requires = "from_account", requires = "to_account", requires = "currency")]
    pub yes: bool,
    /// The account that is debited.
    #[arg(long, value_name = "ACCOUNT", requires = "yes")]
    pub from_account: Option<String>,
    /// The account that is credited.
    #[arg(long, value_name = "ACCOUNT", requires = "yes")]
    pub to_account: Option<String>,
    /// Currency of the amount, an ISO 4217 code such as EUR.
    #[arg(long, requires = "yes")]
    pub currency: Option<String>,
    /// The amount, in minor units of the currency.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    pub amount_minor: i64,
    /// A further field that the operation needs.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    pub field: Vec<(String, String)>,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Records of a Debezium connector.
#[derive(Args, Clone)]
pub struct Records {
    /// File of records, one JSON object a line with topic, key and value; for `draft` also a .sql file of CREATE TABLE.
    #[arg(long, value_name = "FILE", required_unless_present = "topics", conflicts_with = "topics")]
    pub from: Option<PathBuf>,
    /// The connector's topic.prefix: its topics are read from their beginning to where they end now.
    #[arg(long, value_name = "PREFIX", requires = "bootstrap")]
    pub topics: Option<String>,
    /// The Kafka brokers.
    #[arg(long, value_name = "HOST:PORT", requires = "topics")]
    pub bootstrap: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn records_come_from_one_place() {
        let check = ["locum", "mapping", "check", "--mapping", "m.yaml"];
        let is_right = |more: &[&str]| Cli::try_parse_from(check.iter().chain(more)).is_ok();
        assert!(is_right(&["--from", "e.jsonl"]));
        assert!(is_right(&["--topics", "core", "--bootstrap", "localhost:9092", "--json"]));
        for wrong in [&[] as &[&str], &["--topics", "core"], &["--bootstrap", "localhost:9092"]] {
            assert!(!is_right(wrong), "{wrong:?}");
        }
        assert!(!is_right(&["--from", "e.jsonl", "--topics", "core", "--bootstrap", "localhost:9092"]));
    }

    #[test]
    fn a_posting_wants_yes_and_two_accounts() {
        let of = ["locum", "connector", "try", "--config", "c.yaml"];
        let is_right = |more: &[&str]| Cli::try_parse_from(of.iter().chain(more)).is_ok();
        let accounts = ["--from-account", "A", "--to-account", "B", "--currency", "EUR"];
        assert!(is_right(&[]) && !is_right(&["--yes"]) && !is_right(&accounts));
        let with_yes: Vec<&str> = accounts.into_iter().chain(["--yes", "--field", "office=7"]).collect();
        assert!(is_right(&with_yes));
        let wrong: Vec<&str> = with_yes.into_iter().chain(["--amount-minor", "0"]).collect();
        assert!(!is_right(&wrong));
    }
}
