//! Delete markers of transactions go when no older event of theirs can come any more, and not before.

use std::time::Duration;

use read_model::*;
use schemas::model::{CanonicalChange, CanonicalRow, Entity, RowChange};
use sql::params;

use crate::parked_event;
use crate::support::*;

on_every_engine! {
    World::open;
    a_marker_goes_when_it_is_old_enough_and_others_stay => leaving;
    until_it_goes_a_marker_beats_an_event_that_comes_late => late;
    what_may_still_bring_an_older_event_keeps_every_marker => held;
    what_came_after_a_marker_and_what_keeps_its_content_stays => followed;
    a_process_that_lost_its_lease_deletes_nothing_and_the_next_one_goes_on => succeeded;
    two_looks_at_once_delete_each_marker_once => at_once;
    a_settled_event_leaves_no_row => settled;
}

const DAYS: u32 = 30;
const DAY_MS: i64 = 86_400_000;

fn key(n: u64) -> String {
    format!("a-{n:06}")
}

/// A posting that was booked and deleted.
async fn deleted(world: &mut World, n: u64) {
    world.apply(vec![posting("a", n as i64, 50, 5, "x", 10 * n)]).await;
    world.apply(vec![delete(Entity::Transaction, &key(n), 10 * n + 5)]).await;
}

/// Makes all that was noted so many days older.
async fn age(world: &World, days: i64) {
    world.db.exec("UPDATE delete_markers SET noted_ms = noted_ms - ?", params![days * DAY_MS]).await.unwrap();
}

async fn forget(world: &World) -> MarkerStep {
    forget_markers(&world.db, &world.lease, DAYS).await.unwrap()
}

fn gone(notes: u64, markers: u64) -> MarkerStep {
    MarkerStep::Gone { notes, markers }
}

async fn count(world: &World, table: &str) -> i64 {
    let rows = world.db.query(&format!("SELECT COUNT(*) AS n FROM {table}"), vec![]).await.unwrap();
    rows[0].get("n").unwrap()
}

/// The amounts that are served of the account.
async fn served(world: &World) -> Vec<i64> {
    let page = world.reader().transactions(&Grant::Any, "a", &TransactionFilter::default(), &Floor::none()).await;
    page.unwrap().value.transactions.iter().map(|found| found.row.amount_minor).collect()
}

async fn leaving(world: &mut World) {
    world.apply(vec![account("a", "c", 1), account("b", "c", 1), balance("b", 1, 1)]).await;
    world.apply(vec![delete(Entity::Account, "b", 5), delete(Entity::Balance, "b", 5)]).await;
    deleted(world, 1).await;
    deleted(world, 2).await;
    assert_eq!(count(world, "delete_markers").await, 2, "those of transactions");
    age(world, 29).await;
    assert_eq!(forget(world).await, gone(0, 0), "too young");
    world.apply(vec![posting("a", 3, 50, 7, "x", 31)]).await;
    world.apply(vec![delete(Entity::Transaction, &key(3), 35)]).await;
    age(world, 2).await;
    assert_eq!(forget(world).await, gone(2, 2), "of 31 days");
    assert_eq!(forget(world).await, gone(0, 0));
    assert_eq!((count(world, "transaction_rows").await, count(world, "delete_markers").await), (1, 1));
    // An account's marker goes on answering.
    world.apply(vec![account("b", "c", 3)]).await;
    let b = world.reader().account(&Grant::Any, "b", &Floor::none()).await;
    assert_eq!(b.map(|read| read.tier), Err(ReadError::NotFound));
    // The key may be used anew.
    world.apply(vec![posting("a", 1, 50, 9, "x", 90)]).await;
    assert_eq!(served(world).await, [9]);
}

async fn late(world: &mut World) {
    world.apply(vec![account("a", "c", 1)]).await;
    deleted(world, 1).await;
    age(world, 29).await;
    assert_eq!(forget(world).await, gone(0, 0));
    // Sent once more by a connector that went back.
    world.apply(vec![posting("a", 1, 50, 5, "x", 10)]).await;
    assert_eq!(served(world).await, Vec::<i64>::new());
    world.apply(vec![delete(Entity::Transaction, &key(1), 15)]).await;
    age(world, 2).await;
    assert_eq!(forget(world).await, gone(1, 1), "a repetition makes no marker younger");
    // Against what was declared: it is seen until its end, which the connector sends once more behind it, comes again.
    world.apply(vec![posting("a", 1, 50, 5, "x", 10)]).await;
    assert_eq!(served(world).await, [5]);
    world.apply(vec![delete(Entity::Transaction, &key(1), 15)]).await;
    assert_eq!((served(world).await, count(world, "delete_markers").await), (vec![], 1));
}

async fn set(world: &World, change: &str) {
    world.db.exec(&format!("UPDATE sources SET {change} WHERE source = 'bank'"), vec![]).await.unwrap();
}

async fn held(world: &mut World) {
    world.apply(vec![account("a", "c", 1)]).await;
    deleted(world, 1).await;
    age(world, 400).await;
    // Applied up to a time that is less than the days behind the marker.
    set(world, &format!("as_of_ms = as_of_ms - {}", 380 * DAY_MS)).await;
    assert_eq!(forget(world).await, gone(0, 0), "a partition lags");
    for (change, back, why) in [
        ("as_of_ms = NULL".to_owned(), format!("as_of_ms = {}", now_ms()), MarkersStay::AgeUnknown),
        ("loaded = 0".to_owned(), "loaded = 1".to_owned(), MarkersStay::NotLoaded),
        ("halted = 'why'".to_owned(), "halted = NULL".to_owned(), MarkersStay::Halted),
        ("rebuilding = 2".to_owned(), "rebuilding = NULL".to_owned(), MarkersStay::Rebuilding),
    ] {
        set(world, &change).await;
        assert_eq!(forget(world).await, MarkerStep::Stay(why));
        set(world, &back).await;
    }
    let event = parked_event(vec![(Entity::Account, "z".into())]);
    world.apply_with(vec![], vec![event.clone()]).await;
    assert_eq!(forget(world).await, MarkerStep::Stay(MarkersStay::Parked));
    let (writer, queues) = (world.writer.clone(), [event.queue()].into());
    let settle = world.db.transaction(move |tx| Box::pin(async move { writer.forget_queues(tx, &queues).await }));
    settle.await.unwrap();
    // An event of before the marker waits, of an account that is left out as long as the mapping leaves it out.
    for left_out in [false, true] {
        let waits = WaitingEvent {
            account_id: "z".into(),
            partition: partition(),
            offset: 7,
            topic: TOPIC.into(),
            key: Some(b"k".to_vec()),
            value: None,
            sent_ms: now_ms() - 401 * DAY_MS,
            made_ms: now_ms() - 401 * DAY_MS,
            left_out,
        };
        let (writer, kept) = (world.writer.clone(), vec![waits.clone()]);
        let keep = world.db.transaction(move |tx| Box::pin(async move { writer.keep_events(tx, &kept).await }));
        keep.await.unwrap();
        assert_eq!(forget(world).await, gone(0, 0), "left out: {left_out}");
        let writer = world.writer.clone();
        let end = world.db.transaction(move |tx| Box::pin(async move { writer.end_events(tx, &[waits]).await }));
        end.await.unwrap();
    }
    assert_eq!(forget(world).await, gone(1, 1), "nothing holds it any more");
}

async fn followed(world: &mut World) {
    world.apply(vec![account("a", "c", 1)]).await;
    for n in 1..=4 {
        deleted(world, n).await;
    }
    // Booked anew, in a batch of its own and in one with its end.
    world.apply(vec![posting("a", 1, 50, 7, "x", 100)]).await;
    world.apply(vec![delete(Entity::Transaction, &key(2), 100), posting("a", 2, 50, 8, "x", 101)]).await;
    // It ended again, and keeps what it was: a link may name it.
    let CanonicalChange { row: RowChange::Upsert(CanonicalRow::Transaction(was)), .. } =
        posting("a", 3, 50, 5, "x", 100)
    else {
        unreachable!()
    };
    let ended = CanonicalChange { row: RowChange::Ended(was), ..posting("a", 3, 50, 5, "x", 100) };
    world.apply(vec![ended]).await;
    age(world, 400).await;
    // Deleted once more: its marker is young.
    world.apply(vec![delete(Entity::Transaction, &key(4), 100)]).await;
    assert_eq!(forget(world).await, gone(3, 0));
    assert_eq!((count(world, "transaction_rows").await, count(world, "delete_markers").await), (4, 1));
    let mut amounts = served(world).await;
    amounts.sort_unstable();
    assert_eq!(amounts, [7, 8]);
    // A marker that nobody noted stays: an earlier release wrote it.
    world.db.exec("DELETE FROM delete_markers", vec![]).await.unwrap();
    assert_eq!(forget(world).await, gone(0, 0));
    assert_eq!(count(world, "transaction_rows").await, 4);
}

/// More markers than one step takes, all old.
async fn many(world: &mut World) -> u64 {
    let count = u64::from(MARKERS_AT_ONCE) + 44;
    world.apply(vec![account("a", "c", 1)]).await;
    world.apply((0..count).map(|n| delete(Entity::Transaction, &key(n), 5)).collect()).await;
    age(world, 400).await;
    count
}

async fn succeeded(world: &mut World) {
    let all = many(world).await;
    let first = u64::from(MARKERS_AT_ONCE);
    assert_eq!(forget(world).await, gone(first, first));
    // It died between two steps, or is slow and wakes up late.
    let dead = world.lease.clone();
    assert!(renew(&world.db, &dead, Duration::ZERO).await.unwrap());
    let (db, mut taken) = (world.db.clone(), None);
    wait_for("expiry", async || {
        taken = take(&db, "bank", "other", Duration::from_secs(60)).await.unwrap();
        (taken.is_some(), ())
    })
    .await;
    world.lease = taken.unwrap();
    let stale = forget_markers(&world.db, &dead, DAYS).await;
    assert!(matches!(stale, Err(WriteError::Fenced { .. })), "{stale:?}");
    assert_eq!(forget(world).await, gone(all - first, all - first));
    assert_eq!((count(world, "transaction_rows").await, count(world, "delete_markers").await), (0, 0));
}

async fn at_once(world: &mut World) {
    let all = many(world).await;
    let look = async || {
        let mut deleted = 0;
        loop {
            match forget_markers(&world.db, &world.lease, DAYS).await {
                Ok(MarkerStep::Gone { notes: 0, .. }) => return deleted,
                Ok(MarkerStep::Gone { markers, .. }) => deleted += markers,
                Ok(MarkerStep::Stay(why)) => panic!("{why:?}"),
                // A lock that the other one has: nothing is deleted, and it is tried again.
                Err(WriteError::Sql(err)) if err.is_retryable() => {}
                Err(err) => panic!("{err:?}"),
            }
        }
    };
    let (one, other) = tokio::join!(look(), look());
    assert_eq!(one + other, all);
    assert_eq!((count(world, "transaction_rows").await, count(world, "delete_markers").await), (0, 0));
}

/// Why parked events need no retention: they leave in the transaction that settles them.
async fn settled(world: &mut World) {
    world.apply(vec![account("a", "c", 1)]).await;
    let event = |offset, key: &[u8]| ParkedEvent {
        offset,
        key: Some(key.to_vec()),
        ..parked_event(vec![(Entity::Account, "a".into())])
    };
    let [superseded, applied, discarded] = [event(1, b"k"), event(2, b"l"), event(3, b"m")];
    world.apply_with(vec![], vec![superseded.clone(), applied.clone(), discarded.clone()]).await;
    assert_eq!((count(world, "parked").await, count(world, "parked_marks").await), (3, 3));
    let writer = world.writer.clone();
    let settle = world.db.transaction(move |tx| {
        Box::pin(async move {
            writer.forget_queues(tx, &[superseded.queue()].into()).await?;
            for event in [applied, discarded] {
                let at = ParkedRef { partition: event.partition.clone(), offset: event.offset };
                let worked = Worked { queue: Some(event.queue()), left: vec![at], ..Worked::default() };
                writer.work_off(tx, &worked).await?;
            }
            Ok::<_, WriteError>(())
        })
    });
    settle.await.unwrap();
    assert_eq!((count(world, "parked").await, count(world, "parked_marks").await), (0, 0));
}
