//! A small legacy core as its own process, for the demo and for tests: accounts, postings, one posting one database
//! transaction, and faults that can be switched on. Its contract is `docs/core-contract.md`.
//!
//! Entry points: [`run`] with [`Options`]; the binary `core-sim` is a thin shell around it. The bank's interface is
//! `bank`, the control interface `control`, the books `ledger`, connections and how they break `serve` and `faults`.

mod account;
mod answer;
mod bank;
mod changes;
mod control;
mod faults;
mod ledger;
mod model;
mod options;
mod reads;
mod references;
mod schema;
mod seed;
mod serve;
mod service;

pub use changes::{DATABASE, FILE, TOPIC_PREFIX};
pub use faults::{Fault, FaultKind, Scope};
pub use model::{Booked, Leg, Problem};
pub use options::{ACCOUNTS_MAX, Class, Options, OptionsError};
pub use seed::{account_no, customer_no};
pub use service::run;
