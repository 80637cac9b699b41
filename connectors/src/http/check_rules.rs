//! What declared answers must satisfy.

use http::header::HeaderName;
use schemas::money::Currency;
use serde_json::Value;

use super::config::{
    CodeAt, Conditions, Direction, DuplicateMeans, Echo, EnquiryConfig, LegConfig, OperationConfig, PostingConfig,
    RefusalRule, Rule, Unit,
};
use crate::check;
use crate::findings::Findings;

/// The answers of a post.
pub(super) fn post(operation: &OperationConfig, at: &str, found: &mut Findings) {
    let post = &operation.post;
    let accepted_at = format!("{at}.post.accepted");
    match post.pending.is_empty() {
        true => rules(&post.accepted, &accepted_at, found),
        false => optional_rules(&post.accepted, &accepted_at, found),
    }
    refusals(&post.refused, !operation.refusals.is_empty(), &format!("{at}.post.refused"), found);
    optional_rules(&post.duplicate, &format!("{at}.post.duplicate"), found);
    pending(operation, at, found);
    let (has_rule, can_ask) = (!post.duplicate.is_empty(), operation.enquiry.is_some());
    check::duplicate_means(post.duplicate_means, has_rule, can_ask, at, found);
    echo(post.echo.as_ref(), &format!("{at}.post.echo"), found);
    optional_rules(&post.not_done, &format!("{at}.post.not-done"), found);
    posting(&post.posting, &format!("{at}.post.posting"), found);
    let read = !post.refused.is_empty() || operation.enquiry.as_ref().is_some_and(|ask| !ask.refused.is_empty());
    check::refusal_reasons(&operation.refusals, read, at, found);
}

/// What is booked later must look like nothing else wherever it is asked about.
fn pending(operation: &OperationConfig, at: &str, found: &mut Findings) {
    const ACCEPTED: u16 = 202;
    let post = &operation.post;
    for (i, rule) in post.pending.iter().enumerate() {
        let at = format!("{at}.post.pending[{i}]");
        statuses(&rule.status, &at, found);
        conditions(rule.conditions(), &at, found);
        found.must(
            rule.conditions().any_of_body() || rule.status.iter().all(|status| *status == ACCEPTED),
            &format!("{at}.when"),
            "is empty; only 202 may be declared bare: any other status may come from a proxy",
        );
    }
    if post.pending.is_empty() {
        return;
    }
    found.must(
        post.duplicate_means != DuplicateMeans::Posted,
        &format!("{at}.post.duplicate-means"),
        "must not be `posted` beside `pending`: a known reference may be one that the core has not booked yet",
    );
    found.must(
        operation.enquiry.as_ref().is_none_or(|ask| !ask.pending.is_empty()),
        &format!("{at}.enquiry.pending"),
        "is missing: what the core books later must not look as if there were nothing; where it finds only what it has booked, leave \
         the enquiry out",
    );
}

/// The answers of an enquiry.
pub(super) fn enquiry(ask: &EnquiryConfig, has_codes: bool, at: &str, found: &mut Findings) {
    rules(&ask.found, &format!("{at}.enquiry.found"), found);
    optional_rules(&ask.pending, &format!("{at}.enquiry.pending"), found);
    refusals(&ask.refused, has_codes, &format!("{at}.enquiry.refused"), found);
    rules(&ask.not_found, &format!("{at}.enquiry.not-found"), found);
    echo(ask.echo.as_ref(), &format!("{at}.enquiry.echo"), found);
    if let Some(config) = &ask.posting {
        posting(config, &format!("{at}.enquiry.posting"), found);
    }
}

/// Rules of which there must be one.
pub(super) fn rules(rules: &[Rule], at: &str, found: &mut Findings) {
    found.must(!rules.is_empty(), at, "declares no answer");
    optional_rules(rules, at, found);
}

/// Rules, if any.
pub(super) fn optional_rules(rules: &[Rule], at: &str, found: &mut Findings) {
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{i}]");
        statuses(&rule.status, &at, found);
        conditions(rule.conditions(), &at, found);
        found.must(
            rule.conditions().any_of_body(),
            &format!("{at}.when"),
            "is empty; a bare status may come from a proxy, and so may a header: say with `when`, `exists` or `empty` what the \
             body holds",
        );
    }
}

fn refusals(rules: &[RefusalRule], has_codes: bool, at: &str, found: &mut Findings) {
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{i}]");
        statuses(&rule.status, &at, found);
        conditions(rule.conditions(), &at, found);
        code(&rule.code, &format!("{at}.code"), found);
        found.must(has_codes, &at, "the operation declares no `refusals`");
    }
}

fn statuses(statuses: &[u16], at: &str, found: &mut Findings) {
    let answers = !statuses.is_empty() && statuses.iter().all(|s| matches!(s, 200..=299 | 400..=599));
    found.must(answers, &format!("{at}.status"), "needs statuses of 200..299 or 400..599");
}

/// What an answer must hold.
pub(super) fn conditions(asked: Conditions<'_>, at: &str, found: &mut Findings) {
    for (path, expected) in asked.when {
        let at = format!("{at}.when.{path}");
        pointer(path, &at, found);
        check::scalar(expected, &at, found);
    }
    for path in &asked.exists.0 {
        pointer(path, &format!("{at}.exists.{path}"), found);
    }
    for path in &asked.empty.0 {
        let at = format!("{at}.empty.{path}");
        pointer(path, &at, found);
        let both = asked.exists.0.contains(path) || asked.when.contains_key(path);
        found.must(!both, &at, "is also in `exists` or `when`; no answer fulfils both");
    }
    for (name, expected) in asked.when_header {
        let at = format!("{at}.when-header.{name}");
        found.must(HeaderName::try_from(name).is_ok(), &at, "is not a header's name");
        found.must(
            matches!(expected, Value::String(_) | Value::Null),
            &at,
            "must be a text (in quotes where YAML takes it for something else), or null where the header must be missing",
        );
    }
}

fn code(at: &CodeAt, place: &str, found: &mut Findings) {
    match at {
        CodeAt::Pointer(path) => pointer(path, place, found),
        CodeAt::Prefix(prefix) => {
            pointer(&prefix.at, &format!("{place}.at"), found);
            let until_at = format!("{place}.until");
            found.must(
                !prefix.until.is_empty(),
                &until_at,
                "is empty; write what stands behind the code, such as \":\"",
            );
        }
    }
}

fn posting(config: &PostingConfig, at: &str, found: &mut Findings) {
    for (name, path) in [("reference", &config.reference), ("id", &config.id)] {
        optional_pointer(path.as_deref(), &format!("{at}.{name}"), found);
    }
    for (i, one) in config.legs.iter().enumerate() {
        leg(one, &format!("{at}.legs[{i}]"), found);
    }
    let told = config.legs.iter().filter(|leg| leg.amount.is_some()).count();
    found.must(told == 0 || told == config.legs.len(), &format!("{at}.legs"), "some tell an amount and some do not");
}

fn leg(config: &LegConfig, at: &str, found: &mut Findings) {
    pointer(&config.account, &format!("{at}.account"), found);
    optional_pointer(config.each.as_deref(), &format!("{at}.each"), found);
    optional_pointer(config.number.as_deref(), &format!("{at}.number"), found);
    let Some(amount) = &config.amount else { return };
    pointer(&amount.at, &format!("{at}.amount.at"), found);
    let unit_at = format!("{at}.amount.unit");
    match &amount.unit {
        Unit::Minor => {}
        Unit::Currency(code) => found.must(Currency::parse(code).is_ok(), &unit_at, "is not a currency we know"),
        Unit::AnswerCurrency(path) | Unit::LegCurrency(path) => pointer(path, &unit_at, found),
    }
    if let Direction::Coded { pointer: path, debit, credit } = &amount.direction {
        pointer(path, &format!("{at}.amount.direction.coded.pointer"), found);
        found.must(debit != credit, &format!("{at}.amount.direction.coded"), "debit and credit have the same code");
    }
}

fn echo(config: Option<&Echo>, at: &str, found: &mut Findings) {
    match config {
        None => {}
        Some(Echo::Body(path)) => pointer(path, &format!("{at}.body"), found),
        Some(Echo::Header(name)) => {
            let named = HeaderName::try_from(name).is_ok();
            found.must(named, &format!("{at}.header"), "is not a header's name");
        }
    }
}

fn optional_pointer(path: Option<&str>, at: &str, found: &mut Findings) {
    if let Some(path) = path {
        pointer(path, at, found);
    }
}

/// A JSON pointer.
pub(super) fn pointer(path: &str, at: &str, found: &mut Findings) {
    let escapes = path.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    found.must((path.is_empty() || path.starts_with('/')) && escapes, at, "is not a JSON pointer (RFC 6901)");
}
