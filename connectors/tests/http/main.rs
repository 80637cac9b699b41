//! The HTTP connector against sockets that play scripts.

mod answers;
mod configuration;
mod peer;
mod savings_core;
mod second_core;
mod transport;
mod wallet_core;
