//! What parts of a mapping must agree on: each may be right by itself, and together they cannot be meant.

use super::amount::{Amount, Term};
use super::choice::Choice;
use super::code::{Code, Predicate};
use super::links::lead_to_postings;
use super::node::{Members, Problems};
use super::table::{BalanceFields, Confirms, Table, TransactionFields};
use crate::model::Entity;

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
    amounts.extend(transaction.iter().flatten().flat_map(TransactionFields::amounts));
    one_form(table, &amounts, problems);
}

/// A posting of ours without a number would confirm nothing, and its hold would never end.
fn confirms_a_transaction(table: &Members<'_>, transaction: &Section<TransactionFields>, problems: &mut Problems) {
    let at = table.path("confirms");
    let Some(fields) = transaction else {
        return problems.add(table.line(), &at, "needs `transaction` on the same table");
    };
    let Some(fields) = fields else { return };
    let unnumbered = fields.postings.iter().any(|posting| posting.posting_no.is_none());
    for (name, missing) in [("core_ref", fields.core_ref.is_none()), ("posting_no", unnumbered)] {
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
    a.column == b.column && a.codes.iter().any(|x| b.codes.iter().any(|y| x.overlaps(y)))
}

/// Looks at what makes rows of a table end what they fed beside what else the mapping says of the table.
pub(super) fn filtered(at: &Members<'_>, table: &Table, problems: &mut Problems) {
    one_row_each(at, table, problems);
    if table.is_filtered() {
        verdicts_are_seen(at, table, problems);
        let state = table.account.as_ref().and_then(|account| account.state.codes());
        let postings = table.transaction.iter().flat_map(|transaction| &transaction.postings);
        let leg = postings.filter_map(|posting| posting.leg.as_ref()).find_map(Choice::codes);
        for (name, listed) in [("account.state", state), ("transaction.leg", leg)] {
            if let Some((column, codes)) = listed {
                codes_are_listed(at, table, (name, column, &codes), problems);
            }
        }
    }
}

/// A row that is not meant any more ends what it fed, and a row without a leg what the leg had fed. So no other row may feed the same.
fn one_row_each(at: &Members<'_>, table: &Table, problems: &mut Problems) {
    let ends = |entity: Entity| table.is_filtered() || (entity == Entity::Transaction && table.may_lack_a_leg());
    for (entity, id) in table.ids().into_iter().filter(|(entity, id)| ends(*entity) && table.key_tells(id)) {
        let alone = |column: &&String| !id.columns().any(|own| own == *column) && !table.filter.pins(column);
        if let Some(column) = table.key.iter().find(alone) {
            let entity = entity.as_str();
            let problem = format!(
                "rows that differ in `{column}` alone feed one {entity}, and the end of one of them would end it: name \
                 `{column}` here with one code, or make it a part of the identifier of the {entity}"
            );
            problems.add(at.line(), &at.path("where"), problem);
        }
    }
}

/// A verdict of rows that are skipped is never given.
fn verdicts_are_seen(at: &Members<'_>, table: &Table, problems: &mut Problems) {
    let Some(Confirms { posted, refused, reversed }) = &table.confirms else { return };
    for (name, predicate) in [("posted", posted), ("refused", refused), ("reversed", reversed)] {
        let Some(predicate) = predicate else { continue };
        let mut tests = table.filter.0.iter().filter(|test| test.column == predicate.column);
        if tests.any(|test| !predicate.codes.iter().any(|code| test.admits(code))) {
            let problem = format!("skips all rows that `confirms.{name}` names; let them through, or drop `{name}`");
            problems.add(at.line(), &at.path("where"), problem);
        }
    }
}

/// A row that passes must not fail by its code.
fn codes_are_listed(
    at: &Members<'_>,
    table: &Table,
    (name, column, listed): (&str, &str, &[Code]),
    problems: &mut Problems,
) {
    let tests = table.filter.0.iter().filter(|test| test.column == column && !test.not);
    for code in tests.flat_map(|test| &test.codes) {
        if !listed.iter().any(|own| own.overlaps(code)) {
            let problem =
                format!("lets `{code}` through, and `{name}` does not list it; add it there, or drop it here");
            problems.add(at.line(), &at.path("where"), problem);
        }
    }
}

/// A column is written in one form.
fn one_form(table: &Members<'_>, amounts: &[&Amount], problems: &mut Problems) {
    let terms: Vec<&Term> = amounts.iter().flat_map(|amount| &amount.terms).collect();
    for (i, term) in terms.iter().enumerate() {
        if terms[..i].iter().any(|other| other.column == term.column && other.format != term.format) {
            let problem = format!("column `{}` is mapped with two types, scales or units", term.column);
            problems.add(table.line(), table.at(), problem);
        }
    }
}

/// Looks at all tables together.
pub(super) fn between(tables: &[Table], line: u64, problems: &mut Problems) {
    numbered_balances(tables, line, problems);
    lead_to_postings(tables, line, problems);
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
    let confirms = tables.iter().any(|table| table.confirms.is_some() || table.links.is_some());
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
