//! The sections of a table's mapping: which column feeds which field, and why it is thought so.

use super::amounts;
use super::names::{Wanted, has_any, words};
use super::roles::{self, Roles};
use super::shape::{Column, Form, Table};
use crate::mapping::FILL_IN;

/// One line: a field, what feeds it, and the reason. Without a value it is a comment.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) value: Option<String>,
    pub(super) why: String,
}

fn line(name: &'static str, value: impl Into<String>, why: impl Into<String>) -> Line {
    Line { name, value: Some(value.into()), why: why.into() }
}

fn open(name: &'static str, why: impl Into<String>) -> Line {
    line(name, FILL_IN, why)
}

fn hint(name: &'static str, why: impl Into<String>) -> Line {
    Line { name, value: None, why: why.into() }
}

const LINE: Wanted<'static> = Wanted {
    names: &["overdraft limit", "overdraft line", "overdraft", "credit limit"],
    without: &["interest", "rate", "allow", "date"],
    is: Form::is_amount,
};
const HOLDS: Wanted<'static> = Wanted {
    names: &["hold", "held", "on hold", "reserved", "inflight debit", "blocked amount"],
    without: &["id", "date", "type", "reason", "release"],
    is: Form::is_amount,
};
const LAST_POSTING: Wanted<'static> = Wanted {
    names: &["last posting", "last transaction no", "last entry", "last seq"],
    without: &["date", "at", "time"],
    is: |form| form == Form::Integer,
};
const POSTING_NO: Wanted<'static> = Wanted {
    names: &["posting no", "posting number", "entry no", "sequence no", "seq no", "seq"],
    without: &["chain", "account"],
    is: |form| form == Form::Integer,
};
const VALUE_DATE: Wanted<'static> =
    Wanted { names: &["value date", "valuta", "transaction date"], without: &[], is: |form| form == Form::Date };
const REMITTANCE: Wanted<'static> = Wanted {
    names: &["remittance", "description", "narrative", "purpose", "verwendungszweck", "memo", "note", "text"],
    without: &["id", "type"],
    is: Form::is_text,
};
const REFERENCE: Wanted<'static> = Wanted {
    names: &[
        "ext ref",
        "external ref",
        "external reference",
        "client reference",
        "reference",
        "external id",
        "ref no",
        "ref",
    ],
    without: &["type"],
    is: Form::is_text,
};
const REVERSED: Wanted<'static> =
    Wanted { names: &["reversed", "reversal", "is reversed", "voided"], without: &["id", "date"], is: Form::is_code };

pub(super) fn customer(table: &Table, roles: &Roles<'_>) -> Vec<Line> {
    let mut lines = vec![id(
        "customer_id",
        table,
        named_by(roles.account, roles.account.and_then(|account| roles::HOLDER.find(account)), table),
    )];
    lines.push(match (roles::NAME.find(table), roles::FIRST_NAME.find(table), roles::LAST_NAME.find(table)) {
        (Some(name), Some(first), Some(last)) => {
            let value = format!(
                "{{column: {}, empty_is: {{columns: [{}, {}]}}}}",
                plain(&name.name),
                plain(&first.name),
                plain(&last.name)
            );
            line("name", value, "by their names; the persons' names where the first is empty")
        }
        (Some(name), _, _) => line("name", plain(&name.name), "by its name"),
        (None, Some(first), Some(last)) => {
            line("name", format!("{{columns: [{}, {}]}}", plain(&first.name), plain(&last.name)), "by their names")
        }
        _ => hint("name", "no column looks like one; it may be left out"),
    });
    lines
}

pub(super) fn account(table: &Table, roles: &Roles<'_>) -> Vec<Line> {
    let holder = roles::HOLDER.find(table);
    vec![
        account_id(table, roles),
        match holder {
            Some(column) if column.may_be_null => line(
                "customer_id",
                format!("{{column: {}, null_is: none}}", plain(&column.name)),
                "by its name; may be NULL",
            ),
            Some(column) => line("customer_id", plain(&column.name), "by its name"),
            None => {
                open("customer_id", "no column looks like a customer's; write `{constant: none}` if nobody is told")
            }
        },
        currency(table),
        state(table),
    ]
}

pub(super) fn balance(table: &Table, roles: &Roles<'_>) -> Vec<Line> {
    let own = roles.account.is_some_and(|account| std::ptr::eq(account, table));
    let mut lines = vec![
        if own {
            account_id(table, roles)
        } else {
            match roles::of_account(table) {
                Some(column) => line("account_id", plain(&column.name), "by its name"),
                None => id("account_id", table, None),
            }
        },
        currency(table),
    ];
    lines.push(match roles::BOOKED.find(table) {
        Some(column) => {
            let (value, why) = amounts::field(column, "");
            line("booked", value, why)
        }
        None => open("booked", "no column looks like a balance"),
    });
    match roles_line(table) {
        Some((value, why)) => lines.push(line("overdraft_line", value, why)),
        None => lines.push(hint("overdraft_line", "no column looks like one; 0 without it")),
    }
    match amounts::sum(&HOLDS.all(table), ", null_is: 0") {
        Some((value, why)) => lines.push(line("core_holds", value, why)),
        None => lines.push(hint("core_holds", "no column looks like what the core holds; 0 without it")),
    }
    match LAST_POSTING.find(table) {
        Some(column) => lines.push(line(
            "last_posting",
            format!("{{column: {}, type: integer}}", plain(&column.name)),
            "by its name",
        )),
        None => lines.push(hint(
            "last_posting",
            "no column numbers the last posting; for writes say `{by: source-transaction}`, if each posting changes this row in its own transaction",
        )),
    }
    lines
}

fn roles_line(table: &Table) -> Option<(String, String)> {
    LINE.find(table).map(|column| amounts::field(column, ", null_is: 0"))
}

pub(super) fn transaction(table: &Table) -> Vec<Line> {
    let mut lines = vec![id("transaction_id", table, own_id(table))];
    let both = if roles::of_account(table).is_none() { roles::sides(table) } else { None };
    match (both, roles::of_account(table)) {
        (Some((from, to)), _) => {
            let leg = |column: &Column| {
                let null = if column.may_be_null { ", null_is: none" } else { "" };
                format!("{{account_id: {{column: {}{null}}}}}", plain(&column.name))
            };
            let value = format!("{{debit: {}, credit: {}}}", leg(from), leg(to));
            lines.push(line("legs", value, "two accounts in one row, by their names"));
        }
        (None, Some(column)) => {
            lines.push(line("account_id", plain(&column.name), "by its name, or because it refers to accounts"))
        }
        (None, None) => lines.push(open("account_id", "no column looks like the account's")),
    }
    lines.push(match roles::AMOUNT.find(table) {
        Some(column) => {
            let (value, why) = amounts::field(column, "");
            line("amount", value, why)
        }
        None => open("amount", "no column looks like an amount"),
    });
    if both.is_none() {
        lines.push(leg(table));
        match POSTING_NO.find(table) {
            Some(column) => {
                lines.push(line(
                    "posting_no",
                    format!("{{column: {}, type: integer}}", plain(&column.name)),
                    "by its name",
                ));
            }
            None => lines.push(hint("posting_no", "no column looks like a number within the account")),
        }
    }
    lines.push(currency(table));
    lines.push(booked_at(table));
    for (name, wanted, missing) in [
        ("value_date", VALUE_DATE, "no column of days looks like one; the day of the booking without it"),
        ("remittance", REMITTANCE, "no column looks like a text for the customer"),
    ] {
        lines.push(match wanted.find(table) {
            Some(column) => line(name, plain(&column.name), "by its name"),
            None => hint(name, missing),
        });
    }
    let reference = REFERENCE
        .find(table)
        .map_or("none was found".to_owned(), |column| format!("perhaps `{}`", plain(&column.name)));
    lines.push(hint(
        "core_ref",
        format!("the column that holds the reference Locum gives the core: {reference}; needed only with `confirms`"),
    ));
    lines
}

/// What a person should know before all rows are taken for postings.
pub(super) fn doubts(table: &Table) -> Vec<String> {
    let mut doubts = Vec::new();
    let told = |column: &Column| {
        let codes: Vec<&str> = column.codes.iter().map(String::as_str).collect();
        if codes.is_empty() { column.name.clone() } else { format!("{} ({})", column.name, codes.join(", ")) }
    };
    let suspects = roles::STATE.all(table).into_iter().chain(REVERSED.all(table));
    let suspects: Vec<String> = suspects.map(told).collect();
    if !suspects.is_empty() {
        doubts.push(format!(
            "Is every row booked? Otherwise say which are, `where: {{COLUMN: [CODES]}}`, by {}.",
            suspects.join(", ")
        ));
    }
    doubts
}

fn booked_at(table: &Table) -> Line {
    let days = |column: &&Column| column.form == Form::Date;
    let Some(column) = roles::BOOKED_AT.find(table) else {
        return open("booked_at", "no column looks like the time of booking");
    };
    let day = VALUE_DATE.find(table).or_else(|| table.columns.iter().find(days));
    match (column.form, day.filter(|_| column.may_be_null)) {
        (Form::Time(kind), Some(day)) => {
            let null = format!("null_is: {{column: {}, type: date}}", plain(&day.name));
            line(
                "booked_at",
                format!("{{column: {}, type: {kind}, {null}}}", plain(&column.name)),
                "by its name; may be NULL",
            )
        }
        (Form::Time(kind), None) => {
            line("booked_at", format!("{{column: {}, type: {kind}}}", plain(&column.name)), "by its name")
        }
        _ => line(
            "booked_at",
            format!("{{column: {}, type: date}}", plain(&column.name)),
            "a day; no column holds a time",
        ),
    }
}

fn currency(table: &Table) -> Line {
    match roles::CURRENCY.find(table) {
        Some(column) => line("currency", plain(&column.name), "by its name"),
        None => open("currency", "no column looks like one; write `{constant: EUR}` if all rows have one currency"),
    }
}

fn state(table: &Table) -> Line {
    let guess = |code: &str| match code.to_ascii_lowercase() {
        code if code == "a" || code.starts_with("activ") || code.starts_with("open") => "active",
        code if code == "c" || code.starts_with("clos") || code.starts_with("terminat") => "closed",
        code if ["froz", "block", "suspend", "lock"].iter().any(|word| code.starts_with(word)) => "frozen",
        _ => FILL_IN,
    };
    match roles::STATE.find(table) {
        Some(column) => coded("state", column, guess, "active, frozen (no debits) or closed"),
        None => open("state", "no column looks like one; write `{constant: active}` if every account takes postings"),
    }
}

fn leg(table: &Table) -> Line {
    let guess = |code: &str| match code.to_ascii_lowercase() {
        code if ["d", "dr", "s", "soll"].contains(&code.as_str()) || code.starts_with("debit") => "debit",
        code if ["c", "cr", "h", "haben"].contains(&code.as_str()) || code.starts_with("credit") => "credit",
        _ => FILL_IN,
    };
    match roles::LEG.find(table) {
        Some(column) => coded("leg", column, guess, "debit or credit"),
        None => {
            hint("leg", "no column tells debits from credits; without it the amount's sign does: negative is a debit")
        }
    }
}

/// A field of codes, with those that are known.
fn coded(name: &'static str, column: &Column, guess: fn(&str) -> &'static str, meanings: &str) -> Line {
    if column.codes.is_empty() {
        let value = format!("{{column: {}, codes: {{{FILL_IN}: {FILL_IN}}}}}", plain(&column.name));
        return line(name, value, format!("by its name; list its codes, each with {meanings}"));
    }
    let codes = column.codes.iter().map(|code| format!("{}: {}", quoted(code), guess(code)));
    let value = format!("{{column: {}, codes: {{{}}}}}", plain(&column.name), codes.collect::<Vec<_>>().join(", "));
    line(
        name,
        value,
        format!("by its name, with the codes that were seen; each is {meanings}. Codes by words are guesses"),
    )
}

/// A text in YAML, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name in YAML: in quotes where it could be read as something else.
pub(super) fn plain(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_word = ["true", "false", "null"].iter().any(|word| name.eq_ignore_ascii_case(word));
    if is_plain && !is_word { name.to_owned() } else { quoted(name) }
}

/// Names in a list of YAML.
pub(super) fn names(names: &[String]) -> String {
    names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
}

/// An identifier: the column found for it, otherwise the key.
fn id(name: &'static str, table: &Table, found: Option<(String, String)>) -> Line {
    match (found, table.only_key(), table.key.as_slice()) {
        (Some((column, why)), _, _) => line(name, plain(&column), why),
        (None, Some(key), _) => line(name, plain(key), "the table's key"),
        (None, None, []) => open(name, "no primary key is told, and no column looks like it"),
        (None, None, key) => line(name, format!("{{columns: [{}]}}", names(key)), "the table's key"),
    }
}

/// What postings call their account by.
fn account_id(table: &Table, roles: &Roles<'_>) -> Line {
    let naming = roles.transaction.and_then(account_of);
    // `account_id` of a posting is no `account_no` of an account.
    let ending = |name: &str| words(name).pop().filter(|word| ["id", "no", "number"].contains(&word.as_str()));
    let fits = |own: &str| naming.and_then(|column| ending(&column.name)).is_none_or(|word| Some(word) == ending(own));
    let found = named_by(roles.transaction, naming, table);
    id("account_id", table, found.or_else(|| own_id(table).filter(|(own, _)| fits(own))))
}

/// The column of `table` that a column of another table names.
fn named_by(other: Option<&Table>, naming: Option<&Column>, table: &Table) -> Option<(String, String)> {
    let (other, naming) = other.zip(naming)?;
    let told = naming.refers_to.as_ref().filter(|(to, column)| *to == table.name && table.column(column).is_some());
    if let Some((_, column)) = told {
        return Some((column.clone(), format!("{}.{} refers to it", other.name, naming.name)));
    }
    let same = table.column(&naming.name).filter(|_| !std::ptr::eq(other, table))?;
    Some((same.name.clone(), format!("{} has a column of this name, too", other.name)))
}

fn account_of(table: &Table) -> Option<&Column> {
    roles::of_account(table).or_else(|| roles::sides(table).map(|(from, _)| from))
}

/// A column that is called after its table, such as `transaction_id` of `transactions`.
fn own_id(table: &Table) -> Option<(String, String)> {
    let name = words(&table.name);
    let is_own = |column: &&Column| {
        let own = words(&column.name);
        let of_table = own.len() == 2
            && has_any(&own, &["id", "no", "number"])
            && name.iter().any(|word| has_any(&own, &[word.as_str(), word.trim_end_matches('s')]));
        of_table && column.form.is_id() && !table.key.contains(&column.name)
    };
    // A key of several columns says more than a name.
    let only = table.key.len() < 2;
    let column = table.columns.iter().find(is_own).filter(|_| only)?;
    Some((column.name.clone(), "called after its table".to_owned()))
}
