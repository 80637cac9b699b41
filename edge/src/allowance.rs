//! What one principal may take of this process, so that the load of one is not the outage of all.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;
use crate::turns::{Gates, StoreTurns, Turn, Work, too_many};

/// Principals whose shares are remembered; beyond it those that have nothing under way are forgotten.
const SHARES_MAX: usize = 4_096;

/// Bounds of one principal in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in a second; those of one second may come at once.
    pub requests_per_s: NonZeroU32,
    /// Requests under way at once, with the work that outlives its client.
    pub concurrent_max: usize,
    /// Reads of the store at once; a quarter as many searches.
    pub store_reads_max: usize,
}

/// The allowances of all principals of one listener, and what they have used of them.
pub struct Allowances {
    default: Allowance,
    overrides: HashMap<String, Allowance>,
    store: Arc<StoreTurns>,
    /// Names come from the tokens file, never from a request.
    shares: Mutex<HashMap<String, Arc<Share>>>,
}

impl Allowances {
    /// `overrides` by principal; everyone else has `default`.
    pub fn new(default: Allowance, overrides: HashMap<String, Allowance>, store: Arc<StoreTurns>) -> Self {
        Self { default, overrides, store, shares: Mutex::default() }
    }

    /// What this principal has used.
    pub(crate) fn share_of(&self, principal: &str) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(principal) {
            return share.clone();
        }
        if shares.len() >= SHARES_MAX {
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let allowance = self.overrides.get(principal).copied().unwrap_or(self.default);
        let share = Arc::new(Share::new(allowance, self.store.clone()));
        shares.insert(principal.to_owned(), share.clone());
        share
    }
}

/// What one principal has used of its allowance.
pub(crate) struct Share {
    rate: DefaultDirectRateLimiter,
    requests: Arc<Semaphore>,
    own: Gates,
    store: Arc<StoreTurns>,
}

impl Share {
    fn new(allowance: Allowance, store: Arc<StoreTurns>) -> Self {
        Self {
            rate: RateLimiter::direct(Quota::per_second(allowance.requests_per_s)),
            requests: Arc::new(Semaphore::new(allowance.concurrent_max.min(Semaphore::MAX_PERMITS))),
            own: Gates::new(allowance.store_reads_max),
            store,
        }
    }

    /// Lets one more request in, or 429. It is under way until the permit is dropped.
    pub(crate) fn request(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.rate.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(self.rate.clock().now());
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            too_many("rate", "more requests in a second than this caller may send", seconds)
        })?;
        let place = self.requests.clone().try_acquire_owned();
        place.map_err(|_| too_many("concurrency", "more requests at once than this caller may have under way", 1))
    }

    /// A turn at the store, or 429, or 503.
    pub(crate) async fn turn(&self, work: Work) -> Result<Turn, Problem> {
        self.store.turn(&self.own, work).await
    }
}
