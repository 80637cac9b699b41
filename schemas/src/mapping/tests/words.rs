//! Names and texts that several columns make.

use super::events::{INSERT, Told, read, table};
use super::*;

fn yaml(name: &str) -> String {
    table("[id]", &format!("    customer:\n      customer_id: id\n      name: {name}\n"))
}

fn name(name: &str, cells: &str) -> Result<Option<String>, MapError> {
    let after = format!(r#"{{"id":1,{cells}}}"#);
    let applied = Told { after: &after, ..INSERT }.apply(&yaml(name))?;
    match upserts(&applied).as_slice() {
        [CanonicalRow::Customer(customer)] => Ok(customer.name.as_ref().map(|name| name.expose().to_owned())),
        other => panic!("{other:?}"),
    }
}

fn person(first: &str, last: &str, company: &str) -> String {
    format!(r#""first":{first},"last":{last},"company":{company}"#)
}

fn is(text: &str) -> Result<Option<String>, MapError> {
    Ok(Some(text.to_owned()))
}

#[test]
fn a_name_is_made_of_the_columns_that_are_not_blank() {
    let both = "{columns: [first, last]}";
    assert_eq!(name(both, &person("\"Ines\"", "\"Albers\"", "null")), is("Ines Albers"));
    assert_eq!(name(both, &person("null", "\"Albers\"", "null")), is("Albers"));
    assert_eq!(name(both, &person("\"Ines\"", "\"\"", "null")), is("Ines"));
    assert_eq!(name(both, &person("\" Ines \"", "\"  \"", "null")), is("Ines"));
    assert_eq!(name(both, &person("null", "\"\"", "null")), Ok(None));
    assert_eq!(name("{columns: [company, first, last]}", &person("\"A\"", "\"B\"", "\"C Ltd\"")), is("C Ltd A B"));
}

#[test]
fn another_text_stands_in_for_an_empty_one() {
    let people_first = "{columns: [first, last], empty_is: company}";
    assert_eq!(name(people_first, &person("\"\"", "\"\"", "\"Two Ltd\"")), is("Two Ltd"));
    assert_eq!(name(people_first, &person("\"Ines\"", "\"\"", "\"Two Ltd\"")), is("Ines"));
    assert_eq!(name(people_first, &person("null", "null", "null")), Ok(None));
    let company_first = "{column: company, empty_is: {columns: [first, last], empty_is: {constant: nobody}}}";
    assert_eq!(name(company_first, &person("\"Ines\"", "\"Albers\"", "\"Two Ltd\"")), is("Two Ltd"));
    assert_eq!(name(company_first, &person("\"Ines\"", "\"Albers\"", "\" \"")), is("Ines Albers"));
    assert_eq!(name(company_first, &person("null", "null", "null")), is("nobody"));
}

#[test]
fn one_column_is_as_it_is() {
    for one in ["first", "{column: first}", "{columns: [first]}", "{column: first, pii: true}"] {
        assert_eq!(name(one, &person("\" Ines \"", "null", "null")), is(" Ines "), "{one}");
        assert_eq!(name(one, &person("\"\"", "null", "null")), is(""), "{one}");
        assert_eq!(name(one, &person("null", "null", "null")), Ok(None), "{one}");
    }
}

#[test]
fn a_part_that_is_not_in_the_log_is_no_part() {
    let both = "{columns: [first, last]}";
    let err = name(both, &person("\"__debezium_unavailable_value\"", "\"Albers\"", "null")).unwrap_err();
    assert_eq!((err.column.as_str(), err.reason), ("first", MapReason::Unavailable));
    let err = name(both, r#""first":"Ines""#).unwrap_err();
    assert_eq!((err.column.as_str(), err.reason), ("last", MapReason::Missing));
    let err = name(both, &person("{\"a\":1}", "\"Albers\"", "null")).unwrap_err();
    assert_eq!(err.reason, MapReason::Expected("a text or an integer"));
}

#[test]
fn texts_that_cannot_be_meant_are_refused() {
    for (name, expected) in [
        ("{columns: []}", "name.columns: expected at least one"),
        ("{columns: [a, b], type: integer}", "name: expected type text"),
        ("{columns: [a, {column: b, type: integer}]}", "name: expected names of columns, without types"),
        ("{columns: [a, b], column: c}", "name: expected one of `column` and `columns`"),
        ("{column: a, empty_is: 7}", "name.empty_is: expected a text (put it in quotes)"),
        ("{constant: a, empty_is: b}", "name: a constant has nothing beside it"),
        ("{column: a, codes: {A: b}}", "name: this field has no codes"),
    ] {
        let found = issues(&yaml(name)).join("; ");
        assert!(found.contains(expected), "{name}: {found}");
    }
    assert_eq!(read(&yaml("a")).tables().count(), 1);
}
