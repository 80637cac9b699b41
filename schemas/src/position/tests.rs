use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::debezium::{Connector, Snapshot};

fn source(connector: Connector, position: SourcePosition<'static>, snapshot: Snapshot) -> Source<'static> {
    Source {
        connector,
        name: "corebank".into(),
        database: "core".into(),
        table: "accounts".into(),
        identity: LogIdentity { server_id: Some(1), log: "mariadb-bin".into() },
        position,
        snapshot,
        ts_source_ms: 0,
    }
}

fn binlog(generation: u32, (file, pos, row): (u64, u64, u32), snapshot: Snapshot, op: Op) -> Version {
    let position = SourcePosition::Binlog { file, pos, row, gtid: None };
    Version::at(generation, &source(Connector::MariaDb, position, snapshot), op)
}

fn streamed(at: (u64, u64, u32)) -> Version {
    binlog(1, at, Snapshot::Streamed, Op::Update)
}

fn wal(commit_lsn: Option<u64>, lsn: u64, snapshot: Snapshot) -> Version {
    Version::at(1, &source(Connector::Postgres, SourcePosition::Wal { lsn, commit_lsn }, snapshot), Op::Update)
}

/// Small numbers make equal parts likely, large ones cross every byte's border.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, 250..260u64, 999_998..1_000_002u64, any::<u64>()]
}

type Place = (u32, u64, u64, bool, u32, bool);

fn place() -> impl Strategy<Value = Place> {
    let row = prop_oneof![0..3u32, any::<u32>()];
    (0..3u32, number(), number(), any::<bool>(), row, any::<bool>())
}

fn version((generation, file, pos, is_streamed, row, upsert): Place) -> Version {
    let snapshot = if is_streamed { Snapshot::Streamed } else { Snapshot::Ongoing };
    binlog(generation, (file, pos, row), snapshot, if upsert { Op::Update } else { Op::Delete })
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
    fn a_snapshot_row_stands_between_the_events_before_its_place_and_those_at_it(
        file in number(), pos in 1..u64::MAX, row in any::<u32>(), other_row in any::<u32>(), back in 1..u64::MAX,
    ) {
        let snapshot = binlog(1, (file, pos, row), Snapshot::Ongoing, Op::Read);
        prop_assert!(snapshot < streamed((file, pos, other_row)));
        prop_assert!(snapshot > streamed((file, pos.saturating_sub(back), other_row)));
    }

    #[test]
    fn postgres_events_are_ordered_as_streamed_though_transactions_interleave_in_the_log(
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
            // A new snapshot of a connector with history: after all it streamed, before all it will stream.
            let snapshot = wal(last_commit, 5_000, Snapshot::Ongoing);
            prop_assert!(versions.iter().all(|v| *v < snapshot));
            prop_assert!(snapshot < wal(last_commit, 1, Snapshot::Streamed));
        }
        prop_assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", versions);
    }

    #[test]
    fn no_text_makes_the_hex_reader_panic(text in any::<String>()) {
        if let Ok(version) = Version::from_hex(&text) {
            prop_assert_eq!(version.to_hex(), text);
        }
    }
}

#[test]
fn a_fresh_postgres_snapshot_stands_before_everything_streamed_after_it() {
    let snapshot = wal(None, 24_023_000, Snapshot::First);
    assert!(snapshot < wal(None, 24_023_000, Snapshot::Streamed));
    assert!(snapshot < wal(Some(24_023_119), 24_023_128, Snapshot::Streamed));
}

#[test]
fn file_numbers_beyond_six_digits_are_ordered_as_numbers() {
    assert!(streamed((999_999, 9_000, 3)) < streamed((1_000_000, 4, 0)));
}

#[test]
fn of_a_moved_key_the_create_is_later_than_the_delete_at_the_same_place() {
    let delete = binlog(1, (3, 5_000, 0), Snapshot::Streamed, Op::Delete);
    let create = binlog(1, (3, 5_000, 0), Snapshot::Streamed, Op::Create);
    assert_eq!(delete.cmp(&create), Ordering::Less);
    assert!(
        create < binlog(1, (3, 5_000, 1), Snapshot::Streamed, Op::Delete),
        "the next row of the event is later still"
    );
}

#[test]
fn a_higher_generation_is_later_than_any_position_of_a_lower_one() {
    let old = binlog(1, (u64::MAX, u64::MAX, u32::MAX), Snapshot::Streamed, Op::Create);
    assert!(old < Version::floor(2));
}

#[test]
fn upper_case_hex_is_refused_because_it_would_sort_elsewhere() {
    let hex = streamed((0xab, 0xcd, 0)).to_hex();
    assert_eq!(Version::from_hex(&hex.to_uppercase()), Err(VersionError));
}

#[test]
fn another_server_or_another_log_is_another_identity_and_a_snapshot_is_silent_about_it() {
    let identity = |server_id, log: &'static str| LogIdentity { server_id, log: log.into() };
    let here = identity(Some(1), "mariadb-bin");
    assert!(here.agrees_with(&identity(Some(1), "mariadb-bin")));
    assert!(here.agrees_with(&identity(None, "mariadb-bin")));
    assert!(!here.agrees_with(&identity(Some(2), "mariadb-bin")));
    assert!(!here.agrees_with(&identity(Some(1), "standby-bin")));
}
