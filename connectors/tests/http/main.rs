//! The HTTP connector against sockets that play scripts.

mod answers;
mod configuration;
mod credentials;
mod peer;
mod savings_core;
mod second_core;
mod tls;
mod transport;
mod wallet_core;
