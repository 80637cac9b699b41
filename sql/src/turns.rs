//! Turns: transactions of one process wait for each other here, first come, first served, before they ask the server for row locks.
//!
//! OceanBase has no queue for the rows of a statement: one that meets a locked row gives up those that it had and begins anew. A
//! statement that needs many busy rows may therefore wait until its time is over, while later ones pass it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::error::{Error, LOCK_TIMEOUT};

/// Names share so many turns. Two names of one turn wait for each other, which costs time and nothing else.
const TURNS: usize = 4_096;

/// The turns of one process at one database.
pub(crate) struct Turns {
    turns: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
    /// Longest wait of one transaction.
    longest: Duration,
}

/// Turns of one transaction, by number. They end when this is dropped.
#[derive(Default)]
pub(crate) struct Held(BTreeMap<usize, OwnedMutexGuard<()>>);

impl Turns {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { turns: (0..TURNS).map(|_| Arc::default()).collect(), hasher: RandomState::new(), longest }
    }

    /// Waits until all these names are this transaction's. All transactions of the process take them in one order, so none wait in a ring.
    ///
    /// A transaction that asks a second time may meet one that waits for it. Then, and after the longest wait, the error is that
    /// of a row lock's time-out.
    pub(crate) async fn take(&self, held: &mut Held, names: impl Iterator<Item = &str>) -> Result<(), Error> {
        let wanted = names.map(|name| usize::try_from(self.hasher.hash_one(name) % TURNS as u64).unwrap_or(0));
        let wanted: BTreeMap<usize, &Arc<Mutex<()>>> =
            wanted.filter(|n| !held.0.contains_key(n)).filter_map(|n| Some((n, self.turns.get(n)?))).collect();
        let taken = timeout(self.longest, async {
            for (n, turn) in wanted {
                held.0.insert(n, turn.clone().lock_owned().await);
            }
        });
        taken.await.map_err(|_| Error::Retryable { code: LOCK_TIMEOUT[0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_goes_first_and_nobody_waits_for_ever() {
        let turns = Arc::new(Turns::new(Duration::from_secs(1)));
        let mut first = Held::default();
        turns.take(&mut first, ["a", "b", "a"].into_iter()).await.unwrap();
        turns.take(&mut first, ["b"].into_iter()).await.unwrap();
        turns.take(&mut Held::default(), ["c"].into_iter()).await.unwrap();

        let late = turns.take(&mut Held::default(), ["b"].into_iter()).await;
        assert!(late.unwrap_err().is_lock_timeout());

        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..3)
            .map(|n| {
                let (turns, order) = (turns.clone(), order.clone());
                tokio::spawn(async move {
                    let mut held = Held::default();
                    turns.take(&mut held, ["a", "b"].into_iter()).await.unwrap();
                    order.lock().unwrap().push(n);
                })
            })
            .collect();
        // On this one thread they have all asked once this task goes on.
        tokio::task::yield_now().await;
        assert_eq!(*order.lock().unwrap(), [0; 0]);
        drop(first);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    }
}
