//! The ledger under concurrency and under kill -9.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::support::{Core, Place, call, on_every_engine, transfer, transfer_but, wait_for};

fn minor(amount: &Json) -> i64 {
    amount.as_str().unwrap().replace('.', "").parse().unwrap()
}

/// Debits equal credits, numbers have no gaps, and every balance follows from its postings.
fn assert_sound(ledger: &Json, opening_minor: i64) {
    let mut moved: HashMap<&str, (i64, i64)> = HashMap::new();
    let mut total = 0;
    for row in ledger["postings"].as_array().unwrap() {
        let sign = if row["direction"] == "D" { -1 } else { 1 };
        let (balance, last) = moved.entry(row["account"].as_str().unwrap()).or_default();
        assert_eq!(row["number"], json!(*last + 1), "{row}");
        *last += 1;
        *balance += sign * minor(&row["amount"]);
        total += sign * minor(&row["amount"]);
    }
    assert_eq!(total, 0, "debits = credits");
    for account in ledger["accounts"].as_array().unwrap() {
        let (balance, last) = moved.get(account["account"].as_str().unwrap()).copied().unwrap_or_default();
        assert_eq!((minor(&account["balance"]), &account["last_posting"]), (opening_minor + balance, &json!(last)));
    }
}

#[tokio::test]
async fn concurrent_transfers_keep_debits_equal_to_credits_and_numbers_gapless() {
    on_every_engine(
        async |core: Core| {
            let posts = (0..80_u64).map(|n| {
                let mut body = transfer_but(&format!("R{n}"), "amount", &format!("{}.0{}", n % 7 + 1, n % 10));
                body["debit_account"] = json!(core_sim::account_no(n % 4));
                body["credit_account"] = json!(core_sim::account_no((n + 1 + n % 3) % 4));
                let core = &core;
                async move { core.post(&body).await.unwrap().0 }
            });
            let statuses = futures_util::future::join_all(posts).await;
            assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
            let ledger = core.ledger().await;
            assert_eq!(ledger["postings"].as_array().unwrap().len(), 160);
            assert_sound(&ledger, 100_000);
        },
        &["--request-lifetime-ms", "60000"],
    )
    .await;
}

#[tokio::test]
async fn an_account_never_goes_below_its_overdraft_under_concurrency() {
    on_every_engine(
        async |core: Core| {
            let posts = (0..20).map(|n| {
                let (core, body) = (&core, transfer_but(&format!("R{n}"), "amount", "100.00"));
                async move { core.post(&body).await.unwrap().0 }
            });
            let statuses = futures_util::future::join_all(posts).await;
            assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 12, "1000.00 and 250.00 beyond");
            assert_sound(&core.ledger().await, 100_000);
        },
        &["--overdraft", "250", "--request-lifetime-ms", "60000"],
    )
    .await;
}

#[tokio::test]
async fn what_a_branch_keys_needs_no_reference_and_is_found_by_one() {
    on_every_engine(
        async |core: Core| {
            let mut body = transfer("B1");
            assert_eq!(call(&core.control, "POST", "/branch-posting", &body.to_string()).await.unwrap().0, 201);
            body.as_object_mut().unwrap().remove("reference");
            for _ in 0..2 {
                assert_eq!(call(&core.control, "POST", "/branch-posting", &body.to_string()).await.unwrap().0, 201);
            }
            assert_eq!(core.enquire("B1").await.0, 200);
            assert_sound(&core.ledger().await, 100_000);
        },
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_core_told_to_die_dies_at_once_and_keeps_its_books() {
    for place in [Some(Place::embedded()), Place::served()].into_iter().flatten() {
        let mut core = Core::start(&place, &[]).await;
        assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);
        assert!(call(&core.control, "POST", "/kill", "").await.is_err());
        assert_eq!(core.wait().code(), Some(137));
        let core = Core::start(&place, &[]).await;
        assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 200, "the reference is still known");
        let ledger = core.ledger().await;
        assert_eq!(ledger["accounts"].as_array().unwrap().len(), 4);
        assert_sound(&ledger, 100_000);
        drop(core);
        place.remove().await;
    }
}

#[tokio::test]
async fn seeding_that_was_killed_half_way_is_completed_by_the_next_start() {
    const ACCOUNTS: u64 = 30_000;
    let wanted = ACCOUNTS.to_string();
    for place in [Some(Place::embedded()), Place::served()].into_iter().flatten() {
        let mut child = Core::launch(&place, &["--accounts", &wanted]);
        let db = sql::Db::open(&place.database, sql::Options::default()).await.unwrap();
        let some = async || {
            let rows = db.query("SELECT COUNT(*) AS present FROM accounts", vec![]).await.ok()?;
            rows[0].get::<u64>("present").ok().filter(|present| *present > 0)
        };
        wait_for("the first accounts", some).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let present = some().await.unwrap();
        assert!(present < ACCOUNTS && present.is_multiple_of(1000), "{present} were there at the kill");

        let mut core = Core::start(&place, &["--accounts", &wanted]).await;
        core.kill();
        assert_eq!(some().await, Some(ACCOUNTS));
        if place.database.starts_with("sqlite:") {
            let sql = "SELECT COUNT(*) AS n FROM change_log WHERE topic = 'core.corebank.accounts'";
            assert_eq!(db.query(sql, vec![]).await.unwrap()[0].get::<u64>("n"), Ok(ACCOUNTS));
        }
        db.close().await;
        place.remove().await;
    }
}
