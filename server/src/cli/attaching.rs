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
}
