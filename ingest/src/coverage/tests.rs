//! The mapping of two open-source cores, and of the simulated one, tried on what was captured of them.

use super::*;
use crate::capture;

const FINERACT: (&str, &str) = (
    include_str!("../../../schemas/fixtures/cores/fineract/mapping.yaml"),
    include_str!("../../../schemas/fixtures/cores/fineract/transfer.jsonl"),
);
const BLNK: (&str, &str) = (
    include_str!("../../../schemas/fixtures/cores/blnk/mapping.yaml"),
    include_str!("../../../schemas/fixtures/cores/blnk/captured.jsonl"),
);

fn mapping(yaml: &str) -> Arc<Mapping> {
    Arc::new(Mapping::from_yaml(yaml).unwrap_or_else(|err| panic!("{err}")))
}

fn read(yaml: &str, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Coverage {
    let mut coverage = Coverage::new(mapping(yaml));
    for (number, line) in lines.into_iter().enumerate() {
        coverage.read(&capture::record(line.as_ref(), number as i64).unwrap());
    }
    coverage.finish();
    coverage
}

#[test]
fn every_record_is_one_of_five_things() {
    for (yaml, lines) in [FINERACT, BLNK] {
        let counts = read(yaml, lines.lines()).counts();
        let Counts { records, mapped, skipped, refused, unmapped, other } = counts;
        assert_eq!(records, lines.lines().count() as u64);
        assert_eq!(records, mapped + skipped + refused + unmapped + other, "{counts:?}");
        assert_eq!(refused, 0, "{:?}", read(yaml, lines.lines()).refusals());
        assert!(mapped > 0, "{counts:?}");
    }
}

#[test]
fn the_sums_are_those_of_the_rows_as_they_were_last() {
    let all = read(BLNK.0, BLNK.1.lines());
    for (currency, sum) in all.sums() {
        assert_eq!(sum.booked_minor, 0, "{currency}: what one balance has, another one lacks");
        assert_eq!(sum.credits_minor + sum.debits_minor, 0, "{currency}: both legs of every row");
        assert!(sum.balances > 1 && sum.postings > 1 && sum.credits_minor > 0, "{currency}: {sum:?}");
    }
    let twice = read(BLNK.0, BLNK.1.lines().chain(BLNK.1.lines()));
    assert_eq!(twice.sums(), all.sums(), "a row that comes again counts once");
}

const SMALL: &str = "source: s
connector: mysql
tables:
  accounts:
    key: [id]
    where: {kind: giro}
    account: {account_id: no, customer_id: owner, currency: ccy, state: {column: state, codes: {A: active}}}
    balance: {account_id: no, currency: ccy, booked: {column: cents, type: minor_units}}
  cards:
    key: [id]
    customer: {customer_id: id}
";

fn event(id: u32, op: &str, after: &str, place: u32) -> String {
    format!(
        r#"{{"topic":"s.d.accounts","key":{{"id":{id}}},"value":{{"before":null,"after":{after},"op":"{op}","source":{{
        "connector":"mysql","name":"s","db":"d","table":"accounts","snapshot":"false","ts_ms":1700000000000,"file":"b.1",
        "pos":{place}}}}}}}"#
    )
    .replace('\n', " ")
}

fn account(id: u32, cells: &str) -> String {
    let after = format!(r#"{{"id":{id},"no":"A{id}","owner":"C1","ccy":"EUR","cents":{id},"note":null,{cells}}}"#);
    event(id, "c", &after, 100 + id)
}

#[test]
fn what_is_refused_is_told_once_for_each_reason_with_its_first_places() {
    let good = account(1, r#""kind":"giro","state":"A""#);
    let unlisted = (2..9).map(|id| account(id, r#""kind":"giro","state":"Z""#));
    let skipped = account(9, r#""kind":"loan","state":"A""#);
    let seen = read(SMALL, std::iter::once(good).chain(unlisted).chain([skipped]));
    let counts = seen.counts();
    assert_eq!((counts.mapped, counts.refused, counts.skipped), (1, 7, 1));
    let [refusal] = seen.refusals().reasons.as_slice() else { panic!("{:?}", seen.refusals()) };
    assert!(refusal.reason.contains("state") && !refusal.halts, "{refusal:?}");
    assert_eq!((refusal.records, refusal.places.len()), (7, 3));
    assert_eq!(refusal.places[0], "s.d.accounts/0@1");
    let table = &seen.tables()["accounts"];
    let codes: Vec<_> = table.codes.iter().map(|c| (c.unlisted.place, c.unlisted.code.as_str(), c.rows)).collect();
    assert_eq!(codes, [("account.state", "Z", 7), ("where", "loan", 1)]);
    assert_eq!((table.columns["note"].nulls, table.columns["note"].is_used), (9, false));
    assert_eq!(seen.unused(), BTreeMap::from([("accounts", BTreeSet::from(["note"]))]));
    let cards = &seen.tables()["cards"];
    assert_eq!((cards.events, cards.missing().collect::<Vec<_>>()), (0, vec!["id"]), "a table that never came");
}

#[test]
fn an_event_that_would_halt_the_source_hides_none_behind_it() {
    let other_form = account(1, r#""kind":{"a":1},"state":"A""#);
    let good = account(2, r#""kind":"giro","state":"A""#);
    let of_another = good.replace("mysql", "mariadb");
    let seen = read(SMALL, [other_form, of_another, good]);
    assert_eq!((seen.counts().mapped, seen.counts().refused), (1, 2), "{:?}", seen.refusals());
    assert!(seen.refusals().reasons.iter().any(|refusal| refusal.halts), "{:?}", seen.refusals());
}

#[test]
fn an_update_is_followed_by_what_its_row_was_stored_under() {
    let first = account(1, r#""kind":"giro","state":"A""#);
    let moved =
        event(1, "u", r#"{"id":1,"no":"B1","owner":"C1","ccy":"EUR","cents":5,"kind":"giro","state":"A"}"#, 900);
    let seen = read(SMALL, [first, moved]);
    assert_eq!(seen.counts().refused, 0, "{:?}", seen.refusals());
    let written = seen.written()[&Entity::Account];
    assert_eq!((written.upserts, written.deletes), (2, 1), "the old key ends");
    assert_eq!((seen.sums()["EUR"].balances, seen.sums()["EUR"].booked_minor), (1, 5));
    assert_eq!((seen.tables()["accounts"].updates, seen.tables()["accounts"].without_before), (1, 1));
    let shown: Vec<_> = seen.shown().iter().map(|shown| (shown.account_id.as_str(), shown.account.is_some())).collect();
    assert_eq!(shown, [("A1", false), ("B1", true)]);
    assert_eq!(seen.shown()[1].document("s").unwrap().balance.unwrap().row.booked_minor, 5);
}

#[test]
fn a_posting_that_comes_before_the_account_that_tells_its_currency_is_tried_once_that_has_come() {
    let mapping = FINERACT.0.replace("currency: {constant: EUR}", "currency: {of: account}");
    assert_ne!(mapping, FINERACT.0);
    let (expected, lines) = (read(FINERACT.0, FINERACT.1.lines()), FINERACT.1.lines());
    let accounts = |line: &&str| line.contains("m_savings_account\"");
    let late = lines.clone().filter(|line| !accounts(line)).chain(lines.clone().filter(accounts));
    for lines in [lines.clone().collect::<Vec<_>>(), late.collect()] {
        let seen = read(&mapping, lines);
        assert_eq!((seen.counts(), seen.sums()), (expected.counts(), expected.sums()), "{:?}", seen.refusals());
    }
    let without = read(&mapping, lines.filter(|line| !accounts(line)));
    let [refusal] = without.refusals().reasons.as_slice() else { panic!("{:?}", without.refusals()) };
    assert!(refusal.reason.contains("the row of that account has not come") && !refusal.halts, "{refusal:?}");
}
