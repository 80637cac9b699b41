//! What a mapping uses of the core's tables and what it leaves out, for a person who checks it. Decides nothing: it asks what
//! the events are applied with.

use std::collections::BTreeSet;

use super::choice::Choice;
use super::currency::CurrencyField;
use super::table::{Table, TransactionFields};
use super::view::View;
use super::{MapReason, Mapping};
use crate::debezium::{Cell, ChangeEvent, Row};
use crate::position::Version;

/// Longest code that is shown, in characters: a code is short, and what is not short is none.
const CODE_CHARS_MAX: usize = 64;

/// A mapped table with the columns that the mapping uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUse {
    /// The table, as [`Mapping::tables`] names it.
    pub table: String,
    /// Every column that a field, a filter, a condition or the key names.
    pub columns: BTreeSet<String>,
}

/// A code that occurs in a row and that a place of the mapping does not list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unlisted {
    /// Where in its table's mapping: `where`, `account.state`, `transaction.leg`, `currency` or `confirms`.
    pub place: &'static str,
    /// The column; several, joined, where a place looks at several.
    pub column: String,
    /// As it came.
    pub code: String,
}

impl Mapping {
    /// The mapped tables with the columns that each uses, in the order of the mapping.
    pub fn uses(&self) -> Vec<TableUse> {
        self.tables.iter().map(|table| TableUse { table: table.full_name(), columns: columns(table) }).collect()
    }

    /// The mapped table that takes an event, as [`Mapping::tables`] names it.
    pub fn table_of(&self, event: &ChangeEvent<'_>) -> Option<String> {
        self.table(event).map(Table::full_name)
    }

    /// The codes of an event's row that its table's mapping does not list. A row that the filter leaves out is told by the codes
    /// that leave it out, and by no others.
    pub fn unlisted(&self, event: &ChangeEvent<'_>) -> Vec<Unlisted> {
        let Some((table, after)) = self.table(event).zip(event.after.as_ref()) else { return Vec::new() };
        let view = View::plain(self, table, event, Version::floor(0), &[]);
        let mut found = Vec::new();
        for test in &table.filter.0 {
            if matches!(view.passes_test(after, test), Ok(false)) {
                found.push(unlisted("where", &[&test.column], after));
            }
        }
        for field in table.currencies() {
            view.unlisted_currency(after, field, &mut found);
        }
        if !matches!(view.passes(after), Ok(true)) {
            return found;
        }
        if let Some(account) = &table.account {
            view.unlisted_choice("account.state", after, &account.state, &mut found);
        }
        let postings = table.transaction.iter().flat_map(|transaction| &transaction.postings);
        for leg in postings.filter_map(|posting| posting.leg.as_ref()) {
            view.unlisted_choice("transaction.leg", after, leg, &mut found);
        }
        view.unlisted_verdict(after, &mut found);
        found
    }
}

impl View<'_> {
    fn unlisted_choice<T: Copy>(
        &self,
        place: &'static str,
        row: &Row<'_>,
        choice: &Choice<T>,
        found: &mut Vec<Unlisted>,
    ) {
        if self.choose(row, choice).is_err_and(|err| err.reason == MapReason::UnknownCode) {
            found.push(unlisted(place, &choice.columns(), row));
        }
    }

    fn unlisted_currency(&self, row: &Row<'_>, field: &CurrencyField, found: &mut Vec<Unlisted>) {
        let Some(column) = &field.column else { return };
        if self.currency(row, field).is_err_and(|err| err.reason == MapReason::UnknownCurrency) {
            let code = unlisted("currency", &[column], row);
            if !found.contains(&code) {
                found.push(code);
            }
        }
    }

    /// A row with our reference of which no predicate says what it is confirms nothing, for ever.
    fn unlisted_verdict(&self, row: &Row<'_>, found: &mut Vec<Unlisted>) {
        let Some(confirms) = &self.table.confirms else { return };
        let reference = self.table.transaction.as_ref().and_then(|transaction| transaction.core_ref.as_ref());
        let found = reference.and_then(|reference| self.reference(row, reference).ok().flatten());
        let is_ours = found.is_some_and(|found| !found.is_empty());
        let Some(posted) = confirms.posted.as_ref().filter(|_| is_ours) else { return };
        let named = [Some(posted), confirms.refused.as_ref(), confirms.reversed.as_ref()];
        if named.into_iter().flatten().all(|predicate| matches!(self.holds(row, predicate), Ok(false))) {
            found.push(unlisted("confirms", &[&posted.column], row));
        }
    }
}

fn unlisted(place: &'static str, columns: &[&String], row: &Row<'_>) -> Unlisted {
    let mut distinct: Vec<&str> = Vec::with_capacity(columns.len());
    for column in columns {
        if !distinct.contains(&column.as_str()) {
            distinct.push(column);
        }
    }
    let codes: Vec<String> = distinct.iter().map(|column| shown(row.get(column))).collect();
    Unlisted { place, column: distinct.join(", "), code: codes.join(", ") }
}

fn shown(cell: Option<Cell<'_>>) -> String {
    match cell {
        None => "(no such column)".to_owned(),
        Some(cell) if cell.is_null() => "NULL".to_owned(),
        Some(cell) => cell.text().unwrap_or_else(|| cell.json().into()).chars().take(CODE_CHARS_MAX).collect(),
    }
}

/// Every column that a table's mapping names.
fn columns(table: &Table) -> BTreeSet<String> {
    let mut named: Vec<&String> = table.key.iter().chain(table.filter.columns()).collect();
    named.extend(table.ids().into_iter().flat_map(|(_, id)| id.columns()));
    named.extend(table.currencies().filter_map(|field| field.column.as_ref()));
    named.extend(table.amounts().flat_map(|amount| amount.columns()));
    if let Some(customer) = &table.customer {
        named.extend(customer.name.iter().flat_map(|name| name.columns()));
    }
    if let Some(account) = &table.account {
        named.extend(account.customer_id.id.iter().flat_map(|id| id.columns()));
        named.extend(account.state.columns());
        named.extend(account.product.iter().flat_map(|product| product.columns()));
    }
    named.extend(table.balance.iter().filter_map(|balance| balance.last_posting.as_ref()?.column()));
    if let Some(transaction) = &table.transaction {
        named.extend(of_transaction(transaction));
    }
    if let Some(confirms) = &table.confirms {
        let predicates = [&confirms.posted, &confirms.refused, &confirms.reversed];
        named.extend(predicates.into_iter().flatten().map(|predicate| &predicate.column));
    }
    named.extend(table.links.iter().flat_map(|links| links.columns()));
    named.extend(table.refusals.iter().flat_map(|refusals| refusals.columns()));
    named.into_iter().cloned().collect()
}

fn of_transaction(fields: &TransactionFields) -> Vec<&String> {
    let mut named: Vec<&String> = Vec::new();
    for posting in &fields.postings {
        named.extend(posting.account_id.columns());
        named.extend(&posting.posting_no);
        named.extend(posting.leg.iter().flat_map(|leg| leg.columns()));
    }
    named.extend(fields.booked_at.columns());
    named.extend(&fields.value_date);
    named.extend(fields.remittance.iter().flat_map(|words| words.columns()));
    named.extend(fields.core_ref.iter().map(|reference| reference.column()));
    named
}
