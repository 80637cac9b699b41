//! Values never decode by luck.

use super::*;

const YAML: &str = "source: s
connector: mysql
tables:
  t:
    key: [no]
    account:
      account_id: no
      customer_id: owner
      currency: ccy
      state: {column: state, codes: {\"1\": active, \"0\": frozen}}
    balance:
      account_id: no
      currency: ccy
      booked: {column: booked, type: decimal, scale: 2}
      overdraft_line: {column: line, type: decimal, scale: 2}
      core_holds: {column: held, type: minor_units}
  p:
    key: [no]
    transaction:
      transaction_id: no
      account_id: account
      amount: {column: amount, type: decimal_text, scale: 2}
      currency: ccy
      booked_at: {column: at, type: timestamp_us}
      value_date: day
      core_ref: ref
    confirms:
      operations: [transfer]
      reversed: {column: is_reversed, equals: true}
";

/// The mapping above; `confirms` needs numbers that these tables do not have.
fn mapping() -> String {
    let yaml = YAML.replace("      core_ref: ref\n", "      core_ref: ref\n      posting_no: n\n");
    yaml.replace(
        "      core_holds: {column: held, type: minor_units}\n",
        "      core_holds: {column: held, type: minor_units}\n      last_posting: n\n",
    )
}

const CHANGE_MS: i64 = 1_763_776_800_000;

/// Applies a row of table `t` or `p`; the cells given replace the usual ones.
fn apply_row(yaml: &str, table: &str, cells: &[(&str, &str)], schema: Option<&str>) -> Result<MappedRows, MapError> {
    let usual: &[(&str, &str)] = match table {
        "t" => &[
            ("no", "1"),
            ("owner", "\"C\""),
            ("ccy", "\"EUR\""),
            ("state", "1"),
            ("booked", "\"AZoo\""),
            ("line", "\"AA==\""),
            ("held", "0"),
            ("n", "1"),
        ],
        _ => &[
            ("no", "7"),
            ("account", "1"),
            ("amount", "\"10.00\""),
            ("ccy", "\"EUR\""),
            ("at", "1763776800000000"),
            ("day", "20414"),
            ("ref", "\"R\""),
            ("n", "1"),
            ("is_reversed", "false"),
        ],
    };
    let cell = |(name, usual): &(&str, &str)| {
        let given = cells.iter().find(|(other, _)| other == name).map_or(*usual, |(_, json)| *json);
        (name.to_string(), format!(r#""{name}":{given}"#))
    };
    let cells: Vec<(String, String)> = usual.iter().map(cell).collect();
    let key = format!("{{{}}}", cells[0].1);
    let row = cells.iter().map(|(_, json)| json.as_str()).collect::<Vec<_>>().join(",");
    let envelope = format!(
        r#"{{"after":{{{row}}},"op":"c","source":{{"connector":"mysql","name":"s","db":"d","table":"{table}","ts_ms":{CHANGE_MS},"file":"b.1","pos":4}}}}"#
    );
    let value = match schema {
        None => envelope,
        Some(fields) => format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","field":"after","fields":[{fields}]}}]}},"payload":{envelope}}}"#
        ),
    };
    let mut decoder = Decoder::new();
    let Record::Change(event) = decoder.decode("topic", Some(key.as_bytes()), Some(value.as_bytes())).unwrap() else {
        panic!()
    };
    Mapping::from_yaml(yaml).unwrap().apply(&event, 1).map(Mapped::rows)
}

fn account(cells: &[(&str, &str)]) -> Result<MappedRows, MapError> {
    apply_row(&mapping(), "t", cells, None)
}

fn posting(cells: &[(&str, &str)]) -> Result<MappedRows, MapError> {
    apply_row(&mapping(), "p", cells, None)
}

fn booked(applied: &MappedRows) -> i64 {
    match upserts(applied)[1] {
        CanonicalRow::Balance(balance) => balance.booked_minor,
        other => panic!("{other:?}"),
    }
}

/// A BIGINT UNSIGNED or NUMERIC key in base64: 4711000815.
const BASE64_KEY: &str = "\"ARjMKu8=\"";

#[test]
fn a_number_that_is_base64_too_is_refused_and_halts_the_source() {
    for text in ["\"1000\"", "\"12345678\""] {
        let alone = mapping().replace("      overdraft_line: {column: line, type: decimal, scale: 2}\n", "");
        let err = apply_row(&alone, "t", &[("booked", text)], None).unwrap_err();
        assert_eq!(err.reason, MapReason::Decimal(DecimalError::Ambiguous));
        assert!(err.is_contradiction());
        assert!(account(&[("booked", text), ("line", "\"0\"")]).unwrap_err().is_contradiction());
    }
    assert!(account(&[("booked", "\"1000.00\"")]).unwrap_err().is_contradiction());
    assert!(
        posting(&[("amount", "\"1000\"")]).unwrap_err().is_contradiction(),
        "a scale is declared, and the text has none"
    );
}

#[test]
fn an_overdrawn_balance_that_happens_to_be_digits_is_read_where_the_row_shows_base64() {
    let overdrawn = account(&[("booked", "\"1000\""), ("line", "\"AMNQ\"")]).unwrap();
    assert_eq!(booked(&overdrawn), -2_667_212);
    let schema = r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"booked"}"#;
    let cells: &[(&str, &str)] = &[("booked", "\"1000\""), ("line", "\"AA==\"")];
    assert_eq!(booked(&apply_row(&mapping(), "t", cells, Some(schema)).unwrap()), -2_667_212);
}

#[test]
fn a_numeric_key_is_its_number_where_the_schema_block_or_the_mapping_says_so() {
    let schema =
        r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0"},"field":"no"}"#;
    let key = |applied: MappedRows| applied.changes[0].key.clone();
    let cells: &[(&str, &str)] = &[("no", BASE64_KEY)];
    assert_eq!(key(apply_row(&mapping(), "t", cells, Some(schema)).unwrap()), "4711000815");
    let declared = mapping().replace("account_id: no", "account_id: {column: no, type: decimal, scale: 0}");
    assert_eq!(key(apply_row(&declared, "t", cells, None).unwrap()), "4711000815");
    let struct_schema = r#"{"type":"struct","name":"io.debezium.data.VariableScaleDecimal","field":"no"}"#;
    let cells: &[(&str, &str)] = &[("no", r#"{"scale":1,"value":"Cg=="}"#)];
    assert_eq!(key(apply_row(&mapping(), "t", cells, Some(struct_schema)).unwrap()), "1", "equal numbers are one key");
    let parts =
        mapping().replace("account_id: no", "account_id: {columns: [owner, {column: no, type: decimal_variable}]}");
    assert_eq!(key(apply_row(&parts, "t", cells, None).unwrap()), "C-1");
}

#[test]
fn a_key_that_may_be_a_number_is_parked_with_what_to_declare() {
    let err = account(&[("no", BASE64_KEY)]).unwrap_err();
    assert_eq!(err.reason, MapReason::UndeclaredKey);
    let text = mapping().replace("account_id: no", "account_id: {column: no, type: text}");
    assert_eq!(apply_row(&text, "t", &[("no", BASE64_KEY)], None).unwrap().changes[0].key, "ARjMKu8=");
}

#[test]
fn a_keys_own_schema_block_is_enough() {
    let key = r#"{"schema":{"type":"struct","fields":[{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0"},"field":"no"}]},"payload":{"no":"ARjMKu8="}}"#;
    let value = r#"{"before":null,"after":null,"op":"d","source":{"connector":"mysql","name":"s","db":"d","table":"t","ts_ms":1,"file":"b.1","pos":4}}"#;
    let mapping = Mapping::from_yaml(&mapping()).unwrap();
    let mut decoder = Decoder::new();
    for _ in 0..2 {
        let Record::Change(event) = decoder.decode("t", Some(key.as_bytes()), Some(value.as_bytes())).unwrap() else {
            panic!()
        };
        assert_eq!(mapping.apply(&event, 1).unwrap().rows().changes[0].key, "4711000815");
    }
}

#[test]
fn a_negative_key_names_the_setting_that_cures_it() {
    let err = account(&[("no", "-1")]).unwrap_err();
    assert_eq!(err.reason, MapReason::NegativeKey);
    assert!(err.to_string().contains("bigint.unsigned.handling.mode"), "{err}");
    let declared = |kind: &str, schema| {
        let yaml = mapping().replace("account_id: no", &format!("account_id: {{column: no, type: {kind}}}"));
        apply_row(&yaml, "t", &[("no", "-1")], schema).map(|applied| applied.changes[0].key.clone())
    };
    assert_eq!(declared("unsigned", None).unwrap_err().reason, MapReason::NegativeKey);
    assert_eq!(declared("integer", None).unwrap(), "-1");
    let unsigned = r#"{"type":"int64","field":"no","parameters":{"__debezium.source.column.type":"BIGINT UNSIGNED"}}"#;
    assert_eq!(declared("integer", Some(unsigned)).unwrap_err().reason, MapReason::NegativeKey);
}

#[test]
fn booleans_are_codes_however_they_arrive() {
    let state = |applied: MappedRows| match upserts(&applied)[0] {
        CanonicalRow::Account(account) => account.state,
        other => panic!("{other:?}"),
    };
    let words = mapping().replace(r#"{"1": active, "0": frozen}"#, "{true: active, false: frozen}");
    for yaml in [&mapping(), &words] {
        for (cell, expected) in [
            ("true", AccountState::Active),
            ("1", AccountState::Active),
            ("false", AccountState::Frozen),
            ("0", AccountState::Frozen),
        ] {
            assert_eq!(state(apply_row(yaml, "t", &[("state", cell)], None).unwrap()), expected, "{cell}");
        }
    }
    let text = apply_row(&words, "t", &[("state", "\"1\"")], None).unwrap_err();
    assert_eq!(text.reason, MapReason::UnknownCode, "a text is only itself");
}

#[test]
fn a_reversal_is_told_by_a_boolean() {
    let verdict = |cell: &str| posting(&[("is_reversed", cell)]).unwrap().evidence.remove(0).verdict;
    assert_eq!(
        ["true", "1", "false", "0"].map(verdict),
        [LegVerdict::Reversed, LegVerdict::Reversed, LegVerdict::Posted, LegVerdict::Posted]
    );
}

#[test]
fn integers_beyond_64_bits_are_refused_with_the_true_reason() {
    let huge = "18446744073709551616";
    assert_eq!(account(&[("n", huge)]).unwrap_err().reason, MapReason::IntegerRange);
    assert_eq!(account(&[("no", huge)]).unwrap_err().reason, MapReason::IntegerRange);
    assert_eq!(
        account(&[("held", "18446744073709551615")]).unwrap_err().reason,
        MapReason::Decimal(DecimalError::OutOfRange)
    );
    assert_eq!(account(&[("no", "18446744073709551615")]).unwrap().changes[0].key, "18446744073709551615");
}

#[test]
fn implausible_times_are_refused_in_words_that_a_person_understands() {
    for cells in [[("at", "0")], [("at", "1763776800000")], [("day", "0")]] {
        let err = posting(&cells).unwrap_err();
        assert_eq!(err.reason, MapReason::Temporal(TemporalError::Implausible(40)));
        assert!(err.to_string().contains("a zero date, or another unit than mapped"), "{err}");
    }
    let old = format!("plausible_years: 60\n{}", mapping());
    assert!(apply_row(&old, "p", &[("at", "0"), ("day", "0")], None).is_ok());
}

#[test]
fn a_placeholder_for_a_value_that_is_not_in_the_log_is_never_a_value() {
    let err = posting(&[("ref", "\"__debezium_unavailable_value\"")]).unwrap_err();
    assert_eq!(err.reason, MapReason::Unavailable);
    assert!(err.to_string().contains("REPLICA IDENTITY FULL"), "{err}");
    assert!(!err.is_contradiction());
}
