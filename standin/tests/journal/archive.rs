//! The archive: what may leave the tables leaves, whatever dies on the way, and its key and reference are not forgotten.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use schemas::core::{Alphabet, ReferenceFormat};
use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use sql::{Host, Surroundings, params};
use standin::archive::{Month, Reader, Writer, verify};
use standin::journal::{Admitted, ArchiveError, Entry, Journal, JournalError, LegSeen, Pass, Retention, Write};

use crate::databases::run_on_sqlite;
use crate::ledger::version;
use crate::support::*;

/// So much later it is on the host that archives, and on the SQL server: more than two full months.
pub const LATER_MS: i64 = 100 * DAY_MS;
/// Longer than a process may hold the fence of the archive.
pub const FENCE_MS: i64 = 61_000;

pub struct Later;

impl Surroundings for Later {
    fn now_us(&self) -> i64 {
        now_us() + (LATER_MS + 5 * FENCE_MS) * 1_000
    }

    fn chance(&self) -> u64 {
        7
    }
}

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("locum-archive-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn retention(&self) -> Retention {
        retention(self.0.clone())
    }

    /// Its files, in order of name.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The entries of all files, which are one chain.
    pub fn entries(&self) -> Vec<String> {
        let chain = verify(&self.files()).unwrap();
        let mut ids = Vec::new();
        for sealed in chain {
            let mut reader = Reader::open(&self.0.join(sealed.link.file)).unwrap();
            while let Some(line) = reader.next_line().unwrap() {
                ids.push(line.id.as_str().to_owned());
            }
        }
        ids
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn retention(directory: PathBuf) -> Retention {
    Retention { journal_months: 1, directory, keys_days: 400, references_days: None, entries_per_file: 1_000 }
}

/// Another process, months later.
async fn months_later(bank: &Bank, id: &str) -> Bank {
    bank.sql_clock.set(LATER_MS);
    bank.with(id, sql::Options { host: Host::of(Arc::new(Later)), ..options() }).await
}

async fn pass(bank: &Bank, retention: &Retention) -> Pass {
    bank.journal.archive().pass(&bank.instance, retention).await.unwrap().expect("nobody else archives")
}

/// The `n`th entry of a, posted and confirmed, its hold ended.
pub async fn confirmed(bank: &Bank, n: i64) -> (Write, Entry) {
    let write = transfer("a", "b", 1);
    let entry = bank.admit(write.clone()).await;
    bank.record(posted(&entry, &[("a", n), ("b", n)]).ending(1)).await;
    bank.apply(&[("a", 100_000 - n, n)], &[debit_row(&entry, n), credit_row(&entry, n)]).await;
    assert_eq!(bank.state(&entry).await, Confirmed);
    (write, entry)
}

/// One that stand-in declined: never sent, and without a posting.
pub async fn declined(bank: &Bank) -> (Write, Entry) {
    let write = transfer("a", "b", 999_999).away();
    let entry = bank.admit(write.clone()).await;
    assert_eq!(entry.state, Declined);
    (write, entry)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

async fn is_kept(bank: &Bank, entry: &Entry) -> bool {
    bank.journal.gateway().get(&entry.id).await.unwrap().is_some()
}

pub async fn rows_of(bank: &Bank, entry: &Entry) -> i64 {
    let mut rows = 0;
    for (table, column) in
        [("entries", "id"), ("legs", "entry_id"), ("attempts", "entry_id"), ("transitions", "entry_id")]
    {
        let sql = format!("SELECT COUNT(*) AS n FROM {table} WHERE {column} = ?");
        rows += bank.db.query(&sql, params![entry.id.as_str()]).await.unwrap()[0].get::<i64>("n").unwrap();
    }
    rows
}

on_every_engine! {
    async fn what_ended_long_ago_leaves_for_a_file_with_all_its_rows_and_what_waits_stays(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (_, first) = confirmed(&bank, 1).await;
        let (_, second) = declined(&bank).await;
        let refused = bank.direct("a", "b", 1).await;
        bank.first_attempt(&refused, Evidence::CoreRefused).await;
        let unconfirmed = bank.direct("a", "b", 1).await;
        bank.record(posted(&unconfirmed, &[("a", 2), ("b", 2)]).ending(1)).await;
        let waiting = bank.queued("a", "b", 1).await;
        let later = months_later(&bank, "archivist").await;
        let lanes = bank.number("SELECT COUNT(*) FROM lanes").await;
        assert_eq!(pass(&later, &folder.retention()).await, Pass { files: 1, entries: 3, forgotten: 0 });
        for gone in [&first, &second, &refused] {
            assert_eq!(rows_of(&bank, gone).await, 0);
            assert!(folder.entries().contains(&gone.id.as_str().to_owned()));
            let slim = bank.journal.gateway().archived(&gone.id).await.unwrap().unwrap();
            assert_eq!((slim.principal.as_str(), &slim.core_ref), ("anna", &gone.core_ref));
        }
        assert_eq!(folder.entries().len(), 3);
        assert!(is_kept(&bank, &unconfirmed).await && is_kept(&bank, &waiting).await);
        assert_eq!(bank.number("SELECT COUNT(*) FROM lanes").await, lanes);
        assert_eq!(pass(&later, &folder.retention()).await, Pass::default(), "nothing more is due");
        let line = Reader::open(&folder.files()[0]).unwrap().next_lines(9).unwrap().remove(0);
        let line: serde_json::Value = serde_json::from_slice(&line.text).unwrap();
        for part in ["entry", "legs", "transitions"] {
            assert!(!line[part].is_null(), "{line}");
        }
    }

    async fn each_reason_to_stay_keeps_an_entry_until_it_is_gone(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (_, entry) = confirmed(&bank, 1).await;
        let later = months_later(&bank, "archivist").await;
        let id = entry.id.as_str();
        let (of_entry, of_debit) = (format!("WHERE id = '{id}'"), format!("WHERE entry_id = '{id}' AND leg = 0"));
        let released = |n| format!("UPDATE legs SET released_at = X'{}' {of_debit}", hex(&version(n)));
        let about = |table: &str, set: &str, column: &str, value: &str| {
            format!("UPDATE {table} SET {set} WHERE {column} = '{value}'")
        };
        let reasons = [
            (
                "not final",
                format!("UPDATE entries SET state = 'posted' {of_entry}"),
                format!("UPDATE entries SET state = 'confirmed' {of_entry}"),
            ),
            (
                "contradicted",
                format!("UPDATE entries SET contradicted = 1 {of_entry}"),
                format!("UPDATE entries SET contradicted = 0 {of_entry}"),
            ),
            (
                "open leg",
                format!("UPDATE legs SET open = 1 {of_debit}"),
                format!("UPDATE legs SET open = 0 {of_debit}"),
            ),
            ("hold", format!("UPDATE legs SET released_at = NULL {of_debit}"), released(1)),
            ("hold against the served balance", released(2), released(1)),
            (
                "open attempt",
                about("attempts", "ended_us = NULL", "entry_id", id),
                about("attempts", "ended_us = 1", "entry_id", id),
            ),
            (
                "approval",
                format!(
                    "INSERT INTO approvals (id, asked_by, asked_ms, expires_ms, action, subject, basis, body, state) \
                     VALUES ('x', 'op', 0, 9000000000000000, 'entry.free', '{id}', '', X'7B7D', 'pending')"
                ),
                about("approvals", "state = 'void'", "subject", id),
            ),
            (
                "break",
                format!(
                    "INSERT INTO breaks (id, at_us, core_ref, leg, row_key, finding) \
                     VALUES ('x', 0, '{}', 'debit', 'k', 'f')",
                    entry.core_ref
                ),
                about("breaks", "settled_us = 1, settled_as = 'adopted'", "core_ref", &entry.core_ref),
            ),
            (
                "link",
                format!("INSERT INTO links (core, posting, entry_id, at_us, seen) VALUES ('core', 'p', '{id}', 0, 0)"),
                about("links", "seen = 1", "entry_id", id),
            ),
            (
                "hold against a balance that is not known now",
                about("books", "standing = 'unclear'", "account", "a"),
                about("books", "standing = 'active'", "account", "a"),
            ),
            (
                "a line that no reader takes",
                format!("UPDATE transitions SET state = 'parked' WHERE entry_id = '{id}' AND state = 'confirmed'"),
                format!("UPDATE transitions SET state = 'confirmed' WHERE entry_id = '{id}' AND state = 'parked'"),
            ),
        ];
        for (what, begin, end) in reasons {
            assert_eq!(bank.db.exec(&begin, vec![]).await.unwrap(), 1, "{what}");
            assert_eq!(pass(&later, &folder.retention()).await, Pass::default(), "{what}");
            assert_eq!(bank.db.exec(&end, vec![]).await.unwrap(), 1, "{what}");
        }
        let young = Retention { journal_months: 4, ..folder.retention() };
        assert_eq!(pass(&later, &young).await, Pass::default(), "too young");
        assert!(folder.files().is_empty());
        assert_eq!(pass(&later, &folder.retention()).await.entries, 1);
    }

    async fn a_repeat_of_an_archived_key_gets_the_final_state_until_the_key_is_forgotten(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (write, entry) = confirmed(&bank, 1).await;
        let (no, reason) = declined(&bank).await;
        let before = bank.now(&entry).await;
        let later = months_later(&bank, "archivist").await;
        assert_eq!(pass(&later, &folder.retention()).await.entries, 2);
        for process in [&bank, &later] {
            match process.submit(write.clone()).await {
                Admitted::Known(again) => {
                    assert_eq!(*again, Entry { business_day: 0, core_id: None, ..before.clone() });
                }
                other => panic!("{other:?}"),
            }
            match process.submit(no.clone()).await {
                Admitted::Known(again) => assert_eq!((again.state, &again.reason), (Declined, &reason.reason)),
                other => panic!("{other:?}"),
            }
            let other = Write { fingerprint: b"another".to_vec(), ..transfer("a", "b", 2).key(&write.idempotency_key) };
            assert_eq!(process.submit(other).await, Admitted::KeyReused(entry.id.clone()));
        }
        let by_key = bank.journal.gateway().archived_by_key("anna", "transfer", &write.idempotency_key).await.unwrap();
        assert_eq!(by_key.map(|found| found.id), Some(entry.id.clone()));
        let others = bank.journal.gateway().archived_by_key("bert", "transfer", &write.idempotency_key).await.unwrap();
        assert_eq!(others, None, "a key is its principal's");
        // The key is honoured no more: the same transfer is a new one.
        bank.sql_clock.set(401 * DAY_MS);
        let anew = bank.admit(transfer("a", "b", 1).key(&write.idempotency_key)).await;
        assert_ne!(anew.id, entry.id);
    }

    async fn a_change_event_of_an_archived_reference_that_comes_late_reopens_nothing(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (_, entry) = confirmed(&bank, 1).await;
        let refused = bank.direct("a", "b", 1).await;
        bank.first_attempt(&refused, Evidence::CoreRefused).await;
        let later = months_later(&bank, "archivist").await;
        assert_eq!(pass(&later, &folder.retention()).await.entries, 2);
        let rows = [debit_row(&entry, 1), credit_row(&entry, 1)];
        let (journal, asked) = (bank.journal.clone(), rows.to_vec());
        let news = bank.db.transaction(move |tx| {
            Box::pin(async move { journal.confirmations().is_news(tx, &asked).await })
        });
        assert_eq!(news.await.unwrap(), [false, false]);
        for _ in 0..2 {
            let confirmed = bank.apply(&[("a", 99_999, 1)], &rows).await;
            assert_eq!((confirmed.entries, confirmed.breaks), (0, 0));
        }
        assert!(!is_kept(&bank, &entry).await && !bank.lane_is_stopped("a").await);
        assert_eq!(bank.available("a").await, 99_999);
        // What the books cannot hold is told all the same.
        let twice = LegSeen { row_key: "a/9".into(), ..debit_row(&entry, 9) };
        assert_eq!(bank.apply(&[], &[twice]).await.breaks, 1, "booked twice");
        assert_eq!(bank.apply(&[], &[debit_row(&refused, 3)]).await.breaks, 1, "it was refused");
        // As if a person had vouched for it before its credit was seen: the first row is taken for the one that booked it.
        let unseen = "UPDATE archived_entries SET credit_row = NULL WHERE entry_id = ?";
        assert_eq!(bank.db.exec(unseen, params![entry.id.as_str()]).await.unwrap(), 1);
        for _ in 0..2 {
            assert_eq!(bank.apply(&[], &[credit_row(&entry, 1)]).await.breaks, 0);
        }
        let twice = LegSeen { row_key: "b/9".into(), ..credit_row(&entry, 9) };
        assert_eq!(bank.apply(&[], &[twice]).await.breaks, 1, "booked twice");
    }

    async fn a_death_after_the_file_has_its_name_loses_nothing_and_counts_nothing_twice(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (_, entry) = confirmed(&bank, 1).await;
        let month = Month::of_us(bank.now(&entry).await.updated_us).unwrap();
        let dying = months_later(&bank, "archivist-1").await;
        let archive = dying.journal.archive();
        let mut lease = archive.begin(&dying.instance, &folder.retention()).await.unwrap().unwrap();
        let file = archive.write(&mut lease, month).await.unwrap().unwrap();
        assert!(is_kept(&bank, &entry).await, "it dies here: the file is there, and so are the rows");
        std::fs::write(folder.0.join(format!(".{file}.7.part")), "what a writer left that died before").unwrap();
        let next = months_later(&bank, "archivist-2").await;
        let refused = next.journal.archive().pass(&next.instance, &folder.retention()).await.unwrap();
        assert_eq!(refused, None, "as far as anybody knows the first one is at work");
        bank.sql_clock.set(LATER_MS + FENCE_MS);
        assert_eq!(pass(&next, &folder.retention()).await, Pass { files: 1, entries: 1, forgotten: 0 });
        assert_eq!(folder.files(), [folder.0.join(&file)]);
        assert_eq!(folder.entries(), [entry.id.as_str()]);
        assert_eq!(bank.number("SELECT COUNT(*) FROM archives").await, 1);
        // It was not dead: what it does now changes nothing.
        let late = archive.note(&mut lease, &file, month).await;
        assert!(matches!(late, Err(ArchiveError::Stray(_))), "{late:?}");
        assert_eq!(bank.number("SELECT COUNT(*) FROM archives").await, 1);
    }

    async fn a_death_after_the_file_was_noted_or_with_half_of_it_deleted_is_gone_on_with(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let mut entries = Vec::new();
        for n in 1..=70 {
            entries.push(confirmed(&bank, n).await.1);
        }
        let month = Month::of_us(bank.now(&entries[0]).await.updated_us).unwrap();
        let dying = months_later(&bank, "archivist-1").await;
        let archive = dying.journal.archive();
        let mut lease = archive.begin(&dying.instance, &folder.retention()).await.unwrap().unwrap();
        let file = archive.write(&mut lease, month).await.unwrap().unwrap();
        archive.note(&mut lease, &file, month).await.unwrap();
        // Its second transaction fails, and with it the process.
        dying.books.interrupt(1, |_| Box::pin(async { Err(sql::Error::Configuration("a fault of this test".into())) }));
        assert!(archive.empty(&mut lease, &file).await.is_err());
        assert_eq!(bank.number("SELECT COUNT(*) FROM entries").await, 6);
        assert_eq!(bank.number("SELECT COUNT(*) FROM archived_entries").await, 64);
        assert_eq!(archive.unfinished().await.unwrap(), std::slice::from_ref(&file));
        bank.sql_clock.set(LATER_MS + FENCE_MS);
        let next = bank.with("archivist-2", sql::Options { host: Host::of(Arc::new(Later)), ..options() }).await;
        assert_eq!(pass(&next, &folder.retention()).await, Pass { files: 0, entries: 6, forgotten: 0 });
        assert_eq!(bank.number("SELECT COUNT(*) FROM archived_entries").await, 70);
        assert_eq!(folder.entries().len(), 70);
        assert!(next.journal.archive().unfinished().await.unwrap().is_empty());
        let late = archive.empty(&mut lease, &file).await;
        assert!(matches!(late, Err(ArchiveError::Journal(JournalError::Fenced(_)))), "{late:?}");
    }

    async fn what_changed_since_the_file_was_written_stays_and_goes_into_the_next_one(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (_, first) = confirmed(&bank, 1).await;
        let (_, second) = confirmed(&bank, 2).await;
        let month = Month::of_us(bank.now(&first).await.updated_us).unwrap();
        let later = months_later(&bank, "archivist").await;
        let archive = later.journal.archive();
        let mut lease = archive.begin(&later.instance, &folder.retention()).await.unwrap().unwrap();
        let file = archive.write(&mut lease, month).await.unwrap().unwrap();
        let change = "UPDATE legs SET posting_no = 9 WHERE entry_id = ? AND leg = 1";
        bank.db.exec(change, params![second.id.as_str()]).await.unwrap();
        archive.note(&mut lease, &file, month).await.unwrap();
        assert_eq!(archive.empty(&mut lease, &file).await.unwrap(), 1);
        assert!(is_kept(&bank, &second).await && !is_kept(&bank, &first).await);
        archive.end(lease).await.unwrap();
        assert_eq!(pass(&later, &folder.retention()).await, Pass { files: 1, entries: 1, forgotten: 0 });
        assert_eq!(folder.files().len(), 2);
        assert_eq!(folder.entries().iter().filter(|id| *id == second.id.as_str()).count(), 2);
        let slim = bank.journal.gateway().archived(&second.id).await.unwrap().unwrap();
        let last = verify(&folder.files()).unwrap().pop().unwrap();
        assert_eq!(slim.file, last.link.file, "the last one counts");
    }

    async fn of_two_processes_at_once_one_archives_and_the_chain_is_whole(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        for n in 1..=5 {
            confirmed(&bank, n).await;
        }
        let (one, other) = (months_later(&bank, "archivist-1").await, months_later(&bank, "archivist-2").await);
        let small = Retention { entries_per_file: 1, ..folder.retention() };
        let (first, second) = (one.journal.archive(), other.journal.archive());
        let (one, other) = tokio::join!(first.pass(&one.instance, &small), second.pass(&other.instance, &small));
        let left: u64 = [one.unwrap(), other.unwrap()].into_iter().flatten().map(|pass| pass.entries).sum();
        assert_eq!(left, 5);
        assert_eq!(bank.number("SELECT COUNT(*) FROM archived_entries").await, 5);
        assert_eq!(folder.entries().len(), 5);
    }

    async fn slim_rows_are_forgotten_only_when_neither_key_nor_reference_can_come(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (_, sent) = confirmed(&bank, 1).await;
        let (_, unsent) = declined(&bank).await;
        let later = months_later(&bank, "archivist").await;
        let short = Retention { keys_days: 62, ..folder.retention() };
        assert_eq!(pass(&later, &short).await, Pass { files: 1, entries: 2, forgotten: 1 });
        assert_eq!(bank.journal.gateway().archived(&unsent.id).await.unwrap(), None, "no core was ever told of it");
        assert!(bank.journal.gateway().archived(&sent.id).await.unwrap().is_some());
        let shorter = Retention { references_days: Some(90), ..short };
        assert_eq!(pass(&later, &shorter).await, Pass { files: 0, entries: 0, forgotten: 1 });
        assert_eq!(bank.journal.gateway().archived(&sent.id).await.unwrap(), None);
    }

    async fn a_short_reference_that_an_archived_entry_has_is_made_anew(bank) {
        bank.two_accounts().await;
        let folder = Folder::new();
        let (_, first) = confirmed(&bank, 1).await;
        let later = months_later(&bank, "archivist").await;
        assert_eq!(pass(&later, &folder.retention()).await.entries, 1);
        let format = ReferenceFormat { alphabet: Alphabet::Digits, length: Some(16), prefix: None };
        let journal = Journal::open(bank.db.clone(), bank.books.clone(), CORE).await.unwrap().with_references(format);
        let bank = bank.with_journal(journal);
        let write = transfer("a", "b", 2);
        let meets = bank.journal.gateway().reference(&write.id);
        let sql = "UPDATE archived_entries SET core_ref = ? WHERE entry_id = ?";
        bank.db.exec(sql, params![&meets, first.id.as_str()]).await.unwrap();
        let second = bank.admit(write).await;
        assert_eq!(second.core_ref.len(), 16);
        assert_ne!(second.core_ref, meets);
    }
}

#[test]
fn a_line_has_every_column_of_its_tables() {
    run_on_sqlite(|bank| async move {
        bank.two_accounts().await;
        let folder = Folder::new();
        confirmed(&bank, 1).await;
        let later = months_later(&bank, "archivist").await;
        assert_eq!(pass(&later, &folder.retention()).await.entries, 1);
        let line = Reader::open(&folder.files()[0]).unwrap().next_lines(1).unwrap().remove(0);
        let line: serde_json::Value = serde_json::from_slice(&line.text).unwrap();
        for (table, owner, row) in [
            ("entries", "", &line["entry"]),
            ("legs", "entry_id", &line["legs"][0]),
            ("attempts", "entry_id", &line["attempts"][0]),
            ("transitions", "entry_id", &line["transitions"][0]),
        ] {
            let sql = format!("SELECT name FROM pragma_table_info('{table}') WHERE name <> '{owner}'");
            let columns = bank.db.query(&sql, vec![]).await.unwrap();
            let columns: BTreeSet<String> = columns.iter().map(|column| column.get("name").unwrap()).collect();
            assert_eq!(row.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), columns, "{table}");
        }
    });
}

#[test]
fn a_writer_that_ends_early_leaves_nothing_behind_and_shares_its_file_with_nobody() {
    let folder = Folder::new();
    let mut writer = Writer::begin(&folder.0, "journal-2026-01-001.jsonl.gz", 7).unwrap();
    writer.push(b"{}").unwrap();
    assert!(Writer::begin(&folder.0, "journal-2026-01-001.jsonl.gz", 7).is_err());
    assert_eq!(folder.files().len(), 1);
    drop(writer);
    assert!(folder.files().is_empty());
}

#[test]
fn whichever_byte_of_a_file_is_flipped_it_is_found() {
    run_on_sqlite(|bank| async move {
        bank.two_accounts().await;
        let folder = Folder::new();
        confirmed(&bank, 1).await;
        declined(&bank).await;
        let later = months_later(&bank, "archivist").await;
        assert_eq!(pass(&later, &folder.retention()).await.entries, 2);
        let file = folder.files().remove(0);
        let whole = std::fs::read(&file).unwrap();
        assert_eq!(verify(std::slice::from_ref(&file)).unwrap()[0].entries, 2);
        for n in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[n] ^= 0xff;
            std::fs::write(&file, flipped).unwrap();
            assert!(verify(std::slice::from_ref(&file)).is_err(), "byte {n} of {}", whole.len());
        }
        for length in [0, 9, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(verify(std::slice::from_ref(&file)).is_err(), "cut to {length}");
        }
        std::fs::write(&file, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(verify(std::slice::from_ref(&file)).is_err(), "something behind its end");
        let other = folder.0.join("journal-1999-01-001.jsonl.gz");
        std::fs::write(&other, &whole).unwrap();
        assert!(verify(&[other]).is_err(), "under another name");
        std::fs::write(&file, &whole).unwrap();
        assert!(verify(&[file]).is_ok());
    });
}
