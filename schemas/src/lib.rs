//! The domain, pure: words, values and laws that every other crate shares. No IO, no clock, no randomness.

pub mod core;
pub mod entry;
pub mod money;
