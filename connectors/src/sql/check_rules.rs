//! What declared answers must satisfy.

use std::collections::BTreeMap;

use schemas::money::Currency;
use serde_json::Value;

use super::config::{
    ColumnDirection, ColumnUnit, EnquiryQuery, ErrorCode, LegColumns, PostingColumns, SqlOperation, SqlRefusal, SqlRule,
};
use super::errors::{Call, why_not};
use crate::check;
use crate::findings::Findings;

/// Longest name of a column, on either server.
const COLUMN_CHARS_MAX: usize = 64;

/// What a rule may be about, besides columns.
#[derive(Clone, Copy)]
pub(super) struct Allowed {
    /// Errors that end this call.
    errors: Option<Call>,
    /// That there is no row.
    no_row: bool,
}

impl Allowed {
    /// Nothing but columns.
    pub(super) const ROWS: Self = Self { errors: None, no_row: false };
    const NO_ROW: Self = Self { errors: None, no_row: true };

    fn errors_of(call: Call) -> Self {
        Self { errors: Some(call), no_row: false }
    }
}

/// The answers of a post.
pub(super) fn post(operation: &SqlOperation, call: Call, at: &str, found: &mut Findings) {
    let post = &operation.post;
    rules(&post.accepted, Allowed::ROWS, &format!("{at}.post.accepted"), found);
    refusals(&post.refused, &operation.refusals, Some(call), &format!("{at}.post.refused"), found);
    optional_rules(&post.duplicate, Allowed::errors_of(call), &format!("{at}.post.duplicate"), found);
    optional_rules(&post.not_done, Allowed::errors_of(call), &format!("{at}.post.not-done"), found);
    let (has_rule, can_ask) = (!post.duplicate.is_empty(), operation.enquiry.is_some());
    check::duplicate_means(post.duplicate_means, has_rule, can_ask, at, found);
    two_kinds(operation, at, found);
    posting(&post.posting, &format!("{at}.post.posting"), found);
    let read = !post.refused.is_empty() || operation.enquiry.as_ref().is_some_and(|ask| !ask.refused.is_empty());
    check::refusal_reasons(&operation.refusals, read, at, found);
}

/// One error of two kinds would say nothing.
fn two_kinds(operation: &SqlOperation, at: &str, found: &mut Findings) {
    let post = &operation.post;
    let kinds = [
        ("refused", post.refused.iter().flat_map(|rule| &rule.error).collect::<Vec<_>>()),
        ("duplicate", post.duplicate.iter().flat_map(|rule| &rule.error).collect()),
        ("not-done", post.not_done.iter().flat_map(|rule| &rule.error).collect()),
    ];
    for (index, (kind, codes)) in kinds.iter().enumerate() {
        for (other, others) in &kinds[..index] {
            for code in codes.iter().filter(|code| others.contains(code)) {
                let text = format!("error {} stands under `{other}`, too; it can mean one thing only", code.text());
                found.add(&format!("{at}.post.{kind}"), text);
            }
        }
    }
}

/// The answers of an enquiry.
pub(super) fn enquiry(ask: &EnquiryQuery, declared: &BTreeMap<String, String>, at: &str, found: &mut Findings) {
    rules(&ask.found, Allowed::ROWS, &format!("{at}.enquiry.found"), found);
    refusals(&ask.refused, declared, None, &format!("{at}.enquiry.refused"), found);
    rules(&ask.not_found, Allowed::NO_ROW, &format!("{at}.enquiry.not-found"), found);
    if let Some(config) = &ask.posting {
        posting(config, &format!("{at}.enquiry.posting"), found);
    }
}

/// Rules of which there must be one.
pub(super) fn rules(rules: &[SqlRule], allowed: Allowed, at: &str, found: &mut Findings) {
    found.must(!rules.is_empty(), at, "declares no answer");
    optional_rules(rules, allowed, at, found);
}

/// Rules, if any.
pub(super) fn optional_rules(rules: &[SqlRule], allowed: Allowed, at: &str, found: &mut Findings) {
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let parts = [!rule.when.is_empty(), !rule.error.is_empty(), rule.rows.is_some()];
        let told = "needs exactly one of `when` with columns, `error` with codes and `rows: none`";
        found.must(parts.iter().filter(|part| **part).count() == 1, &at, told);
        found.must(
            rule.rows.is_none() || allowed.no_row,
            &format!("{at}.rows"),
            "is for `not-found` of an enquiry only",
        );
        conditions(&rule.when, &at, found);
        errors(&rule.error, allowed.errors, &at, found);
    }
}

fn refusals(
    rules: &[SqlRefusal],
    declared: &BTreeMap<String, String>,
    call: Option<Call>,
    at: &str,
    found: &mut Findings,
) {
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{i}]");
        found.must(!declared.is_empty(), &at, "the operation declares no `refusals`");
        let by_error = !rule.error.is_empty();
        let told = "needs either `code` with a column, or `error` with codes, which are refusal codes themselves";
        found.must(by_error != rule.code.is_some() && (!by_error || rule.when.is_empty()), &at, told);
        if let Some(name) = &rule.code {
            column(name, &format!("{at}.code"), found);
        }
        conditions(&rule.when, &at, found);
        errors(&rule.error, call, &at, found);
        for code in rule.error.iter().filter(|code| !declared.contains_key(&code.text())) {
            found.add(&format!("{at}.error"), format!("{} is not among the operation's `refusals`", code.text()));
        }
    }
}

fn errors(codes: &[ErrorCode], call: Option<Call>, at: &str, found: &mut Findings) {
    let at = format!("{at}.error");
    for code in codes {
        match call {
            None => found.add(&at, "cannot be declared here: only what a call rolled back is told by an error"),
            Some(call) => {
                if let Some(why) = why_not(code, call) {
                    found.add(&at, format!("{} {why}", code.text()));
                }
            }
        }
    }
}

fn conditions(when: &BTreeMap<String, Value>, at: &str, found: &mut Findings) {
    for (name, expected) in when {
        let at = format!("{at}.when.{name}");
        column(name, &at, found);
        check::scalar(expected, &at, found);
    }
}

fn posting(config: &PostingColumns, at: &str, found: &mut Findings) {
    for (name, of) in [("reference", &config.reference), ("id", &config.id)] {
        optional_column(of.as_deref(), &format!("{at}.{name}"), found);
    }
    for (i, one) in config.legs.iter().enumerate() {
        leg(one, &format!("{at}.legs[{i}]"), found);
    }
    let told = config.legs.iter().filter(|leg| leg.amount.is_some()).count();
    found.must(told == 0 || told == config.legs.len(), &format!("{at}.legs"), "some tell an amount and some do not");
}

fn leg(config: &LegColumns, at: &str, found: &mut Findings) {
    column(&config.account, &format!("{at}.account"), found);
    optional_column(config.number.as_deref(), &format!("{at}.number"), found);
    let Some(amount) = &config.amount else { return };
    column(&amount.column, &format!("{at}.amount.column"), found);
    let unit_at = format!("{at}.amount.unit");
    match &amount.unit {
        ColumnUnit::Minor => {}
        ColumnUnit::Currency(code) => found.must(Currency::parse(code).is_ok(), &unit_at, "is not a currency we know"),
        ColumnUnit::CurrencyColumn(name) => column(name, &unit_at, found),
    }
    if let ColumnDirection::Coded { column: name, debit, credit } = &amount.direction {
        column(name, &format!("{at}.amount.direction.coded.column"), found);
        found.must(debit != credit, &format!("{at}.amount.direction.coded"), "debit and credit have the same code");
    }
}

fn optional_column(name: Option<&str>, at: &str, found: &mut Findings) {
    if let Some(name) = name {
        column(name, at, found);
    }
}

fn column(name: &str, at: &str, found: &mut Findings) {
    let usable = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let named = (1..=COLUMN_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(usable);
    found.must(named, at, "is not a column's name: letters, digits, _ and $; give the column another name with AS");
}
