//! What the read API needs of the rest of the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use read_model::{Floor, Position, Reader, SourceStatus};
use standin::journal::{Hold, HoldsView};
use standin::mode::Mode;
use tokio::sync::{Notify, watch};

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

/// The journal cannot be asked; the text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("holds are not known: {0}")]
pub struct HoldsError(pub String);

/// Where holds come from. An account without a lane may be left out.
pub trait Holds: Send + Sync {
    /// The holds that matter for balances of these versions; call it after the balances were read.
    fn of<'a>(&'a self, asked: &'a [Asked]) -> BoxFuture<'a, Result<HashMap<String, AccountHolds>, HoldsError>>;
}

impl Holds for HoldsView {
    fn of<'a>(&'a self, asked: &'a [Asked]) -> BoxFuture<'a, Result<HashMap<String, AccountHolds>, HoldsError>> {
        async move {
            let found = self.against(asked).await.map_err(|error| HoldsError(error.to_string()))?;
            let told = |(account, (lane_version, holds))| (account, AccountHolds { lane_version, holds });
            Ok(found.into_iter().map(told).collect())
        }
        .boxed()
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

/// Tells when a floor may be reached, so that a waiting read does not ask SQL in vain.
pub trait Arrivals: Send + Sync {
    /// Resolves once every source contains what the floor asks of it, or never will.
    fn reached<'a>(&'a self, floor: &'a Floor) -> BoxFuture<'a, ()>;
}

/// What is known of the sources, watched for all waiting reads of the process.
pub type Seen = watch::Receiver<Vec<SourceStatus>>;

impl Arrivals for Seen {
    fn reached<'a>(&'a self, floor: &'a Floor) -> BoxFuture<'a, ()> {
        let mut seen = self.clone();
        async move {
            let settled =
                |sources: &Vec<SourceStatus>| !sources.is_empty() && sources.iter().all(|s| settled(floor, s));
            // Without a sender nothing will arrive any more: the caller's deadline ends the wait.
            if seen.wait_for(settled).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

/// A floor in a generation that is not served any more is never reached: the read that follows says so.
fn settled(floor: &Floor, status: &SourceStatus) -> bool {
    let superseded =
        |(source, place): &(String, Position)| *source == status.source && place.generation < status.generation;
    floor.reached_by(status) || floor.0.iter().any(superseded)
}

/// Looks at the sources in SQL every so often while anybody waits: one statement for all waiting reads of the process,
/// whatever positions they ask for.
pub struct Watched {
    seen: Seen,
    wanted: Arc<Notify>,
}

impl Watched {
    /// The watch, and what looks for it: reads wait in vain unless somebody runs [`Looking::run`].
    pub fn new(reader: Reader, every: Duration) -> (Self, Looking) {
        let (sender, seen) = watch::channel(Vec::new());
        let wanted = Arc::new(Notify::new());
        (Self { seen, wanted: wanted.clone() }, Looking { reader, every, sender, wanted })
    }
}

/// Looks for a [`Watched`].
pub struct Looking {
    reader: Reader,
    every: Duration,
    sender: watch::Sender<Vec<SourceStatus>>,
    wanted: Arc<Notify>,
}

impl Arrivals for Watched {
    fn reached<'a>(&'a self, floor: &'a Floor) -> BoxFuture<'a, ()> {
        let reached = self.seen.reached(floor);
        self.wanted.notify_one();
        reached
    }
}

/// The receiver that [`Watched`] keeps; more of them are waiting reads.
const IDLE_RECEIVERS: usize = 1;
/// How often waiting reads are looked for without having been announced.
const LOOK_UNASKED: Duration = Duration::from_secs(1);

impl Looking {
    /// Looks until the [`Watched`] is gone. It may be run again after a panic.
    pub async fn run(&self) {
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                () = self.wanted.notified() => {}
                // Reads that waited when an earlier run ended are not announced again.
                () = tokio::time::sleep(LOOK_UNASKED) => {}
            }
            while self.sender.receiver_count() > IDLE_RECEIVERS {
                // While SQL cannot be asked, nothing has arrived for anybody.
                if let Ok(sources) = self.reader.sources().await {
                    self.sender.send_replace(sources);
                }
                tokio::time::sleep(self.every).await;
            }
        }
    }
}

/// The wall clock, milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    fn status(generation: u32, applied_seq: i64) -> Vec<SourceStatus> {
        let watermark = schemas::position::Version::floor(generation);
        let (rebuilding, identity, halted) = (None, None, None);
        let (as_of_ms, events_behind, events_applied, token) = (None, None, 0, 1);
        let source = "core".to_owned();
        let loaded = true;
        vec![SourceStatus {
            source,
            generation,
            rebuilding,
            identity,
            loaded,
            as_of_ms,
            watermark,
            applied_seq,
            events_applied,
            events_behind,
            halted,
            token,
        }]
    }

    #[tokio::test]
    async fn a_waiting_read_is_woken_by_its_floor_and_by_nothing_else() {
        let (sender, seen) = watch::channel(Vec::new());
        let floor = Floor(vec![("core".into(), Position { generation: 1, sequence: 5 })]);
        let mut reached = seen.reached(&floor);
        for sequence in 1..5 {
            assert_eq!((&mut reached).now_or_never(), None);
            sender.send_replace(status(1, sequence));
        }
        assert_eq!((&mut reached).now_or_never(), None);
        sender.send_replace(status(1, 5));
        assert_eq!(reached.now_or_never(), Some(()));
        assert_eq!(seen.reached(&floor).now_or_never(), Some(()), "known already");
        let never = Floor(vec![("core".into(), Position { generation: 1, sequence: i64::MAX })]);
        assert_eq!(seen.reached(&never).now_or_never(), None);
        sender.send_replace(status(2, 6));
        for superseded in [&never, &floor] {
            assert_eq!(seen.reached(superseded).now_or_never(), Some(()), "superseded");
        }
    }
}
