//! A core that numbers no postings: balances wait by source transaction (ADR 0041).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ingest::{Confirm, ConfirmError};
use read_model::*;
use schemas::model::LegEvidence;
use schemas::position::{OpenDebits, SourcePosition, TransactionPlace};
use sql::{BoxFuture, Tx};

use crate::support::*;

/// A journal whose open debits are what the test says.
#[derive(Default)]
struct Debits {
    open: Mutex<BTreeMap<String, OpenDebits>>,
    /// What was among the evidence when it was asked, by reference.
    coming: Mutex<Vec<String>>,
}

impl Debits {
    /// The row of a debit on A1 has not come.
    fn without_row(&self) {
        let debits = OpenDebits { any_without_row: true, booked: Vec::new() };
        self.open.lock().unwrap().insert("A1".to_owned(), debits);
    }

    /// It stands in this transaction.
    fn booked_in(&self, transaction: &str) {
        let position = SourcePosition::Binlog { file: 1, pos: 1, row: 0, gtid: None };
        let booked = vec![TransactionPlace::streamed(1, &position, transaction).unwrap()];
        let debits = OpenDebits { any_without_row: false, booked };
        self.open.lock().unwrap().insert("A1".to_owned(), debits);
    }

    fn none(&self) {
        self.open.lock().unwrap().clear();
    }
}

impl Confirm for Debits {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _evidence: &'t [LegEvidence],
        _accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        Box::pin(async { Ok(()) })
    }

    fn open_debits<'t>(
        &'t self,
        _tx: &'t mut Tx,
        accounts: &'t [String],
        evidence: &'t [LegEvidence],
        _generation: u32,
    ) -> BoxFuture<'t, Result<BTreeMap<String, OpenDebits>, ConfirmError>> {
        self.coming.lock().unwrap().extend(evidence.iter().map(|row| row.core_ref.clone()));
        let mut open = self.open.lock().unwrap().clone();
        open.retain(|account, _| accounts.contains(account));
        Box::pin(async move { Ok(open) })
    }
}

/// As [`MAPPING`], of a core without numbers.
fn unnumbered() -> String {
    let mut mapping = MAPPING.to_owned();
    for (numbered, instead) in [
        ("last_posting: {column: last_posting, type: integer}", "last_posting: {by: source-transaction}"),
        ("      posting_no: {column: posting_no, type: integer}\n", ""),
    ] {
        assert!(mapping.contains(numbered));
        mapping = mapping.replace(numbered, instead);
    }
    mapping
}

async fn until_waiting(site: &Site, count: usize) {
    wait_for("balances that wait", async || {
        let waiting = site.db.query("SELECT version FROM waiting_balances", vec![]).await.unwrap().len();
        (waiting == count, waiting)
    })
    .await;
}

#[tokio::test]
async fn a_balance_waits_for_the_row_of_a_debit_and_then_for_the_rest_of_its_transaction() {
    let site = Site::open().await;
    let (debits, mapping) = (Arc::new(Debits::default()), unnumbered());
    let running = site.start_mapped("one", debits.clone(), &mapping);
    site.core.in_transaction("0-1-1");
    site.core.account("A1", 100, 0);
    site.until_booked("A1", 100).await;
    debits.without_row();
    site.core.in_transaction("0-1-2");
    site.core.account("A1", 90, 0);
    site.core.account("A2", 1, 0);
    site.until_booked("A2", 1).await;
    until_waiting(&site, 1).await;
    assert_eq!(site.booked("A1").await, Ok(100), "it may include the debit");
    running.kill().await;

    // The row comes, and one more balance of its transaction. Nobody knows whether that is the last one.
    debits.booked_in("0-1-2");
    let running = site.start_mapped("one", debits.clone(), &mapping);
    site.core.posting("A1", 1, "D", 10, "REF1");
    site.core.account("A1", 80, 0);
    until_waiting(&site, 2).await;
    site.core.account("A2", 2, 0);
    site.until_booked("A2", 2).await;
    assert_eq!(site.booked("A1").await, Ok(100), "it need not include the debit yet");
    // Another transaction changes the account: that one was over.
    site.core.in_transaction("0-1-3");
    site.core.account("A1", 70, 0);
    site.until_booked("A1", 70).await;
    until_waiting(&site, 0).await;
    assert!(debits.coming.lock().unwrap().contains(&"REF1".to_owned()), "a row of the batch has come");
    running.stop().await;
}

#[tokio::test]
async fn a_balance_whose_transaction_books_no_debit_of_ours_waits_for_nothing() {
    let site = Site::open().await;
    let debits = Arc::new(Debits::default());
    debits.booked_in("0-1-7");
    let running = site.start_mapped("one", debits.clone(), &unnumbered());
    for (transaction, minor) in [("0-1-1", 100), ("0-1-2", 90)] {
        site.core.in_transaction(transaction);
        site.core.account("A1", minor, 0);
        site.until_booked("A1", minor).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn in_a_shadow_a_balance_waits_beside_an_open_debit_and_the_snapshots_does_not() {
    let site = Site::open().await;
    let debits = Arc::new(Debits::default());
    let running = site.start_mapped("one", debits.clone(), &unnumbered());
    site.core.in_transaction("0-1-1");
    site.core.account("A1", 100, 0);
    site.core.heartbeat();
    site.until_booked("A1", 100).await;
    wait_for("the load", async || {
        let status = site.status().await.unwrap();
        (status.loaded && status.as_of_ms.is_some(), status)
    })
    .await;
    debits.without_row();
    let fresh = site.core.under("fresh");
    assert_eq!(open_generation(&site.db, "corebank", Some("fresh")).await.unwrap(), Some(2));
    fresh.snapshot_row("A1", 50, "first");
    fresh.snapshot_row("A2", 5, "last");
    fresh.in_transaction("0-1-2");
    fresh.account("A1", 40, 0);
    fresh.account("A2", 4, 0);
    until_waiting(&site, 1).await;
    fresh.heartbeat();
    site.until_booked("A1", 50).await;
    assert_eq!(site.booked("A2").await, Ok(4), "no debit of ours");
    // Served, it goes on waiting as any balance does.
    until_waiting(&site, 1).await;
    debits.none();
    fresh.heartbeat();
    site.until_booked("A1", 40).await;
    running.stop().await;
}

#[tokio::test]
async fn a_streamed_balance_without_its_transaction_halts_the_source_until_it_is_read_anew() {
    let site = Site::open().await;
    let running = site.start_mapped("one", Arc::new(Debits::default()), &unnumbered());
    site.core.account("A1", 100, 0);
    let reason = site.until_halted().await;
    assert!(reason.contains("provide.transaction.metadata=true") && ingest::needs_rebuild(&reason), "{reason}");
    running.stop().await;
}
