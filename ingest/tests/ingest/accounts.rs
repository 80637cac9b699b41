//! Postings that take their currency from their account, which may come later.

use std::sync::Arc;

use ingest::{Confirm, ConfirmError, NoJournal};
use read_model::*;
use schemas::model::{LegEvidence, Refusal};
use serde_json::{Value as Json, json};
use sql::{BoxFuture, Tx};

use crate::Hook;
use crate::support::*;

/// As [`MAPPING`], but postings take their currency from their account.
fn of_account() -> String {
    let from = "codes: {D: debit, C: credit}}\n      currency: ccy\n";
    assert!(MAPPING.contains(from));
    MAPPING.replace(from, "codes: {D: debit, C: credit}}\n      currency: {of: account}\n")
}

async fn until_listed(site: &Site, no: &str, count: usize) {
    wait_for("the postings", async || {
        let (all, none) = (TransactionFilter::default(), Floor::none());
        let page = site.reader.transactions(&Grant::Any, no, &all, &none).await;
        let found = page.map_or(usize::MAX, |page| page.value.transactions.len());
        (found == count, found)
    })
    .await;
}

/// How many events wait: for accounts of which nothing came, and for accounts that are left out.
async fn until_waiting(site: &Site, missing: usize, left_out: usize) {
    wait_for("events that wait", async || {
        let rows = site.db.query("SELECT left_out FROM waiting_events", vec![]).await.unwrap();
        let out = rows.iter().filter(|row| row.get::<bool>("left_out").unwrap()).count();
        let seen = (rows.len() - out, out);
        (seen == (missing, left_out), seen)
    })
    .await;
}

#[tokio::test]
async fn a_posting_waits_for_its_account_over_a_restart_and_then_tells_all_it_has_to() {
    let site = Site::open().await;
    let (core, hook) = (&site.core, Arc::new(Hook::default()));
    let start = || site.start_mapped("one", hook.clone(), &of_account());
    let running = start();
    core.account("A2", 1, 1);
    site.until_booked("A2", 1).await;
    core.posting("A1", 1, "D", 10, "REF1");
    core.posting("A2", 1, "C", 5, "");
    until_listed(&site, "A2", 1).await;
    until_waiting(&site, 1, 0).await;
    running.kill().await;

    let running = start();
    let told = || hook.seen.lock().unwrap().iter().flat_map(|(evidence, _)| evidence.clone()).collect::<Vec<_>>();
    assert_eq!(told(), []);
    core.account("A1", 100, 1);
    until_listed(&site, "A1", 1).await;
    until_waiting(&site, 0, 0).await;
    let evidence = told();
    let seen: Vec<_> = evidence.iter().map(|leg| (leg.core_ref.as_str(), leg.amount_minor)).collect();
    assert_eq!(seen, [("REF1", -10)]);
    core.posting("A1", 2, "C", 10, "");
    until_listed(&site, "A1", 2).await;
    assert_eq!(parked_events(&site.db, None, 10).await.unwrap(), []);
    running.stop().await;
}

#[tokio::test]
async fn what_waits_for_an_account_holds_the_time_of_the_data_back() {
    let site = Site::open().await;
    let core = &site.core;
    let running = site.start_mapped("one", Arc::new(NoJournal), &of_account());
    core.account("A2", 1, 1);
    core.heartbeat();
    site.until_booked("A2", 1).await;
    core.posting("A1", 1, "D", 10, "");
    let made_ms = now_ms();
    until_waiting(&site, 1, 0).await;
    core.heartbeat_at(made_ms + 1_000);
    core.account("A2", 2, 2);
    site.until_booked("A2", 2).await;
    let as_of_ms = site.status().await.unwrap().as_of_ms;
    assert!(as_of_ms.is_none_or(|ms| ms <= made_ms), "{as_of_ms:?} {made_ms}");
    core.account("A1", 1, 1);
    until_listed(&site, "A1", 1).await;
    core.heartbeat();
    wait_for("the time", async || {
        let as_of_ms = site.status().await.unwrap().as_of_ms;
        (as_of_ms.is_some_and(|ms| ms > made_ms), as_of_ms)
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn postings_of_an_account_that_is_left_out_are_evidence_and_are_shown_once_it_is_let_through() {
    let site = Site::open().await;
    let (core, hook) = (&site.core, Arc::new(Hook::default()));
    let open_only =
        of_account().replace("    key: [account_no]\n", "    key: [account_no]\n    where: {status: [A, F]}\n");
    let running = site.start_mapped("one", hook.clone(), &open_only);
    let mut closed = account_row("A1", 5, 1);
    closed["status"] = json!("C");
    core.event("accounts", "r", json!({"account_no": "A1"}), Json::Null, closed, "true");
    core.posting("A1", 1, "D", 5, "REF1");
    wait_for("the evidence", async || {
        let seen = hook.seen.lock().unwrap();
        let told: Vec<_> = seen.iter().flat_map(|(evidence, _)| evidence).map(|leg| leg.core_ref.clone()).collect();
        (told == ["REF1"], told)
    })
    .await;
    // Whichever of the two came first.
    until_waiting(&site, 0, 0).await;
    let (all, none) = (TransactionFilter::default(), Floor::none());
    assert!(site.reader.transactions(&Grant::Any, "A1", &all, &none).await.is_err(), "nobody is shown the account");
    core.account("A1", 5, 1);
    until_listed(&site, "A1", 1).await;
    running.stop().await;
}

#[tokio::test]
async fn postings_of_an_account_whose_end_does_not_tell_its_currency_come_with_it_when_it_comes_again() {
    let site = Site::open().await;
    let core = &site.core;
    let running = site.start_mapped("one", Arc::new(NoJournal), &of_account());
    core.event("accounts", "d", json!({"account_no": "A1"}), Json::Null, Json::Null, "false");
    core.posting("A1", 1, "C", 5, "");
    // Whichever of the two came first.
    until_waiting(&site, 0, 1).await;
    core.heartbeat();
    let made_ms = now_ms();
    wait_for("the time", async || {
        core.heartbeat();
        let as_of_ms = site.status().await.and_then(|status| status.as_of_ms);
        (as_of_ms.is_some_and(|ms| ms >= made_ms), as_of_ms)
    })
    .await;
    core.account("A1", 5, 1);
    until_listed(&site, "A1", 1).await;
    until_waiting(&site, 0, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn an_account_whose_currency_changes_halts_the_source() {
    let site = Site::open().await;
    let core = &site.core;
    let running = site.start_mapped("one", Arc::new(NoJournal), &of_account());
    core.account("A1", 5, 1);
    site.until_booked("A1", 5).await;
    running.kill().await;
    // What was told before is not in memory any more.
    let running = site.start_mapped("one", Arc::new(NoJournal), &of_account());
    let mut other = account_row("A1", 5, 1);
    other["ccy"] = json!("USD");
    core.event("accounts", "u", json!({"account_no": "A1"}), Json::Null, other, "false");
    let halted = site.until_halted().await;
    assert!(halted.contains("currency of an account changed") && halted.contains("locum source rebuild"), "{halted}");
    assert_eq!(site.booked("A1").await, Ok(5));
    running.stop().await;
}

/// A journal that does not take what is said of `BAD`.
struct Refuses;

impl Confirm for Refuses {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        _refusals: &'t [Refusal],
        _accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        let refused = evidence.iter().any(|leg| leg.core_ref == "BAD");
        Box::pin(async move { if refused { Err(ConfirmError::Other("a row of the journal".into())) } else { Ok(()) } })
    }
}

#[tokio::test]
async fn one_event_that_is_refused_once_its_account_has_come_is_parked_and_keeps_back_no_other_one() {
    let site = Site::open().await;
    let core = &site.core;
    let running = site.start_mapped("one", Arc::new(Refuses), &of_account());
    for (n, reference) in [(1, "REF1"), (2, "BAD"), (3, "REF3")] {
        core.posting("A1", n, "D", 10, reference);
    }
    until_waiting(&site, 3, 0).await;
    core.account("A1", 100, 3);
    until_listed(&site, "A1", 2).await;
    until_waiting(&site, 0, 0).await;
    let parked = parked_events(&site.db, None, 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.contains("refused") && parked[0].entity_keys.contains("A1"), "{parked:?}");
    assert_eq!(site.status().await.unwrap().halted, None);
    running.stop().await;
}
