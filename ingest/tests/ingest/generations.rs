//! A source that cannot be followed any more comes back by a new generation, filled in the shadow and swapped in whole.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use ingest::{Confirm, ConfirmError};
use read_model::*;
use schemas::model::{LegEvidence, Refusal};
use sql::{BoxFuture, Tx};

use crate::support::*;

async fn read(site: &Site, no: &str) -> Read<Arc<AccountDocument>> {
    site.reader.account(&Grant::Any, no, &Floor::none()).await.unwrap()
}

async fn filled(site: &Site, events: i64) {
    wait_for("events in the shadow", async || {
        let seen = filling(&site.db, "corebank").await.unwrap().unwrap();
        (seen.served.is_some() && seen.status.events_applied == events, seen)
    })
    .await;
}

/// A loaded source with accounts A1 and GHOST, halted because its place in the log is lost.
async fn halted(site: &Site) {
    site.core.account("A1", 1, 1);
    site.core.account("GHOST", 2, 1);
    site.core.heartbeat();
    site.until_booked("A1", 1).await;
    wait_for("the load", async || {
        let status = site.status().await.unwrap();
        (status.loaded && status.as_of_ms.is_some(), status)
    })
    .await;
    site.core.lose("retention passed offset 7");
    site.until_halted().await;
}

#[tokio::test]
async fn a_halted_source_comes_back_by_a_generation_filled_in_the_shadow() {
    let site = Site::open().await;
    let running = site.start("one");
    halted(&site).await;
    let shown = read(&site, "A1").await.freshness.remove(0);
    assert_eq!(shown.quality, Quality::Stale);

    let fresh = site.core.under("fresh");
    assert_eq!(open_generation(&site.db, "corebank", Some("fresh")).await.unwrap(), Some(2));
    assert_eq!(open_generation(&site.db, "nobody", None).await.unwrap(), None);
    fresh.snapshot_row("A1", 50, "first");
    fresh.snapshot_row("NEW", 5, "last");
    filled(&site, 2).await;
    // Served is the old generation, whole, and it says so.
    for (no, minor) in [("A1", 1), ("GHOST", 2)] {
        let served = read(&site, no).await;
        let booked = served.value.balance.as_ref().unwrap().row.booked_minor;
        assert_eq!((booked, served.freshness[0].quality), (minor, Quality::Rebuilding));
    }
    assert_eq!(site.booked("NEW").await, Err(ReadError::NotFound));

    // Loaded, but older than what is served: it would go back.
    fresh.heartbeat_at(shown.as_of_ms.unwrap() - 1);
    wait_for("the load of the shadow", async || {
        let seen = filling(&site.db, "corebank").await.unwrap().unwrap();
        (seen.status.loaded && seen.status.as_of_ms.is_some(), seen)
    })
    .await;
    assert_eq!((site.booked("A1").await, site.status().await.unwrap().generation), (Ok(1), 1));
    fresh.heartbeat();
    site.until_booked("A1", 50).await;
    assert_eq!(site.booked("GHOST").await, Err(ReadError::NotFound), "what only the old generation has is gone");
    assert_eq!((site.booked("NEW").await, read(&site, "A1").await.freshness[0].quality), (Ok(5), Quality::Ok));
    // A position of the old generation is superseded, not reached.
    let floor = Floor(vec![("corebank".into(), shown.position)]);
    let superseded = site.reader.account(&Grant::Any, "A1", &floor).await.unwrap_err();
    assert!(matches!(superseded, ReadError::Behind { at: Position { generation: 2, .. }, .. }), "{superseded:?}");
    // The new topics are followed from here on, the old ones are not, and the fast tier agrees.
    site.core.account("A1", 999, 9);
    fresh.account("A1", 60, 2);
    site.until_booked("A1", 60).await;
    wait_for("memory", async || {
        let read = read(&site, "A1").await;
        (read.tier == Tier::Memory && read.freshness[0].position.generation == 2, read.tier)
    })
    .await;
    let compared = compare(&site.reader, Tier::Memory).await.unwrap();
    assert_eq!(compared.shared, compared.tier);
    running.stop().await;
}

#[tokio::test]
async fn an_idle_leader_hears_of_the_order_and_a_wrong_shadow_is_abandoned_by_another() {
    let site = Site::open().await;
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.until_booked("A1", 1).await;
    // Nothing comes any more: only the lease tells.
    let wrong = site.core.under("wrong");
    assert_eq!(open_generation(&site.db, "corebank", Some("wrong")).await.unwrap(), Some(2));
    wrong.snapshot_account("A1", 666);
    filled(&site, 1).await;
    let right = site.core.under("right");
    assert_eq!(open_generation(&site.db, "corebank", Some("right")).await.unwrap(), Some(3));
    wrong.heartbeat();
    right.snapshot_account("A1", 3);
    filled(&site, 1).await;
    assert_eq!(site.booked("A1").await, Ok(1));
    right.heartbeat();
    site.until_booked("A1", 3).await;
    assert_eq!(site.status().await.unwrap().generation, 3);
    // The next one reads where the last one did.
    assert_eq!(open_generation(&site.db, "corebank", None).await.unwrap(), Some(4));
    right.account("A1", 4, 4);
    site.until_booked("A1", 4).await;
    assert_eq!(site.status().await.unwrap().generation, 4);
    running.stop().await;
}

#[tokio::test]
async fn what_is_parked_in_the_shadow_degrades_nothing_before_the_swap() {
    let site = Site::open().await;
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.core.heartbeat();
    site.until_booked("A1", 1).await;
    site.core.poison("A1");
    wait_for("doubt", async || {
        let quality = read(&site, "A1").await.freshness[0].quality;
        (quality == Quality::Degraded, quality)
    })
    .await;
    let fresh = site.core.under("fresh");
    open_generation(&site.db, "corebank", Some("fresh")).await.unwrap();
    fresh.snapshot_account("A1", 2);
    fresh.snapshot_account("A2", 2);
    fresh.poison("A2");
    filled(&site, 3).await;
    assert_eq!(read(&site, "A1").await.freshness[0].quality, Quality::Degraded);
    fresh.heartbeat();
    site.until_booked("A1", 2).await;
    let quality = async |no| read(&site, no).await.freshness[0].quality;
    assert_eq!((quality("A1").await, quality("A2").await), (Quality::Ok, Quality::Degraded));
    running.stop().await;
}

/// References, accounts, and the balance of A1 that was served then.
type Told = (Vec<String>, Vec<String>, i64);

/// A journal that has one hold, and notes what it is told and which balance is served then.
#[derive(Default)]
struct Ledger {
    failures: AtomicU32,
    told: Mutex<Vec<Told>>,
}

impl Confirm for Ledger {
    fn confirm<'t>(
        &'t self,
        tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        _refusals: &'t [Refusal],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        Box::pin(async move {
            let served = facts(tx, &["A1"]).await.unwrap();
            let balance = served.first().and_then(|facts| facts.document.balance.clone());
            if self.failures.load(Ordering::SeqCst) > 0 {
                self.failures.fetch_sub(1, Ordering::SeqCst);
                return Err(ConfirmError::Other("not today".into()));
            }
            let refs = evidence.iter().map(|seen| seen.core_ref.clone()).collect();
            let told = (refs, accounts.to_vec(), balance.map_or(0, |balance| balance.row.booked_minor));
            self.told.lock().unwrap().push(told);
            Ok(())
        })
    }

    fn unrecorded<'t>(
        &'t self,
        _tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
    ) -> BoxFuture<'t, Result<Vec<LegEvidence>, ConfirmError>> {
        Box::pin(async { Ok(evidence.iter().filter(|seen| seen.core_ref != "KNOWN").cloned().collect()) })
    }

    fn holding<'t>(&'t self, _tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<String>, ConfirmError>> {
        Box::pin(async { Ok(vec!["A1".to_owned()]) })
    }
}

#[tokio::test]
async fn confirmations_seen_in_the_shadow_take_effect_in_the_swap_and_weigh_the_new_balances() {
    let site = Site::open().await;
    let ledger = Arc::new(Ledger::default());
    let running = site.start_with("one", ledger.clone());
    halted(&site).await;
    ledger.told.lock().unwrap().clear();
    let fresh = site.core.under("fresh");
    open_generation(&site.db, "corebank", Some("fresh")).await.unwrap();
    fresh.snapshot_account("A1", 40);
    fresh.posting("A1", 1, "D", 10, "KNOWN");
    fresh.posting("A1", 2, "D", 10, "NEWS");
    filled(&site, 3).await;
    assert_eq!(*ledger.told.lock().unwrap(), [], "nothing is told while nobody reads it");
    // The swap fails as a whole until the journal takes all of it.
    ledger.failures.store(3, Ordering::SeqCst);
    fresh.heartbeat();
    site.until_booked("A1", 40).await;
    assert_eq!(ledger.failures.load(Ordering::SeqCst), 0);
    let told = ledger.told.lock().unwrap().clone();
    assert_eq!(told, [(vec!["NEWS".to_owned()], vec![], 40), (vec![], vec!["A1".to_owned()], 40)]);
    running.stop().await;
}

#[tokio::test]
async fn killed_at_any_time_the_rebuild_goes_on_to_its_swap() {
    let site = Site::open().await;
    let running = site.start("same");
    halted(&site).await;
    running.kill().await;
    let fresh = site.core.under("fresh");
    open_generation(&site.db, "corebank", Some("fresh")).await.unwrap();
    site.core.log.lock().unwrap().batch = 2;
    let total = 40;
    for n in 0..total {
        fresh.snapshot_account(&format!("A{}", n % 10), n);
    }
    for _ in 0..6 {
        let before = filling(&site.db, "corebank").await.unwrap().unwrap().status.events_applied;
        let running = site.start("same");
        wait_for("some progress", async || {
            let now = filling(&site.db, "corebank").await.unwrap().unwrap().status.events_applied;
            (now > before || now == total, now)
        })
        .await;
        running.kill().await;
        assert_eq!(site.booked("A1").await, Ok(1));
    }
    fresh.heartbeat();
    for _ in 0..50 {
        let running = site.start("same");
        tokio::task::yield_now().await;
        running.kill().await;
    }
    let running = site.start("same");
    site.until_booked("A1", 31).await;
    assert_eq!(site.booked("GHOST").await, Err(ReadError::NotFound));
    running.stop().await;
}

#[tokio::test]
async fn another_snapshot_into_topics_that_were_read_halts_and_names_the_way_on() {
    for loaded in [true, false] {
        let site = Site::open().await;
        let running = site.start("one");
        site.core.snapshot_row("A1", 1, "first");
        site.core.snapshot_row("GHOST", 1, if loaded { "last" } else { "true" });
        if loaded {
            site.core.heartbeat();
        }
        wait_for("the rows", async || {
            let status = site.status().await;
            (status.as_ref().is_some_and(|seen| seen.events_applied >= 2 && seen.loaded == loaded), status)
        })
        .await;
        // The process is another one by then.
        running.stop().await;
        let running = site.start("one");
        site.core.snapshot_row("A1", 2, if loaded { "true" } else { "first" });
        let reason = site.until_halted().await;
        assert!(reason.contains("another snapshot") && reason.contains("locum source rebuild"), "{reason}");
        assert_eq!(site.booked("A1").await, Ok(1));
        running.stop().await;
    }
    // An incremental one goes with the stream and may come at any time.
    let site = Site::open().await;
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.core.heartbeat();
    site.until_booked("A1", 1).await;
    site.core.snapshot_row("A1", 2, "incremental");
    site.until_booked("A1", 2).await;
    running.stop().await;
}
