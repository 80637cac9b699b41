//! What stands in for NULL, what every row has, and accounts without a customer.

use super::events::{INSERT, TOLD_MS, Told, read, table};
use super::*;

const ACCOUNT: &str = "    account:
      account_id: id
      customer_id: {column: owner, null_is: none}
      currency: {column: ccy, null_is: EUR}
      state: {column: state, codes: {A: active, F: frozen}, null_is: active}
      product: {constant: giro}
    balance:
      account_id: id
      currency: {column: ccy, null_is: EUR}
      booked: {column: booked, type: decimal_text, null_is: 0}
      overdraft_line: {column: line, type: minor_units, null_is: 0}
";
const POSTING: &str = "    transaction:
      transaction_id: id
      account_id: account
      amount: {column: amount, type: minor_units}
      leg: {constant: debit}
      currency: {constant: JPY}
      booked_at: {column: at, type: timestamp_us, null_is: {column: day, type: date}}
      remittance: {constant: standing order}
";

fn account(yaml: &str, cells: &str) -> Result<(Account, Balance), MapError> {
    let after = format!(r#"{{"id":1,{cells}}}"#);
    let applied = Told { after: &after, ..INSERT }.apply(yaml)?;
    match upserts(&applied).as_slice() {
        [CanonicalRow::Account(account), CanonicalRow::Balance(balance)] => Ok((account.clone(), balance.clone())),
        other => panic!("{other:?}"),
    }
}

fn posting(cells: &str) -> Result<Transaction, MapError> {
    let after = format!(r#"{{"id":1,"account":"A","amount":5,{cells}}}"#);
    let yaml = table("[id]", POSTING).replace("connector: mysql", "connector: mysql\nzone: Europe/Berlin");
    let applied = Told { after: &after, ..INSERT }.apply(&yaml)?;
    match upserts(&applied).as_slice() {
        [CanonicalRow::Transaction(transaction)] => Ok(transaction.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn null_is_what_the_mapping_says() {
    let yaml = table("[id]", ACCOUNT);
    let (account, balance) =
        account(&yaml, r#""owner":null,"ccy":null,"state":null,"booked":null,"line":null"#).unwrap();
    assert_eq!(
        (account.customer_id.as_str(), account.currency.code(), account.state),
        ("", "EUR", AccountState::Active)
    );
    assert_eq!((account.product.as_deref(), balance.booked_minor, balance.overdraft_line_minor), (Some("giro"), 0, 0));
}

#[test]
fn what_stands_in_for_null_changes_no_value() {
    let yaml = table("[id]", ACCOUNT);
    let row = r#""owner":"C","ccy":"JPY","state":"F","booked":"12","line":7"#;
    let (found, balance) = account(&yaml, row).unwrap();
    assert_eq!((found.customer_id.as_str(), found.currency.code(), found.state), ("C", "JPY", AccountState::Frozen));
    assert_eq!((balance.booked_minor, balance.overdraft_line_minor), (12, 7));
    for (from, to, column, reason) in [
        (r#""F""#, r#""X""#, "state", MapReason::UnknownCode),
        (r#""JPY""#, r#""""#, "ccy", MapReason::UnknownCurrency),
        (r#""booked":"12""#, r#""bookes":"12""#, "booked", MapReason::Missing),
        (r#""owner":"C""#, r#""owner":1.5"#, "owner", MapReason::Expected("a text or an integer")),
        (r#""owner":"C""#, r#""ohner":"C""#, "owner", MapReason::Missing),
    ] {
        let err = account(&yaml, &row.replace(from, to)).unwrap_err();
        assert_eq!((err.column.as_str(), err.reason), (column, reason));
    }
}

#[test]
fn null_without_a_word_about_it_is_refused_as_before() {
    let whole = table("[id]", ACCOUNT);
    let plain = whole.lines().map(|line| match line.split_once(", null_is: ") {
        Some((head, _)) => format!("{head}}}\n"),
        None => format!("{line}\n"),
    });
    let yaml: String = plain.collect();
    let row = r#""owner":"C","ccy":"EUR","state":"A","booked":"1","line":1"#;
    assert!(account(&yaml, row).is_ok());
    for (cell, column) in
        [(r#""C""#, "owner"), (r#""EUR""#, "ccy"), (r#""A""#, "state"), (r#""1""#, "booked"), ("1", "line")]
    {
        let from = format!("\"{column}\":{cell}");
        let err = account(&yaml, &row.replace(&from, &format!("\"{column}\":null"))).unwrap_err();
        assert_eq!((err.column.as_str(), err.reason), (column, MapReason::Null));
    }
}

#[test]
fn an_account_may_have_no_customer_or_the_banks_own() {
    let with = |holder: &str, cell: &str| {
        let yaml = table("[id]", &ACCOUNT.replace("{column: owner, null_is: none}", holder));
        let row = format!(r#""owner":{cell},"ccy":"EUR","state":"A","booked":"1","line":1"#);
        account(&yaml, &row).map(|(account, _)| account.customer_id)
    };
    assert_eq!(with("{constant: house}", "7").unwrap(), "house");
    assert_eq!(with("{constant: none}", "7").unwrap(), "");
    assert_eq!(with("{column: owner, null_is: house}", "null").unwrap(), "house");
    assert_eq!(with("{column: owner, null_is: house}", "\"\"").unwrap(), "house");
    assert_eq!(with("{column: owner, null_is: house}", "7").unwrap(), "7");
    assert_eq!(with("{columns: [owner, state], null_is: none}", "null").unwrap(), "");
    assert_eq!(with("{columns: [owner, state], null_is: none}", "7").unwrap(), "7-A");
    assert_eq!(with("owner", "\"none\"").unwrap(), "none", "a customer may be called so");
}

#[test]
fn a_day_stands_in_for_a_booking_time_and_begins_in_the_mappings_zone() {
    let day = TOLD_MS / 86_400_000;
    let at = |cells: String| posting(&cells).map(|transaction| transaction.booked_at.to_string());
    assert_eq!(at(format!(r#""at":null,"day":{day}"#)).unwrap(), "2025-11-21T23:00:00Z");
    assert_eq!(at(format!(r#""at":{}000,"day":null"#, TOLD_MS)).unwrap(), "2025-11-22T01:00:00Z");
    let neither = posting(r#""at":null,"day":null"#).unwrap_err();
    assert_eq!((neither.column.as_str(), neither.reason), ("day", MapReason::Null));
    let zero = posting(r#""at":null,"day":0"#).unwrap_err();
    assert_eq!(zero.reason, MapReason::Temporal(TemporalError::Implausible(40)));
    let zero_time = posting(r#""at":-62135596800000000,"day":1"#).unwrap_err();
    assert_eq!(
        (zero_time.column.as_str(), zero_time.reason),
        ("at", MapReason::Temporal(TemporalError::Implausible(40)))
    );
}

#[test]
fn every_row_may_have_the_same_leg_currency_and_text() {
    let found = posting(&format!(r#""at":{TOLD_MS}000,"day":null"#)).unwrap();
    assert_eq!((found.amount_minor, found.currency.code()), (-5, "JPY"));
    assert_eq!(found.remittance, Some(Personal::new("standing order")));
    assert_eq!(found.value_date, jiff::civil::date(2025, 11, 22));
}

#[test]
fn defaults_and_constants_that_cannot_be_meant_are_refused() {
    let yaml = table("[id]", &format!("{ACCOUNT}  p:\n    key: [id]\n{POSTING}"));
    let with = |from: &str, to: &str| {
        assert!(yaml.contains(from), "{from}");
        issues(&yaml.replace(from, to)).join("; ")
    };
    for (from, to, expected) in [
        ("type: decimal_text, null_is: 0", "type: decimal_text, null_is: 5", "booked.null_is: expected 0"),
        ("type: decimal_text, null_is: 0", "type: decimal_text, null_is: '0'", "booked.null_is: expected 0"),
        ("null_is: active", "null_is: awake", "state.null_is: expected one of: active, frozen, closed"),
        ("{column: ccy, null_is: EUR}", "{column: ccy, null_is: eur}", "currency.null_is: unknown currency"),
        ("{constant: JPY}", "{constant: YEN}", "currency.constant: unknown currency"),
        ("{constant: debit}", "{constant: both}", "leg.constant: expected one of: debit, credit"),
        ("{constant: giro}", "{constant: giro, column: p}", "product: a constant has nothing beside it"),
        ("{constant: giro}", "{constant: 7}", "product.constant: expected a text (put it in quotes)"),
        ("{constant: giro}", "{column: p, null_is: giro}", "product.null_is: unknown field"),
        ("{column: owner, null_is: none}", "{column: owner, null_is: 0}", "customer_id.null_is: expected a text"),
        ("{column: day, type: date}", "{column: day}", "booked_at.null_is: expected a type: timestamp_ms"),
        ("{column: day, type: date}", "day", "booked_at.null_is: expected a type: timestamp_ms"),
        (
            "account_id: account\n",
            "account_id: {column: account, null_is: none}\n",
            "account_id.null_is: unknown field",
        ),
        ("account_id: account\n", "account_id: {constant: A}\n", "account_id.constant: unknown field"),
    ] {
        let found = with(from, to);
        assert!(found.contains(expected), "{to}: {found}");
    }
    assert_eq!(read(&yaml).tables().count(), 2);
}
