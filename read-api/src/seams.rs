//! What the read API needs of the rest of the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use standin::journal::Journal;

/// One account and the version of the balance that was read for it.
pub type Asked = (String, Vec<u8>);

/// Our holds on one account, with the lane version they were read at, in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountHolds {
    /// Raised by every write to the account's lane; 0 = it never had one.
    pub lane_version: i64,
    /// Debits that some served balance may not include yet.
    pub holds: Vec<Hold>,
}

/// A debit that a served balance may not include yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Positive minor units of the account's currency.
    pub amount_minor: i64,
    /// Version of the balance that absorbed it, in its byte order; `None`: no balance did.
    pub released_at: Option<Vec<u8>>,
}

/// The journal cannot be asked; the text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("holds are not known: {0}")]
pub struct HoldsError(pub String);

/// Where holds come from. An account without a lane may be left out.
pub trait Holds: Send + Sync {
    /// The holds that matter for balances of these versions; call it after the balances were read.
    fn of<'a>(&'a self, asked: &'a [Asked]) -> BoxFuture<'a, Result<HashMap<String, AccountHolds>, HoldsError>>;
}

impl Holds for Journal {
    fn of<'a>(&'a self, asked: &'a [Asked]) -> BoxFuture<'a, Result<HashMap<String, AccountHolds>, HoldsError>> {
        async move {
            let found = self.holds(asked).await.map_err(|error| HoldsError(error.to_string()))?;
            let convert = |(account, (lane_version, holds)): (String, (i64, Vec<standin::journal::Hold>))| {
                let holds = holds.into_iter();
                let holds = holds.map(|h| Hold { amount_minor: h.amount_minor, released_at: h.released_at }).collect();
                (account, AccountHolds { lane_version, holds })
            };
            Ok(found.into_iter().map(convert).collect())
        }
        .boxed()
    }
}

/// Who takes writes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The core does.
    Normal,
    /// Locum does.
    StandIn,
    /// Locum does, and works off what it took.
    Draining,
}

impl Mode {
    /// The word in `Service-Mode`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Normal => "normal",
            Mode::StandIn => "stand-in",
            Mode::Draining => "draining",
        }
    }
}

/// Tells the mode, without waiting.
pub trait ModeView: Send + Sync {
    /// The mode this instance believes in.
    fn mode(&self) -> Mode;
}

impl ModeView for Mode {
    fn mode(&self) -> Mode {
        *self
    }
}

/// Tells that data may have arrived.
pub trait Arrivals: Send + Sync {
    /// Resolves once anything may have been applied since this call (not since the first poll).
    fn next(&self) -> BoxFuture<'static, ()>;
}

/// For processes that do not ingest themselves: looks again after a while.
#[derive(Debug, Clone, Copy)]
pub struct Polling(pub Duration);

impl Arrivals for Polling {
    fn next(&self) -> BoxFuture<'static, ()> {
        tokio::time::sleep(self.0).boxed()
    }
}

impl Arrivals for tokio::sync::watch::Receiver<u64> {
    fn next(&self) -> BoxFuture<'static, ()> {
        let mut receiver = self.clone();
        receiver.mark_unchanged();
        async move { drop(receiver.changed().await) }.boxed()
    }
}

/// The wall clock, milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
