//! W7: what was said about a key over time fits together; and a living Locum always answers, within its vocabulary.

use super::{Known, Rule, Violation, asked};
use crate::history::{Answer, Ask, End, Exchange, Nanos, Transfer, minor};

/// Members of a transfer that never change once they were said.
const FIXED: [&str; 3] = ["transfer_id", "core_reference", "created_at"];

/// One thing that was said about a key.
struct Said<'a> {
    sent: Nanos,
    ended: Nanos,
    answer: &'a Answer,
    status: &'a str,
    /// Why it failed, where that was said.
    reason: Option<&'a str>,
}

pub(super) fn check(known: &Known<'_>, found: &mut Vec<Violation>) {
    for (key, exchanges) in &known.keys {
        let mut said: Vec<Said<'_>> = Vec::new();
        for exchange in exchanges {
            if let Some(heard) = hear(known, found, exchange) {
                said.push(heard);
            }
        }
        if let Some(shown) = known.evidence.shown.get(*key).filter(|shown| shown.status == 200) {
            let status = shown.text("status").unwrap_or("");
            said.push(Said {
                sent: Nanos::MAX,
                ended: Nanos::MAX,
                answer: shown,
                status,
                reason: shown.text("reason"),
            });
        }
        let what = contradiction(&said).or_else(|| altered(&said, asked(exchanges))).or_else(|| forgotten(exchanges));
        if let Some(what) = what {
            known.object(found, Rule::Contradiction, key, what);
        }
    }
}

/// What an exchange says about its key; objects to what a living Locum never answers.
fn hear<'a>(known: &Known<'_>, found: &mut Vec<Violation>, exchange: &'a Exchange) -> Option<Said<'a>> {
    let answer = match &exchange.end {
        End::Answered(answer) => answer,
        End::Broken(why) => {
            if !known.evidence.history.was_away(exchange.instance, exchange.sent, exchange.ended) {
                known.object(found, Rule::ServerError, &exchange.key, format!("a living Locum gave no answer: {why}"));
            }
            return None;
        }
    };
    let said =
        |status| Some(Said { sent: exchange.sent, ended: exchange.ended, answer, status, reason: reason(answer) });
    match (exchange.ask, answer.status, answer.text("status")) {
        (Ask::Submit, 201, Some(status @ ("COMPLETED" | "FAILED" | "CANCELLED"))) => said(status),
        (Ask::Submit, 202, Some(status @ "PROCESSING")) => said(status),
        (Ask::Submit, 422, _) if answer.text("transfer_id").is_some() => said("FAILED"),
        (Ask::Look, 200, Some(status)) => said(status),
        (Ask::Look, 404, _) => None,
        (_, 500..=599, _) => {
            if !is_excused(known, exchange, answer) {
                known.object(found, Rule::ServerError, &exchange.key, "a living Locum answered 5xx");
            }
            None
        }
        _ => {
            let what = format!("{:?} was answered {} {}", exchange.ask, answer.status, answer.body);
            known.object(found, Rule::WrongAnswer, &exchange.key, what);
            None
        }
    }
}

/// What hung while the store was away is found out by who holds the replay's fence. A fence that could not be renewed ends by itself, after
/// ten seconds.
const FOUND_OUT_WITHIN: Nanos = 15_000_000_000;

/// While the store kept everybody waiting it may be called away, if no new key is called safe: an earlier request may have
/// been kept. While the core decided others, one may still wait for its decision; and while what hung with the store is found out.
fn is_excused(known: &Known<'_>, exchange: &Exchange, answer: &Answer) -> bool {
    let (history, code) = (&known.evidence.history, answer.text("code").unwrap_or(""));
    let occasion = match code {
        "journal-unavailable" | "acceptance-unknown" => history.store_was_slow(exchange.sent, exchange.ended),
        "decision-pending" => {
            history.core_decided(exchange.sent, exchange.ended)
                || history.store_was_slow(exchange.sent.saturating_sub(FOUND_OUT_WITHIN), exchange.ended)
        }
        _ => false,
    };
    let safe = answer.body["safe_to_use_new_key"].as_bool();
    occasion
        && answer.body["retryable"] == true
        && (safe == Some(false) || (safe.is_none() && code == "journal-unavailable"))
}

fn reason(answer: &Answer) -> Option<&str> {
    if answer.status == 422 { answer.text("code") } else { answer.text("reason") }
}

/// PROCESSING may be followed by anything, an end only by itself.
fn contradiction(said: &[Said<'_>]) -> Option<String> {
    let ends: Vec<_> = said.iter().filter(|said| said.status != "PROCESSING").collect();
    for pair in ends.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        if a.status != b.status {
            return Some(format!("said {} and said {}", a.status, b.status));
        }
        if let (Some(one), Some(other)) = (a.reason, b.reason)
            && one != other
        {
            return Some(format!("failed because of {one} and because of {other}"));
        }
    }
    let first_end = ends.iter().map(|said| said.ended).min()?;
    let back = said.iter().find(|said| said.status == "PROCESSING" && said.sent > first_end)?;
    Some(format!("said PROCESSING at {} ns after it had ended", back.ended))
}

/// A look-up that found nothing although the key had been acknowledged before it was sent.
fn forgotten(exchanges: &[&Exchange]) -> Option<String> {
    let acknowledged = |e: &&&Exchange| e.answer().is_some_and(Answer::acknowledges);
    let since = exchanges.iter().filter(acknowledged).map(|e| e.ended).min()?;
    let nothing = |e: &&&Exchange| e.ask == Ask::Look && e.answer().is_some_and(|answer| answer.status == 404);
    let look = exchanges.iter().filter(nothing).find(|e| e.sent > since)?;
    Some(format!("unknown at {} ns, after it had been acknowledged", look.ended))
}

/// Identity and content of the transfer stay what they were.
fn altered(said: &[Said<'_>], asked: Option<&Transfer>) -> Option<String> {
    for name in FIXED {
        let mut values = said.iter().filter_map(|said| said.answer.text(name));
        if let Some(first) = values.next()
            && let Some(other) = values.find(|value| *value != first)
        {
            return Some(format!("{name} was {first} and {other}"));
        }
    }
    let asked = asked?;
    let other = said.iter().filter(|said| said.answer.status != 422).find(|said| !shows(said.answer, asked))?;
    Some(format!("another transfer than the one asked for: {}", other.answer.body))
}

fn shows(answer: &Answer, asked: &Transfer) -> bool {
    let amount = answer.text("amount").and_then(|amount| minor(amount, &asked.currency));
    answer.text("from_account") == Some(&asked.from)
        && answer.text("to_account") == Some(&asked.to)
        && amount == Some(asked.amount_minor)
        && answer.text("currency") == Some(&asked.currency)
        && answer.text("remittance") == asked.remittance.as_deref()
}
