//! Amounts that several columns make, in other units, with another sign, or with more digits than the currency.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::events::{INSERT, TOLD_MS, Told, table};
use super::*;

fn yaml(amounts: &str) -> String {
    table("[id]", &format!("    balance:\n      account_id: id\n      currency: ccy\n{amounts}"))
}

/// What the amounts of a row of euros come to.
fn balance(amounts: &str, cells: &str) -> Result<Balance, MapError> {
    let after = format!(r#"{{"id":1,"ccy":"EUR",{cells}}}"#);
    let applied = Told { after: &after, ..INSERT }.apply(&yaml(amounts))?;
    match upserts(&applied).as_slice() {
        [CanonicalRow::Balance(balance)] => Ok(balance.clone()),
        other => panic!("{other:?}"),
    }
}

fn booked(amount: &str, cells: &str) -> Result<i64, MapError> {
    balance(&format!("      booked: {amount}\n"), cells).map(|balance| balance.booked_minor)
}

fn reason(read: Result<i64, MapError>) -> (String, MapReason) {
    let err = read.unwrap_err();
    (err.column, err.reason)
}

/// A number as the connector writes it in a column without a scale.
fn variable(unscaled: i128, scale: i32) -> String {
    format!(r#"{{"scale":{scale},"value":"{}"}}"#, STANDARD.encode(unscaled.to_be_bytes()))
}

const OUT_OF_RANGE: MapReason = MapReason::Decimal(DecimalError::OutOfRange);
const TOO_MANY: MapReason = MapReason::Decimal(DecimalError::TooManyDigits);
const INEXACT: MapReason = MapReason::Decimal(DecimalError::Inexact);

#[test]
fn an_amount_is_the_sum_of_columns_less_others() {
    let text = |amount: &str, cells: &str| booked(amount, cells).unwrap();
    let cells = r#""a":"10.50","b":"0.250000","c":"-1","d":null"#;
    assert_eq!(text("{sum: [a, b], type: decimal_text}", cells), 1_075);
    assert_eq!(text("{sum: [a], minus: [b, c], type: decimal_text}", cells), 1_125);
    assert_eq!(text("{minus: a, type: decimal_text}", cells), -1_050);
    assert_eq!(text("{sum: a, type: decimal_text}", cells), 1_050);
    assert_eq!(text("{sum: [a, d], type: decimal_text, null_is: 0}", cells), 1_050);
    assert_eq!(text("{sum: [a, {column: d, null_is: 0}], type: decimal_text}", cells), 1_050);
    let mixed = "{sum: [a, {column: m, type: minor_units}, {column: v, type: decimal_variable}], type: decimal_text}";
    assert_eq!(text(mixed, &format!(r#"{cells},"m":7,"v":{}"#, variable(5, -1))), 6_057);
    let null = reason(booked("{sum: [a, d], type: decimal_text}", cells));
    assert_eq!(null, ("d".to_owned(), MapReason::Null));
    let missing = reason(booked("{sum: [a, x], type: decimal_text, null_is: 0}", cells));
    assert_eq!(missing, ("x".to_owned(), MapReason::Missing));
}

#[test]
fn minor_units_may_be_written_as_decimals() {
    let amount = "{column: v, type: decimal_variable, unit: minor}";
    assert_eq!(booked(amount, &format!(r#""v":{}"#, variable(124_025, 0))), Ok(124_025));
    assert_eq!(booked(amount, &format!(r#""v":{}"#, variable(12, -2))), Ok(1_200));
    assert_eq!(reason(booked(amount, &format!(r#""v":{}"#, variable(125, 1)))), ("v".to_owned(), INEXACT));
    assert_eq!(booked("{column: v, type: decimal, scale: 0, unit: minor}", r#""v":"AeR5""#), Ok(124_025));
    assert_eq!(booked("{column: v, type: decimal_text, unit: minor}", r#""v":"-124025""#), Ok(-124_025));
    let major = "{column: v, type: decimal_variable, unit: major}";
    assert_eq!(booked(major, &format!(r#""v":{}"#, variable(124_025, 0))), Ok(12_402_500), "the unit decides");
}

#[test]
fn less_than_a_minor_unit_is_refused_unless_a_rule_drops_it() {
    let text = |rule: &str, cell: &str| {
        booked(&format!("{{column: v, type: decimal_text{rule}}}"), &format!(r#""v":"{cell}""#))
    };
    for rule in ["", ", inexact: refuse"] {
        assert_eq!(text(rule, "1.230000"), Ok(123));
        assert_eq!(reason(text(rule, "1.230001")), ("v".to_owned(), INEXACT));
    }
    for (cell, floor) in [
        ("1.239999", 123),
        ("1.230000", 123),
        ("-1.230001", -124),
        ("-1.230000", -123),
        ("0.000001", 0),
        ("-0.000001", -1),
        ("-0.00000000000000000000000000000000000001", -1),
    ] {
        assert_eq!(text(", inexact: floor", cell), Ok(floor), "{cell}");
    }
}

#[test]
fn the_sum_is_rounded_and_not_its_terms() {
    let cells = r#""a":"0.005","b":"0.005""#;
    assert_eq!(booked("{sum: [a, b], type: decimal_text}", cells), Ok(1));
    assert_eq!(booked("{sum: [a, b], type: decimal_text, inexact: floor}", cells), Ok(1));
    assert_eq!(reason(booked("{sum: a, type: decimal_text}", cells)), ("a".to_owned(), INEXACT));
}

#[test]
fn what_is_held_is_rounded_up() {
    let amounts = "      booked: {column: b, type: decimal_text, inexact: floor}
      overdraft_line: {column: o, type: decimal_text, inexact: floor}
      core_holds: {sum: [h, t], type: decimal_text, null_is: 0, inexact: ceil}\n";
    let found = balance(amounts, r#""b":"1.239","o":"5.009","h":"0.101","t":null"#).unwrap();
    assert_eq!((found.booked_minor, found.overdraft_line_minor, found.core_holds_minor), (123, 500, 11));
}

#[test]
fn holds_below_zero_are_refused_because_they_would_be_added_to_what_is_available() {
    let amounts = "      booked: {column: b, type: decimal_text}
      core_holds: {sum: held, minus: released, type: decimal_text}\n";
    let found = |held: &str| balance(amounts, &format!(r#""b":"100","held":"{held}","released":"20""#));
    assert_eq!(found("20").unwrap().core_holds_minor, 0);
    let err = found("19.99").unwrap_err();
    assert_eq!(err.column, "held");
    assert!(err.reason.to_string().contains("not negative"), "{err}");
}

#[test]
fn an_amount_counts_only_where_its_tests_hold() {
    let amounts = "      booked: {column: b, type: decimal_text}
      overdraft_line: {column: line, type: decimal_text, where: {allowed: true}}
      core_holds: {sum: [h, {column: lien, where: {lien_on: 1}}], type: decimal_text}\n";
    let found = |allowed: &str, line: &str, lien_on: &str| {
        let cells = format!(r#""b":"1","allowed":{allowed},"line":{line},"h":"2","lien":"3","lien_on":{lien_on}"#);
        balance(amounts, &cells).map(|balance| (balance.overdraft_line_minor, balance.core_holds_minor))
    };
    assert_eq!(found("true", "\"9\"", "true"), Ok((900, 500)));
    assert_eq!(found("0", "\"9\"", "0"), Ok((0, 200)));
    assert_eq!(found("false", "null", "false"), Ok((0, 200)), "what does not count may be NULL");
    assert_eq!(found("true", "null", "false").unwrap_err().reason, MapReason::Null);
}

#[test]
fn a_debit_is_rounded_to_the_larger_one_whichever_way_it_is_written() {
    let amount = |leg: &str, amount: &str| {
        let rest = "      account_id: id\n      currency: {constant: EUR}\n      booked_at: {column: at, type: timestamp_ms}\n";
        let amount_of = "      amount: {column: n, type: decimal_text, inexact: floor}\n";
        let yaml = table("[id]", &format!("    transaction:\n      transaction_id: id\n{rest}{amount_of}{leg}"));
        let after = format!(r#"{{"id":1,"n":"{amount}","at":{TOLD_MS}}}"#);
        match upserts(&Told { after: &after, ..INSERT }.apply(&yaml).unwrap())[0] {
            CanonicalRow::Transaction(transaction) => transaction.amount_minor,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(amount("      leg: {constant: debit}\n", "1.001"), -101);
    assert_eq!(amount("      leg: {constant: credit}\n", "1.001"), 100);
    assert_eq!(amount("", "-1.001"), -101);
    assert_eq!(amount("", "1.001"), 100);
}

#[test]
fn sums_beyond_what_is_held_are_refused_and_never_wrap() {
    let sum = |a: i128, b: i128, scale: i32| {
        let cells = format!(r#""a":{},"b":{}"#, variable(a, scale), variable(b, scale));
        booked("{sum: [a, b], type: decimal_variable}", &cells)
    };
    assert_eq!(reason(sum(i128::MAX, 1, 2)), ("b".to_owned(), TOO_MANY));
    assert_eq!(reason(sum(i128::MIN, -1, 2)), ("b".to_owned(), TOO_MANY));
    assert_eq!(sum(i128::MAX, -i128::MAX, 2), Ok(0));
    assert_eq!(sum(i64::MAX.into(), 0, 2), Ok(i64::MAX));
    assert_eq!(reason(sum(i64::MAX.into(), 1, 2)), ("a".to_owned(), OUT_OF_RANGE));
    let negated = booked("{minus: [a], type: decimal_variable}", &format!(r#""a":{}"#, variable(i128::MIN, 2)));
    assert_eq!(reason(negated), ("a".to_owned(), TOO_MANY));
    let apart = format!(r#""a":{},"b":{}"#, variable(1, 1_000), variable(1, -1_000));
    assert_eq!(reason(booked("{sum: [a, b], type: decimal_variable}", &apart)), ("b".to_owned(), TOO_MANY));
    let nothing = format!(r#""a":{},"b":{}"#, variable(0, 1_000), variable(1, 2));
    assert_eq!(booked("{sum: [a, b], type: decimal_variable}", &nothing), Ok(1), "nothing has no scale");
    let float = reason(booked("{sum: [a, b], type: decimal_text}", r#""a":"1","b":1.5"#));
    assert_eq!(float, ("b".to_owned(), MapReason::Decimal(DecimalError::BinaryFraction)));
}

#[test]
fn amounts_that_cannot_be_meant_are_refused() {
    let found = |field: &str, amount: &str| {
        let booked =
            if field == "booked" { String::new() } else { "      booked: {column: z, type: minor_units}\n".into() };
        issues(&yaml(&format!("{booked}      {field}: {amount}\n"))).join("; ")
    };
    for (amount, expected) in [
        ("{sum: [], type: decimal_text}", "booked.sum: expected at least one"),
        ("{sum: [a, b]}", "booked.sum: expected a type"),
        ("{sum: [a, b], scale: 2}", "booked: expected a type"),
        ("{sum: [a, b], unit: minor}", "booked: expected a type"),
        ("{sum: [a, {column: b, scale: 2}], type: decimal_text}", "booked.sum: expected a type"),
        ("{sum: [a], column: b, type: decimal_text}", "booked.column: unknown field; known here: null_is, where"),
        ("{sum: [a], minus: [a], type: decimal_text}", "booked: column `a` is there twice"),
        ("{sum: [a, a], type: decimal_text}", "booked: column `a` is there twice"),
        ("{sum: [7], type: decimal_text}", "booked.sum: expected a text (put it in quotes)"),
        ("{column: a, type: decimal}", "booked: missing scale"),
        ("{column: a, type: minor_units, unit: minor}", "booked: type minor_units says the unit already"),
        ("{column: a, type: decimal_text, unit: cents}", "booked.unit: expected major (such as euros) or minor"),
        ("{column: a, type: decimal_text, inexact: round}", "booked.inexact: expected refuse or floor"),
        ("{column: a, type: decimal_text, inexact: ceil}", "booked.inexact: expected refuse or floor"),
        ("{column: a, type: decimal_text, where: {}}", "booked.where: expected at least one column"),
        ("{column: a, codes: {A: b}, type: decimal_text}", "booked: this field has no codes"),
        ("{constant: 5}", "booked.constant: unknown field"),
        ("a", "booked: expected a type"),
    ] {
        let found = found("booked", amount);
        assert!(found.contains(expected), "{amount}: {found}");
    }
    let held = found("core_holds", "{column: a, type: decimal_text, inexact: floor}");
    assert!(held.contains("core_holds.inexact: expected refuse or ceil: what is held"), "{held}");
    let units = found("core_holds", "{column: z, type: decimal_text, unit: minor}");
    assert!(units.contains("column `z` is mapped with two types, scales or units"), "{units}");
}

proptest! {
    /// Sums of cents and of hundredths of cents agree with integers, and floor is the next lower minor unit.
    #[test]
    fn sums_and_differences_are_exact(
        plus in prop::collection::vec((any::<i64>(), 0u32..5), 1..5),
        less in prop::collection::vec((any::<i64>(), 0u32..5), 0..5),
    ) {
        let mut cells = Vec::new();
        let mut total = 0i128;
        let mut names = [Vec::new(), Vec::new()];
        for (i, (sign, (unscaled, scale))) in
            plus.iter().map(|term| (1, term)).chain(less.iter().map(|term| (-1, term))).enumerate()
        {
            cells.push(format!(r#""c{i}":{}"#, variable((*unscaled).into(), *scale as i32)));
            names[usize::from(sign < 0)].push(format!("c{i}"));
            // Everything in ten-thousandths.
            total += sign * i128::from(*unscaled) * 10i128.pow(4 - *scale);
        }
        let minus = if less.is_empty() { String::new() } else { format!(", minus: [{}]", names[1].join(", ")) };
        let amount = format!("{{sum: [{}]{minus}, type: decimal_variable, inexact: floor}}", names[0].join(", "));
        let read = booked(&amount, &cells.join(","));
        match i64::try_from(total.div_euclid(100)) {
            Ok(minor) => prop_assert_eq!(read, Ok(minor)),
            Err(_) => prop_assert_eq!(read.unwrap_err().reason, OUT_OF_RANGE),
        }
        let exact = booked(&amount.replace("floor", "refuse"), &cells.join(","));
        prop_assert_eq!(exact.is_ok(), total % 100 == 0 && i64::try_from(total / 100).is_ok());
    }
}
