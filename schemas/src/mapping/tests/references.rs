//! Our reference in a row: alone, with a suffix, or inside a text.

use super::events::{INSERT, TOLD_MS, Told, read, table};
use super::*;

/// What a row says of a posting, by the columns `id`, `n`, `at` and `ref`.
fn yaml(core_ref: &str) -> String {
    table(
        "[id]",
        &format!(
            "    transaction:
      transaction_id: id
      account_id: {{column: a, type: text}}
      amount: {{column: n, type: minor_units}}
      currency: {{constant: EUR}}
      booked_at: {{column: at, type: timestamp_ms}}
      remittance: {{column: ref, without: core_ref, empty_is: {{constant: nothing}}}}
      core_ref: {core_ref}
"
        ),
    )
}

/// The reference and the text that a posting is served with.
fn told(yaml: &str, text: &str) -> (Option<String>, Option<String>) {
    let after = format!(r#"{{"id":1,"a":"A","n":7,"at":{TOLD_MS},"ref":{text}}}"#);
    let applied = Told { after: &after, ..INSERT }.apply(yaml).unwrap_or_else(|err| panic!("{err}: {text}"));
    match upserts(&applied).as_slice() {
        [CanonicalRow::Transaction(row)] => {
            (row.core_ref.clone(), row.remittance.as_ref().map(|text| text.expose().to_owned()))
        }
        other => panic!("{other:?}"),
    }
}

fn reference(core_ref: &str, text: &str) -> Option<String> {
    told(&yaml(core_ref), &serde_json::to_string(text).unwrap()).0
}

const OURS: &str = "LC0190A1B2C3D47E5F8091A2B3C4D5E6F7";

#[test]
fn a_suffix_is_cut_off_and_other_texts_are_as_they_are() {
    let ours = || Some(OURS.to_owned());
    for strip in ["_q", "[_x, _q]"] {
        let core_ref = format!("{{column: ref, strip: {strip}}}");
        assert_eq!(reference(&core_ref, &format!("{OURS}_q")), ours(), "{strip}");
        assert_eq!(reference(&core_ref, OURS), ours(), "{strip}");
        assert_eq!(reference(&core_ref, "invoice_7"), Some("invoice_7".to_owned()), "{strip}");
    }
    assert_eq!(reference("ref", &format!("{OURS}_q")), Some(format!("{OURS}_q")), "without the word it is as it is");
}

#[test]
fn a_reference_is_found_at_the_start_of_a_text_or_anywhere_in_it() {
    let ours = || Some(OURS.to_owned());
    let (start, anywhere) = ("{column: ref, find: start}", "{column: ref, find: anywhere}");
    for text in [OURS.to_owned(), format!("{OURS} rent"), format!(" {OURS}: rent")] {
        assert_eq!((reference(start, &text), reference(anywhere, &text)), (ours(), ours()), "{text}");
    }
    for text in [format!("rent {OURS}"), format!("rent, {OURS}_q"), format!("{}, {OURS}", OURS.to_lowercase())] {
        assert_eq!((reference(start, &text), reference(anywhere, &text)), (None, ours()), "{text}");
    }
    for text in ["", "rent", &OURS[1..], &format!("{OURS}7 rent")] {
        assert_eq!((reference(start, text), reference(anywhere, text)), (None, None), "{text}");
    }
    let other = OURS.replace("LC01", "LC02");
    assert_eq!(reference(anywhere, &format!("{OURS} back for {other}")), ours(), "the first one is the connector's");
    assert_eq!(told(&yaml(start), "null"), (None, Some("nothing".to_owned())));
}

#[test]
fn a_text_is_shown_without_the_reference() {
    let shown = |text: &str| told(&yaml("ref"), &serde_json::to_string(text).unwrap()).1;
    for (text, expected) in [
        (format!("{OURS} rent"), "rent"),
        (format!("rent {OURS}"), "rent"),
        (format!("rent {OURS} May"), "rent May"),
        (OURS.to_owned(), "nothing"),
        ("rent".to_owned(), "rent"),
    ] {
        assert_eq!(shown(&text).as_deref(), Some(expected), "{text}");
    }
    let longer = format!("{OURS}7 rent");
    assert_eq!(shown(&longer), Some(longer));
}

#[test]
fn references_of_another_form_are_found_as_they_are_declared() {
    let yaml = |format: &str| format!("reference: {format}\n{}", yaml("{column: ref, find: start}"));
    let found = |format: &str, text: &str| told(&yaml(format), &serde_json::to_string(text).unwrap()).0;
    let hex = "{alphabet: lower-hex, length: 20, prefix: fe}";
    assert_eq!(found(hex, "fe0123456789abcdef01 rent").as_deref(), Some("fe0123456789abcdef01"));
    assert_eq!(found(hex, "ee0123456789abcdef01 rent"), None);
    let id = "0190a1b2-c3d4-7e5f-8091-a2b3c4d5e6f7";
    assert_eq!(found("{alphabet: uuid}", &format!("{id} rent")).as_deref(), Some(id));
    let mapping = read(&yaml(hex));
    assert_eq!(mapping.reference().map(|format| (format.length(), format.prefix())), Some((20, "fe")));
    let sought = |remittance: &str| {
        let yaml =
            self::yaml("ref").replace("{column: ref, without: core_ref, empty_is: {constant: nothing}}", remittance);
        read(&yaml).reference().is_some()
    };
    assert!(!sought("ref") && sought("{column: ref, without: core_ref}"), "only what is looked for must be agreed on");
}

#[test]
fn what_could_cut_a_reference_or_never_find_one_is_refused() {
    for (core_ref, format, expected) in [
        ("{column: ref, strip: Q1}", "{}", "`strip: Q1` begins with a character of our references"),
        ("{column: ref, strip: \"-1\"}", "{alphabet: uuid}", "`strip: -1` begins with a character of our references"),
        ("{column: ref, strip: _q, find: start}", "{}", "core_ref: `find` takes the reference alone"),
        ("{column: ref, find: middle}", "{}", "core_ref.find: expected start or anywhere"),
        ("{column: ref, find: start}", "{alphabet: digits}", "a reference without a prefix cannot be told"),
        ("{columns: [ref, a], find: start}", "{}", "core_ref: expected one column"),
        ("ref", "{alphabet: letters}", "reference.alphabet: expected digits, upper-alphanumeric, lower-hex or uuid"),
        ("ref", "{length: 7}", "reference: length: must be 16 to 64, not 7"),
        ("ref", "{width: 7}", "reference.width: unknown field"),
        ("ref", "LC", "reference: expected fields"),
    ] {
        let found = issues(&format!("reference: {format}\n{}", yaml(core_ref))).join("; ");
        assert!(found.contains(expected), "{core_ref} {format}: {found}");
    }
    let without = yaml("ref").replace("without: core_ref", "without: digits");
    assert!(issues(&without)[0].contains("remittance.without: expected core_ref"), "{:?}", issues(&without));
    let without = yaml("ref").replace("column: ref, without", "columns: [ref, a], without");
    assert!(issues(&without)[0].contains("remittance: `without` is of one column"), "{:?}", issues(&without));
}
