//! The domain, pure: words, values and laws that every other crate shares. No IO, no clock, no randomness.

pub mod core;
pub mod data_position;
pub mod debezium;
pub mod decimal;
pub mod draft;
pub mod entry;
pub mod grant;
pub mod legs;
pub mod mapping;
pub mod model;
pub mod money;
pub mod position;
pub mod post_request;
pub mod temporal;
