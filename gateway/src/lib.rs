//! The gateway: which path a write takes, and the answer it gets.
//!
//! `health` and `mode` decide and touch nothing; `submission` takes one write through journal and core; `routes` is its HTTP.
//! **Mode is advice.** Order and limits come from the lanes in the journal, so a gateway that believes wrongly costs time, not money.

mod answer;
mod chores;
mod clocks;
#[cfg(test)]
mod doubles;
mod four_eyes;
mod gateway;
pub mod health;
mod in_flight;
pub mod metrics;
pub mod mode;
mod monitor;
mod operators;
mod options;
mod request;
mod routes;
mod silence;
mod submission;
mod watch;

pub use clocks::{ClockFault, Clocks};
pub use four_eyes::FourEyes;
pub use gateway::Gateway;
pub use monitor::{Monitor, MonitorOptions};
pub use operators::operators_router;
pub use options::Options;
pub use request::TRANSFER;
pub use routes::router;
pub use watch::Watch;
