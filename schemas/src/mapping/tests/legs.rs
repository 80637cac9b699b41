//! Rows that hold both legs of a movement.

use super::events::{INSERT, TOLD_MS, Told, UPDATE, ends, read, table};
use super::*;

const LEGS: &str = "    transaction:
      transaction_id: id
      legs:
        debit: {account_id: source}
        credit: {account_id: {column: target, null_is: none}}
      amount: {column: n, type: minor_units}
      currency: {constant: EUR}
      booked_at: {column: at, type: timestamp_ms}
      core_ref: ref
";

fn row(target: &str) -> String {
    format!(r#"{{"id":1,"source":"A","target":{target},"n":7,"at":{TOLD_MS},"ref":"R","number":"N","d":4,"c":9}}"#)
}

fn transactions(applied: &MappedRows) -> Vec<(&str, &str, i64, &str)> {
    let read = |row: &&'_ CanonicalRow| matches!(row, CanonicalRow::Transaction(_));
    upserts(applied)
        .into_iter()
        .filter(read)
        .map(|row| match row {
            CanonicalRow::Transaction(t) => {
                (t.transaction_id.as_str(), t.account_id.as_str(), t.amount_minor, t.currency.code())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn stored(number: &str) -> Vec<Touched> {
    vec![Touched { entity: Entity::Transaction, key: number.to_owned(), account_id: None }]
}

#[test]
fn a_row_is_one_posting_on_each_account_with_a_key_of_its_own() {
    let after = row("\"B\"");
    let applied = Told { after: &after, ..INSERT }.apply(&table("[id]", LEGS)).unwrap();
    assert_eq!(transactions(&applied), [("1-D", "A", -7, "EUR"), ("1-C", "B", 7, "EUR")]);
    let accounts: Vec<_> = applied.changes.iter().map(|change| change.account_id.as_deref()).collect();
    assert_eq!(accounts, [Some("A"), Some("B")]);
    assert_eq!(applied.changes[0].version, applied.changes[1].version);
}

#[test]
fn legs_begin_and_end_together() {
    let yaml = table("[id]", &format!("    where: {{n: 7}}\n{LEGS}"));
    let after = row("\"B\"");
    let undone = after.replace("\"n\":7", "\"n\":8");
    let ended = ["-transaction 1-D", "-transaction 1-C"];
    assert_eq!(ends(&Told { after: &after, ..INSERT }.apply(&yaml).unwrap()), ["+transaction 1-D", "+transaction 1-C"]);
    assert_eq!(ends(&Told { after: &undone, ..UPDATE }.apply(&yaml).unwrap()), ended);
    let delete = Told { op: "d", before: &after, ..INSERT };
    let applied = delete.apply(&yaml).unwrap();
    assert_eq!(ends(&applied), ended);
    let accounts: Vec<_> = applied.changes.iter().map(|change| change.account_id.as_deref()).collect();
    assert_eq!(accounts, [Some("A"), Some("B")]);
}

#[test]
fn a_row_without_an_account_has_no_such_leg() {
    let yaml = table("[id]", LEGS);
    for target in ["null", "\"\""] {
        let after = row(target);
        assert_eq!(ends(&Told { after: &after, ..INSERT }.apply(&yaml).unwrap()), ["+transaction 1-D"]);
        let left = Told { after: &after, before: &row("\"B\""), ..UPDATE }.apply(&yaml).unwrap();
        assert_eq!(ends(&left), ["+transaction 1-D", "-transaction 1-C"]);
        assert_eq!(left.changes[1].account_id.as_deref(), Some("B"));
    }
    let after = row("\"B\"").replace("\"A\"", "null");
    let err = Told { after: &after, ..INSERT }.apply(&yaml).unwrap_err();
    assert_eq!((err.column.as_str(), err.reason), ("source", MapReason::Null), "the debit is not said to be optional");
}

#[test]
fn each_leg_may_have_its_own_amount_and_currency() {
    let own = LEGS.replace("{account_id: source}", "{account_id: source, amount: {column: d, type: minor_units}}");
    let own = own.replace("null_is: none}}", "null_is: none}, currency: {constant: JPY}}");
    let after = row("\"B\"");
    let applied = Told { after: &after, ..INSERT }.apply(&table("[id]", &own)).unwrap();
    assert_eq!(transactions(&applied), [("1-D", "A", -4, "EUR"), ("1-C", "B", 7, "JPY")]);
}

#[test]
fn each_leg_is_evidence_of_its_own_row() {
    let numbered = LEGS.replace("{account_id: source}", "{account_id: source, posting_no: d}");
    let numbered = numbered.replace("null_is: none}}", "null_is: none}, posting_no: c}");
    let confirms = "    confirms:\n      operations: [transfer]\n";
    let after = row("\"B\"");
    let applied = Told { after: &after, ..INSERT }.apply(&table("[id]", &format!("{numbered}{confirms}"))).unwrap();
    let seen: Vec<_> = applied.evidence.iter().map(|e| (e.leg, e.row_key.as_str(), e.posting_no)).collect();
    assert_eq!(seen, [(Debit, "1-D", Some(4)), (Credit, "1-C", Some(9))]);
    let half = table(
        "[id]",
        &format!("{}{confirms}", LEGS.replace("{account_id: source}", "{account_id: source, posting_no: d}")),
    );
    assert!(issues(&half).join("; ").contains("needs `transaction.posting_no`"), "of both");
}

#[test]
fn legs_of_a_row_with_a_surrogate_key_are_kept_under_one_identifier() {
    let mapping = read(&table("[id]", &LEGS.replace("transaction_id: id", "transaction_id: number")));
    let after = row("\"B\"");
    let applied = Told { after: &after, ..INSERT }.knowing(&mapping, &[]).unwrap();
    assert_eq!(ends(&applied), ["+transaction N-D", "+transaction N-C"]);
    assert_eq!(applied.kept.unwrap().keys, stored("N"));
    let delete = Told { op: "d", ..INSERT };
    assert_eq!(ends(&delete.knowing(&mapping, &stored("N")).unwrap()), ["-transaction N-D", "-transaction N-C"]);
    let moved = after.replace("\"N\"", "\"M\"");
    let moved = Told { after: &moved, ..UPDATE }.knowing(&mapping, &stored("N")).unwrap();
    assert_eq!(ends(&moved), ["-transaction N-D", "-transaction N-C", "+transaction M-D", "+transaction M-C"]);
    let touched = Told { after: &after, ..UPDATE }.with(|event| mapping.touched(event, &stored("N")));
    let both: Vec<_> = touched.iter().map(|t| (t.key.as_str(), t.account_id.as_deref())).collect();
    assert_eq!(both, [("N-D", Some("A")), ("N-C", Some("B"))], "whose accounts the row tells");
    let absent = Told { after: &row("null"), ..UPDATE }.with(|event| mapping.touched(event, &stored("N")));
    assert!(absent.iter().all(|touched| touched.account_id.as_deref() == Some("A")), "{absent:?}");
}

#[test]
fn legs_that_cannot_be_meant_are_refused() {
    let yaml = table("[id]", LEGS);
    for (from, to, expected) in [
        ("debit: {account_id: source}", "debit: {}", "legs.debit.account_id: missing"),
        ("        debit: {account_id: source}\n", "", "legs.debit: missing"),
        ("debit: {account_id: source}", "debit: source", "legs.debit: expected fields"),
        (
            "debit: {account_id: source}",
            "third: {account_id: source}",
            "legs.third: unknown field; known here: debit, credit",
        ),
        (
            "null_is: none",
            "null_is: house",
            "legs.credit.account_id.null_is: expected none: such a row has no such leg",
        ),
        (
            "      currency: {constant: EUR}\n",
            "",
            "legs.debit.currency: missing: say it here, or beside `legs` for both",
        ),
        ("      amount: {column: n, type: minor_units}\n", "", "legs.credit.amount: missing: say it here"),
        (
            "      core_ref: ref\n",
            "      core_ref: ref\n      account_id: source\n",
            "account_id: each of `legs` says this",
        ),
        (
            "      core_ref: ref\n",
            "      core_ref: ref\n      leg: {constant: debit}\n",
            "leg: each of `legs` says this",
        ),
        ("{account_id: source}", "{account_id: source, leg: debit}", "legs.debit.leg: unknown field"),
    ] {
        assert!(yaml.contains(from), "{from}");
        let found = issues(&yaml.replace(from, to)).join("; ");
        assert!(found.contains(expected), "{to}: {found}");
    }
}

/// A row without a credit ends the credit that it may have had: the leg of another row, if that feeds the same transaction.
#[test]
fn rows_that_share_a_transaction_are_refused_where_a_leg_may_be_absent() {
    let expected = "rows that differ in `line` alone feed one transaction";
    let optional = table("[id, line]", LEGS);
    assert!(issues(&optional).join("; ").contains(expected), "{:?}", issues(&optional));
    for good in [
        table("[id, line]", &LEGS.replace("{column: target, null_is: none}", "target")),
        table("[id, line]", &LEGS.replace("transaction_id: id", "transaction_id: {columns: [id, line]}")),
        table("[id, line]", &format!("    where: {{line: 1}}\n{LEGS}")),
    ] {
        assert!(Mapping::from_yaml(&good).is_ok(), "{good}");
    }
    let customers =
        format!("    customer: {{customer_id: id}}\n{}", LEGS.replace("transaction_id: id", "transaction_id: number"));
    assert!(Mapping::from_yaml(&table("[id, line]", &customers)).is_ok(), "a leg ends no customer");
}

proptest! {
    /// Whatever identifiers a core has, no two legs share a key.
    #[test]
    fn keys_of_legs_are_distinct(a in "[A-Z%-]{1,6}(-D|-C)?", b in "[A-Z%-]{1,6}(-D|-C)?") {
        let mapping = read(&table("[id]", &LEGS.replace("transaction_id: id", "transaction_id: {column: number, type: text}")));
        let keys = |number: &str| {
            let after = row("\"B\"").replace("\"N\"", &format!("\"{number}\""));
            let applied = Told { after: &after, ..INSERT }.knowing(&mapping, &[]).unwrap();
            applied.changes.into_iter().map(|change| change.key).collect::<std::collections::BTreeSet<_>>()
        };
        let all: std::collections::BTreeSet<_> = keys(&a).union(&keys(&b)).cloned().collect();
        prop_assert_eq!(all.len(), if a == b { 2 } else { 4 });
    }
}
