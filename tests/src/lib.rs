//! What the tests of the whole share: real processes, a client that writes down what it saw, and the ledger checker.

#![allow(clippy::inconsistent_digit_grouping, reason = "amounts are written as whole units _ cents")]

pub mod bank;
pub mod checker;
pub mod client;
mod death;
pub mod history;
pub mod load;
pub mod locum;
mod operator;
mod plan;
pub mod postgres;
pub mod process;
mod settings;
pub mod stack;
pub mod wait;
mod witness;
pub mod world;
