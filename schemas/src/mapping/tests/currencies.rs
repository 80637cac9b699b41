//! What cores call currencies, how they count them, and rows in currencies that are not served.

use super::events::{INSERT, Told, UPDATE, ends, read};
use super::*;

fn yaml(currencies: &str, currency: &str, booked: &str) -> String {
    format!(
        "source: s\nconnector: mysql\n{currencies}tables:\n  t:\n    key: [id]\n    balance:\n      account_id: id\n      \
         currency: {currency}\n      booked: {booked}\n"
    )
}

/// Code and minor units of a row.
fn balance(yaml: &str, ccy: &str, amount: &str) -> Result<(String, i64), MapError> {
    let after = format!(r#"{{"id":1,"ccy":{ccy},"n":{amount}}}"#);
    let applied = Told { after: &after, ..INSERT }.apply(yaml)?;
    match upserts(&applied).as_slice() {
        [CanonicalRow::Balance(balance)] => Ok((balance.currency.code().to_owned(), balance.booked_minor)),
        other => panic!("{other:?}"),
    }
}

fn is(code: &str, minor: i64) -> Result<(String, i64), MapError> {
    Ok((code.to_owned(), minor))
}

const COUNT: &str = "{column: n, type: minor_units}";

#[test]
fn a_core_may_count_a_currency_in_units_of_its_own() {
    let currencies =
        "currencies:\n  CZK: {exponent: 0}\n  EUR: {exponent: 4}\n  XEU: {is: EUR, exponent: 6}\n  YEN: {is: JPY}\n";
    let whole = yaml(currencies, "ccy", COUNT);
    assert_eq!(balance(&whole, "\"CZK\"", "5"), is("CZK", 500));
    assert_eq!(balance(&whole, "\"EUR\"", "12300"), is("EUR", 123));
    assert_eq!(balance(&whole, "\"XEU\"", "1230000"), is("EUR", 123));
    assert_eq!(balance(&whole, "\"YEN\"", "7"), is("JPY", 7));
    assert_eq!(balance(&whole, "\"KWD\"", "7"), is("KWD", 7));
    assert_eq!(balance(&whole, "\"EUR\"", "12301").unwrap_err().reason, MapReason::Decimal(DecimalError::Inexact));
    let floored = yaml(currencies, "ccy", "{column: n, type: minor_units, inexact: floor}");
    assert_eq!(balance(&floored, "\"EUR\"", "-12301"), is("EUR", -124));
    let major = yaml(currencies, "ccy", "{column: n, type: decimal_text}");
    assert_eq!(balance(&major, "\"CZK\"", "\"5.25\""), is("CZK", 525), "whole units have no exponent");
    let minor = yaml(currencies, "ccy", "{column: n, type: decimal_text, unit: minor}");
    assert_eq!(balance(&minor, "\"EUR\"", "\"12300.0\""), is("EUR", 123));
    let plain = yaml("", "ccy", COUNT);
    assert_eq!((balance(&plain, "\"CZK\"", "5"), balance(&plain, "\"EUR\"", "7")), (is("CZK", 5), is("EUR", 7)));
}

#[test]
fn a_row_may_tell_the_scale_of_its_currency() {
    let scaled = yaml("", "{column: ccy, form: code/scale}", COUNT);
    assert_eq!(balance(&scaled, "\"EUR/2\"", "1234"), is("EUR", 1_234));
    assert_eq!(balance(&scaled, "\"CZK/0\"", "5"), is("CZK", 500));
    assert_eq!(balance(&scaled, "\"JPY/2\"", "500"), is("JPY", 5));
    assert_eq!(balance(&scaled, "\"EUR/6\"", "10000"), is("EUR", 1));
    for code in [
        "\"EUR\"",
        "\"EUR/\"",
        "\"EUR/x\"",
        "\"EUR/-1\"",
        "\"EUR/+2\"",
        "\"EUR/19\"",
        "\"EUR/4294967296\"",
        "\"EUR/2/2\"",
    ] {
        let err = balance(&scaled, code, "1").unwrap_err();
        assert!(matches!(err.reason, MapReason::Expected(_)), "{code}: {err}");
    }
    assert_eq!(balance(&scaled, "\"BTC/8\"", "1").unwrap_err().reason, MapReason::UnknownCurrency);
    let plain = yaml("", "ccy", COUNT);
    assert_eq!(balance(&plain, "\"EUR/2\"", "1").unwrap_err().reason, MapReason::UnknownCurrency);
    let renamed = yaml("currencies: {XEU: {is: EUR}}\n", "{column: ccy, form: code/scale}", COUNT);
    assert_eq!(balance(&renamed, "\"XEU/3\"", "10"), is("EUR", 1));
}

#[test]
fn rows_in_an_unknown_currency_are_skipped_where_the_mapping_says_so() {
    let skipping = yaml("", "{column: ccy, unknown: skip}", COUNT);
    let row = |ccy: &str| format!(r#"{{"id":1,"ccy":{ccy},"n":5}}"#);
    let (btc, eur) = (row("\"BTC\""), row("\"EUR\""));
    let seen = |told: Told<'_>| told.apply(&skipping).map(|applied| (ends(&applied), applied.skipped.is_some()));
    assert_eq!(seen(Told { after: &btc, ..INSERT }), Ok((vec![], true)));
    assert_eq!(seen(Told { after: &eur, ..INSERT }), Ok((vec!["+balance 1".to_owned()], false)));
    assert_eq!(seen(Told { after: &btc, ..UPDATE }), Ok((vec!["-balance 1".to_owned()], true)), "it was one of euros");
    assert_eq!(seen(Told { after: &row("null"), ..INSERT }).unwrap_err().reason, MapReason::Null);
    assert_eq!(
        seen(Told { after: &row("1.5"), ..INSERT }).unwrap_err().reason,
        MapReason::Expected("a text or an integer")
    );
    let refusing = yaml("", "{column: ccy, unknown: refuse}", COUNT);
    assert_eq!(balance(&refusing, "\"BTC\"", "5").unwrap_err().reason, MapReason::UnknownCurrency);
    let scaled = yaml("", "{column: ccy, unknown: skip, form: code/scale}", COUNT);
    assert!(Told { after: &row("\"BTC/8\""), ..INSERT }.apply(&scaled).unwrap().skipped.is_some());
    let bare = Told { after: &row("\"BTC\""), ..INSERT }.apply(&scaled).unwrap_err();
    assert!(matches!(bare.reason, MapReason::Expected(_)), "another form is no other currency");
}

#[test]
fn currencies_that_cannot_be_meant_are_refused() {
    let found = |currencies: &str, currency: &str| issues(&yaml(currencies, currency, COUNT)).join("; ");
    for (currencies, expected) in [
        ("currencies: [EUR]\n", "currencies: expected currencies of the core"),
        ("currencies: {EUR: 2}\n", "currencies.EUR: expected fields"),
        ("currencies: {EUR: {}}\n", "currencies.EUR: says nothing"),
        ("currencies: {BTC: {exponent: 8}}\n", "currencies.BTC: no ISO 4217 currency: say in `is` which one it is"),
        ("currencies: {BTC: {is: XBT, exponent: 8}}\n", "currencies.BTC.is: no ISO 4217 currency"),
        ("currencies: {EUR: {exponent: -1}}\n", "currencies.EUR.exponent: expected the decimals"),
        ("currencies: {EUR: {exponent: 19}}\n", "currencies.EUR.exponent: expected the decimals"),
        ("currencies: {EUR: {exponent: '2'}}\n", "currencies.EUR.exponent: expected the decimals"),
        (
            "currencies: {EUR: {exponent: 2, name: euro}}\n",
            "currencies.EUR.name: unknown field; known here: is, exponent",
        ),
    ] {
        let found = found(currencies, "ccy");
        assert!(found.contains(expected), "{currencies}: {found}");
    }
    for (currency, expected) in [
        ("{column: ccy, form: iso}", "currency.form: expected code or code/scale"),
        ("{column: ccy, unknown: drop}", "currency.unknown: expected refuse or skip"),
        ("{column: ccy, null_is: BTC}", "currency.null_is: unknown currency"),
        ("{columns: [a, b]}", "currency: expected one column"),
    ] {
        let found = found("", currency);
        assert!(found.contains(expected), "{currency}: {found}");
    }
    let unused = found("currencies: {EUR: {exponent: 3}}\n", "{column: ccy, form: code/scale}");
    assert!(unused.contains("currencies: no exponent here is ever used"), "{unused}");
    read(&yaml("currencies: {EUR: {exponent: 3}}\n", "{column: ccy, form: code/scale, null_is: EUR}", COUNT));
}

proptest! {
    /// However a core counts, the same money comes to the same minor units.
    #[test]
    fn the_unit_of_the_core_changes_no_amount(minor in -1_000_000_000i64..1_000_000_000, exponent in 2u32..9) {
        let counted = minor * 10i64.pow(exponent - 2);
        let declared = yaml(&format!("currencies: {{EUR: {{exponent: {exponent}}}}}\n"), "ccy", COUNT);
        prop_assert_eq!(balance(&declared, "\"EUR\"", &counted.to_string()), is("EUR", minor));
        let scaled = yaml("", "{column: ccy, form: code/scale}", "{column: n, type: decimal_text, unit: minor}");
        let text = format!("\"{counted}\"");
        prop_assert_eq!(balance(&scaled, &format!("\"EUR/{exponent}\""), &text), is("EUR", minor));
    }
}
