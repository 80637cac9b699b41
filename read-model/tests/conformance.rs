//! What callers of the read model may rely on, on every engine.
#![allow(missing_docs)]

#[path = "conformance/convergence.rs"]
mod convergence;
#[path = "conformance/datasets.rs"]
mod datasets;
#[path = "conformance/events.rs"]
mod events;
#[path = "conformance/links.rs"]
mod links;
#[path = "conformance/markers.rs"]
mod markers;
mod support;
#[path = "conformance/tiers.rs"]
mod tiers;

use std::time::Duration;

use read_model::*;
use schemas::model::Entity;
use support::*;

on_every_engine! {
    World::open;
    a_stale_token_or_offset_rolls_everything_back => fencing;
    a_lease_is_held_by_one_and_expires_on_the_servers_clock => leases;
    delete_then_late_update_stays_deleted => deletes;
    before_the_first_load_nothing_is_called_absent => not_loaded;
    other_peoples_accounts_do_not_exist => ownership;
    a_key_is_itself_and_no_other_that_an_engine_calls_equal => exact_keys;
    pages_walk_every_transaction_once => paging;
    filters_narrow_a_page => filters;
    a_floor_is_reached_or_refused => floors;
    parked_events_degrade_what_they_touch => parked;
    events_parked_by_an_earlier_release_keep_their_marks => parked_before;
    an_event_that_does_not_tell_what_it_touches_degrades_everything => parked_unknown;
    what_a_parked_event_may_have_made_is_not_called_absent => parked_absence;
    an_event_of_any_size_can_be_parked => parked_large;
    facts_are_read_inside_a_transaction => facts_inside;
    a_halted_source_takes_nothing_until_resumed => halting;
    an_order_is_worked_off_queue_by_queue => ordering;
    rows_of_earlier_generations_are_deleted_a_while_after_the_swap => sweeping;
    what_does_not_fit_is_named_before_it_is_written => unfit;
}

async fn booked(world: &World, key: &str) -> Result<i64, ReadError> {
    let read = world.reader().account(&Grant::Any, key, &Floor::none()).await?;
    Ok(read.value.balance.as_ref().unwrap().row.booked_minor)
}

async fn fencing(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 100, 2)]).await;
    let good = world.advance(1);
    let token = world.lease.token;
    let wrong_offset = Advance { offsets: vec![OffsetStep { from: 7, ..good.offsets[0].clone() }], ..good.clone() };
    let wrong_sequence = Advance { sequence: 0, ..good.clone() };
    for (token, advance) in [(token - 1, good.clone()), (token, wrong_offset), (token, wrong_sequence)] {
        let refused = world.try_apply(vec![balance("a", 999, 9)], vec![], token, advance, false).await;
        assert!(matches!(refused, Err(WriteError::Fenced { .. })), "{refused:?}");
    }
    assert_eq!(booked(world, "a").await, Ok(100));
    assert_eq!(offsets(&world.db, "bank").await.unwrap(), vec![(partition(), 2)]);
    world.apply(vec![balance("a", 200, 3)]).await;
    assert_eq!(booked(world, "a").await, Ok(200));
}

async fn leases(world: &mut World) {
    let long = Duration::from_secs(60);
    assert_eq!(take(&world.db, "bank", "other", long).await.unwrap(), None);
    assert!(renew(&world.db, &world.lease, Duration::ZERO).await.unwrap());
    let (db, mut taken) = (world.db.clone(), None);
    wait_for("expiry", async || {
        taken = take(&db, "bank", "other", long).await.unwrap();
        (taken.is_some(), ())
    })
    .await;
    assert!(taken.as_ref().unwrap().token > world.lease.token);
    assert!(!renew(&world.db, &world.lease, long).await.unwrap(), "the old holder");
    let stale = world.try_apply(vec![account("a", "c", 1)], vec![], world.lease.token, world.advance(1), false).await;
    assert!(matches!(stale, Err(WriteError::Fenced { .. })));
    let added = world.writer.add_partitions(&world.db, &world.lease, vec![(partition(), 0)]).await;
    assert!(matches!(added, Err(WriteError::Fenced { .. })));
    // The clock was set back by an hour since it was taken.
    let set_back = "UPDATE leases SET expires_at_ms = expires_at_ms + 3600000";
    world.db.exec(set_back, vec![]).await.unwrap();
    let taken = take(&world.db, "bank", "third", long).await.unwrap();
    assert!(taken.is_some(), "a lease that lies further ahead than it is held has expired");
    release(&world.db, &taken.unwrap()).await.unwrap();
    assert!(take(&world.db, "bank", "third", long).await.unwrap().is_some());
}

async fn deletes(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 100, 2), posting("a", 1, 50, 5, "x", 2)]).await;
    let gone = [Entity::Account, Entity::Balance].map(|entity| delete(entity, "a", 5));
    let applied = world.apply(gone.into_iter().chain([delete(Entity::Transaction, "a-000001", 5)]).collect()).await;
    assert_eq!(applied.gone, ["a"]);
    assert_eq!(booked(world, "a").await, Err(ReadError::NotFound));
    // Late updates, and a delete that comes before the row it deletes.
    world.apply(vec![account("a", "c", 3), balance("a", 1, 4), posting("a", 1, 50, 5, "x", 4)]).await;
    assert_eq!(booked(world, "a").await, Err(ReadError::NotFound));
    world.apply(vec![delete(Entity::Account, "b", 9)]).await;
    world.apply(vec![account("b", "c", 8)]).await;
    let b = world.reader().account(&Grant::Any, "b", &Floor::none()).await;
    assert_eq!(b.map(|read| read.tier), Err(ReadError::NotFound));
    // Created anew.
    world.apply(vec![account("a", "c", 10), balance("a", 7, 10)]).await;
    assert_eq!(booked(world, "a").await, Ok(7));
    let page = world.reader().transactions(&Grant::Any, "a", &TransactionFilter::default(), &Floor::none()).await;
    assert_eq!(page.unwrap().value.transactions.len(), 0);
}

async fn not_loaded(world: &mut World) {
    let progress = Progress { events_applied: 2, events_behind: Some(40) };
    let advance = Advance { loaded: false, events_behind: Some(40), ..world.advance(2) };
    let changes = vec![account("a", "c", 1), balance("a", 100, 2)];
    world.try_apply(changes, vec![], world.lease.token, advance, false).await.unwrap();
    (world.sequence, world.next) = (1, 2);
    assert_eq!(booked(world, "a").await, Ok(100), "what is there is served");
    let not_loaded = ReadError::NotLoaded { source_name: "bank".into(), progress };
    assert_eq!(booked(world, "b").await, Err(not_loaded.clone()));
    let reader = world.reader();
    let listed = reader.accounts_of(&Grant::Any, "c", &Floor::none()).await;
    assert_eq!(listed.map(|read| read.value.len()), Err(not_loaded.clone()));
    let page = reader.transactions(&Grant::Any, "a", &TransactionFilter::default(), &Floor::none()).await;
    assert_eq!(page.map(|read| read.value.transactions.len()), Err(not_loaded));
    world.apply(vec![]).await;
    assert_eq!(booked(world, "b").await, Err(ReadError::NotFound));
    assert_eq!(reader.accounts_of(&Grant::Any, "c", &Floor::none()).await.unwrap().value.len(), 1);
}

async fn ownership(world: &mut World) {
    world.tiers.memory = Some(std::sync::Arc::new(Memory::new(100)));
    world.apply(vec![account("a", "c1", 1), balance("a", 1, 1), account("b", "c2", 2), balance("b", 2, 2)]).await;
    world.apply(vec![posting("b", 1, 50, 5, "secret", 3)]).await;
    let (reader, none) = (world.reader(), Floor::none());
    let mine = Grant::customers(["c1"]);
    assert_eq!(reader.account(&mine, "a", &none).await.unwrap().value.account_id(), "a");
    for grant in [mine, Grant::customers::<&str>([])] {
        assert_eq!(reader.account(&grant, "b", &none).await.unwrap_err(), ReadError::NotFound);
        let page = reader.transactions(&grant, "b", &TransactionFilter::default(), &none).await;
        assert_eq!(page.unwrap_err(), ReadError::NotFound);
        assert_eq!(reader.accounts_of(&grant, "c2", &none).await.unwrap_err(), ReadError::NotFound);
        assert!(reader.accounts(&grant, &["b"], &none).await.unwrap().value.is_empty());
        assert_eq!(reader.customer(&grant, "c2", &none).await.unwrap_err(), ReadError::NotFound);
    }
    let both = reader.accounts(&Grant::Any, &["b", "a", "b", "x"], &none).await.unwrap();
    assert_eq!(both.value.iter().map(|d| d.account_id()).collect::<Vec<_>>(), ["a", "b"]);
}

async fn exact_keys(world: &mut World) {
    let rows = [customer("c", 1), account("a", "c", 1), balance("a", 1, 1), posting("a", 1, 50, 5, "x", 2)];
    world.apply(rows.into_iter().chain([posting("a ", 2, 60, 5, "another account's", 3)]).collect()).await;
    let (reader, none, all) = (world.reader(), Floor::none(), TransactionFilter::default());
    for key in ["a ", "a  ", " a", "A", "a\0"] {
        assert_eq!(reader.account(&Grant::Any, key, &none).await.unwrap_err(), ReadError::NotFound, "{key:?}");
        assert_eq!(reader.transactions(&Grant::Any, key, &all, &none).await.unwrap_err(), ReadError::NotFound);
        let found = reader.accounts(&Grant::Any, &[key, "a"], &none).await.unwrap().value;
        assert_eq!(found.iter().map(|document| document.account_id()).collect::<Vec<_>>(), ["a"], "{key:?}");
        let known = world.db.transaction(move |tx| Box::pin(async move { facts(tx, &[key]).await })).await.unwrap();
        assert_eq!(known, [], "{key:?}");
    }
    assert_eq!(reader.transactions(&Grant::Any, "a", &all, &none).await.unwrap().value.transactions.len(), 1);
    for key in ["c ", "C"] {
        let grant = Grant::customers([key]);
        assert_eq!(reader.account(&grant, "a", &none).await.unwrap_err(), ReadError::NotFound, "{key:?}");
        assert_eq!(reader.customer(&grant, "c", &none).await.unwrap_err(), ReadError::NotFound, "{key:?}");
        assert_eq!(reader.customer(&Grant::Any, key, &none).await.unwrap_err(), ReadError::NotFound, "{key:?}");
        assert_eq!(reader.accounts_of(&Grant::Any, key, &none).await.unwrap().value, [], "{key:?}");
    }
    assert_eq!(reader.customer(&Grant::Any, "c", &none).await.unwrap().value.row.customer_id, "c");
}

async fn paging(world: &mut World) {
    let mut changes = vec![account("a", "c", 1), account("b", "c", 1)];
    // Three of a time, so that ties are broken across pages.
    changes.extend((0..20).map(|n| posting("a", n, 1_000 + n / 3, n, "t", 10 + n as u64)));
    changes.push(posting("b", 99, 1_000, 1, "other", 90));
    world.apply(changes).await;
    let reader = world.reader();
    let mut filter = TransactionFilter { limit: 7, ..TransactionFilter::default() };
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = reader.transactions(&Grant::Any, "a", &filter, &Floor::none()).await.unwrap().value;
        seen.extend(page.transactions.into_iter().map(|t| t.row.posting_no.unwrap()));
        pages += 1;
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    assert_eq!((seen, pages), ((0..20).rev().collect(), 3));
}

async fn filters(world: &mut World) {
    let texts = ["Rent NOVEMBER", "coffee", "rent december", "100% Ärger_"];
    let mut changes = vec![account("a", "c", 1)];
    let amounts = [-1_000, 300, -2_000, 50];
    for (n, (text, amount)) in texts.iter().zip(amounts).enumerate() {
        changes.push(posting("a", n as i64, 100 * n as i64, amount, text, 2 + n as u64));
    }
    world.apply(changes).await;
    let reader = world.reader();
    let none = TransactionFilter::default;
    let at = |s| Some(jiff::Timestamp::from_second(s).unwrap());
    let text = |t: &str| TransactionFilter { text: Some(t.into()), ..none() };
    let cases: Vec<(TransactionFilter, &[i64])> = vec![
        (none(), &[3, 2, 1, 0]),
        (text("RENT"), &[2, 0]),
        (text("ärger_"), &[3]),
        (text("%"), &[3]),
        (text("nothing"), &[]),
        (TransactionFilter { from: at(100), to: at(300), ..none() }, &[2, 1]),
        (TransactionFilter { min_minor: Some(300), ..none() }, &[2, 1, 0]),
        (TransactionFilter { min_minor: Some(60), max_minor: Some(1_000), ..none() }, &[1, 0]),
    ];
    for (filter, wanted) in cases {
        let page = reader.transactions(&Grant::Any, "a", &filter, &Floor::none()).await.unwrap().value;
        let found: Vec<_> = page.transactions.iter().map(|t| t.row.posting_no.unwrap()).collect();
        assert_eq!(found, wanted, "{filter:?}");
    }
}

async fn floors(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    let reader = world.reader();
    let shown = reader.account(&Grant::Any, "a", &Floor::none()).await.unwrap().freshness.remove(0);
    assert_eq!((shown.position, shown.quality), (Position { generation: 1, sequence: 1 }, Quality::Ok));
    let floor = |sequence| Floor(vec![("bank".into(), Position { generation: 1, sequence })]);
    assert!(reader.account(&Grant::Any, "a", &floor(1)).await.is_ok());
    for key in ["a", "absent"] {
        let early = reader.account(&Grant::Any, key, &floor(2)).await.unwrap_err();
        assert_eq!(early, ReadError::Behind { source_name: "bank".into(), at: shown.position });
    }
}

fn parked_event(touches: Vec<(Entity, String)>) -> ParkedEvent {
    let reason = "value: malformed JSON at column 1".to_owned();
    let (topic, key) = (TOPIC.to_owned(), Some(b"k".to_vec()));
    ParkedEvent { partition: partition(), offset: 5, topic, key, value: None, touches, version: None, reason }
}

async fn parked(world: &mut World) {
    world.tiers.memory = Some(std::sync::Arc::new(Memory::new(100)));
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1), account("b", "c", 1), balance("b", 1, 1)]).await;
    let event = parked_event(vec![(Entity::Account, "a".into())]);
    world.apply_with(vec![balance("a", 2, 2)], vec![event.clone()]).await;
    let (reader, none) = (world.reader(), Floor::none());
    for (key, quality, tier) in [("a", Quality::Degraded, Tier::Sql), ("b", Quality::Ok, Tier::Memory)] {
        let read = reader.account(&Grant::Any, key, &none).await.unwrap();
        assert_eq!((read.freshness[0].quality, read.tier), (quality, tier), "{key}");
    }
    // Degraded rows stay out of the tiers, also after being read.
    assert_eq!(reader.account(&Grant::Any, "a", &none).await.unwrap().tier, Tier::Sql);
    let queues = parked_queues(&world.db, "bank", 1).await.unwrap();
    let marks = [(Entity::Account, "a".to_owned())].into();
    assert_eq!(queues, [(event.queue(), ParkedQueue { marks, version: None })].into());
    let events = parked_events(&world.db, Some("bank"), 10).await.unwrap();
    assert_eq!((events.len(), events[0].offset, events[0].entity_keys.as_str()), (1, 5, r#"[["account","a"]]"#));
    assert_eq!(parked_events(&world.db, Some("other"), 10).await.unwrap(), vec![]);
    // Another queue touches the row too: it is in doubt until the last of them is forgotten.
    let (offset, key, version) = (6, Some(b"l".to_vec()), Some(version(3)));
    let other = ParkedEvent { offset, key, version, ..event.clone() };
    let more = ParkedEvent { offset: 7, ..other.clone() };
    world.apply_with(vec![], vec![other.clone(), more]).await;
    let queues = parked_queues(&world.db, "bank", 1).await.unwrap();
    assert_eq!((queues.len(), queues[&other.queue()].version), (2, version));
    for (forgotten, quality, parked) in [(event, Quality::Degraded, 2), (other, Quality::Ok, 0)] {
        let (writer, queues) = (world.writer.clone(), [forgotten.queue()].into());
        let forget = world.db.transaction(move |tx| Box::pin(async move { writer.forget_queues(tx, &queues).await }));
        forget.await.unwrap();
        let read = reader.account(&Grant::Any, "a", &none).await.unwrap();
        assert_eq!(read.freshness[0].quality, quality);
        assert_eq!(parked_events(&world.db, None, 10).await.unwrap().len(), parked);
    }
}

async fn sweeping(world: &mut World) {
    let everything = |n: u64| {
        let key = format!("a{n:05}");
        vec![customer(&key, 1), account(&key, "c", 1), balance(&key, 1, 1), posting(&key, 1, 50, 5, "x", 2)]
    };
    world.apply((0..1_500).flat_map(everything).collect()).await;
    world.apply(vec![delete(Entity::Transaction, "a00005-000001", 3)]).await;
    let event = parked_event(vec![(Entity::Account, "a00001".into())]);
    world.apply_with(vec![], vec![event.clone()]).await;
    let kept = world.sequence;
    assert_eq!(Sweep::due(&world.db, "bank", 0).await.unwrap(), None);
    assert_eq!(open_generation(&world.db, "bank", Some("fresh")).await.unwrap(), Some(2));
    let stale = world.try_apply(vec![], vec![], world.lease.token, world.advance(1), false).await;
    assert!(matches!(stale, Err(WriteError::Fenced { .. })), "the leader of the old generation is fenced");
    let other = open_generation(&world.db, "bank", None).await.unwrap();
    assert_eq!(other, Some(3), "an abandoned shadow");
    let seen = filling(&world.db, "bank").await.unwrap().unwrap();
    assert_eq!((seen.topic_prefix.as_deref(), seen.status.generation, seen.status.loaded), (Some("fresh"), 3, false));
    assert_eq!(seen.served.unwrap().rebuilding, Some(3));
    world.lease = take(&world.db, "bank", "test", Duration::from_secs(60)).await.unwrap().unwrap();
    let (lease, changes) = (world.lease.clone(), everything(7).into_iter().map(third).collect::<Vec<_>>());
    let advance = Advance { offsets: vec![], sequence: kept, ..world.advance(1) };
    let swap = world.db.transaction(move |tx| {
        Box::pin(async move {
            let writer = Writer::shadow("bank", 3);
            writer.park(tx, &[event]).await?;
            let applied = writer.apply(tx, &changes).await?;
            assert_eq!((applied.documents.len(), applied.gone.len()), (0, 0), "nobody is served from a shadow");
            let sequence = writer.advance(tx, lease.token, &advance).await?;
            writer.swap(tx, &lease, sequence).await
        })
    });
    swap.await.unwrap();
    assert_eq!(booked(world, "a00007").await, Ok(1));
    assert_eq!(booked(world, "a00008").await, Err(ReadError::NotFound));
    assert_eq!(Sweep::due(&world.db, "bank", 60_000).await.unwrap(), None, "a read may be under way");
    // The first is interrupted.
    let mut first = Sweep::due(&world.db, "bank", 0).await.unwrap().unwrap();
    for _ in 0..3 {
        assert!(first.step(&world.db).await.unwrap());
    }
    let mut sweep = Sweep::due(&world.db, "bank", 0).await.unwrap().unwrap();
    while sweep.step(&world.db).await.unwrap() {}
    for table in ["customer_rows", "account_rows", "balance_rows", "transaction_rows", "parked", "parked_marks"] {
        let of_dataset = if table.ends_with("_rows") { " r JOIN datasets d ON d.dataset = r.dataset" } else { "" };
        let sql = format!("SELECT COUNT(*) AS n, MIN(generation) AS low FROM {table}{of_dataset}");
        let row = world.db.query(&sql, vec![]).await.unwrap().remove(0);
        assert_eq!((row.get::<i64>("n").unwrap(), row.get::<i64>("low").unwrap()), (1, 3), "{table}");
    }
    let notes = world.db.query("SELECT COUNT(*) AS n FROM delete_markers", vec![]).await.unwrap();
    assert_eq!(notes[0].get::<i64>("n").unwrap(), 0, "of the generation that is gone");
    assert_eq!(Sweep::due(&world.db, "bank", 0).await.unwrap(), None, "swept");
}

/// The same change in generation 3.
fn third(mut change: schemas::model::CanonicalChange) -> schemas::model::CanonicalChange {
    let mut bytes = *change.version.as_bytes();
    bytes[3] = 3;
    change.version = schemas::position::Version::from_bytes(&bytes).unwrap();
    change
}

async fn ordering(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    let event = |offset, key: &[u8]| ParkedEvent {
        offset,
        key: Some(key.to_vec()),
        value: Some(b"v".to_vec()),
        version: Some(version(offset as u64)),
        ..parked_event(vec![(Entity::Account, "a".into())])
    };
    world.apply_with(vec![], vec![event(1, b"k"), event(2, b"k"), event(3, b"l")]).await;
    let at = |offset| ParkedRef { partition: partition(), offset };
    let (summary, key, value) = parked_event_of(world, &at(2)).await.unwrap();
    assert_eq!((summary.offset, key.as_deref(), value.as_deref()), (2, Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!(parked_event_of(world, &at(9)).await, None);
    let (source, queue) = (world.source.clone(), event(1, b"k").queue());
    assert_eq!(ordered_queues(&world.db, &source, 1).await.unwrap(), []);
    let order = async |which, order| order_parked(&world.db, &source, &which, order).await.unwrap();
    assert_eq!(order(WhichParked::One(at(2)), ParkedOrder::Retry).await, 1);
    assert_eq!(ordered_queues(&world.db, &source, 1).await.unwrap(), [queue]);
    let waiting = waiting_in(&world.db, &source, 1, &queue).await.unwrap();
    let seen: Vec<_> = waiting.iter().map(|event| (event.at.offset, event.order, event.version)).collect();
    assert_eq!(seen, [(1, None, Some(version(1))), (2, Some(ParkedOrder::Retry), Some(version(2)))]);
    let work_off = async |worked: Worked| {
        let writer = world.writer.clone();
        let work = world.db.transaction(move |tx| Box::pin(async move { writer.work_off(tx, &worked).await }));
        work.await.unwrap();
        let left = parked_events(&world.db, None, 10).await.unwrap();
        left.into_iter().map(|event| (event.offset, event.reason, event.ordered)).collect::<Vec<_>>()
    };
    let why = || "value: malformed JSON at column 1".to_owned();
    let failed =
        Worked { queue: Some(queue), left: vec![at(1)], failed: Some((at(2), "again".into())), ..Worked::default() };
    assert_eq!(work_off(failed).await, [(2, "again".to_owned(), false), (3, why(), false)]);
    assert_eq!(order(WhichParked::Reason("again".into()), ParkedOrder::Discard).await, 1);
    assert_eq!(order(WhichParked::Reason("other".into()), ParkedOrder::Discard).await, 0);
    assert_eq!(parked_queues(&world.db, &source, 1).await.unwrap().len(), 2);
    let discarded = Worked { queue: Some(queue), left: vec![at(2)], ..Worked::default() };
    assert_eq!(work_off(discarded).await, [(3, why(), false)]);
    let queues = parked_queues(&world.db, &source, 1).await.unwrap();
    assert_eq!(queues.keys().collect::<Vec<_>>(), [&event(3, b"l").queue()]);
    assert_eq!(order(WhichParked::All, ParkedOrder::Retry).await, 1);
    // More of a queue than one transaction takes: the order stands.
    let more = Worked { queue: Some(event(3, b"l").queue()), more: true, ..Worked::default() };
    assert_eq!(work_off(more).await, [(3, why(), true)]);
}

type Content = (ParkedSummary, Option<Vec<u8>>, Option<Vec<u8>>);

async fn parked_event_of(world: &World, at: &ParkedRef) -> Option<Content> {
    read_model::parked_event(&world.db, &world.source, at).await.unwrap()
}

/// Parked and trusted by a release that knew no queues.
async fn parked_before(world: &mut World) {
    let keys = [r#"[["account","a"]]"#, r#"[["balance","a"],["customer","c"]]"#, "[]"];
    for (offset, keys) in keys.into_iter().enumerate() {
        let sql = "INSERT INTO parked_events (source, topic, kpartition, koffset, generation, event_key, entity_keys, \
            reason, parked_at_ms) VALUES ('bank', ?, 0, ?, 1, ?, ?, 'why', 7)";
        let key = [b'k', offset as u8].to_vec();
        world.db.exec(sql, sql::params![TOPIC, offset as i64, key, keys]).await.unwrap();
    }
    for (entity, key) in [("account", "a"), ("customer", "c")] {
        let sql = "INSERT INTO degraded_keys (source, entity, entity_key, generation) VALUES ('bank', ?, ?, 1)";
        world.db.exec(sql, sql::params![entity, key]).await.unwrap();
    }
    migrate(&world.db).await.unwrap();
    migrate(&world.db).await.unwrap();
    let queues = parked_queues(&world.db, "bank", 1).await.unwrap();
    let mark = |entity, key: &str| (entity, key.to_owned());
    let marks: Vec<Vec<Mark>> = (0..3u8)
        .map(|n| {
            queues[&QueueKey::of(TOPIC, &partition(), i64::from(n), Some(&[b'k', n]))].marks.iter().cloned().collect()
        })
        .collect();
    let (a, c) = (mark(Entity::Account, "a"), mark(Entity::Customer, "c"));
    assert_eq!(marks, [vec![a.clone()], vec![c, a], vec![]]);
    assert_eq!(parked_events(&world.db, Some("bank"), 10).await.unwrap().len(), 3);
}

async fn parked_unknown(world: &mut World) {
    world.tiers.memory = Some(std::sync::Arc::new(Memory::new(100)));
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    world.apply_with(vec![], vec![parked_event(vec![])]).await;
    let read = world.reader().account(&Grant::Any, "a", &Floor::none()).await.unwrap();
    assert_eq!((read.freshness[0].quality, read.tier), (Quality::Degraded, Tier::Sql));
    // Also what is published afterwards stays out of the tiers: the event may have touched it.
    let applied = world.apply(vec![balance("a", 2, 2)]).await;
    assert_eq!((applied.documents.len(), applied.gone), (0, vec!["a".to_owned()]));
    let read = world.reader().account(&Grant::Any, "a", &Floor::none()).await.unwrap();
    assert_eq!((read.freshness[0].quality, read.tier), (Quality::Degraded, Tier::Sql));
}

async fn parked_absence(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1), customer("c", 1)]).await;
    world.apply_with(vec![], vec![parked_event(vec![(Entity::Account, "a".into())])]).await;
    let touches = vec![(Entity::Account, "new".into()), (Entity::Customer, "new".into())];
    world.apply_with(vec![], vec![ParkedEvent { offset: 6, ..parked_event(touches) }]).await;
    let (reader, none) = (world.reader(), Floor::none());
    let doubtful = ReadError::Doubtful { source_name: "bank".into() };
    assert_eq!(reader.account(&Grant::Any, "new", &none).await.unwrap_err(), doubtful);
    assert_eq!(reader.accounts(&Grant::Any, &["a", "new"], &none).await.unwrap_err(), doubtful);
    assert_eq!(reader.customer(&Grant::Any, "new", &none).await.unwrap_err(), doubtful);
    assert_eq!(reader.account(&Grant::Any, "other", &none).await.unwrap_err(), ReadError::NotFound);
    assert_eq!(reader.customer(&Grant::Any, "other", &none).await.unwrap_err(), ReadError::NotFound);
    let listed = reader.accounts_of(&Grant::Any, "z", &none).await.unwrap();
    assert_eq!((listed.value.len(), listed.freshness[0].quality), (0, Quality::Degraded), "whose is the new one?");
    // What is there and another's looks like what is not there, marked or not.
    let stranger = Grant::customers(["d"]);
    assert_eq!(reader.account(&stranger, "a", &none).await.unwrap_err(), ReadError::NotFound);
    for (keys, known) in [(vec![], true), (vec!["other"], true), (vec!["new"], false), (vec!["other", "new"], false)] {
        assert_eq!(absence_known(world, keys.clone()).await, known, "{keys:?}");
    }
    world.apply_with(vec![], vec![ParkedEvent { offset: 7, ..parked_event(vec![]) }]).await;
    for (grant, key) in [(Grant::Any, "other"), (stranger.clone(), "other"), (stranger, "a")] {
        assert_eq!(reader.account(&grant, key, &none).await.unwrap_err(), doubtful, "{key}");
    }
    assert_eq!(reader.customer(&Grant::Any, "other", &none).await.unwrap_err(), doubtful);
    assert_eq!(booked(world, "a").await, Ok(1));
    assert!(!absence_known(world, vec!["other"]).await && absence_known(world, vec![]).await);
}

async fn absence_known(world: &World, keys: Vec<&'static str>) -> bool {
    let ask = world.db.transaction(move |tx| Box::pin(async move { Ok(unclear(tx, &keys).await?.is_empty()) }));
    ask.await.unwrap_or_else(|err: sql::Error| panic!("{err}"))
}

async fn parked_large(world: &mut World) {
    let huge = vec![b'x'; 40 << 20];
    let touches = vec![(Entity::Account, "x".repeat(40 << 20))];
    let event = ParkedEvent { key: Some(huge.clone()), value: Some(huge.clone()), ..parked_event(touches) };
    world.apply_with(vec![], vec![event]).await;
    let kept = QueueKey::of(TOPIC, &partition(), 5, Some(&kept_of_parked(&huge)));
    assert_eq!(parked_queues(&world.db, "bank", 1).await.unwrap().into_keys().collect::<Vec<_>>(), [kept]);
    let mut other = huge.clone();
    other[(40 << 20) - 1] = b'y';
    assert_ne!(kept_of_parked(&huge), kept_of_parked(&other));
    assert_eq!(kept_of_parked(b"small"), b"small".as_slice());
}

async fn facts_inside(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 42, 2)]).await;
    let read = world.db.transaction(|tx| {
        Box::pin(async move {
            let loaded = every_source_loaded(tx).await?;
            Ok::<_, ReadError>((loaded, facts(tx, &["a", "x"]).await?))
        })
    });
    let (loaded, facts) = read.await.unwrap();
    assert!(loaded && facts.len() == 1 && !facts[0].degraded && facts[0].source.as_of_ms.is_some());
    assert_eq!(facts[0].document.balance.as_ref().unwrap().row.booked_minor, 42);
}

async fn halting(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    world.writer.halt(&world.db, &world.lease, "truncated").await.unwrap();
    let more = world.try_apply(vec![balance("a", 2, 2)], vec![], world.lease.token, world.advance(1), false).await;
    assert!(matches!(more, Err(WriteError::Fenced { .. })));
    let read = world.reader().account(&Grant::Any, "a", &Floor::none()).await.unwrap();
    assert_eq!(read.freshness[0].quality, Quality::Stale);
    assert!(resume(&world.db, "bank").await.unwrap());
    world.apply(vec![balance("a", 2, 2)]).await;
    assert_eq!(booked(world, "a").await, Ok(2));
}

async fn unfit(world: &mut World) {
    let longest = "ß".repeat(REMITTANCE_LEN_MAX);
    let fits = posting("a", 1, 1, 1, &longest, 2);
    assert_eq!(check(&fits), Ok(()));
    world.apply(vec![account("a", "c", 1), fits]).await;
    let too_long = posting("a", 2, 1, 1, &"x".repeat(REMITTANCE_LEN_MAX + 1), 3);
    assert_eq!(check(&too_long), Err(Unfit::TooLong { column: "remittance", max: REMITTANCE_LEN_MAX }));
    assert!(check(&account(&"k".repeat(65), "c", 1)).is_err());
}
