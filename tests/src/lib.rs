//! What the tests of the whole share: real processes, a client that writes down what it saw, and the ledger checker.

pub mod bank;
pub mod checker;
pub mod client;
pub mod history;
pub mod load;
pub mod process;
pub mod stack;
pub mod wait;
pub mod world;
