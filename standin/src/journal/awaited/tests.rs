use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::yield_now;

use super::*;

/// What other processes recorded, and how often somebody looked for it.
#[derive(Default)]
struct Store {
    entries: Mutex<Vec<Entry>>,
    reads: AtomicUsize,
}

impl Store {
    fn read(&self, ids: Vec<EntryId>) -> BoxFuture<'_, Vec<Entry>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let entries = self.entries.lock().unwrap();
        let found = entries.iter().filter(|entry| ids.contains(&entry.id)).cloned().collect();
        Box::pin(async move { found })
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn put(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }
}

/// Waits for the entry in a task of its own, which has read once when this returns.
async fn waiting(awaited: &Arc<Awaited>, store: &Arc<Store>, id: &EntryId) -> tokio::task::JoinHandle<Entry> {
    let (awaited, store, id) = (awaited.clone(), store.clone(), id.clone());
    let before = store.reads();
    let waits = tokio::spawn({
        let store = store.clone();
        async move { awaited.outcome(&id, &|ids| store.read(ids)).await }
    });
    while store.reads() == before {
        yield_now().await;
    }
    waits
}

fn entry(id: &EntryId, version: i64, state: EntryState) -> Entry {
    let command = serde_json::json!({ "from_account": "a", "to_account": "b", "amount_minor": 1, "currency": "EUR" });
    Entry {
        id: id.clone(),
        version,
        principal: "anna".into(),
        operation: "transfer".into(),
        idempotency_key: "k".into(),
        fingerprint: Vec::new(),
        core_ref: "LC1".into(),
        command: serde_json::from_value(command).unwrap(),
        state,
        ordered: false,
        contradicted: false,
        reason: None,
        core_id: None,
        reserved_day: None,
        lane_version: None,
        accepted_us: 0,
        business_day: 0,
        updated_us: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_here_is_told_without_a_look() {
    let (awaited, store, id) = (Arc::default(), Arc::default(), EntryId::generate());
    let first = waiting(&awaited, &store, &id).await;
    let second = waiting(&awaited, &store, &id).await;
    let began = Instant::now();
    awaited.tell(&entry(&EntryId::generate(), 2, EntryState::Posted));
    awaited.tell(&entry(&id, 2, EntryState::OutcomeUnknown));
    yield_now().await;
    assert!(!first.is_finished() && !second.is_finished());
    awaited.tell(&entry(&id, 3, EntryState::Posted));
    awaited.tell(&entry(&id, 2, EntryState::OutcomeUnknown));
    for waits in [first, second] {
        assert_eq!(waits.await.unwrap(), entry(&id, 3, EntryState::Posted));
    }
    assert_eq!((store.reads(), began.elapsed()), (2, Duration::ZERO), "one read each, as they began");
    assert!(awaited.entries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_recorded_before_anybody_waited_is_read_at_once() {
    let (awaited, store, id) = (Arc::<Awaited>::default(), Arc::<Store>::default(), EntryId::generate());
    store.put(entry(&id, 2, EntryState::Refused));
    let began = Instant::now();
    assert_eq!(waiting(&awaited, &store, &id).await.await.unwrap().state, EntryState::Refused);
    assert_eq!((store.reads(), began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_during_the_first_read_is_not_lost() {
    let (awaited, id) = (Awaited::default(), EntryId::generate());
    let read = |_| -> BoxFuture<'_, Vec<Entry>> {
        awaited.tell(&entry(&id, 2, EntryState::Posted));
        Box::pin(std::future::ready(Vec::new()))
    };
    let began = Instant::now();
    assert_eq!(awaited.outcome(&id, &read).await.state, EntryState::Posted);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_records_is_found_by_one_look_for_all() {
    let (awaited, store): (Arc<Awaited>, Arc<Store>) = Default::default();
    let ids: Vec<EntryId> = (0..50).map(|_| EntryId::generate()).collect();
    let mut all = Vec::new();
    for id in &ids {
        all.push(waiting(&awaited, &store, id).await);
    }
    ids.iter().for_each(|id| store.put(entry(id, 2, EntryState::Confirmed)));
    let before = store.reads();
    for waits in all {
        assert_eq!(waits.await.unwrap().state, EntryState::Confirmed);
    }
    assert_eq!(store.reads() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_long_look_once_a_second() {
    let (awaited, store, id) = (Arc::default(), Arc::default(), EntryId::generate());
    let waits = [waiting(&awaited, &store, &id).await, waiting(&awaited, &store, &id).await];
    let before = store.reads();
    tokio::time::sleep(Duration::from_millis(10_800)).await;
    assert_eq!(store.reads() - before, 12, "after 0.25 s, 0.75 s, 1.75 s, and so on");
    waits.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn who_waits_no_more_leaves_nothing_behind_and_keeps_nobody_from_being_told() {
    let (awaited, store, id) = (Arc::default(), Arc::default(), EntryId::generate());
    let gone = waiting(&awaited, &store, &id).await;
    let stays = waiting(&awaited, &store, &id).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(awaited.entries()[&id].waiting, 1);
    // One that is dropped in the middle of a look gives the look back.
    let hangs = |ids: Vec<EntryId>| -> BoxFuture<'_, Vec<Entry>> {
        match ids.len() {
            1 => Box::pin(std::future::ready(Vec::new())),
            _ => Box::pin(std::future::pending()),
        }
    };
    let other = EntryId::generate();
    assert!(tokio::time::timeout(Duration::from_millis(600), awaited.outcome(&other, &hangs)).await.is_err());
    store.put(entry(&id, 2, EntryState::Posted));
    assert_eq!(stays.await.unwrap().state, EntryState::Posted);
    assert!(awaited.entries().is_empty());
}
