//! Tiers may be late, empty or gone; they are never wrong. With Redis when `LOCUM_TEST_REDIS_URL` is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use read_model::*;
use schemas::model::Entity;
use tokio::sync::watch;

use crate::support::*;

async fn read(reader: &Reader, key: &str) -> (i64, Tier) {
    let read = reader.account(&Grant::Any, key, &Floor::none()).await.unwrap();
    (read.value.balance.as_ref().unwrap().row.booked_minor, read.tier)
}

fn memory() -> Tiers {
    Tiers { memory: Some(Arc::new(Memory::new(1_000))), redis: None }
}

async fn redis(prefix: &str) -> Option<Arc<RedisTier>> {
    let redis =
        RedisTier::new(&redis_url()?, &format!("locum-test-{prefix}-{}-{}", std::process::id(), now_ms())).unwrap();
    redis.connect().await.unwrap();
    Some(Arc::new(redis))
}

async fn flush() {
    let client = redis::Client::open(redis_url().unwrap()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHDB").query_async::<()>(&mut connection).await.unwrap();
}

#[tokio::test]
async fn memory_serves_what_was_committed_and_forgets_when_told() {
    let mut world = World::open("memory").await;
    world.tiers = memory();
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    let reader = world.reader();
    assert_eq!(read(&reader, "a").await, (1, Tier::Memory));
    world.apply(vec![balance("a", 2, 2)]).await;
    assert_eq!(read(&reader, "a").await, (2, Tier::Memory));
    world.tiers.retire("bank");
    assert_eq!(read(&reader, "a").await, (2, Tier::Sql));
    assert_eq!(read(&reader, "a").await, (2, Tier::Sql), "nobody feeds it, so nothing is kept");
    world.apply(vec![delete(Entity::Account, "a", 9)]).await;
    let gone = reader.account(&Grant::Any, "a", &Floor::none()).await;
    assert_eq!(gone.unwrap_err(), ReadError::NotFound);
}

#[tokio::test]
async fn a_source_that_retires_or_starts_anew_takes_nothing_of_the_others_with_it() {
    let mut world = World::open("memory").await;
    world.tiers = memory();
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    let tiers = world.tiers.clone();
    world.new_source("cards").await;
    world.tiers = tiers;
    world.apply(vec![account("k", "c", 1), balance("k", 7, 1)]).await;
    let reader = world.reader();
    assert_eq!((read(&reader, "a").await.1, read(&reader, "k").await.1), (Tier::Memory, Tier::Memory));
    world.tiers.retire("cards");
    assert_eq!((read(&reader, "a").await.1, read(&reader, "k").await.1), (Tier::Memory, Tier::Sql));
}

/// Redis behind a proxy that holds everything back while it is told to, and tells how often it was connected to.
async fn redis_that_may_hang() -> Option<(String, watch::Sender<bool>, watch::Receiver<usize>)> {
    let url = redis_url()?;
    let (address, database) =
        url.strip_prefix("redis://")?.split_once('/').unwrap_or((url.strip_prefix("redis://")?, ""));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxied = format!("redis://{}/{database}", listener.local_addr().unwrap());
    let (hangs, held) = watch::channel(false);
    let (connected, connections) = watch::channel(0);
    let address = address.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            connected.send_modify(|connections| *connections += 1);
            let server = tokio::net::TcpStream::connect(&address).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::spawn(relay(from_client, to_server, held.clone()));
            tokio::spawn(relay(from_server, to_client, held.clone()));
        }
    });
    Some((proxied, hangs, connections))
}

async fn relay(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut bytes = vec![0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_for_a_moment_keeps_its_documents() {
    let Some((url, hangs, mut connections)) = redis_that_may_hang().await else { return };
    let mut world = World::open("memory").await;
    let redis =
        Arc::new(RedisTier::new(&url, &format!("locum-test-hang-{}-{}", std::process::id(), now_ms())).unwrap());
    redis.connect().await.unwrap();
    world.tiers = Tiers { memory: None, redis: Some(redis) };
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    world.apply(vec![account("b", "c", 2), balance("b", 2, 2)]).await;
    let reader = world.reader();
    wait_for("redis", async || (read(&reader, "b").await == (2, Tier::Redis), ())).await;
    hangs.send_replace(true);
    let before = *connections.borrow_and_update();
    let goes_on = tokio::spawn(async move {
        // The publication was said again in vain, until the connection was given up for another one.
        connections.wait_for(|now| *now > before).await.unwrap();
        hangs.send_replace(false);
        hangs
    });
    world.apply(vec![balance("a", 3, 3)]).await;
    let _hangs = goes_on.await.unwrap();
    // In a new epoch it would be gone, and nobody fills it but this read.
    let mut tiers = Vec::new();
    wait_for("redis again", async || {
        let seen = read(&reader, "b").await;
        assert_eq!(seen.0, 2);
        tiers.push(seen.1);
        (seen.1 == Tier::Redis, ())
    })
    .await;
    let floor = Floor(vec![("bank".into(), Position { generation: 1, sequence: world.sequence })]);
    let read = reader.account(&Grant::Any, "a", &floor).await.unwrap();
    assert_eq!((read.value.balance.as_ref().unwrap().row.booked_minor, read.tier), (3, Tier::Redis), "{tiers:?}");
}

#[tokio::test]
async fn a_slow_reader_cannot_put_back_what_it_saw_before_a_feeding() {
    let mut world = World::open("memory").await;
    world.tiers = memory();
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    let memory = world.tiers.memory.clone().unwrap();
    let (old, seen) = memory.get("a").unwrap();
    world.apply(vec![balance("a", 2, 2)]).await;
    memory.fill(&old, &seen);
    assert_eq!(read(&world.reader(), "a").await, (2, Tier::Memory));
}

#[tokio::test]
async fn memory_that_missed_an_apply_starts_from_nothing() {
    let mut world = World::open("memory").await;
    world.tiers = memory();
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1), account("b", "c", 1), balance("b", 1, 1)]).await;
    let kept = std::mem::take(&mut world.tiers);
    world.apply(vec![balance("a", 2, 2)]).await;
    world.tiers = kept;
    world.apply(vec![balance("b", 3, 3)]).await;
    assert_eq!(read(&world.reader(), "a").await, (2, Tier::Sql));
    assert_eq!(read(&world.reader(), "b").await, (3, Tier::Memory));
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_not_fed_any_more_is_bypassed() {
    let mut world = World::open("memory").await;
    world.tiers = memory();
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
    assert!(world.tiers.memory.as_ref().unwrap().get("a").is_none());
}

#[tokio::test]
async fn an_answer_from_a_tier_below_the_floor_comes_from_sql() {
    let mut world = World::open("memory").await;
    world.tiers = memory();
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    let kept = std::mem::take(&mut world.tiers);
    world.apply(vec![balance("a", 2, 2)]).await;
    world.tiers = kept;
    let floor = Floor(vec![("bank".into(), Position { generation: 1, sequence: 2 })]);
    let shown = world.reader().account(&Grant::Any, "a", &floor).await.unwrap();
    assert_eq!((shown.tier, shown.freshness[0].position.sequence), (Tier::Sql, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_follows_survives_a_flush_and_equals_sql_at_rest() {
    let Some(redis) = redis("flush").await else { return };
    let mut world = World::open("memory").await;
    world.tiers.redis = Some(redis);
    let keys: Vec<String> = (0..50).map(|n| format!("acc{n:03}")).collect();
    let rows = |booked: i64, at: u64| -> Vec<_> {
        keys.iter().flat_map(move |key| [account(key, "c", at), balance(key, booked, at)]).collect()
    };
    world.apply(rows(1, 1)).await;
    world.apply(rows(2, 2)).await;
    let reader = world.reader();
    let warm = async |wanted: i64| {
        wait_for("redis to serve", async || {
            let seen = read(&reader, "acc007").await;
            assert_eq!(seen.0, wanted, "never an older answer");
            (seen.1 == Tier::Redis, seen)
        })
        .await;
    };
    warm(2).await;
    flush().await;
    assert_eq!(read(&reader, "acc007").await, (2, Tier::Sql));
    world.apply(rows(3, 3)).await;
    warm(3).await;
    world.apply(vec![balance("acc007", 4, 4), delete(Entity::Account, "acc008", 4)]).await;
    assert_eq!(read(&reader, "acc007").await.0, 4);
    let comparison = compare(&reader, Tier::Redis).await.unwrap();
    assert_eq!(comparison.shared, comparison.tier);
    assert!(comparison.tier.documents > 0 && comparison.sql.documents == 49, "{comparison:?}");
    assert_eq!(compare(&reader, Tier::Sql).await.unwrap().sql, compare(&reader, Tier::Sql).await.unwrap().tier);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_publication_begins_a_new_epoch_and_a_stale_writer_is_refused() {
    let Some(redis) = redis("epoch").await else { return };
    let mut world = World::open("memory").await;
    world.tiers.redis = Some(redis.clone());
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    world.apply(vec![balance("a", 2, 2)]).await;
    let stale = world.tiers.clone();
    let old_status = Arc::new(status_of(&world.db, "bank").await.unwrap().unwrap());
    let reader = world.reader();
    wait_for("redis", async || (read(&reader, "a").await.1 == Tier::Redis, ())).await;
    // An apply that Redis never heard of.
    world.tiers = Tiers::none();
    world.apply(vec![balance("a", 3, 3)]).await;
    world.tiers = Tiers { memory: None, redis: Some(redis) };
    world.apply(vec![account("z", "c", 4)]).await;
    wait_for("the answer of today", async || {
        let seen = read(&reader, "a").await;
        (seen.0 == 3, seen)
    })
    .await;
    // Another process takes over and publishes; the old one wakes.
    release(&world.db, &world.lease).await.unwrap();
    world.lease = take(&world.db, "bank", "next", Duration::from_secs(60)).await.unwrap().unwrap();
    world.apply(vec![balance("a", 5, 5)]).await;
    let previous_seq = old_status.applied_seq;
    let (documents, gone) = (Vec::new(), Vec::new());
    stale.publish(&Publication { status: old_status, previous_seq, documents, gone, reset: true }).await;
    let floor = Floor(vec![("bank".into(), Position { generation: 1, sequence: world.sequence })]);
    let seen = reader.account(&Grant::Any, "a", &floor).await.unwrap();
    assert_eq!(seen.value.balance.as_ref().unwrap().row.booked_minor, 5);
    assert_eq!(compare(&reader, Tier::Redis).await.map(|c| c.shared == c.tier), Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_goes_back_does_not_keep_a_lagging_redis_in_use() {
    let Some(redis) = redis("clock").await else { return };
    let mut world = World::open("memory").await;
    world.tiers.redis = Some(redis);
    let clock = Arc::new(AtomicI64::new(now_ms()));
    let now = clock.clone();
    let options = ReaderOptions { now_ms: Arc::new(move || now.load(Ordering::Relaxed)), ..ReaderOptions::default() };
    let reader = Reader::new(world.db.clone(), world.tiers.clone(), options);
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    world.apply(vec![balance("a", 2, 2)]).await;
    wait_for("redis", async || (read(&reader, "a").await == (2, Tier::Redis), ())).await;
    clock.fetch_sub(3_600_000, Ordering::Relaxed);
    // Redis does not hear of this, and SQL is a minute ahead of it.
    let advance = Advance { as_of_ms: Some(now_ms() + 60_000), ..world.advance(1) };
    world.try_apply(vec![balance("a", 3, 3)], vec![], world.lease.token, advance, false).await.unwrap();
    let mut from_sql = 0;
    wait_for("sql, and nothing else", async || {
        let seen = read(&reader, "a").await;
        from_sql = if seen == (3, Tier::Sql) { from_sql + 1 } else { 0 };
        (from_sql == 20, seen)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_from_one_table_is_not_hidden_by_the_other_tables_newer_version() {
    let Some(redis) = redis("tables").await else { return };
    let mut world = World::open("memory").await;
    world.tiers.redis = Some(redis);
    world.apply(vec![account("a", "c", 1)]).await;
    // The balance's topic is ahead: the account's change comes later, with a lower version than the balance has.
    world.apply(vec![balance("a", 1, 9)]).await;
    let reader = world.reader();
    wait_for("redis", async || (read(&reader, "a").await.1 == Tier::Redis, ())).await;
    world.apply(vec![account("a", "heir", 5)]).await;
    wait_for("redis with the new owner", async || {
        let seen = reader.account(&Grant::Any, "a", &Floor::none()).await.unwrap();
        assert_eq!(seen.value.account.row.customer_id, "heir", "from {:?}", seen.tier);
        (seen.tier == Tier::Redis, seen.tier)
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_is_away_costs_no_read_a_wait() {
    // It takes connections and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let (connected, tries) = watch::channel(0);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            held.push(client);
            connected.send_replace(held.len());
        }
    });
    let mut world = World::open("memory").await;
    world.tiers.redis = Some(Arc::new(RedisTier::new(&url, "x").unwrap()));
    world.apply(vec![account("a", "c", 1), balance("a", 1, 1)]).await;
    let reader = world.reader();
    for _ in 0..1_000 {
        assert_eq!(read(&reader, "a").await, (1, Tier::Sql));
    }
    // A read that waited would have waited for a try of its own.
    assert!(*tries.borrow() < 500, "{} tries for 1000 reads", *tries.borrow());
}
