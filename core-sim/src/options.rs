//! What can be chosen from outside, with every default named here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use schemas::money::{Currency, parse_minor};

/// What this core promises about references; decides how a caller may settle an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Class {
    /// A remembered reference answers again with its first outcome and posts nothing.
    Idempotent,
    /// No duplicate check, but the core can be asked what it did with a reference.
    Enquiry,
    /// Neither: every request posts, and nobody can ask.
    Neither,
}

/// The options of one simulated core; flattened into the command line of `core-sim` and of `locum demo`'s child.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where the bank's interface (/api, /health) listens; port 0 picks a free one, see --ports-file
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where the control interface (/faults, /ledger, /changes, /kill) listens; loopback only
    #[arg(long, default_value = "127.0.0.1:0")]
    pub control: SocketAddr,
    /// The core's own database: mysql://user:password@host:port/corebank, or sqlite:PATH for a core in one file
    /// that also keeps a Debezium-shaped change log
    #[arg(long)]
    pub database: String,
    /// What the core promises about references
    #[arg(long, value_enum, default_value_t = Class::Idempotent)]
    pub class: Class,
    /// Whether GET /api/postings/{reference} is offered [default: true, for class neither false]
    #[arg(long)]
    pub enquiry: Option<bool>,
    /// Seconds for which class idempotent remembers a reference; afterwards the same reference posts again
    #[arg(long, default_value_t = 86_400)]
    pub reference_memory_s: u64,
    /// Accounts to have: numbers from 100000000001 on, owned by the customers in turn
    #[arg(long, default_value_t = 200)]
    pub accounts: u64,
    /// Customers to have: C000001 and on
    #[arg(long, default_value_t = 100)]
    pub customers: u64,
    /// Balance of a new account
    #[arg(long, default_value = "1000.00")]
    pub opening_balance: String,
    /// How far below zero a new account may go
    #[arg(long, default_value = "0")]
    pub overdraft: String,
    /// Currency of all new accounts; one with two decimals
    #[arg(long, default_value = "EUR")]
    pub currency: String,
    /// Milliseconds after its arrival from which a request can no longer take effect
    #[arg(long, default_value_t = 5_000)]
    pub request_lifetime_ms: u64,
    /// Seed of the choice which requests a fault with a share below 100 hits
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// File to write once the core is ready: BANK=address, CONTROL=address and PID=number, one a line, written atomically
    #[arg(long)]
    pub ports_file: Option<PathBuf>,
}

/// Largest number of accounts: account numbers have twelve digits.
pub const ACCOUNTS_MAX: u64 = 10_000_000;

/// The options after all of them were found sound.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub options: Options,
    pub enquiry: bool,
    pub currency: Currency,
    pub opening_minor: i64,
    pub overdraft_minor: i64,
}

impl Options {
    /// Checks everything and reports all faults at once, one a line.
    pub(crate) fn check(self) -> Result<Settings, OptionsError> {
        let mut faults = Vec::new();
        if !self.control.ip().is_loopback() {
            faults.push(format!("--control {}: the control interface stays on loopback", self.control));
        }
        if !self.database.starts_with("mysql://") && !self.database.starts_with("sqlite:") {
            faults.push("--database: expected mysql://… or sqlite:PATH".to_owned());
        }
        if self.customers == 0 || self.accounts > ACCOUNTS_MAX || self.customers > ACCOUNTS_MAX {
            faults.push(format!("--accounts, --customers: at least one customer, at most {ACCOUNTS_MAX} of each"));
        }
        if self.class == Class::Neither && self.enquiry == Some(true) {
            faults.push("--enquiry true: class neither has no enquiry".to_owned());
        }
        if self.request_lifetime_ms == 0 {
            faults.push("--request-lifetime-ms 0: every request would be dead on arrival".to_owned());
        }
        let currency = match Currency::parse(&self.currency) {
            Ok(currency) if currency.exponent() == 2 => Some(currency),
            _ => {
                faults.push(format!("--currency {}: expected an ISO 4217 code with two decimals", self.currency));
                None
            }
        };
        let mut minor = |name: &str, text: &str| match currency.map(|c| parse_minor(text, c)) {
            Some(Ok(minor)) if (0..=crate::model::AMOUNT_MINOR_MAX).contains(&minor) => minor,
            None => 0,
            _ => {
                faults.push(format!("--{name} {text}: expected an amount such as 1000.00"));
                0
            }
        };
        let opening_minor = minor("opening-balance", &self.opening_balance);
        let overdraft_minor = minor("overdraft", &self.overdraft);
        match currency {
            Some(currency) if faults.is_empty() => Ok(Settings {
                enquiry: self.enquiry.unwrap_or(self.class != Class::Neither),
                currency,
                opening_minor,
                overdraft_minor,
                options: self,
            }),
            _ => Err(OptionsError(faults.join("\n"))),
        }
    }
}

/// Everything that is wrong with the options, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OptionsError(String);

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: super::Options,
    }

    #[test]
    fn all_faults_of_the_options_are_reported_in_one_run() {
        let args = ["core-sim", "--database", "postgres:x", "--control", "0.0.0.0:1", "--currency", "JPY"];
        let text = Cli::parse_from(args).options.check().unwrap_err().to_string();
        for part in ["--database", "--control", "--currency JPY"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn defaults_are_sound_and_class_neither_has_no_enquiry() {
        let settings = Cli::parse_from(["core-sim", "--database", "sqlite:x"]).options.check().unwrap();
        assert_eq!((settings.opening_minor, settings.enquiry), (100_000, true));
        let neither = Cli::parse_from(["core-sim", "--database", "sqlite:x", "--class", "neither"]).options;
        assert!(!neither.check().unwrap().enquiry);
    }
}
