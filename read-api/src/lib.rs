//! The channels' reads: accounts, balances, transactions, customers, each with its place and age.
//!
//! Everything is read through [`read_model::Reader`], holds through [`Holds`]. **The balance is read first, the holds after
//! it**: a hold released in between still counts against the older balance, so money never appears twice.

mod accounts;
mod api;
mod balance;
mod conditions;
mod cursor;
mod customers;
mod freshness;
mod metrics;
mod parameters;
mod refusal;
mod routes;
mod seams;
pub mod shown;
mod status;
mod transactions;
mod waiting;

pub use api::{Options, ReadApi};
pub use cursor::CursorKey;
pub use routes::routes;
pub use seams::{AccountHolds, Arrivals, Asked, Clock, Holds, HoldsError, Looking, ModeView, Seen, Watched};
