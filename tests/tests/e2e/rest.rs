//! What must hold once everything has come to rest, and the verdict of a run.

use std::time::Duration;

use http::Method;
use locum_tests::checker::{self, Allowed, mutation};
use locum_tests::history::minor;
use locum_tests::wait::wait_for;
use locum_tests::world::{PATIENCE, World};
use serde_json::Value as Json;

/// Waits for the end of everything, judges the run, and commits every crime on its evidence to see it caught.
pub async fn judge(world: &World, limit: Duration, allowed: Allowed) {
    let mut evidence = world.evidence(limit).await;
    println!("submissions by status: {:?}; postings: {}", evidence.history.statuses(), evidence.books.postings.len());
    evidence.allowed = allowed;
    checker::assert_clean(&evidence);
    println!("caught when committed on this evidence: {:?}", mutation::assert_caught(&evidence));
}

/// Every entry ended and was confirmed by its own change event; nothing contradicts anything.
pub async fn all_confirmed(world: &World) {
    wait_for("every entry has ended and is confirmed", PATIENCE, async || {
        let replay = world.operate(0, Method::GET, "/admin/v1/replay", None).await;
        let posted = replay["by_state"]["posted"].as_i64().unwrap_or(0);
        let done = replay["open"] == 0 && posted == 0 && replay["contradicted"] == 0 && replay["breaks"] == 0;
        if done { Ok(()) } else { Err(replay.to_string()) }
    })
    .await;
}

/// On every instance each account shows the core's balance, no holds, and the core's postings; and what memory and Redis keep is
/// what SQL holds, by digest.
pub async fn same_as_the_core(world: &World) {
    let books = world.core.books().await;
    for locum in &world.locums {
        let mut http = locum.channel(locum_tests::world::CHANNEL);
        for (name, account) in &books.accounts {
            wait_for(&format!("{name} at rest on locum {}", locum.index), PATIENCE, async || {
                let answer = http.get(&format!("/v1/accounts/{name}/balances")).await?;
                let amount =
                    |member: &str| answer.body[member].as_str().and_then(|text| minor(text, &account.currency));
                let booked = Some(account.balance_minor);
                let rests = amount("booked") == booked && amount("pending") == Some(0) && amount("available") == booked;
                if rests { Ok(()) } else { Err(format!("{}, the core has {account:?}", answer.body)) }
            })
            .await;
        }
        let hot = books.accounts.iter().max_by_key(|(_, account)| account.last_posting);
        if let Some((name, _)) = hot {
            let mut shown = transactions(&mut http, name).await;
            let mut posted: Vec<_> = books.postings.iter().filter(|posting| &posting.account == name).collect();
            shown.sort_by_key(|row| row["posting_number"].as_i64());
            posted.sort_by_key(|posting| posting.number);
            assert_eq!(shown.len(), posted.len(), "transactions of {name} on locum {}", locum.index);
            for (row, posting) in shown.iter().zip(posted) {
                let amount = row["amount"].as_str().and_then(|text| minor(text, &posting.currency));
                let number = row["posting_number"].as_i64();
                assert_eq!(
                    (number, amount),
                    (Some(posting.number), Some(posting.effect_minor())),
                    "{row} is not {posting}"
                );
            }
        }
    }
    tiers_agree(world, books.accounts.len()).await;
}

/// After every account was read, so that a tier that had begun anew keeps something.
async fn tiers_agree(world: &World, accounts: usize) {
    for locum in &world.locums {
        wait_for(&format!("the tiers of locum {} agree", locum.index), PATIENCE, async || {
            let answer = locum.admin().get("/admin/v1/tiers").await?;
            let tiers = answer.body["tiers"].as_array().cloned().unwrap_or_default();
            let whole = |tier: &Json| tier["agrees"] == true && tier["sql"]["documents"] == accounts;
            let kept = tiers.iter().any(|tier| tier["tier"] == "redis" && tier["kept"]["documents"].as_u64() > Some(0));
            if tiers.len() == 2 && tiers.iter().all(whole) && kept { Ok(()) } else { Err(answer.body.to_string()) }
        })
        .await;
    }
}

/// Every page of an account's transactions.
async fn transactions(http: &mut locum_tests::client::Http, account: &str) -> Vec<Json> {
    let mut rows = Vec::new();
    let mut next = Some(format!("/v1/accounts/{account}/transactions?limit=200"));
    while let Some(path) = next {
        let page = http.get(&path).await.unwrap_or_else(|err| panic!("{path}: {err}"));
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        rows.extend(page.body["transactions"].as_array().cloned().unwrap_or_default());
        next = page.body["links"]["next"].as_str().map(str::to_owned);
    }
    rows
}
