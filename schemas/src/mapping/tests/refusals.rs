//! Rows that say that the core refused what carried our reference.

use super::events::{INSERT, Told, UPDATE, table};
use super::*;

fn yaml(code: &str) -> String {
    let lines = format!(
        "    where: {{status: 5}}\n    refusals:\n      operations: [transfer]\n      core_ref: key\n      code: {code}\n"
    );
    table("[id]", &lines)
}

const IN_JSON: &str = "{column: result, json: /errors/0/code}";

/// Reference and code of what a row refuses.
fn refused(code: &str, key: &str, result: &str) -> Vec<(String, String)> {
    let after = format!(r#"{{"id":1,"status":5,"key":{key},"result":{result}}}"#);
    let applied = Told { after: &after, ..UPDATE }.apply(&yaml(code)).unwrap_or_else(|err| panic!("{err}: {after}"));
    assert_eq!((applied.changes.len(), applied.evidence.len(), applied.links.len()), (0, 0, 0));
    applied.refusals.into_iter().map(|refusal| (refusal.core_ref, refusal.code)).collect()
}

fn pair(code: &str) -> (String, String) {
    ("R1".to_owned(), code.to_owned())
}

#[test]
fn a_row_that_is_meant_is_a_refusal_with_its_code() {
    assert_eq!(refused("result", "\"R1\"", "\"NSF\""), [pair("NSF")]);
    assert_eq!(refused("result", "\"R1\"", "7"), [pair("7")]);
    let json = r#""{\"errors\":[{\"code\":\"error.balance\"}],\"name\":\"Ada\"}""#;
    assert_eq!(refused(IN_JSON, "\"R1\"", json), [pair("error.balance")]);
    for untold in ["null", "\"\"", "\"{\"", r#""{\"errors\":[]}""#, r#""{\"errors\":[{\"code\":{}}]}""#] {
        assert_eq!(refused(IN_JSON, "\"R1\"", untold), [pair("refused")], "{untold}");
    }
    let long = format!("\"{}\"", "é".repeat(70));
    assert_eq!(refused("result", "\"R1\"", &long), [pair(&"é".repeat(64))]);
    for nobodys in ["null", "\"\""] {
        assert_eq!(refused("result", nobodys, "\"NSF\""), [], "{nobodys}");
    }
}

#[test]
fn a_row_that_is_not_meant_refuses_nothing() {
    let after = r#"{"id":1,"status":1,"key":"R1","result":null}"#;
    let applied = Told { after, ..INSERT }.apply(&yaml("result")).unwrap();
    assert_eq!((applied.refusals.len(), applied.skipped.as_deref()), (0, Some("t")));
}

#[test]
fn a_code_that_cannot_be_read_refuses_unless_it_decides() {
    for unread in ["\"__debezium_unavailable_value\"", "true"] {
        assert_eq!(refused("result", "\"R1\"", unread), [pair("refused")], "{unread}");
        assert_eq!(refused(IN_JSON, "\"R1\"", unread), [pair("refused")], "{unread}");
    }
    let after = r#"{"id":1,"status":5,"key":"R1","result":"__debezium_unavailable_value"}"#;
    let decides = Told { after, ..UPDATE }.apply(&yaml("{column: result, not: locked}"));
    assert_eq!(decides.unwrap_err().reason, MapReason::Unavailable);
}

#[test]
fn a_code_that_is_not_final_refuses_nothing() {
    let json = |code: &str| format!(r#""{{\"errors\":[{{\"code\":\"{code}\"}}]}}""#);
    let in_json = "{column: result, json: /errors/0/code, not: [locked, \"7\"]}";
    assert_eq!(refused(in_json, "\"R1\"", &json("locked")), []);
    assert_eq!(refused(in_json, "\"R1\"", &json("balance")), [pair("balance")]);
    assert_eq!(refused("{column: result, not: locked}", "\"R1\"", "\"locked\""), []);
}

#[test]
fn refusals_that_cannot_be_told_are_refused() {
    let told = |yaml: &str, expected: &str| {
        let found = issues(yaml).join("; ");
        assert!(found.contains(expected), "{yaml}: {found}");
    };
    told(&yaml("result").replace("    where: {status: 5}\n", ""), "tables.t.where: missing: which rows");
    told(&yaml("{column: result, json: errors}"), "refusals.code.json: expected a place in JSON that begins with /");
    told(&yaml("{column: result, not: [7]}"), "refusals.code.not: expected a text (put it in quotes)");
    told(&yaml("result").replace("      code: result\n", ""), "tables.t.refusals.code: missing");
    told(&yaml("result").replace("      core_ref: key\n", ""), "tables.t.refusals.core_ref: missing");
}
