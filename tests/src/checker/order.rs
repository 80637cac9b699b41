//! R1: if the answer to x preceded the request y, both debit one account and both were posted, the core posted x first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Known, Rule, Violation};
use crate::history::{Ask, Exchange, Nanos};

/// When a key was first asked for, and when it was first promised.
pub(super) struct Span {
    sent: Nanos,
    pub(super) promised: Option<Nanos>,
}

pub(super) fn check(known: &Known<'_>, found: &mut Vec<Violation>) {
    let spans: BTreeMap<&str, Span> =
        known.keys.iter().filter_map(|(key, exchanges)| Some((*key, span(exchanges)?))).collect();
    let mut accounts: BTreeMap<&str, Vec<(i64, &str)>> = BTreeMap::new();
    for (core_ref, rows) in &known.posted {
        for row in rows.iter().filter(|row| row.effect_minor() < 0) {
            if let Some(key) = known.owners.get(core_ref) {
                accounts.entry(&row.account).or_default().push((row.number, *key));
            }
        }
    }
    for (account, mut rows) in accounts {
        rows.sort_unstable();
        // A second posting of a key is for another rule to judge.
        let mut judged = BTreeSet::new();
        rows.retain(|(_, key)| judged.insert(*key));
        rows.reverse();
        later_promised_earlier(known, found, account, &rows, &spans);
    }
}

/// Goes from the newest posting to the oldest and keeps the earliest promise among those already passed.
fn later_promised_earlier(
    known: &Known<'_>,
    found: &mut Vec<Violation>,
    account: &str,
    rows: &[(i64, &str)],
    spans: &BTreeMap<&str, Span>,
) {
    let mut earliest: Option<(Nanos, &str)> = None;
    for (number, key) in rows {
        let Some(span) = spans.get(key) else { continue };
        if let Some((promised, first)) = earliest.filter(|(promised, first)| *promised < span.sent && first != key) {
            let what = format!(
                "on {account} posting #{number} came before that of {first}, which was answered {} µs before this was sent",
                (span.sent - promised) / 1_000
            );
            known.object(found, Rule::Reordered, key, what);
            if let Some(violation) = found.last_mut() {
                violation.trail.push(format!("and of {first}:"));
                violation.trail.extend(known.trail(first));
            }
        }
        if let Some(promised) = span.promised
            && earliest.is_none_or(|(before, _)| promised < before)
        {
            earliest = Some((promised, key));
        }
    }
}

pub(super) fn span(exchanges: &[&Exchange]) -> Option<Span> {
    let submissions = || exchanges.iter().filter(|exchange| exchange.ask == Ask::Submit);
    let promised = submissions().filter(|e| e.answer().is_some_and(|answer| matches!(answer.status, 201 | 202)));
    Some(Span { sent: submissions().map(|e| e.sent).min()?, promised: promised.map(|e| e.ended).min() })
}
