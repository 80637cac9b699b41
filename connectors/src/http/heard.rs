//! An answer of an HTTP core beside its declared rules.

use std::collections::BTreeMap;

use super::config::{EnquiryConfig, PostConfig, ProbeConfig, RefusalRule, Rule};
use super::document::AnswerDocument;
use crate::heard::{Heard, shown};
use crate::json::Json;

/// Fixed headers shorter than this are no secrets, and may stand in any text.
const SECRET_CHARS_MIN: usize = 8;

/// The answer to a post.
pub(super) fn post(
    document: &AnswerDocument,
    post: &PostConfig,
    refusals: &BTreeMap<String, String>,
    headers: &BTreeMap<String, String>,
) -> Heard {
    let mut heard = Heard::new(document.what());
    rules(document, "post.accepted", &post.accepted, &mut heard);
    refused(document, "post.refused", &post.refused, refusals, &mut heard);
    rules(document, "post.duplicate", &post.duplicate, &mut heard);
    rules(document, "post.pending", &post.pending, &mut heard);
    rules(document, "post.not-done", &post.not_done, &mut heard);
    finish(document, heard, headers)
}

/// The answer to an enquiry.
pub(super) fn enquiry(
    document: &AnswerDocument,
    ask: &EnquiryConfig,
    refusals: &BTreeMap<String, String>,
    headers: &BTreeMap<String, String>,
) -> Heard {
    let mut heard = Heard::new(document.what());
    rules(document, "enquiry.found", &ask.found, &mut heard);
    refused(document, "enquiry.refused", &ask.refused, refusals, &mut heard);
    rules(document, "enquiry.pending", &ask.pending, &mut heard);
    rules(document, "enquiry.not-found", &ask.not_found, &mut heard);
    finish(document, heard, headers)
}

/// The answer to a probe.
pub(super) fn probe(document: &AnswerDocument, config: &ProbeConfig, headers: &BTreeMap<String, String>) -> Heard {
    let mut heard = Heard::new(document.what());
    rules(document, "probe.up", &config.up, &mut heard);
    rules(document, "probe.read-only", &config.read_only, &mut heard);
    finish(document, heard, headers)
}

fn rules(document: &AnswerDocument, name: &str, rules: &[Rule], heard: &mut Heard) {
    for (index, rule) in rules.iter().enumerate() {
        heard.rule(name, index, document.misses(&rule.status, rule.conditions()));
    }
}

fn refused(
    document: &AnswerDocument,
    name: &str,
    rules: &[RefusalRule],
    declared: &BTreeMap<String, String>,
    heard: &mut Heard,
) {
    for (index, rule) in rules.iter().enumerate() {
        let mut misses = document.misses(&rule.status, rule.conditions());
        if document.refusal(std::slice::from_ref(rule), declared).is_none() && misses.is_empty() {
            misses.push(code_missing(document, rule));
        }
        heard.rule(name, index, misses);
    }
}

fn code_missing(document: &AnswerDocument, rule: &RefusalRule) -> String {
    let pointer = rule.code.pointer();
    let json = document.json().ok();
    let found = json.and_then(|json| json.all_at(pointer).into_iter().find_map(Json::digits_or_text));
    match found {
        None => format!("no code at {pointer}"),
        Some(text) => {
            let code = shown(pointer, &Json::Text(rule.code.of(text).to_owned()), &[]);
            format!("the code at {pointer} is {code}, and `refusals` does not list it")
        }
    }
}

fn finish(document: &AnswerDocument, mut heard: Heard, headers: &BTreeMap<String, String>) -> Heard {
    if let Ok(json) = document.json() {
        let secrets: Vec<&str> =
            headers.values().map(String::as_str).filter(|value| value.len() >= SECRET_CHARS_MIN).collect();
        heard.body(json, &secrets);
    }
    heard.done()
}
