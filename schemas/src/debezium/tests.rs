use proptest::prelude::*;

use super::*;
use crate::position::SourcePosition;

pub(crate) use fixtures::{Fixture, all, captured, fixture};

/// Records kept as files, hand-written ones and captured ones.
pub(crate) mod fixtures {
    use std::path::PathBuf;

    use serde::Deserialize;
    use serde_json::value::RawValue;

    #[derive(Deserialize)]
    pub(crate) struct Fixture {
        pub topic: String,
        key: Option<Box<RawValue>>,
        value: Option<Box<RawValue>>,
        #[serde(skip)]
        pub file: String,
    }

    impl Fixture {
        pub fn key(&self) -> Option<&[u8]> {
            self.key.as_ref().map(|raw| raw.get().as_bytes())
        }

        pub fn value(&self) -> Option<&[u8]> {
            self.value.as_ref().map(|raw| raw.get().as_bytes())
        }
    }

    fn load(path: PathBuf) -> Fixture {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut fixture: Fixture =
            serde_json::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        fixture.file = path.display().to_string();
        fixture
    }

    pub(crate) fn fixture(name: &str) -> Fixture {
        load(format!("{}/fixtures/debezium/written/{name}.json", env!("CARGO_MANIFEST_DIR")).into())
    }

    /// A record captured from a running connector; `account.sql` beside it has the statements.
    pub(crate) fn captured(name: &str) -> Fixture {
        load(format!("{}/fixtures/debezium/mariadb/{name}.json", env!("CARGO_MANIFEST_DIR")).into())
    }

    pub(crate) fn all() -> Vec<Fixture> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/debezium");
        let mut files: Vec<PathBuf> = std::fs::read_dir(root)
            .unwrap()
            .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        files.sort();
        files.into_iter().map(load).collect()
    }
}

pub(crate) fn decode(fixture: &Fixture) -> Record<'_> {
    Decoder::new()
        .decode(&fixture.topic, fixture.key(), fixture.value())
        .unwrap_or_else(|err| panic!("{}: {err}", fixture.file))
}

pub(crate) fn change(fixture: &Fixture) -> ChangeEvent<'_> {
    match decode(fixture) {
        Record::Change(event) => *event,
        other => panic!("{}: {other:?}", fixture.file),
    }
}

fn value(json: &str) -> Result<Record<'_>, DecodeError> {
    Decoder::new().decode("t", Some(br#"{"id":1}"#), Some(json.as_bytes()))
}

fn message(json: &str) -> String {
    value(json).unwrap_err().to_string()
}

const SOURCE: &str = r#"{"connector":"mariadb","name":"corebank","db":"core","table":"accounts","ts_ms":5,"file":"b.000003","pos":4,"row":0}"#;

fn create(source: &str) -> String {
    format!(r#"{{"before":null,"after":{{"id":1}},"source":{source},"op":"c"}}"#)
}

#[test]
fn every_fixture_decodes() {
    assert!(all().len() >= 20);
    for fixture in &all() {
        decode(fixture);
    }
}

#[test]
fn an_update_carries_its_place_its_rows_and_its_transaction() {
    let file = fixture("account-update");
    let event = change(&file);
    assert_eq!(event.op, Op::Update);
    assert_eq!((event.source.connector, event.source.name.as_ref()), (Connector::MariaDb, "corebank"));
    assert_eq!((event.source.database.as_ref(), event.source.table.as_ref()), ("core", "accounts"));
    assert_eq!(event.source.ts_source_ms, 1_763_776_800_000);
    assert_eq!(
        event.source.position,
        SourcePosition::Binlog { file: 3, pos: 2_100, row: 0, gtid: Some("0-1-42".into()) }
    );
    assert_eq!(event.source.identity.log, "mariadb-bin");
    assert_eq!(event.source.snapshot, Snapshot::Streamed);
    assert_eq!(event.key.get("account_no").and_then(Cell::text).as_deref(), Some("DE0000000001"));
    let cell = |row: &Option<Row<'_>>| row.as_ref().and_then(|r| r.get("last_posting")).and_then(Cell::i64);
    assert_eq!((cell(&event.before), cell(&event.after)), (Some(6), Some(7)));
    let transaction = event.transaction.unwrap();
    assert_eq!((transaction.id.as_ref(), transaction.total_order, transaction.collection_order), ("0-1-42", 2, 1));
    assert_eq!(event.schema, None);
}

#[test]
fn captured_records_decode_as_what_the_statements_did() {
    let places: Vec<(Op, Snapshot)> = ["snapshot", "create", "update", "delete", "update_with_schema"]
        .into_iter()
        .map(|name| {
            let file = captured(name);
            let event = change(&file);
            (event.op, event.source.snapshot)
        })
        .collect();
    assert_eq!(places[0], (Op::Read, Snapshot::Last));
    let streamed = |op| (op, Snapshot::Streamed);
    assert_eq!(places[1..], [Op::Create, Op::Update, Op::Delete, Op::Update].map(streamed));
    assert!(matches!(decode(&captured("tombstone")), Record::Tombstone { .. }));
    assert!(matches!(decode(&captured("heartbeat")), Record::Heartbeat { ts_ms: 1_795_315_720_714 }));
    let end = captured("transaction_end");
    let Record::Transaction(end) = decode(&end) else { panic!("no marker") };
    assert_eq!((end.event_count, end.tables), (Some(2), vec![("bank.account".into(), 2)]));
    let framed = captured("update_with_schema");
    assert_eq!(change(&framed).schema.unwrap().kind("balance"), Some(ColumnKind::Decimal { scale: 2 }));
}

#[test]
fn snapshot_rows_say_so() {
    for (name, snapshot) in [
        ("customer-snapshot-first", Snapshot::First),
        ("account-snapshot", Snapshot::Ongoing),
        ("account-snapshot-last", Snapshot::Last),
    ] {
        let file = fixture(name);
        let event = change(&file);
        assert_eq!((event.op, event.source.snapshot), (Op::Read, snapshot));
    }
}

#[test]
fn with_the_schema_block_the_event_is_the_same_and_knows_its_types() {
    let (plain, framed) = (fixture("account-update"), fixture("account-update-with-schema"));
    let (plain, mut framed) = (change(&plain), change(&framed));
    let schema = framed.schema.take().unwrap();
    assert_eq!(plain, framed);
    assert_eq!(schema.kind("balance"), Some(ColumnKind::Decimal { scale: 2 }));
    assert_eq!(schema.kind("opened"), Some(ColumnKind::Date));
    assert_eq!(schema.kind("updated"), Some(ColumnKind::TimestampMicros));
    assert_eq!(schema.kind("owner"), Some(ColumnKind::Text));
    assert_eq!(schema.kind("last_posting"), Some(ColumnKind::Integer));
    assert_eq!(schema.kind("nothing"), None);
}

#[test]
fn a_known_beginning_is_skipped_and_a_changed_schema_is_noticed() {
    let (first, second) = (fixture("account-update-with-schema"), fixture("account-freeze-with-schema"));
    let altered =
        String::from_utf8(second.value().unwrap().to_vec()).unwrap().replace(r#""scale":"2""#, r#""scale":"4""#);
    let mut decoder = Decoder::new();
    let mut scale = |key: Option<&[u8]>, value: &[u8]| match decoder.decode("t", key, Some(value)).unwrap() {
        Record::Change(event) => event.schema.unwrap().kind("balance").unwrap(),
        other => panic!("{other:?}"),
    };
    for _ in 0..2 {
        assert_eq!(scale(first.key(), first.value().unwrap()), ColumnKind::Decimal { scale: 2 });
        assert_eq!(scale(second.key(), second.value().unwrap()), ColumnKind::Decimal { scale: 2 });
        assert_eq!(scale(second.key(), altered.as_bytes()), ColumnKind::Decimal { scale: 4 });
    }
}

#[test]
fn deletes_tombstones_truncations_markers_and_heartbeats_are_told_apart() {
    let file = fixture("account-delete");
    let event = change(&file);
    assert_eq!((event.op, event.after.is_none(), event.before.is_some()), (Op::Delete, true, true));
    assert!(matches!(decode(&fixture("account-tombstone")), Record::Tombstone { key, .. } if key.len() == 1));
    assert!(matches!(decode(&fixture("truncate")), Record::Truncate { source } if source.table == "accounts"));
    assert!(matches!(decode(&fixture("heartbeat")), Record::Heartbeat { ts_ms: 1_763_776_801_000 }));
    assert!(matches!(decode(&fixture("schema-change")), Record::Ignored(Ignored::SchemaChange)));
    assert!(matches!(decode(&fixture("postgres-message")), Record::Ignored(Ignored::Message)));
    let begin = fixture("transaction-begin");
    let Record::Transaction(begin) = decode(&begin) else { panic!("no marker") };
    assert_eq!((begin.id.as_ref(), begin.status, begin.event_count), ("0-1-42", TransactionStatus::Begin, None));
    let end = fixture("transaction-end");
    let Record::Transaction(end) = decode(&end) else { panic!("no marker") };
    assert_eq!((end.status, end.event_count), (TransactionStatus::End, Some(4)));
    assert_eq!(end.tables, [("core.postings".into(), 2), ("core.accounts".into(), 2)]);
}

#[test]
fn postgres_positions_carry_the_commit_before_them() {
    let (update, snapshot) = (fixture("postgres-update"), fixture("postgres-snapshot"));
    let (update, snapshot) = (change(&update), change(&snapshot));
    assert_eq!(update.source.database, "public");
    assert_eq!(update.source.position, SourcePosition::Wal { lsn: 24_023_128, commit_lsn: Some(24_023_119) });
    assert_eq!(snapshot.source.position, SourcePosition::Wal { lsn: 24_023_000, commit_lsn: None });
}

#[test]
fn rows_of_an_incremental_snapshot_stand_at_the_last_commit_before_them() {
    let file = fixture("postgres-incremental");
    let event = change(&file);
    assert_eq!(event.source.snapshot, Snapshot::Incremental);
    assert_eq!(event.source.position, SourcePosition::Wal { lsn: 1_000, commit_lsn: Some(1_000) });
    let streamed = String::from_utf8(file.value().unwrap().to_vec()).unwrap().replace("incremental", "false");
    assert_eq!(message(&streamed), "value: source.lsn: expected a log position as a non-negative integer");
}

#[test]
fn events_and_markers_of_a_postgres_transaction_share_its_xid_only() {
    let common = |id: &str| {
        let (id, begin) = (std::borrow::Cow::Owned(id.to_owned()), TransactionStatus::Begin);
        let marker = TransactionMarker { id, status: begin, event_count: None, tables: Vec::new(), ts_ms: None };
        let event = TransactionRef { id: marker.id.clone(), total_order: 1, collection_order: 1 };
        assert_eq!(event.source_transaction(), marker.source_transaction());
        event.source_transaction().to_owned()
    };
    assert_eq!(common("781:39950456"), common("781:39951784"));
    assert_ne!(common("781:39950456"), common("782:39950456"));
    for whole in ["0-1-42", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23", "file=bin.000003,pos=2345", "7:", ":7"] {
        assert_eq!(common(whole), whole);
    }
}

#[test]
fn a_log_file_beyond_six_digits_keeps_its_number() {
    let json = create(&SOURCE.replace("b.000003", "my.core-bin.1000000"));
    let Ok(Record::Change(event)) = value(&json) else { panic!("{}", message(&json)) };
    assert_eq!(event.source.identity.log, "my.core-bin");
    assert!(matches!(event.source.position, SourcePosition::Binlog { file: 1_000_000, .. }));
}

#[test]
fn a_table_without_a_key_has_events_with_an_empty_key() {
    let json = create(SOURCE);
    let Record::Change(event) = Decoder::new().decode("t", None, Some(json.as_bytes())).unwrap() else { panic!() };
    assert!(event.key.is_empty());
    assert_eq!(Decoder::new().decode("t", None, None), Err(DecodeError::NoKey));
}

#[test]
fn escaped_names_and_values_are_unescaped() {
    let json = create(SOURCE).replace(r#"{"id":1}"#, r#"{"na\u006de":"M\u00fcller \"x\""}"#);
    let Ok(Record::Change(event)) = value(&json) else { panic!("{}", message(&json)) };
    assert_eq!(event.after.unwrap().get("name").and_then(Cell::text).as_deref(), Some("Müller \"x\""));
}

#[test]
fn what_does_not_belong_is_named_with_its_place() {
    let source = |from: &str, to: &str| message(&create(&SOURCE.replace(from, to)));
    assert_eq!(
        source(r#""pos":4"#, r#""pos":"4""#),
        "value: source.pos: expected a log offset as a non-negative integer"
    );
    assert_eq!(
        source(r#""pos":4"#, r#""pos":-4"#),
        "value: source.pos: expected a log offset as a non-negative integer"
    );
    assert_eq!(source("b.000003", "b"), "value: source.file: expected a log name such as \"mariadb-bin.000003\"");
    assert_eq!(source("b.000003", "b.+3"), "value: source.file: expected a log name such as \"mariadb-bin.000003\"");
    assert_eq!(
        source("\"mariadb\"", "\"oracle\""),
        "value: source.connector: expected \"mariadb\", \"mysql\" or \"postgresql\""
    );
    for odd in ["", r#""ts_ms":-1,"#, r#""ts_ms":7258118400001,"#] {
        assert_eq!(
            source(r#""ts_ms":5,"#, odd),
            "value: source.ts_ms: expected milliseconds since 1970 as an integer, up to the year 2200"
        );
    }
    assert_eq!(source(r#""pos":4"#, r#""pos":4,"pos":5"#), "value: top level: expected one `source.pos`, not two");
    assert_eq!(message(&create("7")), "value: top level: expected `source` to be an object");
    let with = |from: &str, to: &str| message(&create(SOURCE).replace(from, to));
    assert_eq!(with(r#""op":"c""#, r#""op":"x""#), r#"value: op: expected one of "c", "u", "d", "r", "t", "m""#);
    assert_eq!(with(r#""op":"c""#, r#""op":"c","op":"d""#), "value: top level: expected one member `op`, not two");
    assert_eq!(with(r#"{"id":1}"#, "null"), "value: after: expected the row");
    assert_eq!(
        with(r#"{"id":1}"#, r#"{"id":1,"id":2}"#),
        "value: top level: expected one value for column `id`, not two"
    );
    assert_eq!(with(r#"{"id":1}"#, r#""Erika""#), "value: top level: expected an object");
    assert_eq!(message(r#"{"account_no":"DE1","owner":"C-1"}"#), DecodeError::NoEnvelope.to_string());
    assert_eq!(message(r#"{"before":"#), "value: JSON ends early at column 10");
    assert_eq!(message("[1,2]"), "value: top level: expected an object");
}

#[test]
fn limits_are_stated() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let json = create(SOURCE).replace(r#"{"id":1}"#, &format!(r#"{{"id":{deep}}}"#));
    assert_eq!(message(&json), "value: top level: expected at most 32 nested levels");
    let wide: Vec<String> = (0..=COLUMNS_MAX).map(|i| format!(r#""c{i}":1"#)).collect();
    let json = create(SOURCE).replace(r#"{"id":1}"#, &format!("{{{}}}", wide.join(",")));
    assert_eq!(message(&json), "value: top level: expected at most 4096 columns");
    let json = create(SOURCE).replace(r#"{"id":1}"#, &format!(r#"{{"{}":1}}"#, "x".repeat(NAME_BYTES_MAX + 1)));
    assert_eq!(message(&json), "value: top level: expected column names of at most 256 bytes");
    let huge = vec![b' '; RECORD_BYTES_MAX + 1];
    let err = Decoder::new().decode("t", None, Some(&huge)).unwrap_err();
    assert_eq!(err.to_string(), "value: size in bytes exceeds 67108864");
}

#[test]
fn rows_do_not_show_values_when_printed() {
    let file = fixture("customer-snapshot-first");
    assert!(!format!("{:?}", decode(&file)).contains("Erika"));
}

/// Pieces of what the fixtures say about people.
const PERSONAL: [&str; 8] = ["Erika", "Mustermann", "Lovelace", "Hopper", "Turing", "DE00", "DE89", "DE12"];

/// A record's key and value.
type Bytes = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A fixture with bytes cut, changed, doubled or inserted.
fn mutated() -> impl Strategy<Value = Bytes> {
    let fixtures: Vec<Bytes> =
        all().iter().map(|f| (f.key().map(<[u8]>::to_vec), f.value().map(<[u8]>::to_vec))).collect();
    let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..5u8);
    (proptest::sample::select(fixtures), proptest::collection::vec(edit, 0..4)).prop_map(|((key, value), edits)| {
        let mut value = value.unwrap_or_default();
        for (at, to, byte, kind) in edits {
            let (at, to) = (at.index(value.len() + 1), to.index(value.len() + 1));
            let (from, to) = (at.min(to), at.max(to));
            match kind {
                0 => value.truncate(at),
                1 if at < value.len() => value[at] = byte,
                2 => value.insert(at, byte),
                3 => value.extend_from_within(from..to),
                _ => drop(value.drain(from..to)),
            }
        }
        (key, Some(value).filter(|v| !v.is_empty()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_panic(key in proptest::collection::vec(any::<u8>(), 0..64), value in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Decoder::new().decode("t", Some(&key), Some(&value));
    }

    #[test]
    fn damaged_records_neither_panic_nor_tell_what_they_held((key, value) in mutated()) {
        if let Err(err) = Decoder::new().decode("t", key.as_deref(), value.as_deref()) {
            let shown = format!("{err} {err:?}");
            prop_assert!(PERSONAL.iter().all(|piece| !shown.contains(piece)), "{}", shown);
        }
    }

    #[test]
    fn what_a_decoder_remembers_never_changes_what_it_decodes(records in proptest::collection::vec(mutated(), 1..6)) {
        let mut warm = Decoder::new();
        let framed = fixture("account-update-with-schema");
        warm.decode("t", framed.key(), framed.value()).unwrap();
        for (key, value) in &records {
            let fresh = Decoder::new().decode("t", key.as_deref(), value.as_deref());
            prop_assert_eq!(warm.decode("t", key.as_deref(), value.as_deref()), fresh);
        }
    }
}
