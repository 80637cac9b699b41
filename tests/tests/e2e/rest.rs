//! What must hold once everything has come to rest, and the verdict of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use locum_tests::checker;
use locum_tests::checker::mutation::{self, Mutation};
use locum_tests::client::Http;
use locum_tests::history::{Books, Posting, minor};
use locum_tests::wait::wait_for;
use locum_tests::world::{CHANNEL, PATIENCE, World};
use serde_json::Value as Json;

/// Waits for the end of everything, judges the run, and commits every crime on its evidence to see it caught; returns those it
/// gave occasion to.
pub async fn judge(world: &World, limit: Duration) -> Vec<Mutation> {
    let evidence = world.evidence(limit).await;
    println!("submissions by status: {:?}; postings: {}", evidence.history.statuses(), evidence.books.postings.len());
    let slow = evidence.history.slow.iter().map(|slow| Duration::from_nanos(slow.until - slow.from));
    println!("the store kept everybody waiting: {:?}", slow.collect::<Vec<_>>());
    checker::assert_clean(&evidence);
    let caught = mutation::assert_caught(&evidence);
    println!("caught when committed on this evidence: {caught:?}");
    caught
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
        let mut http = locum.channel(CHANNEL);
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
        same_transactions(&mut http, &books, locum.index).await;
    }
    tiers_agree(world, &books).await;
}

/// Each account shows exactly the core's postings, as the core has them.
async fn same_transactions(http: &mut Http, books: &Books, instance: usize) {
    let mut postings: BTreeMap<&str, Vec<&Posting>> = BTreeMap::new();
    books.postings.iter().for_each(|posting| postings.entry(&posting.account).or_default().push(posting));
    for name in books.accounts.keys() {
        let mut shown = transactions(http, name).await;
        let mut posted = postings.remove(name.as_str()).unwrap_or_default();
        shown.sort_by_key(|row| row["posting_number"].as_i64());
        posted.sort_by_key(|posting| posting.number);
        assert_eq!(shown.len(), posted.len(), "transactions of {name} on locum {instance}");
        for (row, posting) in shown.iter().zip(posted) {
            let text = |member: &str| row[member].as_str();
            let seen = (text("account_id"), row["posting_number"].as_i64(), text("core_reference"), text("currency"));
            let expected = (&*posting.account, posting.number, posting.core_ref.as_deref(), &*posting.currency);
            assert_eq!(seen, (Some(expected.0), Some(expected.1), expected.2, Some(expected.3)), "{row}: {posting}");
            let amount = text("amount").and_then(|amount| minor(amount, &posting.currency));
            assert_eq!(amount, Some(posting.effect_minor()), "{row} is not {posting}");
            assert_eq!(text("value_date"), Some(&*posting.value_date), "{row} is not {posting}");
            assert_eq!(text("remittance").unwrap_or(""), posting.text, "{row} is not {posting}");
        }
    }
    assert!(postings.is_empty(), "the core has postings of accounts it does not have: {:?}", postings.keys());
}

/// Every account is read before each look: a tier that has begun anew keeps only what was asked for since.
async fn tiers_agree(world: &World, books: &Books) {
    wait_for("the tiers agree", PATIENCE, async || {
        let mut in_memory = 0;
        for locum in &world.locums {
            let mut http = locum.channel(CHANNEL);
            for name in books.accounts.keys() {
                http.get(&format!("/v1/accounts/{name}/balances")).await?;
            }
            let answer = locum.admin().get("/admin/v1/tiers").await?;
            let tiers = answer.body["tiers"].as_array().cloned().unwrap_or_default();
            let whole = |tier: &Json| tier["agrees"] == true && tier["sql"]["documents"] == books.accounts.len();
            let kept = |name: &str| {
                let tier = tiers.iter().find(|tier| tier["tier"] == name);
                tier.and_then(|tier| tier["kept"]["documents"].as_u64()).unwrap_or(0)
            };
            if tiers.len() != 2 || !tiers.iter().all(whole) || kept("redis") == 0 {
                return Err(format!("locum {}: {}", locum.index, answer.body));
            }
            in_memory += kept("memory");
        }
        if in_memory > 0 { Ok(()) } else { Err("no instance has anything in memory".to_owned()) }
    })
    .await;
}

/// Every page of an account's transactions.
async fn transactions(http: &mut Http, account: &str) -> Vec<Json> {
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
