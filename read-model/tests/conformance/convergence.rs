//! Any duplication, reordering and crash-restart ends in the same rows (C1, C3, C4), on every engine.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use read_model::*;
use schemas::model::{CanonicalChange, Entity, RowChange};
use sql::params;

use crate::support::*;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// One thing that happened in the core: to a key, an account row, a balance row or a posting, written or deleted.
#[derive(Debug, Clone)]
struct Event {
    key: usize,
    kind: u8,
}

fn rendered(event: &Event, position: u64) -> CanonicalChange {
    let key = KEYS[event.key];
    match event.kind {
        0 => account(key, &format!("c{position}"), position),
        1..=3 => balance(key, position as i64, position),
        4 => delete(Entity::Account, key, position),
        5 => delete(Entity::Balance, key, position),
        6 => posting(key, 1, 100, position as i64, "t", position),
        _ => delete(Entity::Transaction, &format!("{key}-000001"), position),
    }
}

#[derive(Debug, Clone)]
struct Delivery {
    /// Indexes of events, in the order they arrive: every event at least once, some again, in any order.
    batches: Vec<(Vec<usize>, bool)>,
}

fn histories() -> impl Strategy<Value = (Vec<Event>, Delivery)> {
    let events = proptest::collection::vec((0..KEYS.len(), 0..8u8).prop_map(|(key, kind)| Event { key, kind }), 1..25);
    events.prop_flat_map(|events| {
        let all: Vec<usize> = (0..events.len()).collect();
        let again = proptest::collection::vec(0..events.len(), 0..15);
        let order = again.prop_flat_map(move |again| Just([all.clone(), again].concat()).prop_shuffle());
        let cuts = proptest::collection::vec((1..6usize, any::<bool>()), 40);
        (Just(events), order, cuts).prop_map(|(events, mut order, cuts)| {
            let mut batches = Vec::new();
            for (length, crash) in cuts {
                let rest = order.split_off(length.min(order.len()));
                batches.push((std::mem::replace(&mut order, rest), crash));
            }
            batches.push((order, false));
            (events, Delivery { batches })
        })
    })
}

type Rows = BTreeMap<(&'static str, String), (Vec<u8>, bool)>;

async fn rows(world: &World) -> Rows {
    let mut rows = Rows::new();
    for (table, key) in [("accounts", "account_id"), ("balances", "account_id"), ("transactions", "transaction_id")] {
        let sql = format!("SELECT {key} AS k, version, deleted FROM {table} WHERE source = ?");
        for row in world.db.query(&sql, params![&world.source]).await.unwrap() {
            rows.insert((table, row.get("k").unwrap()), (row.get("version").unwrap(), row.get("deleted").unwrap()));
        }
    }
    rows
}

/// What must be there: the newest change of each key.
fn truth(events: &[Event]) -> Rows {
    let mut rows = Rows::new();
    for (n, event) in events.iter().enumerate() {
        let change = rendered(event, n as u64 + 1);
        let table = match change.entity {
            Entity::Account => "accounts",
            Entity::Balance => "balances",
            _ => "transactions",
        };
        let deleted = !matches!(change.row, RowChange::Upsert(_));
        rows.insert((table, change.key.clone()), (change.version.as_bytes().to_vec(), deleted));
    }
    rows
}

async fn deliver(world: &mut World, events: &[Event], delivery: &Delivery) {
    let mut before = Rows::new();
    for (batch, crash) in &delivery.batches {
        let changes: Vec<_> = batch.iter().map(|n| rendered(&events[*n], *n as u64 + 1)).collect();
        if *crash {
            let advance = world.advance(1);
            let crashed = world.try_apply(changes.clone(), vec![], world.lease.token, advance, true).await;
            assert!(crashed.is_err());
            assert_eq!(rows(world).await, before, "a crash leaves nothing");
        }
        world.apply(changes).await;
        let after = rows(world).await;
        for (key, (version, _)) in &before {
            assert!(after[key].0 >= *version, "{key:?} went back");
        }
        before = after;
    }
    assert_eq!(before, truth(events));
    let reader = world.reader();
    for tier in [Tier::Memory, Tier::Sql] {
        let comparison = compare(&reader, tier).await.unwrap();
        assert_eq!(comparison.shared, comparison.tier, "{tier:?}");
    }
}

#[test]
fn every_delivery_of_a_history_ends_in_the_same_rows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for engine in engines() {
        println!("engine {engine}");
        let cases = if engine == "memory" { 96 } else { 12 };
        let world = std::cell::RefCell::new(runtime.block_on(World::open(&engine)));
        let case = std::cell::Cell::new(0);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&histories(), |(events, delivery)| {
                let mut world = world.borrow_mut();
                case.set(case.get() + 1);
                runtime.block_on(async {
                    for table in ["account_rows", "balance_rows", "transaction_rows", "offsets", "sources", "leases"] {
                        world.db.exec(&format!("DELETE FROM {table}"), vec![]).await.unwrap();
                    }
                    world.new_source(&format!("s{}", case.get())).await;
                    world.tiers.memory = Some(std::sync::Arc::new(Memory::new(100)));
                    deliver(&mut world, &events, &delivery).await;
                });
                Ok(())
            })
            .unwrap();
        runtime.block_on(world.into_inner().remove());
    }
}
