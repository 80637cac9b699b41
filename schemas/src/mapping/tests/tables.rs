//! Which table an event belongs to, and rows that cannot be told apart.

use super::*;

const YAML: &str = "source: s
connector: postgresql
heartbeat: none
database: public
tables:
  account:
    key: [id]
    balance:
      account_id: account_no
      currency: ccy
      booked: {column: booked, type: decimal, scale: 2}
  journal:
    key: [entry_no]
    transaction:
      transaction_id: entry_no
      account_id: account_no
      amount: {column: amount, type: decimal_text, scale: 2}
      currency: ccy
      booked_at: {column: at, type: timestamp_us}
";

const BALANCE: &str = r#"{"id":1,"account_no":"A","ccy":"EUR","booked":"AZoo"}"#;
const ENTRY: &str = r#"{"entry_no":7,"account_no":"A","amount":"10.00","ccy":"EUR","at":1763776800000000}"#;

struct Event<'e> {
    topic: &'e str,
    table: &'e str,
    key: Option<&'e str>,
    op: &'e str,
    before: &'e str,
    after: &'e str,
}

const EVENT: Event<'static> = Event {
    topic: "s.public.account",
    table: "account",
    key: Some(r#"{"id":1}"#),
    op: "c",
    before: "null",
    after: BALANCE,
};

impl Event<'_> {
    fn value(&self) -> String {
        let Self { table, op, before, after, .. } = self;
        format!(
            r#"{{"before":{before},"after":{after},"op":"{op}","source":{{"connector":"postgresql","name":"s","db":"d","schema":"public","table":"{table}","ts_ms":1763776800000,"lsn":9,"sequence":"[\"8\",\"9\"]"}}}}"#
        )
    }

    fn with<T>(&self, then: impl FnOnce(&Mapping, &ChangeEvent<'_>) -> T) -> T {
        let value = self.value();
        let mut decoder = Decoder::new();
        match decoder.decode(self.topic, self.key.map(str::as_bytes), Some(value.as_bytes())).unwrap() {
            Record::Change(event) => then(&Mapping::from_yaml(YAML).unwrap(), &event),
            other => panic!("{other:?}"),
        }
    }

    fn apply(&self) -> Result<Mapped, MapError> {
        self.with(|mapping, event| mapping.apply(event, 1))
    }
}

#[test]
fn the_topic_names_the_table_of_a_partitions_rows() {
    let partition = Event { table: "account_p2026", ..EVENT };
    assert_eq!(partition.apply().unwrap().rows().changes.len(), 1);
    assert_eq!(
        partition.with(|mapping, event| mapping.table(event).map(Table::full_name)).as_deref(),
        Some("public.account")
    );
    let renamed = Event { topic: "bank-accounts", ..EVENT };
    assert_eq!(renamed.apply().unwrap().rows().changes.len(), 1, "another routing of topics");
}

#[test]
fn an_event_that_no_table_takes_is_a_fate_of_its_own() {
    for (topic, table) in [("s.public.audit", "audit"), ("s.archive.audit", "audit")] {
        assert_eq!(Event { topic, table, ..EVENT }.apply(), Ok(Mapped::Unmapped));
    }
}

#[test]
fn rows_without_a_key_feed_transactions_only() {
    let state = Event { key: None, ..EVENT };
    let err = state.apply().unwrap_err();
    assert_eq!(err.reason, MapReason::NoKey);
    assert!(err.to_string().contains("message.key.columns"), "{err}");
    let entry = Event { topic: "s.public.journal", table: "journal", key: None, after: ENTRY, ..EVENT };
    assert_eq!(entry.apply().unwrap().rows().changes[0].key, "7");
}
