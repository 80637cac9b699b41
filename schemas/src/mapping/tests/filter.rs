//! Rows that the filter of their table leaves out.

use super::events::{INSERT, Told, UPDATE, ends, read, table};
use super::*;

const CUSTOMER: &str = "    customer: {customer_id: id}\n";
const BY_NUMBER: &str = "    customer: {customer_id: number}\n";

fn filtered(filter: &str) -> String {
    table("[id]", &format!("    where: {filter}\n{CUSTOMER}"))
}

fn by_number() -> Mapping {
    read(&table("[id]", &format!("    where: {{state: A}}\n{BY_NUMBER}")))
}

fn stored(number: &str) -> Vec<Touched> {
    vec![Touched { entity: Entity::Customer, key: number.to_owned(), account_id: None }]
}

fn problems(yaml: &str) -> String {
    issues(yaml).join("; ")
}

/// True when a row with this cell passes the filter on `c`.
fn passes(filter: &str, cell: &str) -> Result<bool, MapError> {
    let after = format!(r#"{{"id":1,"c":{cell}}}"#);
    Told { after: &after, ..INSERT }.apply(&filtered(filter)).map(|applied| applied.skipped.is_none())
}

#[test]
fn rows_that_are_not_meant_are_seen_and_feed_nothing() {
    let yaml = filtered("{c: [A, B], kind: 1}");
    for (after, meant) in [
        (r#"{"id":1,"c":"A","kind":1}"#, true),
        (r#"{"id":1,"c":"B","kind":1}"#, true),
        (r#"{"id":1,"c":"A","kind":2}"#, false),
        (r#"{"id":1,"c":"C","kind":1}"#, false),
    ] {
        for (op, snapshot) in [("c", "false"), ("r", "true"), ("r", "last")] {
            let applied = Told { op, snapshot, after, ..INSERT }.apply(&yaml).unwrap();
            assert_eq!(applied.changes.len(), usize::from(meant), "{after}");
            assert_eq!(applied.skipped, (!meant).then(|| "t".to_owned()), "{after}");
            assert_eq!(applied.kept, None);
        }
    }
}

#[test]
fn a_row_that_stops_matching_ends_what_it_fed_without_the_row_before() {
    let yaml = filtered("{c: A}");
    let stops = Told { after: r#"{"id":1,"c":"B"}"#, ..UPDATE };
    let applied = stops.apply(&yaml).unwrap();
    assert_eq!((ends(&applied), applied.skipped.as_deref()), (vec!["-customer 1".to_owned()], Some("t")));
    let key_only = Told { before: r#"{"id":1,"c":null}"#, ..stops };
    assert_eq!(ends(&key_only.apply(&yaml).unwrap()), ["-customer 1"], "whatever the log says of the row before");
    let again = Told { after: r#"{"id":1,"c":"A"}"#, pos: 9, ..UPDATE }.apply(&yaml).unwrap();
    assert_eq!(ends(&again), ["+customer 1"]);
    assert!(applied.changes[0].version < again.changes[0].version);
}

#[test]
fn a_row_that_is_read_again_and_is_not_meant_ends_what_it_fed() {
    let after = r#"{"id":1,"number":"N","state":"B"}"#;
    let read_again = Told { op: "r", snapshot: "incremental", after, ..INSERT };
    assert_eq!(ends(&read_again.apply(&filtered("{state: A}")).unwrap()), ["-customer 1"]);
    assert_eq!(ends(&read_again.knowing(&by_number(), &stored("N")).unwrap()), ["-customer N"]);
    assert_eq!(ends(&read_again.knowing(&by_number(), &[]).unwrap()), [""; 0], "it was never stored");
}

#[test]
fn a_delete_that_tells_the_key_alone_ends_the_row() {
    let delete = Told { op: "d", before: r#"{"id":1,"c":null}"#, ..INSERT };
    assert_eq!(ends(&delete.apply(&filtered("{c: A}")).unwrap()), ["-customer 1"]);
}

#[test]
fn what_a_row_is_stored_under_decides_where_its_own_key_does_not_tell() {
    let mapping = by_number();
    let stops = Told { after: r#"{"id":1,"number":"N","state":"B"}"#, ..UPDATE };
    let applied = stops.knowing(&mapping, &stored("N")).unwrap();
    assert_eq!(ends(&applied), ["-customer N"]);
    let nothing = applied.kept.unwrap().keys;
    assert_eq!(nothing, [Touched::nothing(Entity::Customer)]);
    let still = stops.knowing(&mapping, &nothing).unwrap();
    assert_eq!(ends(&still), [""; 0], "N may be another row's by now");
    let back = Told { after: r#"{"id":1,"number":"M","state":"A"}"#, ..UPDATE }.knowing(&mapping, &nothing).unwrap();
    assert_eq!(ends(&back), ["+customer M"], "nothing was left behind");
    assert_eq!(back.kept.unwrap().keys, stored("M"));
    let gone = Told { op: "d", before: r#"{"id":1,"number":null,"state":null}"#, ..INSERT };
    assert_eq!(ends(&gone.knowing(&mapping, &nothing).unwrap()), [""; 0]);
    assert_eq!(ends(&gone.knowing(&mapping, &stored("N")).unwrap()), ["-customer N"]);
}

#[test]
fn a_row_that_was_never_stored_is_told_by_the_row_before_or_parked() {
    let mapping = by_number();
    let stops = Told { after: r#"{"id":1,"number":"N","state":"B"}"#, ..UPDATE };
    let from = |before| Told { before, ..stops }.knowing(&mapping, &[]);
    assert_eq!(ends(&from(r#"{"id":1,"number":"N","state":"A"}"#).unwrap()), ["-customer N"]);
    assert_eq!(ends(&from(r#"{"id":1,"number":"N","state":"C"}"#).unwrap()), [""; 0], "it was not meant before");
    assert_eq!(from("null").unwrap_err().reason, MapReason::NoBefore);
    let begins =
        Told { before: r#"{"id":1,"number":"M","state":"C"}"#, after: r#"{"id":1,"number":"N","state":"A"}"#, ..stops };
    assert_eq!(ends(&begins.knowing(&mapping, &[]).unwrap()), ["+customer N"], "M is not this row's to end");
}

#[test]
fn a_skipped_row_is_forgotten_even_where_its_identifier_cannot_be_read() {
    let stops = Told { after: r#"{"id":1,"number":null,"state":"B"}"#, ..UPDATE };
    let applied = stops.knowing(&by_number(), &stored("N")).unwrap();
    assert_eq!((ends(&applied), applied.kept.unwrap().keys.len()), (vec!["-customer N".to_owned()], 1));
}

#[test]
fn rows_of_another_kind_end_nothing_of_the_kind_that_is_meant() {
    let yaml = table("[no, kind]", "    where: {kind: booked, open: true}\n    customer: {customer_id: no}\n");
    let row = |kind: &str, open: bool| format!(r#"{{"no":"A","kind":"{kind}","open":{open}}}"#);
    let key = |kind: &str| format!(r#"{{"no":"A","kind":"{kind}"}}"#);
    for op in ["c", "u", "d"] {
        let (key, row) = (key("available"), row("available", false));
        let (before, after) = if op == "d" { (row.as_str(), "null") } else { ("null", row.as_str()) };
        let applied = Told { key: &key, op, before, after, ..INSERT }.apply(&yaml).unwrap();
        assert_eq!((ends(&applied).len(), applied.skipped.is_some()), (0, true), "{op}");
    }
    let (key, row) = (key("booked"), row("booked", false));
    let stops = Told { key: &key, after: &row, ..UPDATE };
    assert_eq!(ends(&stops.apply(&yaml).unwrap()), ["-customer A"]);
}

#[test]
fn booleans_are_the_same_code_however_they_arrive() {
    for (filter, cells, other) in [
        ("{c: false}", ["false", "0"], ["true", "1"]),
        ("{c: true}", ["true", "1"], ["false", "0"]),
        ("{c: 1}", ["true", "1"], ["false", "0"]),
        ("{c: '0'}", ["false", "0"], ["true", "1"]),
        ("{c: {not: true}}", ["false", "0"], ["true", "1"]),
    ] {
        for cell in cells {
            assert_eq!(passes(filter, cell), Ok(true), "{filter} {cell}");
        }
        for cell in other {
            assert_eq!(passes(filter, cell), Ok(false), "{filter} {cell}");
        }
    }
    assert_eq!(passes("{c: 'true'}", "\"true\""), Ok(true));
    assert_eq!(passes("{c: 'true'}", "\"1\""), Ok(false), "a text is only itself");
}

#[test]
fn null_is_no_code_unless_it_is_named() {
    for (filter, expected) in
        [("{c: [A]}", false), ("{c: [A, null]}", true), ("{c: {not: A}}", true), ("{c: {not: [A, null]}}", false)]
    {
        assert_eq!(passes(filter, "null"), Ok(expected), "{filter}");
    }
    assert_eq!(passes("{c: ''}", "\"\""), Ok(true));
    assert_eq!(passes("{c: ''}", "null"), Ok(false));
}

#[test]
fn a_column_that_holds_no_code_as_written_halts_the_source() {
    let text = passes("{c: [1, 2]}", "\"01\"").unwrap_err();
    assert!(text.is_contradiction() && text.to_string().contains("in quotes"), "{text}");
    let decimal =
        r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0"},"field":"c"}"#;
    let told = Told { after: r#"{"id":1,"c":"AQ=="}"#, schema: decimal, ..INSERT };
    assert!(told.apply(&filtered("{c: '1'}")).unwrap_err().is_contradiction());
    for (cell, reason) in [
        ("1.5", MapReason::Expected("a text or an integer")),
        ("{\"scale\":0}", MapReason::Expected("a text or an integer")),
        ("\"__debezium_unavailable_value\"", MapReason::Unavailable),
        ("18446744073709551616", MapReason::IntegerRange),
    ] {
        assert_eq!(passes("{c: {not: A}}", cell).unwrap_err().reason, reason, "{cell}");
    }
    let missing = Told { after: r#"{"id":1}"#, ..INSERT }.apply(&filtered("{c: A}")).unwrap_err();
    assert_eq!((missing.column.as_str(), missing.reason), ("c", MapReason::Missing));
}

#[test]
fn a_row_that_feeds_nothing_touches_nothing_that_it_was_kept_for() {
    let delete = Told { op: "d", before: "null", ..INSERT };
    let touched = |known: &[Touched]| delete.with(|event| by_number().touched(event, known));
    assert!(touched(&[Touched::nothing(Entity::Customer)]).is_empty());
    assert_eq!(touched(&stored("N")), stored("N"));
}

#[test]
fn filters_that_cannot_be_right_are_refused_with_the_remedy() {
    for (filter, expected) in [
        ("A", "tables.t.where: expected columns, each with the codes of the rows that are meant"),
        ("{}", "tables.t.where: expected at least one column"),
        ("{c: []}", "tables.t.where.c: expected at least one"),
        ("{c: 1.5}", "tables.t.where.c: expected a code"),
        ("{c: [[A]]}", "tables.t.where.c: expected a code"),
        ("{c: {is: A}}", "tables.t.where.c.is: unknown field; known here: not"),
        ("{c: {not: []}}", "tables.t.where.c.not: expected at least one"),
        ("{c: [true, 1]}", "tables.t.where.c: the code `1` is there twice"),
        ("{c: [A, A]}", "tables.t.where.c: the code `A` is there twice"),
    ] {
        let found = problems(&filtered(filter));
        assert!(found.contains(expected), "{filter}: {found}");
    }
}

#[test]
fn rows_that_share_what_they_feed_are_refused_with_a_filter() {
    let yaml = |filter: &str| table("[no, seq]", &format!("    where: {filter}\n    customer: {{customer_id: no}}\n"));
    let expected = "rows that differ in `seq` alone feed one customer";
    assert!(problems(&yaml("{current: true}")).contains(expected), "history with a mark of the current row");
    assert!(problems(&yaml("{seq: [1, 2]}")).contains(expected));
    assert!(problems(&yaml("{seq: {not: 1}}")).contains(expected));
    assert!(Mapping::from_yaml(&yaml("{seq: 1}")).is_ok());
    let joined = table("[no, seq]", "    where: {current: true}\n    customer: {customer_id: {columns: [seq, no]}}\n");
    assert!(Mapping::from_yaml(&joined).is_ok());
}

#[test]
fn a_filter_and_the_codes_beside_it_must_agree() {
    let with = |filter: &str, confirms: &str| {
        let yaml = CORE_SIM.replace("  accounts:\n", &format!("  accounts:\n    where: {{{filter}}}\n"));
        let yaml = yaml.replace("operations: [transfer]", &format!("operations: [transfer]\n{confirms}"));
        yaml.replace("  postings:\n", "  postings:\n    where: {leg: [D, C], undone: false}\n")
    };
    assert!(Mapping::from_yaml(&with("status: [A, F]", "")).is_ok());
    let unlisted = problems(&with("status: [A, X]", ""));
    assert!(unlisted.contains("lets `X` through, and `account.state` does not list it"), "{unlisted}");
    assert!(Mapping::from_yaml(&with("status: {not: [X]}", "")).is_ok());
    let undone = problems(&with("status: A", "      reversed: {column: undone, equals: true}"));
    assert!(undone.contains("tables.postings.where: skips all rows that `confirms.reversed` names"), "{undone}");
}

/// One change of one row: which row, whether it is meant afterwards, its number, and what the log tells of it.
type Step = (u8, bool, u8, bool);

proptest! {
    /// Whatever happens to rows, what is served in the end is what the core's table holds and the filter lets through.
    #[test]
    fn what_is_served_is_what_the_filter_lets_through(
        surrogate in any::<bool>(),
        steps in prop::collection::vec((0u8..4, any::<bool>(), 0u8..3, any::<bool>()), 1..40),
    ) {
        let mapping = if surrogate { by_number() } else { read(&filtered("{state: A}")) };
        let mut core: std::collections::BTreeMap<u8, String> = Default::default();
        let mut kept: std::collections::HashMap<u8, Vec<Touched>> = Default::default();
        let mut served: std::collections::BTreeSet<String> = Default::default();
        for (pos, step) in steps.iter().enumerate() {
            let (id, meant, number, whole): Step = *step;
            // A row's numbers are its own: no two rows share one.
            let row = format!(r#"{{"id":{id},"number":"N{id}.{number}","state":"{}"}}"#, if meant { "A" } else { "B" });
            let before = core.get(&id).cloned();
            let op = match (&before, number) { (None, _) => "c", (Some(_), 2) => "d", _ => "u" };
            let logged = before.clone().filter(|_| whole).unwrap_or_else(|| "null".into());
            let (key, after) = (format!(r#"{{"id":{id}}}"#), if op == "d" { "null" } else { row.as_str() });
            let told = Told { key: &key, op, before: &logged, after, pos: pos as u64, ..INSERT };
            let applied = told.knowing(&mapping, kept.get(&id).map_or(&[][..], Vec::as_slice)).unwrap();
            for change in &applied.changes {
                match change.row {
                    RowChange::Delete | RowChange::Ended(_) => drop(served.remove(&change.key)),
                    RowChange::Upsert(_) => drop(served.insert(change.key.clone())),
                }
            }
            kept.extend(applied.kept.map(|kept| (id, kept.keys)));
            match op { "d" => drop(core.remove(&id)), _ => drop(core.insert(id, row.clone())) }
        }
        let meant = core.iter().filter(|(_, row)| row.contains(r#""A""#));
        let number = |row: &String| row.split('"').nth(5).unwrap().to_owned();
        let expected: std::collections::BTreeSet<String> =
            meant.map(|(id, row)| if surrogate { number(row) } else { id.to_string() }).collect();
        prop_assert_eq!(served, expected);
    }
}
