//! A seeded deterministic simulator of the write side. Real gateways, replayers and journal code run in a world whose time, chance, SQL
//! server and core come from a seed; the same seed gives the same history, and a judge looks at how it ended.

pub mod books;
pub mod chance;
pub mod check;
pub mod client;
pub mod connection;
pub mod core;
pub mod coverage;
pub mod fault;
pub mod flaws;
pub mod host;
pub mod people;
pub mod plan;
pub mod process;
pub mod run;
pub mod shrink;
pub mod world;
