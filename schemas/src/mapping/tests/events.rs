//! Events as the tests of the mapping write them.

use super::*;

/// One event of one row.
#[derive(Clone, Copy)]
pub(super) struct Told<'e> {
    pub(super) table: &'e str,
    pub(super) key: &'e str,
    pub(super) op: &'e str,
    pub(super) before: &'e str,
    pub(super) after: &'e str,
    pub(super) snapshot: &'e str,
    /// Columns of the value's schema block, as JSON; none without a block.
    pub(super) schema: &'e str,
    /// Its place in its source transaction, as JSON.
    pub(super) transaction: &'e str,
    pub(super) pos: u64,
}

/// An insert into table `t`.
pub(super) const INSERT: Told<'static> = Told {
    table: "t",
    key: r#"{"id":1}"#,
    op: "c",
    before: "null",
    after: "null",
    snapshot: "false",
    schema: "",
    transaction: "null",
    pos: 4,
};

/// An update of a row of table `t`, without the row before.
pub(super) const UPDATE: Told<'static> = Told { op: "u", ..INSERT };

/// The moment of every event, milliseconds since 1970.
pub(super) const TOLD_MS: i64 = 1_763_776_800_000;

impl Told<'_> {
    fn value(&self) -> String {
        let Self { table, op, before, after, snapshot, schema, transaction, pos, .. } = self;
        let envelope = format!(
            r#"{{"before":{before},"after":{after},"op":"{op}","transaction":{transaction},"source":{{"connector":"mysql","name":"s","db":"d","table":"{table}","snapshot":"{snapshot}","ts_ms":{TOLD_MS},"file":"b.1","pos":{pos}}}}}"#
        );
        if schema.is_empty() {
            return envelope;
        }
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","field":"after","fields":[{schema}]}}]}},"payload":{envelope}}}"#
        )
    }

    pub(super) fn with<T>(&self, then: impl FnOnce(&ChangeEvent<'_>) -> T) -> T {
        let value = self.value();
        let mut decoder = Decoder::new();
        match decoder.decode("topic", Some(self.key.as_bytes()), Some(value.as_bytes())).unwrap() {
            Record::Change(event) => then(&event),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn knowing(&self, mapping: &Mapping, known: &[Touched]) -> Result<MappedRows, MapError> {
        self.with(|event| mapping.apply_knowing(event, 1, known)).map(Mapped::rows)
    }

    pub(super) fn apply(&self, yaml: &str) -> Result<MappedRows, MapError> {
        self.knowing(&read(yaml), &[])
    }
}

pub(super) fn read(yaml: &str) -> Mapping {
    Mapping::from_yaml(yaml).unwrap_or_else(|err| panic!("{err}"))
}

/// What becomes of which key, in order: `+` begins or changes, `-` ends.
pub(super) fn ends(applied: &MappedRows) -> Vec<String> {
    let mark = |change: &CanonicalChange| if matches!(change.row, RowChange::Upsert(_)) { '+' } else { '-' };
    applied.changes.iter().map(|c| format!("{}{} {}", mark(c), c.entity.as_str(), c.key)).collect()
}

/// A mapping of one MySQL table `t`, its lines indented by four.
pub(super) fn table(key: &str, lines: &str) -> String {
    format!("source: s\nconnector: mysql\ntables:\n  t:\n    key: {key}\n{lines}")
}
