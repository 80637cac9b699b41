//! What the reader of mappings says about them.

use super::*;

#[test]
fn all_problems_of_a_mapping_are_reported_at_once_with_line_and_field() {
    let yaml = r#"source: 7
connector: oracle
zone: Mars/Olympus
colour: red
tables:
  accounts:
    account:
      account_id: account_no
      customer_id: {columns: []}
      currency: ccy
      state: {column: status, codes: {A: awake, F: 1}}
    balance:
      account_id: account_no
      currency: {column: ccy, type: decimal}
      booked: {column: balance, type: decimal}
      core_holds: {column: held, type: double, pii: maybe}
      lastposting: last_posting
  postings:
    key: posting_id
    confirms:
      operations: [transfer]
  empty:
    key: [id]
"#;
    let expected = [
        "line 1: source: expected a text (put it in quotes)",
        "line 2: connector: expected mariadb, mysql or postgresql",
        "line 3: zone: unknown time zone (expected a name such as Europe/Berlin)",
        "line 4: colour: unknown field; known here: source, connector, database, zone, currencies, tables, heartbeat, plausible_years",
        "line 7: tables.accounts.key: missing",
        "line 9: tables.accounts.account.customer_id.columns: expected at least one",
        "line 11: tables.accounts.account.state.codes.A: expected one of: active, frozen, closed",
        "line 11: tables.accounts.account.state.codes.F: expected a text (put it in quotes)",
        "line 14: tables.accounts.balance.currency: expected type text",
        "line 15: tables.accounts.balance.booked: missing scale: events without a schema block do not tell it",
        "line 16: tables.accounts.balance.core_holds.pii: expected true or false",
        "line 16: tables.accounts.balance.core_holds: expected a type: decimal (with a scale), decimal_text, decimal_variable or minor_units",
        "line 17: tables.accounts.balance.lastposting: unknown field; known here: account_id, currency, booked, overdraft_line, core_holds, last_posting",
        "line 19: tables.postings: feeds nothing; expected customer, account, balance or transaction",
        "line 19: tables.postings.confirms: needs `transaction` on the same table",
        "line 23: tables.empty: feeds nothing; expected customer, account, balance or transaction",
    ];
    assert_eq!(issues(yaml), expected);
}

#[test]
fn a_postgresql_core_has_a_table_of_heartbeats_or_says_that_it_has_none() {
    let yaml = |heartbeat: &str| {
        let customers = "customers: {key: [id], customer: {customer_id: id, name: name}}";
        format!("source: s\nconnector: postgresql\n{heartbeat}tables:\n  {customers}\n")
    };
    let issues = issues(&yaml(""));
    assert!(
        issues.len() == 1 && issues[0].contains("heartbeat: missing") && issues[0].contains("`none`"),
        "{issues:?}"
    );
    let read = |heartbeat: &str| Mapping::from_yaml(&yaml(heartbeat)).map(|mapping| mapping.has_beats());
    assert_eq!(read("heartbeat: none\n"), Ok(false));
    assert_eq!(read("heartbeat: locum_heartbeat\n"), Ok(true));
}

#[test]
fn broken_yaml_and_double_fields_are_named_with_their_line() {
    assert!(issues("source: [")[0].contains("no valid YAML"));
    let double = issues("source: a\nsource: b\n");
    assert!(double[0].starts_with("line 2"), "{double:?}");
    assert_eq!(issues("7"), ["line 1: : expected fields"]);
}

#[test]
fn codes_are_kept_as_written() {
    let yaml =
        CORE_SIM.replace("codes: {A: active, F: frozen, C: closed}", "codes: {01: active, Y: frozen, no: closed}");
    let mapping = Mapping::from_yaml(&yaml).unwrap();
    let file = fixture("account-update");
    let json = String::from_utf8(file.value().unwrap().to_vec()).unwrap();
    for (code, state) in [("01", AccountState::Active), ("Y", AccountState::Frozen), ("no", AccountState::Closed)] {
        let json = json.replace(r#""status":"A""#, &format!(r#""status":"{code}""#));
        let Record::Change(event) = Decoder::new().decode("t", file.key(), Some(json.as_bytes())).unwrap() else {
            panic!()
        };
        let applied = mapping.apply(&event, 1).unwrap().rows();
        assert!(matches!(upserts(&applied)[0], CanonicalRow::Account(a) if a.state == state), "{code}");
    }
}

#[test]
fn a_mapping_that_could_never_end_a_hold_is_refused() {
    let without = |line: &str| CORE_SIM.lines().filter(|l| !l.trim().starts_with(line)).collect::<Vec<_>>().join("\n");
    assert!(issues(&without("posting_no:"))[0].contains("tables.postings.confirms: needs `transaction.posting_no`"));
    assert!(issues(&without("last_posting:"))[0].contains("tables.accounts.balance: needs `last_posting`"));
}

proptest! {
    #[test]
    fn no_text_makes_the_mapping_reader_panic(yaml in any::<String>(), cut in any::<prop::sample::Index>(), noise in "[ \\n:{}\\[\\],a-z&*!|>-]{0,12}") {
        let _ = Mapping::from_yaml(&yaml);
        let at = (0..=cut.index(CORE_SIM.len())).rev().find(|i| CORE_SIM.is_char_boundary(*i)).unwrap();
        let _ = Mapping::from_yaml(&format!("{}{noise}{}", &CORE_SIM[..at], &CORE_SIM[at..]));
    }
}

#[test]
fn words_that_are_booleans_in_older_yaml_are_texts() {
    let yaml = "source: on\nconnector: mysql\ntables:\n  yes:\n    key: [no, off]\n    customer: {customer_id: no, name: on}\n";
    let mapping = Mapping::from_yaml(yaml).unwrap();
    assert_eq!((mapping.source(), mapping.tables().collect::<Vec<_>>()), ("on", vec!["yes".to_owned()]));
}

#[test]
fn parts_that_cannot_be_meant_together_are_refused() {
    let with = |from: &str, to: &str| {
        assert!(CORE_SIM.contains(from), "{from}");
        issues(&CORE_SIM.replace(from, to)).join("; ")
    };
    let one_boolean = with("codes: {A: active, F: frozen, C: closed}", "codes: {true: active, 1: frozen}");
    assert!(one_boolean.contains("the same boolean as `true`"), "{one_boolean}");
    let verdicts = with(
        "operations: [transfer]",
        "operations: [transfer]\n      posted: {column: state, equals: [1, B]}\n      reversed: {column: state, equals: [B]}",
    );
    assert!(verdicts.contains("expected a text (put it in quotes)"), "{verdicts}");
    let verdicts = with(
        "operations: [transfer]",
        "operations: [transfer]\n      posted: {column: state, equals: [true]}\n      reversed: {column: state, equals: [\"1\", C]}",
    );
    assert!(verdicts.contains("`posted` and `reversed` hold for the same rows"), "{verdicts}");
    let twice =
        with("  postings:\n", "  bank.accounts:\n    key: [no]\n    customer: {customer_id: no}\n  postings:\n");
    assert!(twice.contains("tables.bank.accounts: takes the same events as `accounts`"), "{twice}");
    let forms = with(
        "core_holds: {column: held, type: decimal, scale: 2}",
        "core_holds: {column: balance, type: decimal_text}",
    );
    assert!(forms.contains("column `balance` is mapped with two types, scales or units"), "{forms}");
    let years = with("connector: mariadb", "connector: mariadb\nplausible_years: 0");
    assert!(years.contains("expected a number of years from 1"), "{years}");
    let key = with("customer_id: owner", "customer_id: {column: owner, type: decimal}");
    assert!(key.contains("expected a type: text, integer, unsigned, decimal (with a scale)"), "{key}");
}
