//! Turns at the store: how many reads use its connections at once, of one principal and of all.
//!
//! **One principal never gets every connection, and searches never get most of them.** A turn is waited for only shortly and
//! only by so many, so that a lost tier or a slow store is told at once and kills nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::Problem;

/// Longest wait for a turn. A read that waited longer is refused and has cost the store nothing.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Reads that may wait, for each turn there is; further ones are refused at once.
const WAITING_PER_TURN: usize = 32;
/// Searches get this part of the turns.
const SEARCH_PART: usize = 4;
/// This part of the connections is left to what the process itself reads, such as for readiness.
const OWN_PART: usize = 8;

/// What a turn is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A look-up by keys, whether or not they exist.
    Read,
    /// What may walk the whole history of an account.
    Search,
}

/// Who has too much under way already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// This caller.
    Caller,
    /// All callers together.
    Everybody,
}

/// So many at work at once, and so many inside, with those that wait.
struct Gate {
    inside: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
}

impl Gate {
    fn new(turns: usize) -> Self {
        let inside = turns.saturating_mul(1 + WAITING_PER_TURN).min(Semaphore::MAX_PERMITS);
        Self { inside: Arc::new(Semaphore::new(inside)), at_work: Arc::new(Semaphore::new(turns)) }
    }
}

/// The gates of one principal, or of the process.
pub(crate) struct Gates {
    reads: Gate,
    searches: Gate,
}

impl Gates {
    /// At most so many reads at once.
    pub(crate) fn new(reads: usize) -> Self {
        Self { reads: Gate::new(reads.max(1)), searches: Gate::new((reads / SEARCH_PART).max(1)) }
    }
}

/// The turns of a process, shared by its listeners.
pub struct StoreTurns(Gates);

impl StoreTurns {
    /// Of a store that is read over so many connections.
    pub fn new(connections: usize) -> Self {
        Self(Gates::new(connections.saturating_sub(connections.div_ceil(OWN_PART))))
    }

    /// The most that one principal may use of so many connections: three quarters.
    pub fn share_of(connections: usize) -> usize {
        (connections * 3 / 4).max(1)
    }

    /// A turn of a principal with these gates. 429 or 503.
    pub(crate) async fn turn(&self, own: &Gates, work: Work) -> Result<Turn, Problem> {
        let (own_reads, all_reads) = ((&own.reads, Full::Caller), (&self.0.reads, Full::Everybody));
        let (own_searches, all_searches) = ((&own.searches, Full::Caller), (&self.0.searches, Full::Everybody));
        let through = match work {
            Work::Read => vec![own_reads, all_reads],
            Work::Search => vec![own_searches, all_searches, own_reads, all_reads],
        };
        let mut permits = Vec::with_capacity(2 * through.len());
        // Inside everywhere before it waits anywhere: a full house is told at once.
        for (gate, full) in &through {
            permits.push(gate.inside.clone().try_acquire_owned().map_err(|_| refuse(*full))?);
        }
        let at_work = async {
            for (gate, _) in &through {
                permits.push(gate.at_work.clone().acquire_owned().await.map_err(Problem::internal)?);
            }
            Ok(())
        };
        timeout(WAIT_MAX, at_work).await.map_err(|_| store_busy("store-wait"))??;
        Ok(Turn { _permits: permits })
    }
}

/// The right to use one connection of the store; ends when it is dropped.
#[must_use]
#[derive(Default)]
pub struct Turn {
    _permits: Vec<OwnedSemaphorePermit>,
}

fn refuse(full: Full) -> Problem {
    match full {
        Full::Caller => too_many("store-share", "too many reads of this caller are under way or wait", 1),
        Full::Everybody => store_busy("store"),
    }
}

/// 429 `too-many-requests`.
pub(crate) fn too_many(why: &'static str, detail: &'static str, retry_after_s: u32) -> Problem {
    metrics::counter!(crate::metrics::REFUSED_TOTAL, "why" => why).increment(1);
    Problem::new(429, "too-many-requests", "The caller sends more than it may")
        .detail(detail)
        .retryable(true)
        .retry_after_s(retry_after_s)
}

/// 503 `store-busy`. Without a line in the log for each: there are many of them when there are any.
fn store_busy(why: &'static str) -> Problem {
    metrics::counter!(crate::metrics::REFUSED_TOTAL, "why" => why).increment(1);
    Problem::new(503, "store-busy", "The store has too much to do now").retryable(true).retry_after_s(1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn code(refused: Result<Turn, Problem>) -> Option<(u16, &'static str, Option<u32>)> {
        refused.err().map(|problem| (problem.status, problem.code, problem.retry_after_s))
    }

    #[tokio::test]
    async fn a_principal_that_uses_its_share_up_leaves_turns_to_others() {
        let (store, greedy, other) = (StoreTurns::new(8), Gates::new(StoreTurns::share_of(8)), Gates::new(6));
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(store.turn(&greedy, Work::Read).now_or_never().unwrap().unwrap());
        }
        assert!(store.turn(&greedy, Work::Read).now_or_never().is_none(), "it waits");
        assert!(store.turn(&other, Work::Read).now_or_never().unwrap().is_ok(), "another does not");
        held.pop();
        assert!(store.turn(&greedy, Work::Read).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn too_many_that_wait_are_refused_at_once_and_name_who_has_too_much() {
        let (store, own, other) = (StoreTurns::new(2), Gates::new(1), Gates::new(5));
        let _held = store.turn(&own, Work::Read).await.unwrap();
        let mut waiting: Vec<_> = (0..WAITING_PER_TURN).map(|_| Box::pin(store.turn(&own, Work::Read))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        let refused = store.turn(&own, Work::Read).now_or_never().unwrap();
        assert_eq!(code(refused), Some((429, "too-many-requests", Some(1))));
        let refused = store.turn(&other, Work::Read).now_or_never().unwrap();
        assert_eq!(code(refused), Some((503, "store-busy", Some(1))), "the store has one turn, and all may wait");
        // Those that went away leave their places.
        waiting.clear();
        assert!(store.turn(&other, Work::Read).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_waited_too_long_is_refused_before_the_store_is_asked() {
        let (store, own) = (StoreTurns::new(8), Gates::new(1));
        let _held = store.turn(&own, Work::Read).await.unwrap();
        assert_eq!(code(store.turn(&own, Work::Read).await), Some((503, "store-busy", Some(1))));
    }

    #[tokio::test]
    async fn searches_take_a_part_of_the_turns_only() {
        let (store, one, other) = (StoreTurns::new(16), Gates::new(12), Gates::new(12));
        let searches: Vec<_> =
            (0..3).map(|_| store.turn(&one, Work::Search).now_or_never().unwrap().unwrap()).collect();
        assert!(store.turn(&one, Work::Search).now_or_never().is_none(), "the caller's");
        assert!(store.turn(&other, Work::Search).now_or_never().is_none(), "everybody's");
        assert!(store.turn(&one, Work::Read).now_or_never().unwrap().is_ok());
        drop(searches);
        assert!(store.turn(&other, Work::Search).now_or_never().unwrap().is_ok());
    }
}
