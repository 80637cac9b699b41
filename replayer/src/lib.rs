//! The replayer: after an outage it submits queued entries to the core, one by one in each lane, and finds out about
//! unknown outcomes. One replayer schedules at a time; lane order and single claims hold however many believe that they do.

mod clock;
pub mod metrics;
pub mod pace;
mod resolver;
mod sender;
mod service;

pub use service::{Options, Replayer};
