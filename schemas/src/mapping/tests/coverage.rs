//! What a mapping says of itself to a person who checks it.

use super::events::{INSERT, Told, read};
use super::*;

const MAPPING: &str = "source: s
connector: mysql
tables:
  t:
    key: [id]
    where: {kind: [1, 2]}
    account:
      account_id: id
      customer_id: {column: owner, null_is: none}
      currency: {column: ccy, unknown: skip}
      state:
        - {is: closed, where: {status: 9}}
        - {is: active, where: {status: 1, locked: false}}
        - else: refuse
    balance:
      account_id: id
      currency: {column: ccy, unknown: skip}
      booked: {sum: [a, b], minus: c, type: minor_units, where: {open: true}}
    transaction:
      transaction_id: id
      account_id: id
      amount: {column: a, type: minor_units}
      leg: {column: leg, codes: {C: credit, D: debit}}
      currency: {constant: EUR}
      booked_at: {column: at, type: timestamp_ms, null_is: {column: day, type: date}}
      remittance: {columns: [one, two], empty_is: three}
";

fn unlisted(row: &str) -> Vec<(&'static str, String, String)> {
    let after = format!(r#"{{"id":1,"owner":null,"a":1,"b":1,"c":1,"open":true,{row}}}"#);
    let told = Told { after: &after, ..INSERT };
    let found = told.with(|event| read(MAPPING).unlisted(event));
    found.into_iter().map(|code| (code.place, code.column, code.code)).collect()
}

#[test]
fn every_column_that_a_mapping_names_is_used_and_no_other() {
    let uses = read(MAPPING).uses();
    let [used] = uses.as_slice() else { panic!("{uses:?}") };
    let columns: Vec<&str> = used.columns.iter().map(String::as_str).collect();
    let expected = "a at b c ccy day id kind leg locked one open owner status three two";
    assert_eq!((used.table.as_str(), columns.join(" ")), ("t", expected.to_owned()));
}

#[test]
fn the_columns_of_links_and_refusals_and_of_references_in_texts_are_used() {
    let postings = "  p:\n    key: [id]\n    transaction: {transaction_id: id, account_id: acc, posting_no: n, amount: {column: m, type: minor_units}, \
         currency: {constant: EUR}, booked_at: {column: at, type: timestamp_ms}, core_ref: {column: ref, strip: _q}}\n";
    let links = "  l:\n    key: [id]\n    links: {operations: [transfer], core_ref: {column: text, find: start}, table: p, postings: [from, to]}\n";
    let refusals = "  r:\n    key: [id]\n    where: {status: 5}\n    refusals: {operations: [transfer], core_ref: key_of, code: {column: result, json: /code}}\n";
    let uses = read(&format!("source: s\nconnector: mysql\ntables:\n{postings}{links}{refusals}")).uses();
    let columns = |n: usize| uses[n].columns.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    assert_eq!(
        [columns(0), columns(1), columns(2)],
        ["acc at id m n ref", "from id text to", "id key_of result status"]
    );
}

#[test]
fn a_code_is_told_with_the_place_that_does_not_list_it() {
    let good = r#""kind":1,"ccy":"EUR","status":1,"locked":false,"leg":"C""#;
    assert!(unlisted(good).is_empty());
    let of = |place, column: &str, code: &str| (place, column.to_owned(), code.to_owned());
    assert_eq!(unlisted(&good.replace(r#""leg":"C""#, r#""leg":"X""#)), [of("transaction.leg", "leg", "X")]);
    let state = unlisted(&good.replace("false", "true"));
    assert_eq!(state, [of("account.state", "status, locked", "1, true")], "all columns that tell it");
    assert_eq!(unlisted(&good.replace("EUR", "POINTS")), [of("currency", "ccy", "POINTS")]);
}

#[test]
fn a_row_that_is_left_out_is_told_by_the_code_that_leaves_it_out_alone() {
    let row = r#""kind":null,"ccy":"EUR","status":77,"locked":false,"leg":"X""#;
    assert_eq!(unlisted(row), [("where", "kind".to_owned(), "NULL".to_owned())]);
}

#[test]
fn a_place_that_a_draft_left_open_is_refused_with_what_to_do() {
    let open = MAPPING.replace("customer_id: {column: owner, null_is: none}", "customer_id: FILL-IN");
    let told = issues(&open);
    assert!(told.iter().any(|issue| issue.contains("customer_id") && issue.contains("left open")), "{told:?}");
    let code = MAPPING.replace("D: debit", "D: FILL-IN");
    assert_eq!(issues(&code).len(), 1, "{:?}", issues(&code));
}
