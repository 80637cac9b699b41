//! References in rows of their own, which name the postings they are of.

use std::sync::Arc;

use read_model::*;
use serde_json::{Value as Json, json};

use crate::Hook;
use crate::support::*;

const LINKS: &str = "  links:
    key: [id]
    where: {void: false}
    links:
      operations: [transfer]
      core_ref: {column: text, find: start}
      table: postings
      postings: [{columns: [from_no, from_n]}, {columns: [to_no, to_n]}]
";
const OURS: &str = "LC0190A1B2C3D47E5F8091A2B3C4D5E6F7";

/// As [`MAPPING`], but postings carry no reference.
fn by_links() -> String {
    let (rows, _) = MAPPING.split_once("    # A posting that carries a reference of ours").unwrap();
    format!("{rows}{LINKS}")
}

/// A site whose core has a table of links, under each of these topic prefixes.
async fn site(prefixes: &[&str]) -> Site {
    let site = Site::open().await;
    for prefix in prefixes {
        let links = |partition| Partition { topic: format!("{prefix}.corebank.links"), partition };
        let mut log = site.core.log.lock().unwrap();
        log.partitions.extend([links(0), links(1)].map(|partition| (partition, Vec::new())));
    }
    site
}

fn link(id: i64, core_ref: &str, from: (&str, i64), to: Option<(&str, i64)>) -> Json {
    json!({"id": id, "text": format!("{core_ref} rent"), "from_no": from.0, "from_n": from.1, "to_no": to.map(|to| to.0),
        "to_n": to.map(|to| to.1), "void": false})
}

fn tell(core: &Core, row: Json) {
    core.event("links", "c", json!({"id": row["id"]}), Json::Null, row, "false");
}

/// What the journal was told: reference, leg, account, amount, number and row; each once.
fn told(hook: &Hook) -> Vec<String> {
    let seen = hook.seen.lock().unwrap();
    let one = |leg: &schemas::model::LegEvidence| {
        let (kind, no) = (leg.leg.as_str(), leg.posting_no.unwrap_or_default());
        format!("{} {kind} {} {} {no} {}", leg.core_ref, leg.account_id, leg.amount_minor, leg.row_key)
    };
    let mut told: Vec<String> = seen.iter().flat_map(|(evidence, _)| evidence).map(one).collect();
    told.sort();
    told.dedup();
    told
}

async fn until_told(hook: &Hook, expected: &[&str]) {
    wait_for("the evidence", async || {
        let told = told(hook);
        (told == expected, told)
    })
    .await;
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

#[tokio::test]
async fn a_link_and_the_postings_it_names_find_each_other_over_restarts() {
    let site = site(&["core"]).await;
    let (core, hook) = (&site.core, Arc::new(Hook::default()));
    let start = || site.start_mapped("one", hook.clone(), &by_links());
    let running = start();
    core.account("A1", 100, 0);
    core.account("B1", 0, 0);
    core.posting("A1", 1, "D", 10, "");
    until_listed(&site, "A1", 1).await;
    assert_eq!(told(&hook), [""; 0], "nobody knows whose it is");
    running.kill().await;

    let running = start();
    tell(core, link(1, OURS, ("A1", 1), Some(("B1", 1))));
    let debit = format!("{OURS} debit A1 -10 1 A1-1");
    until_told(&hook, &[&debit]).await;
    let accounts: Vec<String> = hook.seen.lock().unwrap().iter().flat_map(|(_, accounts)| accounts.clone()).collect();
    assert!(accounts.contains(&"A1".to_owned()), "its lane must be locked: {accounts:?}");
    running.kill().await;

    let running = start();
    core.posting("B1", 1, "C", 10, "");
    let credit = format!("{OURS} credit B1 10 1 B1-1");
    until_told(&hook, &[&credit, &debit]).await;
    // A posting has one link, and a text of another system is none.
    tell(core, link(2, &OURS.replace("LC01", "LC02"), ("A1", 1), None));
    tell(core, link(3, "INVOICE 7", ("A1", 1), Some(("B1", 1))));
    core.account("A2", 1, 1);
    site.until_booked("A2", 1).await;
    assert_eq!(told(&hook), [credit, debit]);
    assert_eq!(parked_events(&site.db, None, 10).await.unwrap(), []);
    running.stop().await;
}

#[tokio::test]
async fn a_posting_that_was_taken_back_before_its_link_came_was_booked_nevertheless() {
    let site = site(&["core"]).await;
    let (core, hook) = (&site.core, Arc::new(Hook::default()));
    let key = "    key: [account_no, posting_no]\n";
    let meant = by_links().replace(key, &format!("{key}    where: {{text: t}}\n"));
    let running = site.start_mapped("one", hook.clone(), &meant);
    core.account("A1", 100, 0);
    core.posting("A1", 1, "D", 10, "");
    until_listed(&site, "A1", 1).await;
    let mut taken_back = posting_row("A1", 1, "D", 10, "");
    taken_back["text"] = json!("taken back");
    core.event("postings", "u", json!({"account_no": "A1", "posting_no": 1}), Json::Null, taken_back, "false");
    until_listed(&site, "A1", 0).await;
    tell(core, link(1, OURS, ("A1", 1), None));
    until_told(&hook, &[&format!("{OURS} debit A1 -10 1 A1-1")]).await;
    // A link that is not meant confirms nothing.
    core.posting("A1", 2, "D", 10, "");
    let mut void = link(2, &OURS.replace("LC01", "LC02"), ("A1", 2), None);
    void["void"] = json!(true);
    tell(core, void);
    core.account("A2", 1, 1);
    site.until_booked("A2", 1).await;
    assert_eq!(told(&hook).len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_balance_of_an_account_with_an_unknown_debit_waits_for_the_link_not_for_the_number() {
    let site = site(&["core"]).await;
    let (core, hook) = (&site.core, Arc::new(Hook::default()));
    hook.without_numbers.lock().unwrap().insert("A1".into());
    let running = site.start_mapped("one", hook.clone(), &by_links());
    core.account("A1", 100, 4);
    site.until_booked("A1", 100).await;
    core.account("A1", 90, 5);
    core.posting("A1", 5, "D", 10, "");
    until_listed(&site, "A1", 1).await;
    core.account("A2", 1, 1);
    site.until_booked("A2", 1).await;
    assert_eq!(site.booked("A1").await, Ok(100), "5 may be ours, and its hold still counts");
    tell(core, link(1, OURS, ("A1", 5), None));
    until_told(&hook, &[&format!("{OURS} debit A1 -10 5 A1-5")]).await;
    hook.without_numbers.lock().unwrap().clear();
    core.heartbeat();
    site.until_booked("A1", 90).await;
    running.stop().await;
}

#[tokio::test]
async fn links_seen_in_the_shadow_tell_in_the_swap_and_after_it() {
    let site = site(&["core", "fresh"]).await;
    let hook = Arc::new(Hook::default());
    let running = site.start_mapped("one", hook.clone(), &by_links());
    site.core.account("A1", 1, 1);
    site.core.heartbeat();
    site.until_booked("A1", 1).await;
    let fresh = site.core.under("fresh");
    open_generation(&site.db, "corebank", Some("fresh")).await.unwrap();
    fresh.snapshot_account("A1", 40);
    tell(&fresh, link(1, OURS, ("A1", 1), Some(("B1", 1))));
    fresh.posting("A1", 1, "D", 10, "");
    wait_for("the shadow", async || {
        let seen = filling(&site.db, "corebank").await.unwrap().unwrap();
        (seen.served.is_some() && seen.status.events_applied == 3, seen)
    })
    .await;
    assert_eq!(told(&hook), [""; 0], "nothing is told while nobody reads it");
    fresh.heartbeat();
    site.until_booked("A1", 40).await;
    let debit = format!("{OURS} debit A1 -10 1 A1-1");
    assert_eq!(told(&hook), [debit.as_str()]);
    fresh.posting("B1", 1, "C", 10, "");
    until_told(&hook, &[&format!("{OURS} credit B1 10 1 B1-1"), &debit]).await;
    running.stop().await;
}
