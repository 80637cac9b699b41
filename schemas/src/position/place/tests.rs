use proptest::prelude::*;

use super::*;
use crate::debezium::tests::{change, fixture};

fn binlog(file: u64, pos: u64) -> SourcePosition<'static> {
    SourcePosition::Binlog { file, pos, row: 0, gtid: None }
}

fn wal(commit_lsn: u64, lsn: u64) -> SourcePosition<'static> {
    SourcePosition::Wal { lsn, commit_lsn: Some(commit_lsn) }
}

fn at(position: &SourcePosition<'_>, id: &str) -> TransactionPlace {
    TransactionPlace::streamed(1, position, id).unwrap()
}

fn read(position: &SourcePosition<'_>) -> TransactionPlace {
    TransactionPlace::snapshot(1, position)
}

#[test]
fn a_balance_includes_the_postings_of_its_transaction_whichever_the_core_writes_first() {
    let (first, second) = (binlog(3, 400), binlog(3, 700));
    for (balance, posting) in [(&first, &second), (&second, &first)] {
        assert!(at(balance, "0-1-42").includes(&at(posting, "0-1-42")));
    }
    // A compressed transaction has one offset.
    assert!(at(&first, "0-1-42").includes(&at(&first, "0-1-42")));
}

#[test]
fn a_balance_includes_the_postings_of_earlier_transactions_and_of_no_later_one() {
    let (earlier, later) = (at(&binlog(3, 900), "0-1-42"), at(&binlog(4, 4), "0-1-43"));
    assert!(later.includes(&earlier) && !earlier.includes(&later));
    let (earlier, later) = (at(&binlog(9, 900), "0-1-42"), at(&binlog(10, 4), "file=b.000010,pos=4"));
    assert!(later.includes(&earlier) && !earlier.includes(&later), "files are numbers");
}

#[test]
fn all_rows_that_a_snapshot_of_a_binary_log_reads_at_one_place_are_one_transaction() {
    let (before, there, behind) = (binlog(3, 400), binlog(3, 700), binlog(3, 900));
    let balance = read(&there);
    assert!(balance.includes(&read(&there)) && balance.includes(&read(&before)));
    assert!(balance.includes(&at(&before, "0-1-42")));
    assert!(!balance.includes(&at(&there, "0-1-43")), "a change at the place comes after it");
    assert!(!balance.includes(&at(&behind, "0-1-43")) && !balance.includes(&read(&behind)));
    assert!(at(&there, "0-1-43").includes(&balance));
}

#[test]
fn changes_of_postgresql_are_ordered_by_commit_though_they_mix_in_the_log() {
    // The earlier transaction's posting lies behind the later one's balance in the log.
    let (earlier, later) = (at(&wal(100, 950), "781:950"), at(&wal(500, 300), "779:300"));
    assert!(later.includes(&earlier) && !earlier.includes(&later));
    assert!(at(&wal(100, 200), "781:200").includes(&earlier), "the same transaction, told by what is before the colon");
    assert!(at(&wal(100, 200), "781").includes(&earlier));
}

#[test]
fn a_number_of_a_transaction_that_is_used_again_names_another_one() {
    let (old, new) = (at(&wal(100, 150), "781:150"), at(&wal(9_000, 9_100), "781:9100"));
    assert!(new.includes(&old) && !old.includes(&new));
    // Two numbers at one place in the order: nothing says which is earlier.
    let other = at(&wal(100, 160), "782:160");
    assert!(!other.includes(&old) && !old.includes(&other));
}

#[test]
fn a_snapshot_of_postgresql_includes_no_streamed_posting_and_a_streamed_balance_includes_the_snapshot() {
    let (row, streamed) = (read(&wal(0, 800)), at(&wal(100, 200), "781:200"));
    assert!(!row.includes(&streamed), "the transaction was open when the snapshot was read");
    assert!(streamed.includes(&row) && row.includes(&read(&wal(0, 800))) && row.includes(&read(&wal(0, 700))));
    assert!(!read(&wal(0, 700)).includes(&row));
    let first = SourcePosition::Wal { lsn: 900, commit_lsn: None };
    assert!(at(&first, "779:900").includes(&row) && streamed.includes(&at(&first, "779:900")));
}

#[test]
fn nothing_is_known_of_another_generation() {
    let place = |generation, pos| TransactionPlace::streamed(generation, &binlog(3, pos), "0-1-42").unwrap();
    assert!(!place(2, 900).includes(&place(1, 400)) && !place(1, 900).includes(&place(2, 400)));
    assert!(!place(2, 400).includes(&place(1, 400)));
}

#[test]
fn of_a_postings_row_the_first_place_in_the_newest_generation_is_kept() {
    let place = |generation, pos| TransactionPlace::streamed(generation, &binlog(3, pos), "0-1-42").ok();
    let first_of = TransactionPlace::first_of;
    assert_eq!(first_of(None, place(1, 4)), place(1, 4));
    assert_eq!(first_of(place(1, 4), None), place(1, 4));
    assert_eq!(first_of(place(1, 4), place(1, 9)), place(1, 4));
    assert_eq!(first_of(place(1, 9), place(2, 4)), place(2, 4));
    assert_eq!(first_of(place(2, 4), place(1, 9)), place(2, 4));
}

#[test]
fn an_id_that_names_no_transaction_is_a_fault() {
    let unknown = Err(PlaceError::Unknown);
    for id in ["", ":", ":781", "781a:4", "+781:4", "-1:4", " 781:4", "99999999999999999999:4", "0-1-42", "٧:4"] {
        assert_eq!(TransactionPlace::streamed(1, &wal(100, 200), id), unknown, "{id:?}");
    }
    assert_eq!(TransactionPlace::streamed(1, &binlog(3, 4), ""), unknown);
    // Of a binary log any text is a name, and whole: what looks like PostgreSQL's is not cut.
    assert_ne!(at(&binlog(3, 4), "781:4"), at(&binlog(3, 4), "781:5"));
    let long = "9".repeat(1 << 16);
    assert!(at(&binlog(3, 4), &long).includes(&at(&binlog(3, 9), &long)));
}

#[test]
fn an_event_tells_its_place_and_one_without_its_transaction_is_a_fault() {
    let file = fixture("posting-debit");
    let mut event = change(&file);
    let place = TransactionPlace::from_event(7, &event).unwrap();
    assert_eq!((place.generation(), place.includes(&place)), (7, true));
    event.transaction = None;
    assert_eq!(TransactionPlace::from_event(7, &event), Err(PlaceError::Missing));
    event.source.snapshot = crate::debezium::Snapshot::Incremental;
    assert!(TransactionPlace::from_event(7, &event).is_ok(), "a snapshot reads no transaction");
}

#[test]
fn of_the_transaction_that_booked_a_debit_the_last_balance_alone_is_served() {
    let at = |pos, id: &str| at(&binlog(3, pos), id);
    let (first, last, later) = (at(400, "0-1-42"), at(500, "0-1-42"), at(900, "0-1-43"));
    let none = OpenDebits::default();
    assert!(none.let_pass(&first, None), "no debit of ours");
    let unknown = OpenDebits { any_without_row: true, booked: vec![] };
    assert!(!unknown.let_pass(&first, None) && !unknown.let_pass(&first, Some(&later)));
    // The row that booked it lies between the two balances of its transaction, or before or behind both.
    for pos in [300, 450, 600] {
        let debits = OpenDebits { any_without_row: false, booked: vec![at(pos, "0-1-42"), at(200, "0-1-41")] };
        assert!(
            !debits.let_pass(&first, None) && !debits.let_pass(&first, Some(&last)) && !debits.let_pass(&last, None)
        );
        assert!(debits.let_pass(&last, Some(&later)), "the account has changed since");
        assert!(debits.let_pass(&later, None), "another transaction changed it");
    }
}

/// A place in either kind of log, near others.
fn any_place() -> impl Strategy<Value = TransactionPlace> {
    let number = || prop_oneof![0..3u64, 250..260u64, any::<u64>()];
    (1..3u32, number(), number(), any::<bool>(), 0..4u32).prop_map(|(generation, a, b, is_streamed, id)| {
        let position = binlog(a, b);
        match is_streamed {
            true => TransactionPlace::streamed(generation, &position, &format!("0-1-{id}")).unwrap(),
            false => TransactionPlace::snapshot(generation, &position),
        }
    })
}

proptest! {
    #[test]
    fn sql_finds_what_a_balance_includes(balance in any_place(), posting in any_place()) {
        let Reach { from, below, name } = balance.reach();
        let stored = posting.as_bytes();
        let found = stored[..] >= from[..]
            && (stored[..] < below[..] || stored[TransactionPlace::NAME_FROM - 1..] == name[..]);
        prop_assert_eq!(found, balance.includes(&posting));
    }

    #[test]
    fn places_are_read_back_and_no_id_makes_them_panic(place in any_place(), id in any::<String>(), noise in any::<Vec<u8>>()) {
        prop_assert_eq!(TransactionPlace::from_bytes(place.as_bytes()), Some(place));
        prop_assert!(TransactionPlace::from_bytes(&noise).is_none_or(|read| read.as_bytes()[..] == noise[..]));
        let _ = TransactionPlace::streamed(1, &wal(1, 2), &id);
        prop_assert_eq!(TransactionPlace::streamed(1, &binlog(1, 2), &id).is_err(), id.is_empty());
    }
}
