//! States and legs that several columns tell together.

use super::events::{INSERT, Told, table};
use super::*;

const STATE: &str = "      state:
        - {is: closed, where: {status: [100, 600, 700]}}
        - {is: frozen, where: {sub_status: [300, 400]}}
        - {is: frozen, where: {blocked: true, released: false}}
        - else: active
";

fn yaml(state: &str) -> String {
    let account =
        "    account:\n      account_id: id\n      customer_id: {constant: none}\n      currency: {constant: EUR}\n";
    table("[id]", &format!("{account}{state}"))
}

fn state(state: &str, cells: &str) -> Result<AccountState, MapError> {
    let after = format!(r#"{{"id":1,{cells}}}"#);
    let applied = Told { after: &after, ..INSERT }.apply(&yaml(state))?;
    match upserts(&applied).as_slice() {
        [CanonicalRow::Account(account)] => Ok(account.state),
        other => panic!("{other:?}"),
    }
}

fn row(status: &str, sub_status: &str, blocked: &str, released: &str) -> String {
    format!(r#""status":{status},"sub_status":{sub_status},"blocked":{blocked},"released":{released}"#)
}

#[test]
fn the_first_case_that_fits_tells_the_state() {
    for (cells, expected) in [
        (row("300", "0", "false", "false"), AccountState::Active),
        (row("600", "0", "false", "false"), AccountState::Closed),
        (row("600", "400", "true", "false"), AccountState::Closed),
        (row("300", "400", "false", "true"), AccountState::Frozen),
        (row("300", "0", "true", "false"), AccountState::Frozen),
        (row("300", "0", "1", "0"), AccountState::Frozen),
        (row("300", "0", "1", "1"), AccountState::Active),
        (row("300", "0", "0", "0"), AccountState::Active),
        (row("null", "null", "null", "null"), AccountState::Active),
    ] {
        assert_eq!(state(STATE, &cells), Ok(expected), "{cells}");
    }
}

#[test]
fn a_row_that_fits_no_case_may_be_refused() {
    let strict = STATE.replace("else: active", "else: refuse");
    let err = state(&strict, &row("300", "0", "false", "false")).unwrap_err();
    assert_eq!((err.column.as_str(), err.reason), ("status", MapReason::UnknownCode));
    assert_eq!(state(&strict, &row("100", "0", "false", "false")), Ok(AccountState::Closed));
}

#[test]
fn a_column_that_a_case_needs_must_be_there_and_hold_codes() {
    let missing = state(STATE, r#""status":300,"blocked":true,"released":false"#).unwrap_err();
    assert_eq!((missing.column.as_str(), missing.reason), ("sub_status", MapReason::Missing));
    let text = state(STATE, &row("\"300\"", "0", "false", "false")).unwrap_err();
    assert!(text.is_contradiction(), "{text}");
    let odd = state(STATE, &row("300", "0", "[true]", "false")).unwrap_err();
    assert_eq!(odd.reason, MapReason::Expected("a text or an integer"));
    let large = state(STATE, &row("300", "\"__debezium_unavailable_value\"", "false", "false")).unwrap_err();
    assert!(large.is_contradiction(), "a text where integers are mapped");
}

#[test]
fn legs_are_told_by_cases_too() {
    let leg = "      leg:\n        - {is: debit, where: {kind: [2, 5], undone: false}}\n        - {is: debit, where: {kind: 1, undone: true}}\n        - else: credit\n";
    let rest = "      account_id: a\n      amount: {column: n, type: minor_units}\n      currency: {constant: EUR}\n      booked_at: {column: at, type: timestamp_ms}\n";
    let yaml = table("[id]", &format!("    transaction:\n      transaction_id: id\n{rest}{leg}"));
    for (kind, undone, amount) in [("2", "0", -7), ("2", "1", 7), ("1", "true", -7), ("1", "false", 7)] {
        let after =
            format!(r#"{{"id":1,"a":"A","n":7,"kind":{kind},"undone":{undone},"at":{}}}"#, super::events::TOLD_MS);
        let applied = Told { after: &after, ..INSERT }.apply(&yaml).unwrap();
        assert!(matches!(upserts(&applied)[0], CanonicalRow::Transaction(t) if t.amount_minor == amount), "{after}");
    }
}

#[test]
fn cases_that_cannot_be_meant_are_refused() {
    let found = |state: &str| issues(&yaml(state)).join("; ");
    for (from, to, expected) in [
        ("        - else: active\n", "", "tables.t.account.state: needs `- else: …` at its end"),
        ("else: active", "else: awake", "account.state[3].else: expected one of: active, frozen, closed"),
        ("is: closed", "is: shut", "account.state[0].is: expected one of: active, frozen, closed"),
        ("is: closed, ", "", "account.state[0].is: missing"),
        (", where: {status: [100, 600, 700]}", "", "account.state[0].where: missing"),
        ("{status: [100, 600, 700]}", "{}", "account.state[0].where: expected at least one column"),
        ("{sub_status: [300, 400]}", "{status: [100, 600, 700]}", "account.state[1]: has the tests of an earlier case"),
        (
            "- else: active\n",
            "- else: active\n        - {is: closed, where: {a: b}}\n",
            "account.state[4]: stands behind",
        ),
        ("else: active", "{else: active, where: {a: b}}", "account.state[3].where: unknown field; known here: else"),
        ("- {is: closed, where: {status: [100, 600, 700]}}", "- closed", "account.state[0]: expected fields"),
    ] {
        assert!(STATE.contains(from), "{from}");
        let found = found(&STATE.replace(from, to));
        assert!(found.contains(expected), "{to}: {found}");
    }
    let none = found("      state:\n        - else: active\n");
    assert!(none.contains("has no case; for the same in every row write `{constant: …}`"), "{none}");
    assert!(found("      state: []\n").contains("needs `- else: …` at its end"));
}
