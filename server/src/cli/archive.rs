//! What is done with the files of the archive, without a server.

use std::path::PathBuf;

use clap::Subcommand;

/// `locum archive …`
#[derive(Subcommand)]
pub enum ArchiveCommand {
    /// Verify files by themselves: every line, counts and sums, and that each names the one before it. Fails with 1 if anything is wrong.
    Verify {
        /// Any number of files that follow each other in the chain, in any order.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print one entry with its legs, attempts, transitions and audit, after the whole file was verified.
    Show {
        /// The file.
        file: PathBuf,
        /// The entry's id.
        id: String,
    },
}
