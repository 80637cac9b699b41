//! Rows of an earlier release come whole into the tables of datasets, however their move is interrupted. Numbers of datasets are given once.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use read_model::*;
use schemas::position::Version;
use sql::{Db, Policy, Upsert, Value, params};

use crate::support::*;

on_every_engine! {
    World::bare;
    every_row_is_read_back_equal_and_its_source_goes_on => moved;
    a_move_that_is_killed_anywhere_is_completed_by_the_next_starts => killed;
    what_an_earlier_release_writes_meanwhile_is_moved_too => written_meanwhile;
    an_earlier_release_cannot_commit_once_the_rest_is_copied => fenced;
    two_processes_move_rows_at_once => at_once;
    sources_that_are_seen_at_once_get_numbers_of_their_own => numbers;
}

/// The last version in which rows name source and generation.
const BEFORE: usize = 5;
/// More than one step walks.
const KEYS: u64 = 600;

/// Tables of the earlier form, how many columns are their key, and the tables that take their rows.
const TABLES: [(&str, usize, &[&str], &str); 5] = [
    ("customers", 3, &["customer_id", "source", "generation", "version", "deleted", "name"], "customer_rows"),
    (
        "accounts",
        3,
        &["account_id", "source", "generation", "version", "deleted", "customer_id", "currency", "state", "product"],
        "account_rows",
    ),
    (
        "balances",
        3,
        &[
            "account_id",
            "source",
            "generation",
            "version",
            "deleted",
            "currency",
            "booked_minor",
            "overdraft_line_minor",
            "core_holds_minor",
            "last_posting",
        ],
        "balance_rows",
    ),
    (
        "transactions",
        3,
        &[
            "transaction_id",
            "source",
            "generation",
            "version",
            "deleted",
            "account_id",
            "booked_at_us",
            "posting_no",
            "amount_minor",
            "currency",
            "value_day",
            "remittance",
            "remittance_search",
            "core_ref",
        ],
        "transaction_rows",
    ),
    (
        "core_rows",
        4,
        &["source", "generation", "row_hash", "entity", "entity_key", "account_id", "version"],
        "core_row_keys",
    ),
];

/// The same position in another generation.
fn in_generation(generation: u8, position: u64) -> Version {
    let mut bytes = *version(position).as_bytes();
    bytes[3] = generation;
    Version::from_bytes(&bytes).unwrap()
}

/// A row of each table, in their order.
fn old_rows(source: &str, generation: u8, n: u64) -> [Vec<Value>; 5] {
    let key = format!("{source}-{n:04}");
    let version = *in_generation(generation, n + 1).as_bytes();
    // Some are markers of deleted rows.
    let deleted = n % 50 == 49;
    let mut hash = [0; 32];
    hash[30..].copy_from_slice(&(n as u16).to_be_bytes());
    let name = (!n.is_multiple_of(3)).then(|| format!("Zoë {n}"));
    let (amount, line) = (n as i64 - 300, -(n as i64));
    [
        params![&key, source, generation, version, deleted, name],
        params![&key, source, generation, version, deleted, format!("c{}", n / 2), "EUR", "active", Value::Null],
        params![&key, source, generation, version, deleted, "EUR", amount, line, 0, Some(n as i64)],
        params![
            &key,
            source,
            generation,
            version,
            deleted,
            &key,
            n as i64 * 1_000_000,
            Some(1),
            amount,
            "EUR",
            20_000,
            Some("Rent ß"),
            Some("rent ß"),
            Value::Null
        ],
        params![source, generation, hash, "account", &key, Some(key.as_str()), version],
    ]
}

/// A database as an earlier release leaves it. "bank" serves generation 2, with rows of 1 that were not swept yet. "cards" serves 1
/// and fills 2.
async fn fill(db: &Db) {
    db.migrate(COMPONENT, &MIGRATIONS[..BEFORE]).await.unwrap();
    let sources: [(&str, u8, Option<u8>); 2] = [("bank", 2, None), ("cards", 1, Some(2))];
    for (source, served, filled) in sources {
        let sql = "INSERT INTO sources (source, generation, rebuilding, loaded, as_of_ms, watermark, applied_seq, events_applied, \
               token, snapshot_begun) VALUES (?, ?, ?, 1, 5, ?, 7, 7, 3, 1)";
        let watermark = in_generation(served, KEYS);
        db.exec(sql, params![source, served, filled, watermark.as_bytes()]).await.unwrap();
        let sql = "INSERT INTO source_leases (source, owner, token, expires_at_ms) VALUES (?, 'earlier', 3, {now_ms} + 60000)";
        db.exec(sql, params![source]).await.unwrap();
    }
    let sql = "INSERT INTO shadows (source, generation, opened_at_ms, loaded, watermark, events_applied, snapshot_begun) \
         VALUES ('cards', 2, 1, 0, ?, 0, 1)";
    db.exec(sql, params![in_generation(2, 0).as_bytes()]).await.unwrap();
    for (source, generation) in [("bank", 1), ("bank", 2), ("cards", 1), ("cards", 2)] {
        write(db, (0..KEYS).map(|n| old_rows(source, generation, n)).collect()).await;
    }
}

/// Writes rows of all tables as an earlier release does.
async fn write(db: &Db, rows: Vec<[Vec<Value>; 5]>) {
    let written = db.transaction(move |tx| {
        Box::pin(async move {
            for (at, (table, keys, columns, _)) in TABLES.into_iter().enumerate() {
                let mut upsert = Upsert::new(table, columns, &columns[..keys], Policy::Newer("version"));
                rows.iter().for_each(|row| upsert.push(row[at].clone()));
                tx.upsert(upsert).await?;
            }
            Ok::<_, sql::Error>(())
        })
    });
    written.await.unwrap();
}

type Rows = Vec<HashSet<Vec<Value>>>;

async fn read(db: &Db, of: impl Fn(&str, &str, &str) -> String) -> Rows {
    let mut all: Rows = Vec::new();
    for (old, _, columns, new) in TABLES {
        let rows = db.query(&of(old, &columns.join(", "), new), vec![]).await.unwrap();
        let cells = |row: &sql::Row| -> Vec<Value> { columns.iter().map(|c| row.get(c).unwrap()).collect() };
        all.push(rows.iter().map(cells).collect());
    }
    all
}

/// What an earlier release serves and fills.
async fn before(db: &Db) -> Rows {
    let rows = read(db, |old, columns, _| {
        format!("SELECT {columns} FROM {old} WHERE NOT (source = 'bank' AND generation = 1)")
    });
    rows.await
}

/// The same as it is stored now.
async fn after(db: &Db) -> Rows {
    let rows =
        read(db, |_, columns, new| format!("SELECT {columns} FROM {new} r JOIN datasets d ON d.dataset = r.dataset"));
    rows.await
}

async fn number_of(db: &Db, sql: &str) -> i64 {
    db.query(sql, vec![]).await.unwrap()[0].get("n").unwrap()
}

async fn schema(db: &Db) -> i64 {
    number_of(db, &format!("SELECT MAX(version) AS n FROM schema_versions WHERE component = '{COMPONENT}'")).await
}

async fn assert_moved(db: &Db, wanted: &Rows) {
    assert!(wanted.iter().all(|rows| rows.len() >= 3 * KEYS as usize));
    let moved = after(db).await;
    for (at, (table, _, columns, _)) in TABLES.into_iter().enumerate() {
        assert!(moved[at] == wanted[at], "{table}: {} rows, {} wanted", moved[at].len(), wanted[at].len());
        if table == "core_rows" {
            continue;
        }
        let served = db.query(&format!("SELECT {} FROM {table}", columns.join(", ")), vec![]).await.unwrap();
        assert_eq!(served.len(), wanted[at].len(), "an earlier release serves {table} until it is replaced");
    }
    let standing = "SELECT COUNT(*) AS n FROM sources WHERE halted IS NOT NULL OR dataset IS NULL OR snapshot_seen = 0";
    assert_eq!(number_of(db, standing).await, 0);
    assert_eq!(number_of(db, "SELECT snapshot_seen AS n FROM shadows").await, 1);
}

async fn moved(world: &mut World) {
    fill(&world.db).await;
    let wanted = before(&world.db).await;
    migrate(&world.db).await.unwrap();
    assert_moved(&world.db, &wanted).await;
    let (reader, none) = (world.reader(), Floor::none());
    for (source, generation) in [("bank", 2), ("cards", 1)] {
        let key = format!("{source}-0007");
        let read = reader.account(&Grant::Any, &key, &none).await.unwrap();
        assert_eq!(read.freshness[0].position, Position { generation, sequence: 7 }, "positions go on");
        assert_eq!(read.value.account.version, in_generation(generation as u8, 8));
        assert_eq!((read.value.source.as_str(), read.value.balance.as_ref().unwrap().row.booked_minor), (source, -293));
        let page = reader.transactions(&Grant::Any, &key, &TransactionFilter::default(), &none).await.unwrap();
        assert_eq!(page.value.transactions.len(), 1);
        let deleted = reader.account(&Grant::Any, &format!("{source}-0049"), &none).await;
        assert_eq!(deleted.unwrap_err(), ReadError::NotFound);
    }
    // The shadow goes on where it was, and is swapped in.
    let lease = take(&world.db, "cards", "test", Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!(lease.token, 4, "it leads at once, and tokens go on");
    let filling = filling(&world.db, "cards").await.unwrap().unwrap();
    assert!(filling.snapshot_begun && filling.served.is_some());
    let mut changes = vec![account("cards-0007", "c", 9), balance("cards-0007", 1, 9)];
    changes.iter_mut().for_each(|change| change.version = in_generation(2, 9_000));
    let (advance, writer) = (Advance { sequence: 7, offsets: vec![], ..world.advance(2) }, filling.writer());
    let swap = world.db.transaction(move |tx| {
        Box::pin(async move {
            writer.apply(tx, &changes).await?;
            let sequence = writer.advance(tx, lease.token, &advance).await?;
            writer.swap(tx, &lease, sequence).await
        })
    });
    swap.await.unwrap();
    let read = reader.account(&Grant::Any, "cards-0007", &none).await.unwrap();
    assert_eq!((read.freshness[0].position.generation, read.value.balance.as_ref().unwrap().row.booked_minor), (2, 1));
    let read = reader.account(&Grant::Any, "cards-0008", &none).await.unwrap();
    assert_eq!(read.value.account.version, in_generation(2, 9), "moved with the shadow");
    let mut sweep = Sweep::due(&world.db, "cards", 0).await.unwrap().unwrap();
    while sweep.step(&world.db).await.unwrap() {}
    for (_, _, _, table) in TABLES {
        let count = "SELECT COUNT(*) AS n FROM";
        let old = "r JOIN datasets d ON d.dataset = r.dataset WHERE d.source = 'cards' AND d.generation = 1";
        assert_eq!(number_of(&world.db, &format!("{count} {table} {old}")).await, 0, "{table}");
        assert_eq!(number_of(&world.db, &format!("{count} {table}")).await, 2 * KEYS as i64, "{table}");
    }
    // A number of a generation that is gone is not given again.
    let highest = "SELECT MAX(dataset) AS n FROM datasets";
    let before = number_of(&world.db, highest).await;
    assert_eq!(open_generation(&world.db, "cards", None).await.unwrap(), Some(3));
    assert_eq!(number_of(&world.db, highest).await, before + 1);
}

/// Lets a future wait so many times and then drops it, as a process that is killed; none if it did not end before.
async fn killed_after<F: Future>(waits: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = waits;
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

async fn killed(world: &mut World) {
    fill(&world.db).await;
    let wanted = before(&world.db).await;
    let mut waits = 0;
    while killed_after(waits, migrate(&world.db)).await.transpose().unwrap().is_none() {
        waits += 3;
    }
    assert!(waits > 30, "it was killed {} times only", waits / 3);
    assert_moved(&world.db, &wanted).await;
}

async fn written_meanwhile(world: &mut World) {
    fill(&world.db).await;
    let mut waits = 0;
    // Until a part is copied.
    loop {
        let ended = killed_after(waits, migrate(&world.db)).await;
        assert!(ended.is_none(), "it ended before a part was copied");
        waits += 1;
        let begun = world.db.query("SELECT account_id FROM account_rows", vec![]).await;
        if begun.is_ok_and(|rows| !rows.is_empty()) {
            break;
        }
    }
    assert_eq!(schema(&world.db).await, BEFORE as i64 + 1);
    let newer = |n: u64| {
        let mut rows = old_rows("bank", 2, n);
        for (row, (_, _, columns, _)) in rows.iter_mut().zip(TABLES) {
            let at = columns.iter().position(|column| *column == "version").unwrap();
            row[at] = Value::from(in_generation(2, 100_000 + n).as_bytes());
        }
        rows
    };
    write(&world.db, [0, 1, KEYS, KEYS + 1].map(newer).to_vec()).await;
    let wanted = before(&world.db).await;
    migrate(&world.db).await.unwrap();
    assert_moved(&world.db, &wanted).await;
}

async fn fenced(world: &mut World) {
    fill(&world.db).await;
    let commit = "UPDATE sources SET applied_seq = 8, snapshot_begun = CASE WHEN ? = 1 THEN 1 ELSE snapshot_begun END \
         WHERE source = 'bank' AND token = 3 AND applied_seq = 7";
    let serve =
        "SELECT a.account_id FROM accounts a JOIN sources s ON s.source = a.source AND s.generation = a.generation";
    world.db.migrate(COMPONENT, &MIGRATIONS[..BEFORE + 1]).await.unwrap();
    world.db.exec("UPDATE sources SET snapshot_seen = snapshot_begun", vec![]).await.unwrap();
    world.db.exec("UPDATE shadows SET snapshot_seen = snapshot_begun", vec![]).await.unwrap();
    world.db.migrate(COMPONENT, &MIGRATIONS[..BEFORE + 3]).await.unwrap();
    assert!(world.db.exec(commit, params![0]).await.is_err(), "its rows would be lost");
    assert_eq!(world.db.query(serve, vec![]).await.unwrap().len(), 2 * KEYS as usize, "it serves on");
    let wanted = before(&world.db).await;
    migrate(&world.db).await.unwrap();
    assert_moved(&world.db, &wanted).await;
}

async fn at_once(world: &mut World) {
    fill(&world.db).await;
    let wanted = before(&world.db).await;
    let (one, two) = tokio::join!(migrate(&world.db), migrate(&world.db));
    one.and(two).unwrap();
    assert_moved(&world.db, &wanted).await;
}

async fn numbers(world: &mut World) {
    migrate(&world.db).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let db = world.db.clone();
        tasks.push(tokio::spawn(async move {
            let source = format!("source-{n}");
            // Conflicts with the others are run again, as an ingester does; what is counted below tells whether all came through.
            let (mut taken, mut opened) = (false, false);
            for _ in 0..200 {
                taken = taken || matches!(take(&db, &source, "test", Duration::from_secs(60)).await, Ok(Some(_)));
                opened = opened || (taken && open_generation(&db, &source, None).await == Ok(Some(2)));
                if opened {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let given = "SELECT COUNT(DISTINCT dataset) AS n FROM datasets";
    assert_eq!(number_of(&world.db, given).await, 16);
    let served = "SELECT COUNT(*) AS n FROM sources s JOIN datasets d ON d.dataset = s.dataset AND d.source = s.source \
         AND d.generation = s.generation";
    assert_eq!(number_of(&world.db, served).await, 8);
}
