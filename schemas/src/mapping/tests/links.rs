//! Rows that carry our reference and name the postings it is of.

use super::events::{INSERT, TOLD_MS, Told, UPDATE, ends, read};
use super::*;
use crate::model::PostingLink;

const POSTINGS: &str = "  p:
    key: [id]
    where: {undone: false}
    transaction:
      transaction_id: id
      account_id: a
      posting_no: n
      amount: {column: m, type: minor_units}
      currency: {constant: EUR}
      booked_at: {column: at, type: timestamp_ms}
";
const LINKS: &str = "  t:
    key: [id]
    where: {void: false}
    links:
      operations: [transfer]
      core_ref: {column: text, find: start}
      table: p
      postings: [debit, credit]
";
const OURS: &str = "LC0190A1B2C3D47E5F8091A2B3C4D5E6F7";

fn mapping(postings: &str, links: &str) -> String {
    format!("source: s\nconnector: mysql\ntables:\n{postings}{links}")
}

fn both() -> String {
    mapping(POSTINGS, LINKS)
}

fn row(text: &str, debit: &str, credit: &str, void: bool) -> String {
    format!(r#"{{"id":1,"text":{text},"debit":{debit},"credit":{credit},"void":{void}}}"#)
}

/// Which postings a row names, and for which reference.
fn links(after: &str) -> Vec<(String, String)> {
    let applied = Told { after, ..INSERT }.apply(&both()).unwrap_or_else(|err| panic!("{err}: {after}"));
    assert_eq!((applied.changes.len(), applied.evidence.len()), (0, 0));
    applied.links.into_iter().map(|link| (link.transaction_id, link.core_ref)).collect()
}

fn pair(posting: &str) -> (String, String) {
    (posting.to_owned(), OURS.to_owned())
}

#[test]
fn a_link_names_the_postings_that_a_reference_is_of() {
    let text = format!("\"{OURS} rent\"");
    assert_eq!(links(&row(&text, "902", "903", false)), [pair("902"), pair("903")]);
    assert_eq!(links(&row(&text, "902", "null", false)), [pair("902")], "the other one is none of savings");
    assert_eq!(links(&row(&text, "null", "null", false)), []);
    for other in ["\"rent\"", "\"\"", "null"] {
        assert_eq!(links(&row(other, "902", "903", false)), [], "{other}");
    }
    let skipped = Told { after: &row(&text, "902", "903", true), ..UPDATE }.apply(&both()).unwrap();
    assert_eq!((skipped.skipped.as_deref(), skipped.links), (Some("t"), vec![]));
    let deleted = Told { op: "d", before: &row(&text, "902", "903", false), ..INSERT }.apply(&both()).unwrap();
    assert_eq!((deleted.changes.len(), deleted.links), (0, vec![]), "what was booked stays booked");
    let unread = Told { after: &row("\"__debezium_unavailable_value\"", "902", "903", false), ..UPDATE };
    assert_eq!(unread.apply(&both()).unwrap_err().reason, MapReason::Unavailable);
}

#[test]
fn a_reference_alone_in_its_column_may_link_as_well() {
    let alone = both().replace("{column: text, find: start}", "text");
    let links = |text: &str| Told { after: &row(text, "1", "null", false), ..INSERT }.apply(&alone).unwrap().links;
    let version =
        Told { after: &row("null", "1", "null", false), ..INSERT }.with(|event| Version::from_event(1, event));
    let link = PostingLink { transaction_id: "1".into(), core_ref: "X-7".into(), version };
    assert_eq!(links("\"X-7\""), [link]);
    assert_eq!(links(&format!("\"{}\"", "x".repeat(65))), [], "longer than any reference of ours");
}

#[test]
fn a_posting_that_is_none_any_more_stays_known_where_links_name_postings() {
    let row = |undone: bool| format!(r#"{{"id":1,"a":"A","n":3,"m":-5,"at":{TOLD_MS},"undone":{undone}}}"#);
    let update = |yaml: &str, undone| Told { table: "p", after: &row(undone), ..UPDATE }.apply(yaml).unwrap();
    let ended = update(&both(), true);
    assert_eq!(ends(&ended), ["-transaction 1"]);
    let was = match &ended.changes[0].row {
        RowChange::Ended(Was::Posting(was)) => (was.account_id.as_str(), was.posting_no, was.amount_minor),
        other => panic!("{other:?}"),
    };
    assert_eq!((was, ended.changes[0].account_id.as_deref()), (("A", Some(3), -5), Some("A")));
    let alone = update(&mapping(POSTINGS, ""), true);
    assert_eq!(alone.changes[0].row, RowChange::Delete, "nobody asks");
    // What cannot be read was no posting.
    let unread = row(true).replace("\"m\":-5", "\"m\":null");
    let unread = Told { table: "p", after: &unread, ..UPDATE }.apply(&both()).unwrap();
    assert_eq!(unread.changes[0].row, RowChange::Delete);
    assert!(read(&both()).has_links() && !read(&mapping(POSTINGS, "")).has_links());
}

#[test]
fn links_that_lead_nowhere_are_refused() {
    let refused = |from: &str, to: &str, expected: &str| {
        assert!(both().contains(from), "{from}");
        let found = issues(&both().replace(from, to)).join("; ");
        assert!(found.contains(expected), "{from} → {to}: {found}");
    };
    refused("table: p", "table: q", "tables.t.links: `table: q` is no table of this mapping with a `transaction`");
    refused("table: p", "table: t", "`table: t` is no table of this mapping with a `transaction`");
    refused("      posting_no: n\n", "", "needs `transaction.posting_no` of `p`");
    refused("[debit, credit]", "[{columns: [debit, credit]}]", "as many columns as `transaction_id` of `p`: 1");
    refused("      table: p\n", "", "tables.t.links.table: missing");
    refused("    links:\n      operations: [transfer]\n", "    links:\n", "tables.t.links.operations: missing");
    let confirms = "timestamp_ms}\n      core_ref: ref\n    confirms: {operations: [transfer]}\n";
    refused("timestamp_ms}\n", confirms, "`p` has `confirms`");
    let legs = "      legs: {debit: {account_id: a}, credit: {account_id: b}}\n";
    refused("      account_id: a\n      posting_no: n\n", legs, "a row of `p` is two postings");
    let balance =
        "  b:\n    key: [id]\n    balance: {account_id: id, currency: c, booked: {column: m, type: minor_units}}\n";
    let unnumbered = issues(&format!("{}{balance}", both())).join("; ");
    assert!(unnumbered.contains("tables.b.balance: needs `last_posting`"), "{unnumbered}");
    let feeds = issues(&mapping("  p:\n    key: [id]\n", "")).join("; ");
    assert!(feeds.contains("expected customer, account, balance, transaction, links or refusals"), "{feeds}");
}
