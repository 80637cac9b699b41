//! The ingester against a core in memory.
#![allow(missing_docs)]

#[path = "ingest/accounts.rs"]
mod accounts;
#[path = "ingest/change_log.rs"]
mod change_log;
#[path = "ingest/generations.rs"]
mod generations;
#[path = "ingest/known.rs"]
mod known;
#[path = "ingest/lanes.rs"]
mod lanes;
#[path = "ingest/links.rs"]
mod links;
#[path = "ingest/parts.rs"]
mod parts;
#[path = "ingest/refusals.rs"]
mod refusals;
mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ingest::{Confirm, ConfirmError, Preparer, RawRecord};
use read_model::*;
use schemas::model::{LegEvidence, Refusal};
use sql::{BoxFuture, Tx};
use support::*;

#[tokio::test]
async fn rows_become_readable_and_absence_waits_for_the_first_load() {
    let site = Site::open().await;
    site.core.snapshot_account("A1", 100);
    let running = site.start("one");
    site.until_booked("A1", 100).await;
    assert!(matches!(site.booked("nobody").await, Err(ReadError::NotLoaded { .. })));
    let quality = |read: Read<_>| -> Quality {
        let _: &Arc<AccountDocument> = &read.value;
        read.freshness[0].quality
    };
    let read = site.reader.account(&Grant::Any, "A1", &Floor::none()).await.unwrap();
    assert_eq!(quality(read), Quality::Unknown, "no heartbeat yet");
    site.core.heartbeat();
    wait_for("loaded", async || {
        let seen = site.booked("nobody").await;
        (seen == Err(ReadError::NotFound), seen)
    })
    .await;
    let read = site.reader.account(&Grant::Any, "A1", &Floor::none()).await.unwrap();
    assert_eq!(quality(read), Quality::Ok);
    site.core.account("A1", 250, 1);
    site.until_booked("A1", 250).await;
    site.core.delete_account("A1");
    wait_for("delete", async || {
        let seen = site.booked("A1").await;
        (seen == Err(ReadError::NotFound), seen)
    })
    .await;
    running.stop().await;
}

async fn quality(site: &Site, no: &str) -> Quality {
    site.reader.account(&Grant::Any, no, &Floor::none()).await.unwrap().freshness[0].quality
}

async fn until_parked(site: &Site, count: usize) {
    wait_for("parked", async || {
        let parked = parked_events(&site.db, None, 10).await.unwrap();
        (parked.len() == count, parked)
    })
    .await;
}

#[tokio::test]
async fn a_poison_event_is_parked_and_a_later_whole_row_of_its_key_ends_the_doubt() {
    let site = Site::open().await;
    let running = site.start("one");
    ["A1", "A2"].into_iter().for_each(|no| site.core.snapshot_account(no, 1));
    site.core.heartbeat();
    site.until_booked("A1", 1).await;
    site.core.poison("A1");
    site.core.account("A2", 5, 1);
    site.until_booked("A2", 5).await;
    until_parked(&site, 1).await;
    assert_eq!((quality(&site, "A1").await, site.booked("A1").await), (Quality::Degraded, Ok(1)));
    assert_eq!(quality(&site, "A2").await, Quality::Ok);
    // The queue is remembered across a restart, and two poisonous events are one row's.
    running.kill().await;
    let running = site.start("one");
    site.core.poison("A1");
    until_parked(&site, 2).await;
    site.core.account("A1", 778, 3);
    site.until_booked("A1", 778).await;
    assert_eq!(quality(&site, "A1").await, Quality::Ok);
    assert_eq!(parked_events(&site.db, None, 10).await.unwrap(), []);
    // The fast tier has it again, too.
    wait_for("memory", async || {
        let read = site.reader.account(&Grant::Any, "A1", &Floor::none()).await.unwrap();
        (read.tier == Tier::Memory && read.freshness[0].quality == Quality::Ok, read.tier)
    })
    .await;
    // The row is an ordinary one again: another poisonous event makes it doubtful anew.
    site.core.poison("A1");
    until_parked(&site, 1).await;
    assert_eq!(quality(&site, "A1").await, Quality::Degraded);
    running.stop().await;
}

#[tokio::test]
async fn a_feed_whose_thread_is_gone_is_followed_by_another_one_from_the_offsets_in_sql() {
    let site = Site::open().await;
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.until_booked("A1", 1).await;
    let places = read_model::places(&site.db, "corebank").await.unwrap();
    let reached = places.iter().map(|(_, place)| place.next).sum::<i64>();
    assert!(reached > 0, "{places:?}");
    site.core.end_feed();
    site.core.account("A1", 2, 2);
    site.until_booked("A1", 2).await;
    let last = site.core.log.lock().unwrap().assigned.last().cloned().unwrap_or_default();
    let begun = last.iter().map(|(_, place)| place.next).sum::<i64>();
    assert!(begun >= reached, "the new feed goes on from SQL: {last:?}");
    running.stop().await;
}

#[tokio::test]
async fn postings_wait_behind_a_parked_event_of_their_key() {
    let site = Site::open().await;
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.core.poison_row("postings", serde_json::json!({"account_no": "A1", "posting_no": 7}));
    site.core.posting("A1", 7, "D", 10, "");
    site.core.posting("A1", 8, "D", 10, "");
    until_parked(&site, 2).await;
    site.core.heartbeat();
    wait_for("the load", async || {
        let loaded = site.status().await.is_some_and(|status| status.loaded && status.as_of_ms.is_some());
        (loaded, loaded)
    })
    .await;
    let (all, none) = (TransactionFilter::default(), Floor::none());
    let page = site.reader.transactions(&Grant::Any, "A1", &all, &none).await.unwrap();
    assert_eq!(page.value.transactions.iter().map(|t| t.row.posting_no).collect::<Vec<_>>(), [Some(8)]);
    assert_eq!(page.freshness[0].quality, Quality::Degraded);
    running.stop().await;
}

#[tokio::test]
async fn ordered_events_are_tried_again_in_order_and_confirm_as_live_ones_do() {
    let site = Site::open().await;
    let hook = Arc::new(Hook::default());
    let strange = MAPPING.replace("{D: debit", "{X: debit");
    assert_ne!(strange, MAPPING, "a mapping that does not know the code of a debit");
    let running = site.start_mapped("one", hook.clone(), &strange);
    site.core.account("A1", 100, 1);
    site.core.posting("A1", 2, "D", 10, "REF1");
    site.core.posting("A1", 2, "D", 10, "REF1");
    site.core.posting("A1", 3, "?", 10, "");
    site.core.heartbeat();
    until_parked(&site, 3).await;
    let retry = async |which| order_parked(&site.db, "corebank", &which, ParkedOrder::Retry).await.unwrap();
    // Nothing was mended: the first fails again and the one behind it waits on.
    let first = parked_events(&site.db, None, 10).await.unwrap().remove(0);
    let first = ParkedRef { partition: first.partition, offset: first.offset };
    assert_eq!(retry(WhichParked::One(first)).await, 1);
    let done = async || parked_events(&site.db, None, 10).await.unwrap().iter().all(|event| !event.ordered);
    wait_for("the order to be done with", async || (done().await, ())).await;
    until_parked(&site, 3).await;
    running.stop().await;
    assert!(hook.seen.lock().unwrap().iter().all(|(evidence, _)| evidence.is_empty()));

    let running = site.start_with("one", hook.clone());
    assert_eq!(retry(WhichParked::All).await, 3);
    until_parked(&site, 1).await;
    wait_for("the order to be done with", async || (done().await, ())).await;
    assert_eq!(quality(&site, "A1").await, Quality::Degraded, "one of its postings is parked still");
    let told: Vec<String> = {
        let seen = hook.seen.lock().unwrap();
        seen.iter().flat_map(|(evidence, _)| evidence).map(|seen| seen.core_ref.clone()).collect()
    };
    assert_eq!(told, ["REF1", "REF1"], "one queue, one transaction");
    let page = site.reader.transactions(&Grant::Any, "A1", &TransactionFilter::default(), &Floor::none()).await;
    assert_eq!(page.unwrap().value.transactions.len(), 1);
    // The other one will never be good.
    let left = parked_events(&site.db, Some("corebank"), 10).await.unwrap().remove(0);
    let discard = WhichParked::Reason(left.reason.clone());
    assert_eq!(order_parked(&site.db, "corebank", &discard, ParkedOrder::Discard).await.unwrap(), 1);
    until_parked(&site, 0).await;
    assert_eq!(quality(&site, "A1").await, Quality::Ok);
    // Its key is an ordinary one again.
    site.core.posting("A1", 3, "D", 5, "");
    wait_for("the posting", async || {
        let page = site.reader.transactions(&Grant::Any, "A1", &TransactionFilter::default(), &Floor::none()).await;
        let count = page.unwrap().value.transactions.len();
        (count == 2, count)
    })
    .await;
    running.stop().await;
}

#[test]
fn the_place_of_a_parked_event_reads_back_as_it_is_written() {
    for text in ["core.bank.accounts/0@7", "a/b/12@0"] {
        assert_eq!(text.parse::<ParkedRef>().unwrap().to_string(), text);
    }
    for text in ["", "t/0", "t@7", "t/x@7", "t/0@x"] {
        assert_eq!(text.parse::<ParkedRef>(), Err(NoParkedRef), "{text}");
    }
}

/// An update of account A1 at this place of the log.
fn row_at(offset: i64, pos: i64, text: &str) -> RawRecord {
    let mut record = update(pos, 1, 1);
    record.offset = offset;
    let value =
        String::from_utf8(record.value.unwrap()).unwrap().replace(r#""ccy":"EUR""#, &format!(r#""ccy":{text}"#));
    RawRecord { value: Some(value.into()), ..record }
}

#[test]
fn only_a_later_row_that_says_as_much_heals_a_parked_key() {
    let prepare = |records: &[RawRecord]| {
        let mut preparer = Preparer::new(mapping(), 1, None, Default::default());
        let prepared = preparer.prepare(records, &HashMap::new());
        (prepared.healed.len(), prepared.parked.len(), prepared.changes.len())
    };
    let (good, bad) = (r#""EUR""#, r#""nothing""#);
    assert_eq!(prepare(&[row_at(0, 5, bad), row_at(1, 6, good)]), (1, 0, 2));
    // An event sent again is older than what is parked, also when that could not be read.
    assert_eq!(prepare(&[row_at(0, 5, bad), row_at(1, 4, good)]), (0, 2, 0));
    let key = r#"{"account_no":"A1"}"#;
    let garbage = |offset| RawRecord { offset, ..record("core.corebank.accounts", offset, 1, key, "{") };
    assert_eq!(prepare(&[row_at(0, 4, good), garbage(1), row_at(2, 4, good)]), (0, 2, 2));
    assert_eq!(prepare(&[row_at(0, 4, good), garbage(1), row_at(2, 5, good)]), (1, 0, 4));
    // Not whole itself, and then whole.
    assert_eq!(prepare(&[row_at(0, 5, bad), row_at(1, 6, bad), row_at(2, 7, good)]), (1, 0, 2));
    // What is parked may have touched more than this row.
    let nameless = RawRecord { key: None, ..garbage(0) };
    assert_eq!(prepare(&[nameless, row_at(1, 5, good)]), (0, 1, 2));
}

#[tokio::test]
async fn an_event_of_an_impossible_time_is_parked_and_stops_nothing() {
    let site = Site::open().await;
    let running = site.start("one");
    for (n, made_ms) in [i64::MIN, -1, i64::MAX].into_iter().enumerate() {
        site.core.account_made_at(made_ms, &format!("B{n}"), 1, 1);
    }
    site.core.account("A1", 5, 1);
    site.core.heartbeat();
    site.until_booked("A1", 5).await;
    wait_for("parked", async || {
        let parked = parked_events(&site.db, None, 10).await.unwrap();
        (parked.len() == 3 && parked.iter().all(|event| event.reason.contains("source.ts_ms")), parked)
    })
    .await;
    running.stop().await;
}

/// As [`MAPPING`], but a posting's key does not say whose it is.
fn postings_with_keys_of_their_own() -> Arc<schemas::mapping::Mapping> {
    let mapping = MAPPING
        .replace("key: [account_no, posting_no]", "key: [posting_no]")
        .replace("transaction_id: {columns: [account_no, posting_no]}", "transaction_id: posting_no");
    Arc::new(schemas::mapping::Mapping::from_yaml(&mapping).unwrap())
}

fn record(topic: &str, offset: i64, timestamp_ms: i64, key: &str, value: &str) -> RawRecord {
    RawRecord {
        topic: topic.into(),
        partition: Arc::new(Partition { topic: topic.into(), partition: 0 }),
        offset,
        timestamp_ms: Some(timestamp_ms),
        key: Some(key.into()),
        value: Some(value.into()),
    }
}

#[test]
fn a_posting_that_does_not_tell_its_account_makes_every_account_doubtful() {
    let mut preparer = Preparer::new(postings_with_keys_of_their_own(), 1, None, Default::default());
    let poison = record("core.corebank.postings", 0, 1, r#"{"posting_no":7}"#, "{");
    let prepared = preparer.prepare(&[poison], &HashMap::new());
    assert_eq!((prepared.parked.len(), &prepared.parked[0].touches), (1, &vec![]));
    assert_eq!(prepared.doubtful_accounts(), None);
}

/// An update of an account, made and sent at these times.
fn update(offset: i64, sent_ms: i64, made_ms: i64) -> RawRecord {
    let row = account_row("A1", 1, offset);
    let value = serde_json::json!({"before": row, "after": row, "op": "u", "source": {"connector": "mariadb",
        "name": "core", "ts_ms": made_ms, "snapshot": "false", "db": "corebank", "table": "accounts", "server_id": 1,
        "gtid": null, "file": "bin.000001", "pos": offset, "row": 0}});
    record("core.corebank.accounts", offset, sent_ms, r#"{"account_no":"A1"}"#, &value.to_string())
}

#[test]
fn the_newest_event_of_a_batch_says_how_late_the_connector_is_not_the_last() {
    let mut preparer = Preparer::new(mapping(), 1, None, Default::default());
    let records = [update(0, 100_000, 99_990), update(1, 100_000, 40_000), update(2, 50_000, 49_900)];
    let prepared = preparer.prepare(&records, &HashMap::new());
    assert_eq!(prepared.signs.event, Some((100_000, 40_000)));
}

#[test]
fn only_the_heartbeat_topic_tells_the_time() {
    for (topic, heartbeat_ms, parked) in
        [("core.corebank.accounts", None, 1), ("__debezium-heartbeat.core", Some(7), 0)]
    {
        let mut preparer = Preparer::new(mapping(), 1, None, Default::default());
        let beat = record(topic, 0, 1, r#"{"account_no":"A1"}"#, r#"{"ts_ms":7}"#);
        let prepared = preparer.prepare(&[beat], &HashMap::new());
        assert_eq!((prepared.signs.heartbeat_ms, prepared.parked.len()), (heartbeat_ms, parked), "{topic}");
        assert_eq!(prepared.signs.snapshot_over, heartbeat_ms.is_some());
    }
}

#[tokio::test]
async fn a_connector_whose_clock_is_ahead_does_not_make_data_younger() {
    let site = Site::open().await;
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.core.heartbeat_at(now_ms() + 3_600_000);
    wait_for("a time", async || {
        let as_of_ms = site.status().await.and_then(|status| status.as_of_ms);
        (as_of_ms.is_some(), as_of_ms)
    })
    .await;
    let as_of_ms = site.status().await.unwrap().as_of_ms.unwrap();
    assert!(as_of_ms <= now_ms(), "{as_of_ms}");
    running.kill().await;
    // What an earlier release may have left is not believed either.
    let future = sql::params![now_ms() + 3_600_000];
    site.db.exec("UPDATE sources SET as_of_ms = ?", future).await.unwrap();
    let running = site.start("one");
    site.core.heartbeat();
    wait_for("today", async || {
        let as_of_ms = site.status().await.and_then(|status| status.as_of_ms);
        (as_of_ms.is_some_and(|ms| ms <= now_ms()), as_of_ms)
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn many_events_behind_one_parked_event_stop_nothing_else() {
    let site = Site::open().await;
    site.core.poison("HOT");
    (1..=3 * i64::from(ingest::PARKED_IN_A_ROW_MAX)).for_each(|n| site.core.account("HOT", n, n));
    site.core.account("A1", 1, 1);
    site.core.account("A2", 1, 1);
    let running = site.start("one");
    site.until_booked("A1", 1).await;
    site.until_booked("A2", 1).await;
    assert_eq!(site.status().await.unwrap().halted, None);
    running.stop().await;
}

#[tokio::test]
async fn a_batch_that_the_store_refuses_for_good_halts_the_source() {
    let site = Site::open().await;
    let hook = Arc::new(Hook::default());
    hook.refuses.store(true, Ordering::SeqCst);
    let running = site.start_with("one", hook.clone());
    site.core.account("A1", 1, 1);
    let reason = site.until_halted().await;
    assert!(reason.contains("refused") && reason.contains("1406"), "{reason}");
    hook.refuses.store(false, Ordering::SeqCst);
    assert!(resume(&site.db, "corebank").await.unwrap());
    site.until_booked("A1", 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_table_whose_beginning_is_gone_is_not_begun_in_the_middle() {
    let site = Site::open().await;
    for topic in ["__debezium-heartbeat.core", "core.transaction"] {
        let partition = Partition { topic: topic.into(), partition: 0 };
        let mut log = site.core.log.lock().unwrap();
        log.partitions.entry(partition.clone()).or_default();
        log.lows.insert(partition, 70);
    }
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.until_booked("A1", 1).await;
    running.stop().await;

    let site = Site::open().await;
    site.core.log.lock().unwrap().lows.insert(partition("postings", 1), 3);
    let running = site.start("one");
    let reason = site.until_halted().await;
    assert!(reason.contains("core.corebank.postings/1: begins at offset 3"), "{reason}");
    assert!(reason.contains("snapshot"), "{reason}");
    assert!(!offsets(&site.db, "corebank").await.unwrap().iter().any(|(p, _)| p.topic.ends_with("postings")));
    running.stop().await;
}

#[tokio::test]
async fn when_everything_is_poison_the_source_stops_instead() {
    let site = Site::open().await;
    // Over two partitions, so that each has more than enough.
    (0..3 * ingest::PARKED_IN_A_ROW_MAX).for_each(|n| site.core.poison(&format!("P{n}")));
    site.core.account("A1", 1, 1);
    let running = site.start("one");
    assert!(site.until_halted().await.contains("in a row parked"));
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_followed_halts_the_source_and_keeps_serving() {
    for case in ["truncate", "identity", "lost"] {
        let site = Site::open().await;
        let running = site.start("one");
        site.core.account("A1", 1, 1);
        site.core.heartbeat();
        site.until_booked("A1", 1).await;
        let wanted = match case {
            "truncate" => {
                site.core.truncate();
                "truncated"
            }
            "identity" => {
                site.core.log_name.store(9, Ordering::SeqCst);
                site.core.account("A1", 2, 2);
                "changed its identity from bin1 to bin9"
            }
            _ => {
                site.core.lose("retention passed offset 7");
                "retention passed"
            }
        };
        let reason = site.until_halted().await;
        assert!(reason.contains(wanted), "{case}: {reason}");
        assert_eq!(site.booked("A1").await, Ok(1), "{case}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_halted_source_goes_on_from_its_offsets_when_resumed() {
    let site = Site::open().await;
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.until_booked("A1", 1).await;
    site.core.lose("broker says so");
    site.until_halted().await;
    site.core.account("A1", 2, 2);
    assert!(resume(&site.db, "corebank").await.unwrap());
    site.until_booked("A1", 2).await;
    running.stop().await;
}

#[tokio::test]
async fn repeated_records_and_small_batches_change_nothing() {
    let site = Site::open().await;
    {
        let mut log = site.core.log.lock().unwrap();
        (log.batch, log.repeat) = (3, 4);
    }
    for n in 1..40 {
        site.core.account(&format!("A{}", n % 5), n, n);
    }
    site.core.heartbeat();
    let running = site.start("one");
    for no in 0..5 {
        site.until_booked(&format!("A{no}"), (1..40).rev().find(|n| n % 5 == no).unwrap()).await;
    }
    for (partition, next) in offsets(&site.db, "corebank").await.unwrap() {
        let log = site.core.log.lock().unwrap();
        assert!(next <= log.partitions[&partition].len() as i64);
    }
    let comparison = compare(&site.reader, Tier::Memory).await.unwrap();
    assert_eq!(comparison.shared, comparison.tier);
    running.stop().await;
}

#[tokio::test]
async fn killed_at_any_time_it_goes_on_where_sql_says() {
    let site = Site::open().await;
    site.core.log.lock().unwrap().batch = 2;
    let total = 60;
    for n in 1..=total {
        site.core.account(&format!("A{}", n % 3), n, n);
    }
    for _ in 0..8 {
        let before = site.status().await.map_or(0, |status| status.applied_seq);
        let running = site.start("same");
        wait_for("some progress", async || {
            let (seq, events) = site.status().await.map_or((0, 0), |s| (s.applied_seq, s.events_applied));
            (seq > before || events == total, seq)
        })
        .await;
        running.kill().await;
    }
    let running = site.start("same");
    for no in 0..3 {
        site.until_booked(&format!("A{no}"), (1..=total).rev().find(|n| n % 3 == no).unwrap()).await;
    }
    let applied = site.status().await.unwrap().events_applied;
    assert_eq!(applied, total, "every event once");
    running.stop().await;
}

#[tokio::test]
async fn one_leads_and_the_other_takes_over_when_it_dies() {
    let site = Site::open().await;
    let first = site.start("first");
    site.core.account("A1", 1, 1);
    site.until_booked("A1", 1).await;
    let second = site.start("second");
    site.core.account("A1", 2, 2);
    site.until_booked("A1", 2).await;
    let token = site.status().await.unwrap().token;
    first.kill().await;
    site.core.account("A1", 3, 3);
    site.until_booked("A1", 3).await;
    assert!(site.status().await.unwrap().token > token);
    second.stop().await;
    assert!(take(&site.db, "corebank", "x", std::time::Duration::ZERO).await.unwrap().is_some(), "given back");
}

#[derive(Default)]
struct Hook {
    failures: AtomicU32,
    refuses: AtomicBool,
    seen: Mutex<Vec<(Vec<LegEvidence>, Vec<String>)>>,
    /// Accounts with a debit whose posting number is not known.
    without_numbers: Mutex<BTreeSet<String>>,
}

impl Confirm for Hook {
    fn confirm<'t>(
        &'t self,
        _tx: &'t mut Tx,
        evidence: &'t [LegEvidence],
        _refusals: &'t [Refusal],
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<(), ConfirmError>> {
        Box::pin(async move {
            if self.refuses.load(Ordering::SeqCst) {
                let (reason, statement) = ("Data too long for column".into(), "UPDATE entries".into());
                return Err(sql::Error::Statement { code: 1406, reason, statement }.into());
            }
            if self.failures.load(Ordering::SeqCst) > 0 {
                self.failures.fetch_sub(1, Ordering::SeqCst);
                return Err(ConfirmError::Other("not today".into()));
            }
            self.seen.lock().unwrap().push((evidence.to_vec(), accounts.to_vec()));
            Ok(())
        })
    }

    fn without_numbers<'t>(
        &'t self,
        _tx: &'t mut Tx,
        accounts: &'t [String],
    ) -> BoxFuture<'t, Result<BTreeSet<String>, ConfirmError>> {
        let unknown = self.without_numbers.lock().unwrap().clone();
        Box::pin(async move { Ok(accounts.iter().filter(|account| unknown.contains(*account)).cloned().collect()) })
    }

    fn serves(&self, last_posting: i64, seen: i64) -> bool {
        seen >= last_posting
    }
}

#[tokio::test]
async fn confirmations_are_told_every_account_concerned_and_fail_the_whole_batch() {
    let site = Site::open().await;
    let hook = Arc::new(Hook::default());
    let running = site.start_with("one", hook.clone());
    site.core.account("A1", 90, 1);
    site.until_booked("A1", 90).await;
    hook.failures.store(3, Ordering::SeqCst);
    site.core.posting("A1", 1, "D", 10, "REF1");
    let reader = &site.reader;
    wait_for("the posting", async || {
        let page = reader.transactions(&Grant::Any, "A1", &TransactionFilter::default(), &Floor::none()).await;
        let found = page.map_or(0, |page| page.value.transactions.len());
        (found == 1, found)
    })
    .await;
    assert_eq!(hook.failures.load(Ordering::SeqCst), 0, "tried again until it worked");
    running.stop().await;
    let seen = hook.seen.lock().unwrap();
    let (evidence, accounts) = seen.iter().find(|(evidence, _)| !evidence.is_empty()).unwrap();
    assert_eq!((evidence[0].core_ref.as_str(), evidence[0].amount_minor), ("REF1", -10));
    // Its row came in an earlier batch and it is told nevertheless.
    assert_eq!(*accounts, ["A1"]);
}

#[tokio::test]
async fn a_balance_ahead_of_a_debit_that_nobody_can_number_waits_for_its_posting() {
    let site = Site::open().await;
    let hook = Arc::new(Hook::default());
    hook.without_numbers.lock().unwrap().insert("A1".into());
    let running = site.start_with("one", hook.clone());
    site.core.account("A1", 100, 4);
    site.until_booked("A1", 100).await;
    // The balances include postings 5 and 6, which come later, over a restart; other accounts do not wait.
    site.core.account("A1", 90, 5);
    site.core.account("A1", 70, 6);
    site.core.account("A2", 1, 9);
    site.until_booked("A2", 1).await;
    let waiting = async || site.db.query("SELECT version FROM waiting_balances", vec![]).await.unwrap().len();
    wait_for("both wait", async || (waiting().await == 2, waiting().await)).await;
    assert_eq!(site.booked("A1").await, Ok(100));
    running.kill().await;
    let running = site.start_with("one", hook.clone());
    site.core.posting("A1", 6, "D", 20, "REF6");
    site.core.account("A2", 2, 10);
    site.until_booked("A2", 2).await;
    assert_eq!(site.booked("A1").await, Ok(100), "5 may be ours");
    site.core.posting("A1", 5, "D", 10, "REF5");
    site.until_booked("A1", 70).await;
    assert_eq!(waiting().await, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_balance_that_waits_is_applied_once_the_number_is_known() {
    let site = Site::open().await;
    let hook = Arc::new(Hook::default());
    hook.without_numbers.lock().unwrap().insert("A1".into());
    let running = site.start_with("one", hook.clone());
    site.core.account("A1", 100, 4);
    site.until_booked("A1", 100).await;
    site.core.account("A1", 90, 5);
    site.core.account("A2", 1, 1);
    site.until_booked("A2", 1).await;
    assert_eq!(site.booked("A1").await, Ok(100));
    hook.without_numbers.lock().unwrap().clear();
    site.core.heartbeat();
    site.until_booked("A1", 90).await;
    running.stop().await;
}

#[tokio::test]
async fn what_the_journal_cannot_do_ends_in_a_halt_that_names_the_record() {
    let site = Site::open().await;
    let hook = Arc::new(Hook::default());
    hook.failures.store(u32::MAX, Ordering::SeqCst);
    let running = site.start_with("one", hook.clone());
    site.core.account("A1", 1, 1);
    let reason = site.until_halted().await;
    assert!(reason.contains("core.corebank.accounts") && reason.contains("not today"), "{reason}");
    assert!(reason.ends_with("locum source resume corebank") && !ingest::needs_rebuild(&reason), "{reason}");
    running.stop().await;
}

#[tokio::test]
async fn a_mapped_table_without_a_topic_is_not_loaded() {
    let site = Site::open().await;
    site.core.log.lock().unwrap().partitions.retain(|partition, _| !partition.topic.ends_with("customers"));
    let running = site.start("one");
    site.core.account("A1", 1, 1);
    site.core.heartbeat();
    wait_for("an age", async || {
        let as_of_ms = site.status().await.and_then(|status| status.as_of_ms);
        (as_of_ms.is_some(), as_of_ms)
    })
    .await;
    assert!(matches!(site.booked("nobody").await, Err(ReadError::NotLoaded { .. })));
    let customers = partition("customers", 0);
    site.core.log.lock().unwrap().partitions.insert(customers, Vec::new());
    wait_for("loaded", async || {
        site.core.heartbeat();
        let seen = site.booked("nobody").await;
        (seen == Err(ReadError::NotFound), seen)
    })
    .await;
    running.stop().await;
}
