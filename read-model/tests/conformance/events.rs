//! Events that wait for the row of an account.

use std::collections::{BTreeMap, BTreeSet};

use read_model::*;
use schemas::model::{CanonicalChange, Entity, RowChange, Was};
use schemas::money::Currency;

use crate::support::*;

on_every_engine! {
    World::open;
    events_wait_until_their_account_is_there => waiting;
    events_of_accounts_that_are_left_out_hold_nothing_back => left_out;
    an_account_that_ended_keeps_its_currency_for_what_comes_later => ended;
    what_waits_is_of_its_generation_and_is_swept_with_it => generations;
}

fn event(account: &str, offset: i64, sent_ms: i64) -> WaitingEvent {
    WaitingEvent {
        account_id: account.to_owned(),
        partition: partition(),
        offset,
        topic: TOPIC.to_owned(),
        key: Some(b"k".to_vec()),
        value: None,
        sent_ms,
        made_ms: sent_ms - 10,
        left_out: false,
    }
}

/// What a batch does: its rows, what waits, what is released, and what it tells of accounts. Answers since when something waits.
async fn batch(
    writer: &Writer,
    world: &World,
    changes: Vec<CanonicalChange>,
    (waits, released): (Vec<WaitingEvent>, Vec<WaitingEvent>),
) -> Option<i64> {
    let writer = writer.clone();
    let told = changes.iter().map(|change| {
        let there = matches!(change.row, RowChange::Upsert(_) | RowChange::Ended(_));
        (change.key.clone(), there.then(eur))
    });
    let told: BTreeMap<String, Option<Currency>> = told.collect();
    let since = world.db.transaction(move |tx| {
        Box::pin(async move {
            writer.apply(tx, &changes).await?;
            writer.end_events(tx, &released).await?;
            writer.keep_events(tx, &waits).await?;
            writer.tell_waiting(tx, &told).await?;
            writer.waiting_since_ms(tx).await
        })
    });
    since.await.unwrap()
}

async fn due(writer: &Writer, world: &World, due: Due<'_>) -> Vec<i64> {
    let found = writer.events_due(&world.db, due).await.unwrap();
    let mut offsets: Vec<i64> = found.iter().map(|event| event.offset).collect();
    offsets.sort_unstable();
    offsets
}

async fn waiting(world: &mut World) {
    let writer = world.writer.clone();
    let both = vec![event("a", 1, 1_000), event("b", 2, 2_000)];
    assert_eq!(batch(&writer, world, vec![], (both.clone(), vec![])).await, Some(990));
    assert_eq!(batch(&writer, world, vec![], (both.clone(), vec![])).await, Some(990), "a repetition changes nothing");
    let nothing: [i64; 0] = [];
    assert_eq!(due(&writer, world, Due::Known).await, nothing);
    assert_eq!(batch(&writer, world, vec![account("a", "c", 1)], (vec![], vec![])).await, Some(990), "not applied yet");
    let accounts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(due(&writer, world, Due::Known).await, [1]);
    assert_eq!(due(&writer, world, Due::Of(&accounts(&["a", "b", "c"]))).await, [1]);
    assert_eq!(due(&writer, world, Due::Of(&accounts(&["b"]))).await, nothing, "it is not there");
    assert_eq!(due(&writer, world, Due::SentUntil(1_999)).await, [1]);
    assert_eq!(due(&writer, world, Due::SentUntil(2_000)).await, [1, 2]);
    let whole = writer.events_due(&world.db, Due::Known).await.unwrap();
    assert_eq!(whole, [event("a", 1, 1_000)]);
    let known = writer.accounts_known(&world.db, &accounts(&["a", "b"])).await.unwrap();
    assert_eq!(known, [("a".to_owned(), Some(eur()))].into());
    assert_eq!(batch(&writer, world, vec![], (vec![], whole)).await, Some(1_990));
    // One step takes a bounded number.
    let many: Vec<WaitingEvent> = (100..300).map(|offset| event("a", offset, 5_000)).collect();
    batch(&writer, world, vec![], (many, vec![])).await;
    assert_eq!(due(&writer, world, Due::Known).await.len(), EVENTS_PER_STEP as usize);
}

async fn left_out(world: &mut World) {
    let writer = world.writer.clone();
    let gone = WaitingEvent { left_out: true, ..event("a", 1, 1_000) };
    assert_eq!(batch(&writer, world, vec![], (vec![gone], vec![])).await, None);
    assert_eq!(batch(&writer, world, vec![], (vec![event("b", 2, 2_000)], vec![])).await, Some(1_990));
    let ended = delete(Entity::Account, "b", 2);
    assert_eq!(batch(&writer, world, vec![ended], (vec![], vec![])).await, None, "nobody misses it");
    let nothing: [i64; 0] = [];
    assert_eq!(due(&writer, world, Due::SentUntil(i64::MAX)).await, nothing);
    let known = writer.accounts_known(&world.db, &["b".to_owned()].into()).await.unwrap();
    assert_eq!(known, [("b".to_owned(), None)].into());
    // It is let through later, and nothing is lost.
    assert_eq!(batch(&writer, world, vec![account("b", "c", 3)], (vec![], vec![])).await, Some(1_990));
    assert_eq!(due(&writer, world, Due::Known).await, [2]);
}

async fn ended(world: &mut World) {
    let writer = world.writer.clone();
    assert_eq!(batch(&writer, world, vec![], (vec![event("a", 1, 1_000)], vec![])).await, Some(990));
    let closed = CanonicalChange { row: RowChange::Ended(Was::Account(eur())), ..delete(Entity::Account, "a", 2) };
    batch(&writer, world, vec![closed], (vec![], vec![])).await;
    assert_eq!(due(&writer, world, Due::Known).await, [1]);
    let known = writer.accounts_known(&world.db, &["a".to_owned()].into()).await.unwrap();
    assert_eq!(known, [("a".to_owned(), Some(eur()))].into());
}

async fn generations(world: &mut World) {
    let served = world.writer.clone();
    world.apply(vec![account("a", "c", 1)]).await;
    batch(&served, world, vec![], (vec![event("a", 1, 1_000)], vec![])).await;
    assert_eq!(open_generation(&world.db, "bank", None).await.unwrap(), Some(2));
    let shadow = Writer::shadow("bank", 2);
    assert_eq!(batch(&shadow, world, vec![], (vec![event("a", 2, 2_000)], vec![])).await, Some(1_990));
    let nothing: [i64; 0] = [];
    assert_eq!(due(&shadow, world, Due::Known).await, nothing, "the account is of the other generation");
    assert_eq!(due(&served, world, Due::Known).await, [1]);
    world.db.exec("UPDATE sources SET generation = 2, served_at_ms = 1 WHERE source = 'bank'", vec![]).await.unwrap();
    let mut sweep = Sweep::due(&world.db, "bank", 0).await.unwrap().unwrap();
    while sweep.step(&world.db).await.unwrap() {}
    let left = world.db.query("SELECT koffset FROM waiting_events", vec![]).await.unwrap();
    assert_eq!(left.iter().map(|row| row.get::<i64>("koffset").unwrap()).collect::<Vec<_>>(), [2]);
}
