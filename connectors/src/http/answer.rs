//! What an answer means, by the declared rules and nothing else.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use schemas::core::{Enquiry, Outcome, Posting, Unsent};
use serde_json::Value;

use super::config::{
    DuplicateMeans, Echo, EnquiryConfig, PostConfig, PostingConfig, ProbeConfig, RefusalRule, Rule, TransportLimits,
};
use super::transport::Answer;
use crate::connector::Probe;
use crate::json::Json;
use crate::posting::{Told, told};
use schemas::legs::{LegsMatch, legs_match};
use schemas::post_request::PostRequest;

/// An answer that was understood as a document; what it means is open.
pub(super) struct AnswerDocument {
    status: u16,
    headers: HeaderMap,
    json: Json,
}

impl AnswerDocument {
    /// Reads an answer. The error never shows its content.
    pub(super) fn read(answer: &Answer, limits: &TransportLimits) -> Result<Self, String> {
        let status = answer.status.as_u16();
        if !answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json) {
            return Err(format!("status {status} and a body that is not declared as JSON"));
        }
        let json = Json::read(&answer.body, limits.depth_max).map_err(|err| format!("status {status}: {err}"))?;
        Ok(Self { status, headers: answer.headers.clone(), json })
    }

    /// Is this the answer to our request? Asked before anything else: when the two ends of a connection have lost step, the
    /// next answer is another request's.
    fn echoes(&self, echo: Option<&Echo>, core_ref: &str) -> Result<(), String> {
        let (place, found) = match echo {
            None => return Ok(()),
            Some(Echo::Body(pointer)) => (pointer, self.json.at(pointer).and_then(Json::digits_or_text)),
            Some(Echo::Header(name)) => (name, self.headers.get(name).and_then(|value| value.to_str().ok())),
        };
        match found {
            Some(found) if found == core_ref => Ok(()),
            Some(_) => Err(format!("status {}: {place} is not our reference", self.status)),
            None => Err(format!("status {}: {place} is missing", self.status)),
        }
    }

    fn fits(&self, status: &[u16], when: &BTreeMap<String, Value>) -> bool {
        status.contains(&self.status)
            && when.iter().all(|(pointer, expected)| self.json.at(pointer).is_some_and(|found| found.is(expected)))
    }

    fn fits_any(&self, rules: &[Rule]) -> bool {
        rules.iter().any(|rule| self.fits(&rule.status, &rule.when))
    }

    fn refusal(&self, rules: &[RefusalRule], declared: &BTreeMap<String, String>) -> Option<String> {
        let fitting = rules.iter().filter(|rule| self.fits(&rule.status, &rule.when));
        let mut codes = fitting.filter_map(|rule| self.json.at(&rule.code)?.digits_or_text());
        codes.find(|code| declared.contains_key(*code)).map(str::to_owned)
    }

    fn told(&self, config: &PostingConfig, core_ref: &str) -> Result<Told, String> {
        told(&self.json, config, core_ref).map_err(|what| format!("status {}: {what}", self.status))
    }

    /// Exactly one kind of declared answer; none or two say nothing.
    fn one_of<T>(&self, kinds: impl IntoIterator<Item = Option<T>>) -> Result<T, String> {
        let mut fitting = kinds.into_iter().flatten();
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(format!("status {} with a body that is not a declared answer", self.status)),
            (Some(_), Some(_)) => Err(format!("status {} fits declared answers of two kinds", self.status)),
        }
    }
}

enum AnswerKind {
    Done,
    Refused(String),
    Duplicate,
    NotDone,
}

/// What the answer to a post means.
pub(super) fn outcome(
    document: &AnswerDocument,
    post: &PostConfig,
    refusals: &BTreeMap<String, String>,
    request: &PostRequest,
) -> Outcome {
    if let Err(reason) = document.echoes(post.echo.as_ref(), &request.core_ref) {
        return Outcome::Unknown { reason };
    }
    let kinds = [
        document.fits_any(&post.accepted).then_some(AnswerKind::Done),
        document.refusal(&post.refused, refusals).map(AnswerKind::Refused),
        document.fits_any(&post.duplicate).then_some(AnswerKind::Duplicate),
        document.fits_any(&post.not_done).then_some(AnswerKind::NotDone),
    ];
    match document.one_of(kinds) {
        Ok(AnswerKind::Done) => accepted(document, post, request),
        Ok(AnswerKind::Refused(code)) => Outcome::Refused { code },
        Ok(AnswerKind::Duplicate) => match post.duplicate_means {
            DuplicateMeans::AskAgain => Outcome::Duplicate,
            DuplicateMeans::Posted => Outcome::Posted(Posting::default()),
        },
        Ok(AnswerKind::NotDone) => Outcome::NotSent {
            why: Unsent::NotDone,
            reason: format!("the core declared with status {} that it did nothing", document.status),
        },
        Err(reason) => Outcome::Unknown { reason },
    }
}

/// A core that answers a remembered reference with what it posted then may have posted something else under it; that
/// is the duplicate case, to be looked up and compared by the caller.
fn accepted(document: &AnswerDocument, post: &PostConfig, request: &PostRequest) -> Outcome {
    match document.told(&post.posting, &request.core_ref) {
        Err(reason) => Outcome::Unknown { reason },
        Ok(Told { posting, legs }) => match legs_match(request, &Enquiry::Posted { posting: posting.clone(), legs }) {
            LegsMatch::Other => Outcome::Duplicate,
            LegsMatch::Same | LegsMatch::Untold => Outcome::Posted(posting),
        },
    }
}

/// What the answer to an enquiry means.
pub(super) fn enquiry(
    document: &AnswerDocument,
    ask: &EnquiryConfig,
    post: &PostConfig,
    refusals: &BTreeMap<String, String>,
    core_ref: &str,
) -> Enquiry {
    if let Err(reason) = document.echoes(ask.echo.as_ref(), core_ref) {
        return Enquiry::NotUnderstood { reason };
    }
    let kinds = [
        document.fits_any(&ask.found).then_some(AnswerKind::Done),
        document.refusal(&ask.refused, refusals).map(AnswerKind::Refused),
        document.fits_any(&ask.not_found).then_some(AnswerKind::NotDone),
    ];
    match document.one_of(kinds) {
        Ok(AnswerKind::Done) => match document.told(ask.posting.as_ref().unwrap_or(&post.posting), core_ref) {
            Ok(Told { posting, legs }) => Enquiry::Posted { posting, legs },
            Err(reason) => Enquiry::NotUnderstood { reason },
        },
        Ok(AnswerKind::Refused(code)) => Enquiry::Refused { code },
        Ok(AnswerKind::NotDone | AnswerKind::Duplicate) => Enquiry::NotFound,
        Err(reason) => Enquiry::NotUnderstood { reason },
    }
}

/// What the answer to a probe means.
pub(super) fn probe(document: &AnswerDocument, config: &ProbeConfig) -> Probe {
    let kinds = [
        document.fits_any(&config.up).then_some(Probe::Up),
        document.fits_any(&config.read_only).then_some(Probe::ReadOnly),
    ];
    document.one_of(kinds).unwrap_or_else(|reason| Probe::Down { reason })
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
