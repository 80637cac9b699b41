//! What parts of a mapping must agree on: each may be right by itself, and together they cannot be meant.

use super::code::{Predicate, one_boolean};
use super::node::{Members, Problems};
use super::{Amount, BalanceFields, Confirms, Table, TransactionFields};

/// A section that is absent, or there and wrong, or there and read.
type Section<T> = Option<Option<T>>;

/// Looks at the sections of one table. `table` says where it stands.
pub(super) fn within(
    table: &Members<'_>,
    balance: &Section<BalanceFields>,
    transaction: &Section<TransactionFields>,
    confirms: &Section<Confirms>,
    problems: &mut Problems,
) {
    if confirms.is_some() {
        confirms_a_transaction(table, transaction, problems);
    }
    if let Some(Some(confirms)) = confirms {
        one_verdict(table, confirms, problems);
    }
    let mut amounts: Vec<&Amount> = Vec::new();
    amounts.extend(balance.iter().flatten().flat_map(BalanceFields::amounts));
    amounts.extend(transaction.iter().flatten().map(|transaction| &transaction.amount));
    one_form(table, &amounts, problems);
}

/// A posting of ours without a number would confirm nothing, and its hold would never end.
fn confirms_a_transaction(table: &Members<'_>, transaction: &Section<TransactionFields>, problems: &mut Problems) {
    let at = table.path("confirms");
    let Some(fields) = transaction else {
        return problems.add(table.line(), &at, "needs `transaction` on the same table");
    };
    let Some(fields) = fields else { return };
    for (name, missing) in [("core_ref", fields.core_ref.is_none()), ("posting_no", fields.posting_no.is_none())] {
        if missing {
            problems.add(table.line(), &at, format!("needs `transaction.{name}`"));
        }
    }
}

/// A row has one verdict, so two predicates must not both hold for one code of one column.
fn one_verdict(table: &Members<'_>, confirms: &Confirms, problems: &mut Problems) {
    let named = [("posted", &confirms.posted), ("refused", &confirms.refused), ("reversed", &confirms.reversed)];
    for (i, (name, predicate)) in named.iter().enumerate() {
        for (other_name, other) in &named[i + 1..] {
            if let (Some(a), Some(b)) = (predicate, other)
                && overlap(a, b)
            {
                let at = table.path("confirms");
                problems.add(table.line(), &at, format!("`{name}` and `{other_name}` hold for the same rows"));
            }
        }
    }
}

fn overlap(a: &Predicate, b: &Predicate) -> bool {
    let same = |x: &String, y: &String| x == y || one_boolean(x, y);
    a.column == b.column && a.equals.iter().any(|x| b.equals.iter().any(|y| same(x, y)))
}

/// A column is written in one form.
fn one_form(table: &Members<'_>, amounts: &[&Amount], problems: &mut Problems) {
    for (i, amount) in amounts.iter().enumerate() {
        let other = amounts[..i].iter().find(|other| other.column == amount.column && other.format != amount.format);
        if other.is_some() {
            problems.add(
                table.line(),
                table.at(),
                format!("column `{}` is mapped with two types or scales", amount.column),
            );
        }
    }
}

/// Looks at all tables together.
pub(super) fn between(tables: &[Table], line: u64, problems: &mut Problems) {
    numbered_balances(tables, line, problems);
    for (i, table) in tables.iter().enumerate() {
        let same = |other: &&Table| {
            let databases = other.database.as_ref().zip(table.database.as_ref());
            other.name == table.name && databases.is_none_or(|(a, b)| a == b)
        };
        if let Some(other) = tables[..i].iter().find(same) {
            let at = format!("tables.{}", table.full_name());
            problems.add(
                line,
                &at,
                format!("takes the same events as `{}`: qualify both, or drop one", other.full_name()),
            );
        }
    }
}

/// Rows of the table of heartbeats are nothing else.
pub(super) fn heartbeats(
    tables: &[Table],
    heartbeat: Option<&(Option<String>, String)>,
    line: u64,
    problems: &mut Problems,
) {
    let taken = heartbeat.filter(|(_, name)| tables.iter().any(|table| table.name == *name));
    if let Some((_, name)) = taken {
        problems.add(
            line,
            "heartbeat",
            format!("`{name}` is mapped under `tables`, too: its rows are one or the other"),
        );
    }
}

/// A hold ends when a served balance says by its number that it includes the posting.
fn numbered_balances(tables: &[Table], line: u64, problems: &mut Problems) {
    let confirms = tables.iter().any(|table| table.confirms.is_some());
    let unnumbered = |table: &&Table| table.balance.as_ref().is_some_and(|balance| balance.last_posting.is_none());
    for table in tables.iter().filter(unnumbered).filter(|_| confirms) {
        let at = format!("tables.{}.balance", table.name);
        problems.add(
            line,
            &at,
            "needs `last_posting`: postings of this mapping confirm, and holds end by their number",
        );
    }
}
