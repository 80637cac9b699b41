//! How many accounts' lanes one apply takes from admission, and for how many entries.

use std::sync::{Arc, Mutex};

use ingest::{Confirm, ConfirmError, ENTRIES_MAX, LANES_MAX, Locks};
use schemas::model::{LegEvidence, Refusal};
use sql::{BoxFuture, Tx};

use crate::support::*;

/// Every account has a hold, so its lane is locked; and so many more for each batch. Every row of evidence is of an entry of its own.
#[derive(Default)]
struct Held {
    more: usize,
    locked: Mutex<Vec<usize>>,
    entries: Mutex<Vec<usize>>,
}

impl Confirm for Held {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        _refusals: &'t [Refusal],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        self.entries.lock().unwrap().push(evidence.len());
        self.locked.lock().unwrap().push(accounts.len());
        Box::pin(async { Ok(()) })
    }

    fn locks<'t>(
        &'t self,
        _tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<Locks, ConfirmError>> {
        Box::pin(async { Ok(Locks { lanes: accounts.len() + self.more, entries: evidence.len() }) })
    }
}

#[tokio::test]
async fn a_batch_that_would_lock_too_many_lanes_is_cut_and_loses_nothing() {
    let site = Site::open().await;
    let accounts = 3 * LANES_MAX;
    site.core.log.lock().unwrap().batch = 5_000;
    (0..accounts).for_each(|n| site.core.account(&format!("A{n}"), n as i64, 1));
    let held = Arc::new(Held::default());
    let running = site.start_with("one", held.clone());
    for n in 0..accounts {
        site.until_booked(&format!("A{n}"), n as i64).await;
    }
    running.stop().await;
    let locked = held.locked.lock().unwrap();
    assert!(locked.iter().all(|lanes| *lanes <= LANES_MAX), "{locked:?}");
    assert!(locked.iter().any(|lanes| *lanes > LANES_MAX / 4), "not one by one: {locked:?}");
    assert_eq!(locked.iter().sum::<usize>(), accounts, "{locked:?}");
}

#[tokio::test]
async fn few_accounts_are_not_counted_and_a_single_record_is_never_cut() {
    let site = Site::open().await;
    site.core.log.lock().unwrap().batch = 5_000;
    (0..10).for_each(|n| site.core.account(&format!("A{n}"), n, 1));
    let held = Arc::new(Held { more: usize::MAX / 2, ..Held::default() });
    let running = site.start_with("one", held.clone());
    for n in 0..10 {
        site.until_booked(&format!("A{n}"), n).await;
    }
    assert!(held.locked.lock().unwrap().iter().any(|lanes| *lanes > 1), "ten accounts cannot lock too many");
    // So many that they are counted, and whatever is cut from them locks too many as well: down to what is not counted.
    (0..2 * LANES_MAX).for_each(|n| site.core.account(&format!("B{n}"), n as i64, 1));
    for n in 0..2 * LANES_MAX {
        site.until_booked(&format!("B{n}"), n as i64).await;
    }
    running.stop().await;
    assert!(held.locked.lock().unwrap().iter().all(|lanes| *lanes <= LANES_MAX));
}

#[tokio::test]
async fn a_batch_that_would_confirm_too_many_entries_is_cut_however_few_their_accounts_are() {
    let site = Site::open().await;
    let postings = 3 * ENTRIES_MAX;
    site.core.log.lock().unwrap().batch = 5_000;
    site.core.account("A1", 0, 0);
    (1..=postings).for_each(|n| site.core.posting("A1", n as i64, "D", 1, &format!("REF{n}")));
    site.core.account("A1", 7, postings as i64);
    let held = Arc::new(Held::default());
    let running = site.start_with("one", held.clone());
    site.until_booked("A1", 7).await;
    wait_for("every posting is confirmed", async || {
        let confirmed = held.entries.lock().unwrap().iter().sum::<usize>();
        (confirmed == postings, confirmed)
    })
    .await;
    running.stop().await;
    let entries = held.entries.lock().unwrap();
    assert!(entries.iter().all(|entries| *entries <= ENTRIES_MAX), "{entries:?}");
    assert!(entries.iter().any(|entries| *entries > ENTRIES_MAX / 4), "not one by one: {entries:?}");
}
