mod amounts;
mod cases;
mod cores;
mod coverage;
mod currencies;
mod defaults;
mod events;
mod filter;
mod legs;
mod links;
mod lookup;
mod reading;
mod references;
mod refusals;
mod tables;
mod values;
mod words;

use proptest::prelude::*;

use super::*;
use crate::debezium::tests::{all, captured, change, decode, fixture};
use crate::debezium::{Decoder, Record};
use crate::entry::LegKind::{Credit, Debit};
use crate::model::{
    Account, AccountState, Balance, CanonicalRow, Customer, LegVerdict, Personal, RowChange, Transaction, Was,
};
use crate::money::Currency;
use crate::position::Version;

const CORE_SIM: &str = include_str!("../../mappings/core-sim.yaml");

fn core_sim() -> Mapping {
    Mapping::from_yaml(CORE_SIM).unwrap()
}

impl Mapped {
    fn rows(self) -> MappedRows {
        match self {
            Self::Rows(applied) => applied,
            Self::Unmapped => panic!("no table takes the event"),
        }
    }
}

fn apply(name: &str) -> MappedRows {
    core_sim().apply(&change(&fixture(name)), 1).unwrap().rows()
}

fn upserts(applied: &MappedRows) -> Vec<&CanonicalRow> {
    let row = |c: &'_ CanonicalChange| matches!(c.row, RowChange::Upsert(_));
    applied
        .changes
        .iter()
        .filter(|c| row(c))
        .map(|c| match &c.row {
            RowChange::Upsert(row) => row,
            RowChange::Delete | RowChange::Ended(_) => unreachable!(),
        })
        .collect()
}

fn issues(yaml: &str) -> Vec<String> {
    Mapping::from_yaml(yaml).unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// The error of a fixture after a textual change of its value.
fn error(name: &str, from: &str, to: &str) -> MapError {
    let file = fixture(name);
    let json = String::from_utf8(file.value().unwrap().to_vec()).unwrap();
    assert!(json.contains(from), "{from} in {json}");
    let json = json.replace(from, to);
    let Record::Change(event) = Decoder::new().decode("t", file.key(), Some(json.as_bytes())).unwrap() else {
        panic!()
    };
    core_sim().apply(&event, 1).unwrap_err()
}

#[test]
fn the_simulated_core_is_mapped_whole() {
    let mapping = core_sim();
    assert_eq!((mapping.source(), mapping.connector()), ("corebank", Connector::MariaDb));
    assert_eq!(mapping.tables().collect::<Vec<_>>(), ["customers", "accounts", "postings"]);
}

#[test]
fn every_row_event_of_the_fixtures_can_be_mapped() {
    for file in &all() {
        if let Record::Change(event) = decode(file)
            && event.source.connector == Connector::MariaDb
        {
            core_sim().apply(&event, 1).unwrap_or_else(|err| panic!("{}: {err}", file.file));
        }
    }
}

#[test]
fn captured_rows_become_balances_in_the_order_of_the_log() {
    let yaml = "source: core\nconnector: mariadb\ndatabase: bank\ntables:\n  account:\n    key: [id]\n    balance:\n      account_id: iban\n      currency: currency\n      booked: {column: balance, type: decimal, scale: 2}\n";
    let mapping = Mapping::from_yaml(yaml).unwrap();
    let apply = |name: &str| mapping.apply(&change(&captured(name)), 1).unwrap().rows().changes.remove(0);
    let (read, create, update, delete) = (apply("snapshot"), apply("create"), apply("update"), apply("delete"));
    let booked = |change: &CanonicalChange| match &change.row {
        RowChange::Upsert(CanonicalRow::Balance(balance)) => balance.booked_minor,
        other => panic!("{other:?}"),
    };
    assert_eq!([&read, &create, &update].map(booked), [-4_210, 5, 115_075]);
    assert_eq!(
        (read.key.as_str(), &delete.row),
        (delete.key.as_str(), &RowChange::Delete),
        "the key comes from the row before"
    );
    assert!(read.version < create.version && create.version < update.version && update.version < delete.version);
    assert_eq!(booked(&apply("update_with_schema")), booked(&update));
}

#[test]
fn one_account_row_feeds_the_account_and_its_balance() {
    let applied = apply("account-update");
    let eur = Currency::parse("EUR").unwrap();
    let account = Account {
        account_id: "DE0000000001".into(),
        customer_id: "C-1".into(),
        currency: eur,
        state: AccountState::Active,
        product: None,
    };
    let balance = Balance {
        account_id: "DE0000000001".into(),
        currency: eur,
        booked_minor: 105_000,
        overdraft_line_minor: 50_000,
        core_holds_minor: 0,
        last_posting: Some(7),
    };
    assert_eq!(upserts(&applied), [&CanonicalRow::Account(account), &CanonicalRow::Balance(balance)]);
    assert!(applied.evidence.is_empty());
    assert!(applied.changes.iter().all(|c| c.key == "DE0000000001" && c.account_id.as_deref() == Some("DE0000000001")));
}

#[test]
fn a_debit_posting_is_negative_and_confirms_its_leg() {
    let applied = apply("posting-debit");
    let eur = Currency::parse("EUR").unwrap();
    let transaction = Transaction {
        transaction_id: "DE0000000001-7".into(),
        account_id: "DE0000000001".into(),
        posting_no: Some(7),
        amount_minor: -1_050,
        currency: eur,
        booked_at: "2025-11-22T02:00:00.123456Z".parse().unwrap(),
        value_date: jiff::civil::date(2025, 11, 22),
        remittance: Some(Personal::new("Rent for Erika Mustermann")),
        core_ref: Some("LOC0000000000000000000000000000001".into()),
    };
    assert_eq!(upserts(&applied), [&CanonicalRow::Transaction(transaction)]);
    let [evidence] = applied.evidence.as_slice() else { panic!("{:?}", applied.evidence) };
    assert_eq!((evidence.leg, evidence.verdict, evidence.amount_minor), (Debit, LegVerdict::Posted, -1_050));
    assert_eq!((evidence.posting_no, evidence.row_key.as_str()), (Some(7), "DE0000000001-7"));
    assert_eq!(evidence.version, applied.changes[0].version);
}

#[test]
fn the_credit_leg_carries_the_same_reference() {
    let evidence = apply("posting-credit").evidence.remove(0);
    assert_eq!((evidence.leg, evidence.amount_minor, evidence.account_id.as_str()), (Credit, 1_050, "DE0000000002"));
    assert_eq!(evidence.core_ref, apply("posting-debit").evidence[0].core_ref);
}

#[test]
fn a_posting_without_our_reference_confirms_nothing() {
    let applied = apply("posting-of-the-branch");
    assert!(applied.evidence.is_empty());
    assert_eq!(applied.changes.len(), 1);
}

#[test]
fn currencies_without_cents_are_exact() {
    let applied = apply("account-create");
    assert!(
        matches!(upserts(&applied)[1], CanonicalRow::Balance(b) if b.booked_minor == 5_000 && b.currency.code() == "JPY")
    );
}

#[test]
fn a_frozen_account_is_frozen() {
    assert!(
        matches!(upserts(&apply("account-freeze"))[0], CanonicalRow::Account(a) if a.state == AccountState::Frozen)
    );
}

#[test]
fn a_delete_ends_every_row_it_fed() {
    let applied = apply("account-delete");
    let ends: Vec<_> = applied.changes.iter().map(|c| (c.entity, c.key.as_str(), &c.row)).collect();
    assert_eq!(
        ends,
        [(Entity::Account, "DE0000000001", &RowChange::Delete), (Entity::Balance, "DE0000000001", &RowChange::Delete)]
    );
}

#[test]
fn a_changed_key_ends_the_old_row_and_starts_the_new_one() {
    let (gone, new) = (apply("account-key-change-delete"), apply("account-key-change-create"));
    assert_eq!((gone.changes[0].key.as_str(), new.changes[0].key.as_str()), ("DE0000000001", "DE0000000009"));
    assert!(gone.changes[0].version < new.changes[0].version);
}

#[test]
fn an_identifier_outside_the_tables_key_is_followed_when_it_changes() {
    let yaml = "source: s\nconnector: mariadb\ntables:\n  customers:\n    key: [row_id]\n    customer: {customer_id: number}\n";
    let mapping = Mapping::from_yaml(yaml).unwrap();
    let event = |before: &str| {
        format!(
            r#"{{"before":{before},"after":{{"row_id":5,"number":"B"}},"op":"u","source":{{"connector":"mariadb","name":"s","db":"d","table":"customers","ts_ms":1,"file":"b.1","pos":4}}}}"#
        )
    };
    let apply = |before: &str| {
        let json = event(before);
        match Decoder::new().decode("t", Some(br#"{"row_id":5}"#), Some(json.as_bytes())).unwrap() {
            Record::Change(event) => mapping.apply(&event, 1).map(Mapped::rows),
            other => panic!("{other:?}"),
        }
    };
    let applied = apply(r#"{"row_id":5,"number":"A"}"#).unwrap();
    assert_eq!((applied.changes[0].key.as_str(), &applied.changes[0].row), ("A", &RowChange::Delete));
    let customer = CanonicalRow::Customer(Customer { customer_id: "B".into(), name: None });
    assert_eq!(applied.changes[1].row, RowChange::Upsert(customer));
    assert_eq!(apply(r#"{"row_id":5,"number":"B"}"#).unwrap().changes.len(), 1);
    let err = apply("null").unwrap_err();
    assert_eq!(err.reason, MapReason::NoBefore);
}

#[test]
fn unmapped_tables_give_nothing_and_new_columns_are_not_looked_at() {
    let file = fixture("account-update");
    let json = String::from_utf8(file.value().unwrap().to_vec()).unwrap();
    let apply = |json: &str| {
        let Record::Change(event) = Decoder::new().decode("t", file.key(), Some(json.as_bytes())).unwrap() else {
            panic!()
        };
        core_sim().apply(&event, 1).unwrap()
    };
    assert_eq!(apply(&json.replace(r#""table":"accounts""#, r#""table":"audit""#)), Mapped::Unmapped);
    assert_eq!(apply(&json.replace(r#""opened":18262"#, r#""opened":{"a":[1]},"extra":1.5"#)), apply(&json));
}

#[test]
fn a_qualified_table_is_not_taken_for_its_namesake() {
    let yaml = CORE_SIM.replace("source: corebank", "source: corebank\ndatabase: archive");
    let mapping = Mapping::from_yaml(&yaml).unwrap();
    let file = fixture("account-update");
    assert_eq!(mapping.apply(&change(&file), 1), Ok(Mapped::Unmapped));
    let yaml = yaml.replace("  accounts:", "  core.accounts:");
    assert_eq!(Mapping::from_yaml(&yaml).unwrap().apply(&change(&file), 1).unwrap().rows().changes.len(), 2);
}

#[test]
fn errors_name_table_and_column() {
    for (from, to, column, reason) in [
        (r#""owner":"C-1","#, "", "owner", MapReason::Missing),
        (r#""owner":"C-1""#, r#""owner":null"#, "owner", MapReason::Null),
        (r#""owner":"C-1""#, r#""owner":1.5"#, "owner", MapReason::Expected("a text or an integer")),
        (r#""owner":"C-1""#, r#""owner":"__debezium_unavailable_value""#, "owner", MapReason::Unavailable),
        (r#""status":"A""#, r#""status":"Z""#, "status", MapReason::UnknownCode),
        (r#""ccy":"EUR""#, r#""ccy":"XXX""#, "ccy", MapReason::UnknownCurrency),
        (r#""balance":"AZoo""#, r#""balance":1050.0"#, "balance", MapReason::Decimal(DecimalError::BinaryFraction)),
        (r#""last_posting":7"#, r#""last_posting":"7""#, "last_posting", MapReason::Expected("an integer of 64 bits")),
    ] {
        let err = error("account-update", from, to);
        assert_eq!((err.table.as_str(), err.column.as_str(), err.reason), ("accounts", column, reason));
    }
    let err = error("account-create", r#""balance":"B6Eg""#, r#""balance":"AQ==""#);
    assert_eq!(err.reason, MapReason::Decimal(DecimalError::Inexact));
    let err = error("account-update", r#""connector":"mariadb""#, r#""connector":"mysql""#);
    assert_eq!(err.reason, MapReason::Connector);
    let err = error("posting-debit", r#""booked_at":1763776800123456"#, r#""booked_at":"2025""#);
    assert_eq!(err.column, "booked_at");
    assert_eq!(err.to_string(), "postings.booked_at: expected a count since 1970 as an integer");
}

#[test]
fn what_an_unmappable_event_touches_is_still_known() {
    let file = fixture("posting-debit");
    let json = String::from_utf8(file.value().unwrap().to_vec()).unwrap().replace(r#""ccy":"EUR""#, r#""ccy":"XXX""#);
    let Record::Change(event) = Decoder::new().decode("t", file.key(), Some(json.as_bytes())).unwrap() else {
        panic!()
    };
    let mapping = core_sim();
    assert!(mapping.apply(&event, 1).is_err());
    let account_id = Some("DE0000000001".to_owned());
    assert_eq!(
        mapping.touched(&event, &[]),
        [Touched { entity: Entity::Transaction, key: "DE0000000001-7".into(), account_id }]
    );
}

#[test]
fn joined_identifiers_never_collide() {
    let yaml = "source: s\nconnector: mariadb\ntables:\n  t:\n    key: [a, b]\n    customer: {customer_id: {columns: [a, b]}}\n";
    let mapping = Mapping::from_yaml(yaml).unwrap();
    let key = |a: &str, b: &str| {
        let row = format!(r#"{{"a":"{a}","b":"{b}"}}"#);
        let json = format!(
            r#"{{"after":{row},"op":"c","source":{{"connector":"mariadb","name":"s","db":"d","table":"t","ts_ms":1,"file":"b.1","pos":4}}}}"#
        );
        let mut decoder = Decoder::new();
        let Record::Change(event) = decoder.decode("t", Some(row.as_bytes()), Some(json.as_bytes())).unwrap() else {
            panic!()
        };
        mapping.apply(&event, 1).unwrap().rows().changes.remove(0).key
    };
    assert_eq!(key("x", "y"), "x-y");
    assert_ne!(key("x-y", "z"), key("x", "y-z"));
    assert_ne!(key("x%2D", "z"), key("x-", "z"));
}

#[test]
fn reversed_and_refused_rows_are_told_apart_from_posted_ones() {
    let yaml = CORE_SIM.replace(
        "operations: [transfer]",
        "operations: [transfer]\n      posted: {column: text, equals: [Rent for Erika Mustermann, P]}\n      refused: {column: text, equals: R}\n      reversed: {column: text, equals: S}",
    );
    let mapping = Mapping::from_yaml(&yaml).unwrap();
    let file = fixture("posting-debit");
    let json = String::from_utf8(file.value().unwrap().to_vec()).unwrap();
    let verdict = |text: &str| {
        let json = json.replace("Rent for Erika Mustermann", text);
        let Record::Change(event) = Decoder::new().decode("t", file.key(), Some(json.as_bytes())).unwrap() else {
            panic!()
        };
        mapping.apply(&event, 1).unwrap().rows().evidence.first().map(|e| e.verdict)
    };
    assert_eq!(verdict("P"), Some(LegVerdict::Posted));
    assert_eq!(verdict("R"), Some(LegVerdict::Refused));
    assert_eq!(verdict("S"), Some(LegVerdict::Reversed));
    assert_eq!(verdict("pending"), None);
}

#[test]
fn versions_follow_the_events() {
    let order =
        ["account-snapshot", "account-create", "posting-debit", "posting-credit", "account-update", "account-freeze"];
    let versions: Vec<Version> = order.iter().map(|name| apply(name).changes[0].version).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
}

proptest! {
    #[test]
    fn no_cell_makes_the_mapping_panic_or_tell_its_value(
        column in proptest::sample::select(vec!["account_no", "owner", "ccy", "status", "balance", "last_posting"]),
        cell in prop_oneof![Just("null".to_owned()), "\"canary[ -!#-\\[\\]-~]{0,20}\"", "-?[1-9][0-9]{0,40}(\\.[0-9]+)?(e[0-9]{1,4})?", Just("{\"scale\":1}".to_owned())],
    ) {
        let row = |name: &str, plain: &str| if name == column { format!("\"{name}\":{cell}") } else { format!("\"{name}\":{plain}") };
        let cells = [row("account_no", "\"1\""), row("owner", "\"1\""), row("ccy", "\"EUR\""), row("status", "\"A\""), row("balance", "\"AQ==\""),
            row("overdraft", "\"AQ==\""), row("held", "\"AQ==\""), row("last_posting", "1")].join(",");
        let json = format!(r#"{{"after":{{{cells}}},"op":"c","source":{{"connector":"mariadb","name":"s","db":"d","table":"accounts","ts_ms":1,"file":"b.1","pos":4}}}}"#);
        let mut decoder = Decoder::new();
        let Record::Change(event) = decoder.decode("t", Some(br#"{"account_no":"1"}"#), Some(json.as_bytes())).unwrap() else { panic!() };
        if let Err(err) = core_sim().apply(&event, 1) {
            let shown = format!("{err} {err:?}");
            prop_assert!(!shown.contains("canary"), "{}", shown);
        }
    }
}
