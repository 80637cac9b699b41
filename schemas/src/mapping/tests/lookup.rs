//! Rows that take their currency from their account.

use super::events::{INSERT, TOLD_MS, Told, UPDATE, ends, read};
use super::*;

const ACCOUNTS: &str = "  a:
    key: [id]
    where: {kind: 1}
    account:
      account_id: id
      customer_id: {constant: none}
      currency: c
      state: {constant: active}
";
const POSTINGS: &str = "  p:
    key: [id]
    transaction:
      transaction_id: id
      account_id: a
      amount: {column: m, type: decimal_text}
      currency: {of: account}
      booked_at: {column: at, type: timestamp_ms}
";
const BALANCES: &str = "  b:
    key: [id]
    balance:
      account_id: a
      currency: {of: account}
      booked: {column: m, type: decimal_text}
";

fn yaml() -> String {
    format!("source: s\nconnector: mysql\ntables:\n{ACCOUNTS}{POSTINGS}{BALANCES}")
}

fn row(table: &str) -> String {
    match table {
        "a" => r#"{"id":1,"kind":1,"c":"EUR"}"#.to_owned(),
        _ => format!(r#"{{"id":1,"a":"A","m":"12","at":{TOLD_MS}}}"#),
    }
}

/// What a row becomes when the account A has this currency.
fn with(table: &str, currency: Option<&str>) -> Result<MappedRows, MapError> {
    let accounts = currency.map(|code| ("A".to_owned(), Currency::parse(code).unwrap()));
    let accounts: Accounts = accounts.into_iter().collect();
    let (mapping, after) = (read(&yaml()), row(table));
    let told = Told { table, after: &after, ..INSERT };
    told.with(|event| mapping.apply_with(event, 1, &[], &accounts)).map(Mapped::rows)
}

#[test]
fn a_row_has_the_currency_of_its_account_and_is_counted_in_it() {
    for (code, minor) in [("EUR", 1_200), ("JPY", 12), ("KWD", 12_000)] {
        let amounts = |table: &str| match upserts(&with(table, Some(code)).unwrap()).as_slice() {
            [CanonicalRow::Transaction(row)] => (row.currency.code().to_owned(), row.amount_minor),
            [CanonicalRow::Balance(row)] => (row.currency.code().to_owned(), row.booked_minor),
            other => panic!("{other:?}"),
        };
        assert_eq!((amounts("p"), amounts("b")), ((code.to_owned(), minor), (code.to_owned(), minor)));
    }
    for table in ["p", "b"] {
        let err = with(table, None).unwrap_err();
        assert_eq!((err.table.as_str(), err.column.as_str(), err.reason), (table, "a", MapReason::NoAccount));
        assert!(!err.is_contradiction());
    }
}

#[test]
fn the_accounts_that_are_asked_for_are_told_by_the_row() {
    let mapping = read(&yaml());
    let asked = |table: &str, after: &str| Told { table, after, ..INSERT }.with(|event| mapping.accounts_asked(event));
    assert_eq!(asked("p", &row("p")), ["A"]);
    assert_eq!(asked("b", &row("b")), ["A"]);
    assert_eq!(asked("a", &row("a")), ["1"], "its own currency must not change");
    assert_eq!(asked("p", r#"{"id":1,"a":null}"#), [""; 0]);
    let deleted = Told { table: "p", op: "d", before: &row("p"), ..INSERT };
    assert_eq!(deleted.with(|event| mapping.accounts_asked(event)), [""; 0]);
    assert!(mapping.asks_accounts() && !core_sim().asks_accounts());
}

#[test]
fn a_posting_that_is_none_any_more_waits_for_its_account_where_a_link_may_name_it() {
    let links = "  l:\n    key: [id]\n    links: {operations: [x], core_ref: r, table: p, postings: [p1]}\n";
    let posting = POSTINGS.replace("    transaction:\n", "    where: {undone: false}\n    transaction:\n");
    let posting = posting.replace("      booked_at", "      posting_no: n\n      booked_at");
    let balances = format!("{BALANCES}      last_posting: n\n");
    let yaml = format!("source: s\nconnector: mysql\ntables:\n{ACCOUNTS}{posting}{balances}{links}");
    let mapping = read(&yaml);
    let after = row("p").replace("\"id\":1", "\"id\":1,\"n\":3,\"undone\":true");
    let told = Told { table: "p", after: &after, ..UPDATE };
    let with = |accounts: &Accounts| told.with(|event| mapping.apply_with(event, 1, &[], accounts)).map(Mapped::rows);
    assert_eq!(with(&Accounts::new()).unwrap_err().reason, MapReason::NoAccount);
    let there = Accounts::from([("A".to_owned(), Currency::parse("EUR").unwrap())]);
    let ended = with(&there).unwrap();
    assert!(matches!(&ended.changes[0].row, RowChange::Ended(Was::Posting(was)) if was.amount_minor == 1_200));
}

#[test]
fn an_account_that_is_left_out_is_told_even_where_it_never_was_served() {
    let after = row("a").replace("\"kind\":1", "\"kind\":2");
    for told in [INSERT, UPDATE, Told { op: "r", snapshot: "true", ..INSERT }] {
        let applied = Told { table: "a", after: &after, ..told }.apply(&yaml()).unwrap();
        assert_eq!((ends(&applied), applied.skipped.as_deref()), (vec!["-account 1".to_owned()], Some("a")));
    }
    let alone = format!("source: s\nconnector: mysql\ntables:\n{ACCOUNTS}");
    assert_eq!(ends(&Told { table: "a", after: &after, ..INSERT }.apply(&alone).unwrap()), [""; 0], "nobody asks");
}

#[test]
fn an_account_that_is_left_out_or_deleted_keeps_its_currency_where_its_row_tells_it() {
    let was = |told: Told<'_>, yaml: &str| told.apply(yaml).unwrap().changes.remove(0).row;
    let euros = RowChange::Ended(Was::Account(Currency::parse("EUR").unwrap()));
    let (open, closed) = (row("a"), row("a").replace("\"kind\":1", "\"kind\":2"));
    let leaves = Told { table: "a", after: &closed, ..UPDATE };
    assert_eq!(was(leaves, &yaml()), euros);
    let deleted = Told { table: "a", op: "d", ..INSERT };
    assert_eq!(was(Told { before: &open, ..deleted }, &yaml()), euros);
    assert_eq!(was(deleted, &yaml()), RowChange::Delete);
    let unread = closed.replace("EUR", "E");
    assert_eq!(was(Told { after: &unread, ..leaves }, &yaml()), RowChange::Delete);
    let alone = format!("source: s\nconnector: mysql\ntables:\n{ACCOUNTS}");
    assert_eq!(was(leaves, &alone), RowChange::Delete, "nobody asks");
}

#[test]
fn an_account_that_its_own_key_leaves_out_is_told_unless_another_may_have_its_identifier() {
    let told = |filter: &str, key: &str, op: &str| {
        let yaml = yaml().replace("    key: [id]\n    where: {kind: 1}\n", filter);
        let after = row("a").replace("\"id\":1", "\"b\":2,\"id\":7");
        let after = if op == "d" { "null" } else { after.as_str() };
        let applied = Told { table: "a", key, op, after, ..INSERT }.apply(&yaml).unwrap();
        assert_eq!(applied.skipped.as_deref(), Some("a"));
        ends(&applied)
    };
    let by_key = "    key: [id]\n    where: {id: {not: [7]}}\n";
    for op in ["c", "u"] {
        assert_eq!(told(by_key, r#"{"id":7}"#, op), ["-account 7"]);
    }
    assert_eq!(told(by_key, r#"{"id":7}"#, "d"), [""; 0], "it never was there");
    let pinned = "    key: [b, id]\n    where: {b: 1}\n";
    assert_eq!(told(pinned, r#"{"b":2,"id":7}"#, "c"), [""; 0], "the account 7 of another b is meant");
}

#[test]
fn what_an_account_cannot_tell_is_refused() {
    let refused = |from: &str, to: &str, expected: &str| {
        assert!(yaml().contains(from), "{from}");
        let found = issues(&yaml().replace(from, to)).join("; ");
        assert!(found.contains(expected), "{from} → {to}: {found}");
    };
    refused("currency: {of: account}", "currency: {of: customer}", "currency: expected `of: account`");
    refused("currency: {of: account}", "currency: {of: account, column: c}", "currency: `of` has nothing beside it");
    refused("currency: c", "currency: {of: account}", "tables.a.account: the rows of accounts tell the currency");
    refused("currency: c\n", "currency: {column: c, form: code/scale}\n", "tables.a.account.currency: `{of: account}`");
    refused("connector: mysql", "connector: mysql\ncurrencies: {CZK: {exponent: 0}}", "tables.a.account.currency:");
    refused("account_id: id", "account_id: no", "tables.a.where: with `{of: account}` elsewhere");
    refused(ACCOUNTS, "", "tables: `{of: account}` needs a table with `account`");
    read(&yaml().replace("    where: {kind: 1}\n", "").replace("account_id: id", "account_id: no"));
}
