//! What the core refused, as rows of its commands tell.

use std::sync::{Arc, Mutex};

use ingest::{Confirm, ConfirmError};
use read_model::*;
use schemas::model::{LegEvidence, Refusal};
use serde_json::{Value as Json, json};
use sql::{BoxFuture, Tx};

use crate::support::*;

const COMMANDS: &str = "  commands:
    key: [id]
    where: {status: 5}
    refusals:
      operations: [transfer]
      core_ref: reference
      code: {column: result, json: /errors/0/code}
";

/// A journal that notes what it is told was refused; `KNOWN` it has refused already.
#[derive(Default)]
struct Refusing(Mutex<Vec<(String, String)>>);

impl Confirm for Refusing {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _evidence: &'t [LegEvidence],
        refusals: &'t [Refusal],
        _accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        let told = refusals.iter().map(|refusal| (refusal.core_ref.clone(), refusal.code.clone()));
        self.0.lock().unwrap().extend(told);
        Box::pin(async { Ok(()) })
    }

    fn unrefused<'t>(
        &'t self,
        _tx: &'t mut Tx,
        refusals: &'t [Refusal],
    ) -> BoxFuture<'t, Result<Vec<Refusal>, ConfirmError>> {
        Box::pin(async { Ok(refusals.iter().filter(|refusal| refusal.core_ref != "KNOWN").cloned().collect()) })
    }
}

async fn site() -> Site {
    let site = Site::open().await;
    for prefix in ["core", "fresh"] {
        let commands = |partition| Partition { topic: format!("{prefix}.corebank.commands"), partition };
        let mut log = site.core.log.lock().unwrap();
        log.partitions.extend([commands(0), commands(1)].map(|partition| (partition, Vec::new())));
    }
    site
}

fn command(core: &Core, id: i64, reference: &str, status: i64) {
    let result = json!({"errors": [{"code": "funds"}]}).to_string();
    let row = json!({"id": id, "reference": reference, "status": status, "result": result});
    core.event("commands", "u", json!({"id": id}), Json::Null, row, "false");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_transaction_of_its_row_or_in_the_swap() {
    let (site, refusing) = (site().await, Arc::new(Refusing::default()));
    let running = site.start_mapped("one", refusing.clone(), &format!("{MAPPING}{COMMANDS}"));
    command(&site.core, 1, "R1", 4);
    command(&site.core, 1, "R1", 5);
    command(&site.core, 2, "R2", 1);
    site.core.account("A1", 1, 1);
    site.core.heartbeat();
    site.until_booked("A1", 1).await;
    let funds = |reference: &str| (reference.to_owned(), "funds".to_owned());
    wait_for("the refusal", async || {
        let told = refusing.0.lock().unwrap().clone();
        (told == [funds("R1")], told)
    })
    .await;

    let fresh = site.core.under("fresh");
    open_generation(&site.db, "corebank", Some("fresh")).await.unwrap();
    fresh.snapshot_account("A1", 40);
    command(&fresh, 1, "KNOWN", 5);
    command(&fresh, 3, "NEWS", 5);
    wait_for("the shadow", async || {
        let seen = filling(&site.db, "corebank").await.unwrap().unwrap();
        (seen.served.is_some() && seen.status.events_applied == 3, seen)
    })
    .await;
    assert_eq!(refusing.0.lock().unwrap().len(), 1, "nothing is told while nobody reads it");
    fresh.heartbeat();
    site.until_booked("A1", 40).await;
    assert_eq!(*refusing.0.lock().unwrap(), [funds("R1"), funds("NEWS")]);
    assert_eq!(parked_events(&site.db, None, 10).await.unwrap(), []);
    running.stop().await;
}
