//! What every HTTP listener of ours shares: problems, principals and what each may take, strict bodies and the accept loop; and a
//! client for our tools.
//!
//! Nothing in here knows an account. A route without [`Authenticate`] cannot get a [`Caller`].

mod allowance;
mod authenticate;
pub mod client;
mod exchange;
pub mod json;
pub mod metrics;
pub mod order;
mod pace;
pub mod principal;
pub mod problem;
pub mod request;
mod segment;
pub mod serve;
pub mod tokens;
mod turns;

pub use allowance::{Allowance, Allowances};
pub use authenticate::{Authenticate, Authenticator, NotLoopback};
pub use principal::{Audience, Caller, Principal, Scope, Scopes};
pub use problem::{FieldError, Problem};
pub use segment::Segment;
pub use turns::{StoreTurns, Turn, Work};
