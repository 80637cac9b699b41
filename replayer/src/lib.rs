//! The replayer. After an outage it submits queued entries to the core, one by one in each lane, and finds out about
//! unknown outcomes. One replayer schedules at a time. Lane order and single claims hold even if several believe that they
//! do.

mod backoff;
mod clock;
mod errands;
mod inquiry;
mod keeper;
pub mod metrics;
mod options;
pub mod pace;
mod presence;
mod queue;
mod resolver;
mod runs;
mod sender;
mod service;

pub use options::Options;
pub use sender::{CANNOT_BE_SENT, KEEPS_DECLINING};
pub use service::Replayer;
