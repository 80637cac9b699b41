//! The edges to a legacy core: one trait, and one module for each way of talking to a core.
//!
//! What matters is what may be *said* after a call: a posting, the core's own no, a proof that nothing left this process,
//! or "outcome unknown". There is no error type for an attempt.

mod check;
mod config;
mod connector;
mod findings;
mod heard;
pub mod http;
mod json;
mod posting;
pub mod sql;
mod template;
mod uuid;

pub use config::{CoreConfig, Kind};
pub use connector::{CoreConnector, Probe};
pub use findings::ConfigError;
pub use heard::{Heard, Listener};
pub use schemas::legs::{LegsMatch, legs_match, same_legs};
pub use schemas::post_request::{Field, PostRequest};
