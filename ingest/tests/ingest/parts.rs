//! A batch that fails as a whole is applied in parts.

use std::sync::{Arc, Mutex};

use ingest::{Confirm, ConfirmError};
use read_model::resume;
use schemas::model::{LegEvidence, Refusal};
use sql::{BoxFuture, Tx};

use crate::support::*;

/// MySQL's "lock wait timeout exceeded".
const LOCK_WAIT: i32 = 1205;

/// Fails for every batch that touches more than so many accounts, or this one.
#[derive(Default)]
struct Fails {
    above: usize,
    refused: Mutex<Option<&'static str>>,
    /// How many accounts each try touched, and whether it went through.
    tries: Mutex<Vec<(usize, bool)>>,
}

impl Confirm for Fails {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _evidence: &'t [LegEvidence],
        _refusals: &'t [Refusal],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        let refused = self.refused.lock().unwrap().is_some_and(|no| accounts.iter().any(|account| account == no));
        let too_many = accounts.len() > self.above;
        self.tries.lock().unwrap().push((accounts.len(), !refused && !too_many));
        Box::pin(async move {
            match (refused, too_many) {
                (true, _) => Err(ConfirmError::Other("a row of the journal".into())),
                (_, true) => Err(sql::Error::Retryable { code: LOCK_WAIT }.into()),
                _ => Ok(()),
            }
        })
    }
}

#[tokio::test]
async fn a_batch_that_waits_for_locks_in_vain_is_applied_in_parts() {
    const ACCOUNTS: i64 = 64;
    let site = Site::open().await;
    site.core.log.lock().unwrap().batch = 5_000;
    (0..ACCOUNTS).for_each(|n| site.core.account(&format!("A{n}"), n, 1));
    let fails = Arc::new(Fails { above: 8, ..Fails::default() });
    let running = site.start_with("one", fails.clone());
    for n in 0..ACCOUNTS {
        site.until_booked(&format!("A{n}"), n).await;
    }
    running.stop().await;
    let tries = fails.tries.lock().unwrap();
    assert!(tries.iter().any(|(accounts, _)| *accounts > 8), "nothing was cut: {tries:?}");
    assert!(tries.iter().any(|(accounts, done)| *done && *accounts > 1), "not one by one: {tries:?}");
    assert_eq!(tries.iter().filter(|(_, done)| *done).map(|(accounts, _)| accounts).sum::<usize>(), 64, "{tries:?}");
}

#[tokio::test]
async fn one_record_that_is_refused_is_found_in_its_batch_and_halts_alone() {
    let site = Site::open().await;
    site.core.log.lock().unwrap().batch = 5_000;
    (1..=40).for_each(|n| site.core.account("A1", n, n));
    site.core.account("BAD", 1, 1);
    let fails = Arc::new(Fails { above: usize::MAX, refused: Mutex::new(Some("BAD")), ..Fails::default() });
    let running = site.start_with("one", fails.clone());
    let reason = site.until_halted().await;
    assert!(reason.contains("a row of the journal"), "{reason}");
    let last = fails.tries.lock().unwrap().last().copied();
    assert_eq!(last, Some((1, false)), "the record alone was refused at last");

    *fails.refused.lock().unwrap() = None;
    assert!(resume(&site.db, "corebank").await.unwrap());
    site.until_booked("A1", 40).await;
    site.until_booked("BAD", 1).await;
    running.stop().await;
}
