use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::debezium::{Connector, Op, Snapshot, SourceBlock};

fn source(connector: Connector, position: SourcePosition<'static>, snapshot: Snapshot) -> SourceBlock<'static> {
    SourceBlock {
        connector,
        name: "corebank".into(),
        database: "core".into(),
        table: "accounts".into(),
        identity: LogIdentity { log: "mariadb-bin".into() },
        position,
        snapshot,
        ts_source_ms: 0,
    }
}

/// A place in a binary log: file, offset, order in the transaction, row.
type At = (u64, u64, u64, u32);

fn binlog(generation: u32, (file, pos, order, row): At, snapshot: Snapshot, op: Op) -> Version {
    let position = SourcePosition::Binlog { file, pos, row, gtid: None };
    Version::at(generation, &source(Connector::MariaDb, position, snapshot), order, op)
}

fn streamed(at: At) -> Version {
    binlog(1, at, Snapshot::Streamed, Op::Update)
}

fn wal(commit_lsn: Option<u64>, lsn: u64, snapshot: Snapshot) -> Version {
    Version::at(1, &source(Connector::Postgres, SourcePosition::Wal { lsn, commit_lsn }, snapshot), 0, Op::Update)
}

/// Small numbers make equal parts likely, large ones cross every byte's border.
fn number(max: u64) -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, 250..260u64, 999_998..1_000_002u64, 0..=max]
}

type Place = (u32, u64, u64, bool, u64, u32, bool);

fn place() -> impl Strategy<Value = Place> {
    let row = prop_oneof![0..3u32, any::<u32>()];
    let (file, pos, order) = (number(FILE_MAX), number(OFFSET_MAX), number(TOTAL_ORDER_MAX));
    (0..3u32, file, pos, any::<bool>(), order, row, any::<bool>())
}

fn version((generation, file, pos, is_streamed, order, row, upsert): Place) -> Version {
    let snapshot = if is_streamed { Snapshot::Streamed } else { Snapshot::Ongoing };
    binlog(generation, (file, pos, order, row), snapshot, if upsert { Op::Update } else { Op::Delete })
}

/// A version as the first layout wrote it: generation, position 8 + 8, stream, row, rank.
fn first_layout(generation: u32, major: u64, minor: u64, row: u32) -> Version {
    let mut bytes = generation.to_be_bytes().to_vec();
    bytes.extend(major.to_be_bytes());
    bytes.extend(minor.to_be_bytes());
    bytes.push(1);
    bytes.extend(row.to_be_bytes());
    bytes.push(1);
    Version::from_bytes(&bytes).unwrap()
}

proptest! {
    #[test]
    fn byte_order_is_the_order_of_the_source(a in place(), b in place()) {
        let (va, vb) = (version(a), version(b));
        prop_assert_eq!(va.cmp(&vb), a.cmp(&b));
        prop_assert_eq!(va.as_bytes().as_slice().cmp(vb.as_bytes().as_slice()), a.cmp(&b));
        prop_assert_eq!(va.to_hex().cmp(&vb.to_hex()), a.cmp(&b));
        prop_assert_eq!(va == vb, a == b);
    }

    #[test]
    fn bytes_and_hex_are_read_back(a in place()) {
        let v = version(a);
        prop_assert_eq!(Version::from_hex(&v.to_hex()), Ok(v));
        prop_assert_eq!(Version::from_bytes(v.as_bytes()), Ok(v));
        prop_assert_eq!(v.generation(), a.0);
        prop_assert!(Version::floor(a.0) <= v);
    }

    #[test]
    fn a_snapshot_row_of_a_binary_log_stands_between_the_changes_before_its_place_and_those_at_it(
        file in number(FILE_MAX), pos in 1..OFFSET_MAX, row in any::<u32>(), other_row in any::<u32>(), back in 1..OFFSET_MAX,
    ) {
        let snapshot = binlog(1, (file, pos, 0, row), Snapshot::Ongoing, Op::Read);
        prop_assert!(snapshot < streamed((file, pos, 0, other_row)));
        prop_assert!(snapshot > streamed((file, pos.saturating_sub(back), 0, other_row)));
    }

    #[test]
    fn postgres_changes_are_ordered_as_streamed_though_transactions_interleave_in_the_log(
        owners in proptest::collection::vec(0..4usize, 1..40), commit_order in Just([2usize, 0, 3, 1]).prop_shuffle(),
    ) {
        // Changes of four concurrent transactions share the log; then they commit in some order and are streamed in it.
        let changes: Vec<(usize, u64)> = owners.iter().enumerate().map(|(i, owner)| (*owner, 1_000 + i as u64 * 10)).collect();
        let mut last_commit = None;
        let mut versions = Vec::new();
        for (nth, owner) in commit_order.iter().enumerate() {
            let mine: Vec<u64> = changes.iter().filter(|(o, _)| o == owner).map(|(_, lsn)| *lsn).collect();
            versions.extend(mine.iter().map(|lsn| wal(last_commit, *lsn, Snapshot::Streamed)));
            last_commit = Some(2_000 + nth as u64 * 10);
        }
        prop_assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", versions);
    }

    #[test]
    fn a_streamed_postgres_change_beats_every_snapshot_row_wherever_both_stand(
        row_lsn in any::<u64>(), row_commit in proptest::option::of(any::<u64>()), lsn in any::<u64>(),
        commit in proptest::option::of(any::<u64>()),
    ) {
        for snapshot in [Snapshot::First, Snapshot::Ongoing, Snapshot::Last, Snapshot::Incremental] {
            prop_assert!(wal(row_commit, row_lsn, snapshot) < wal(commit, lsn, Snapshot::Streamed));
        }
    }

    #[test]
    fn everything_written_now_is_later_than_rows_of_the_first_layout(
        major in 0..1u64 << 56, minor in any::<u64>(), row in any::<u32>(), new in place(), lsn in any::<u64>(),
    ) {
        let old = first_layout(new.0, major, minor, row);
        prop_assert!(old < version(new));
        let snapshot = wal(None, lsn, Snapshot::Incremental);
        prop_assert!(first_layout(1, major, minor, row) < snapshot);
    }

    #[test]
    fn no_text_makes_the_hex_reader_panic(text in any::<String>()) {
        if let Ok(version) = Version::from_hex(&text) {
            prop_assert_eq!(version.to_hex(), text);
        }
    }
}

#[test]
fn a_transaction_begun_before_the_snapshot_and_committed_after_it_is_not_lost() {
    let snapshot = wal(None, 50_000, Snapshot::Last);
    assert!(snapshot < wal(None, 49_900, Snapshot::Streamed));
}

#[test]
fn of_two_snapshot_rows_the_one_read_later_counts() {
    let first = wal(None, 50_000, Snapshot::Ongoing);
    let incremental = wal(Some(60_000), 60_000, Snapshot::Incremental);
    assert!(first < incremental && incremental < wal(None, 70_000, Snapshot::Ongoing));
}

#[test]
fn file_numbers_beyond_six_digits_are_ordered_as_numbers() {
    assert!(streamed((999_999, 9_000, 0, 3)) < streamed((1_000_000, 4, 0, 0)));
}

#[test]
fn the_changes_of_a_compressed_transaction_are_ordered_by_their_place_in_it() {
    // Two statements of one transaction: each counts its rows from 0.
    let (first, second) = (streamed((3, 5_000, 3, 1)), streamed((3, 5_000, 4, 0)));
    assert!(first < second);
    assert!(second < streamed((3, 5_001, 1, 0)), "the next transaction is later");
}

#[test]
fn of_a_moved_key_the_create_is_later_than_the_delete_at_the_same_place() {
    let delete = binlog(1, (3, 5_000, 0, 0), Snapshot::Streamed, Op::Delete);
    let create = binlog(1, (3, 5_000, 0, 0), Snapshot::Streamed, Op::Create);
    assert_eq!(delete.cmp(&create), Ordering::Less);
    assert!(
        create < binlog(1, (3, 5_000, 0, 1), Snapshot::Streamed, Op::Delete),
        "the next row of the event is later still"
    );
}

#[test]
fn a_higher_generation_is_later_than_any_position_of_a_lower_one() {
    let old = binlog(1, (u64::MAX, u64::MAX, u64::MAX, u32::MAX), Snapshot::Streamed, Op::Create);
    assert!(old < Version::floor(2));
    assert!(wal(Some(u64::MAX), u64::MAX, Snapshot::Streamed) < Version::floor(2));
}

#[test]
fn upper_case_hex_is_refused_because_it_would_sort_elsewhere() {
    let hex = streamed((0xab, 0xcd, 0, 0)).to_hex();
    assert_eq!(Version::from_hex(&hex.to_uppercase()), Err(VersionError));
}
