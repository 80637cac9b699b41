//! What an answer means, by the declared rules and nothing else.

use std::collections::BTreeMap;

use schemas::core::{Enquiry, Outcome, Posting, Unsent};

use super::config::{DuplicateMeans, EnquiryConfig, PostConfig, PostingConfig, ProbeConfig};
use super::document::AnswerDocument;
use crate::connector::Probe;
use crate::posting::{self, Told};
use schemas::legs::{LegsMatch, legs_match};
use schemas::post_request::PostRequest;

enum AnswerKind {
    Done,
    Refused(String),
    Duplicate,
    Pending,
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
    if let Err(reason) = document.json() {
        // Without JSON only a bare status can fit, and only here can one be declared.
        return if document.fits_any(&post.pending) { Outcome::Pending } else { Outcome::Unknown { reason } };
    }
    match document.one_of(post_kinds(document, post, refusals)) {
        Ok(AnswerKind::Done) => accepted(document, post, request),
        Ok(AnswerKind::Refused(code)) => Outcome::Refused { code },
        Ok(AnswerKind::Duplicate) => match post.duplicate_means {
            DuplicateMeans::AskAgain => Outcome::Duplicate,
            DuplicateMeans::Posted => Outcome::Posted(Posting::default()),
        },
        Ok(AnswerKind::Pending) => Outcome::Pending,
        Ok(AnswerKind::NotDone) => Outcome::NotSent {
            why: Unsent::NotDone,
            reason: format!("the core declared with status {} that it did nothing", document.status()),
        },
        Err(reason) => Outcome::Unknown { reason },
    }
}

/// Does the answer to a post fit any declared rule, whatever may be said of it then?
pub(super) fn is_declared_of_post(
    document: &AnswerDocument,
    post: &PostConfig,
    refusals: &BTreeMap<String, String>,
) -> bool {
    post_kinds(document, post, refusals).iter().any(Option::is_some)
}

fn post_kinds(
    document: &AnswerDocument,
    post: &PostConfig,
    refusals: &BTreeMap<String, String>,
) -> [Option<AnswerKind>; 5] {
    [
        document.fits_any(&post.accepted).then_some(AnswerKind::Done),
        document.refusal(&post.refused, refusals).map(AnswerKind::Refused),
        document.fits_any(&post.duplicate).then_some(AnswerKind::Duplicate),
        document.fits_any(&post.pending).then_some(AnswerKind::Pending),
        document.fits_any(&post.not_done).then_some(AnswerKind::NotDone),
    ]
}

/// A core that answers a remembered reference with what it posted then may have posted something else under it; that
/// is the duplicate case, to be looked up and compared by the caller.
fn accepted(document: &AnswerDocument, post: &PostConfig, request: &PostRequest) -> Outcome {
    match told(document, &post.posting, &request.core_ref) {
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
    let ours = document.json().and_then(|_| document.echoes(ask.echo.as_ref(), core_ref));
    if let Err(reason) = ours {
        return Enquiry::NotUnderstood { reason };
    }
    let kinds = [
        document.fits_any(&ask.found).then_some(AnswerKind::Done),
        document.refusal(&ask.refused, refusals).map(AnswerKind::Refused),
        document.fits_any(&ask.pending).then_some(AnswerKind::Pending),
        document.fits_any(&ask.not_found).then_some(AnswerKind::NotDone),
    ];
    match document.one_of(kinds) {
        Ok(AnswerKind::Done) => match told(document, ask.posting.as_ref().unwrap_or(&post.posting), core_ref) {
            Ok(Told { posting, legs }) => Enquiry::Posted { posting, legs },
            Err(reason) => Enquiry::NotUnderstood { reason },
        },
        Ok(AnswerKind::Refused(code)) => Enquiry::Refused { code },
        Ok(AnswerKind::Pending) => Enquiry::Pending,
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
    let meant = document.json().and_then(|_| document.one_of(kinds));
    meant.unwrap_or_else(|reason| Probe::Down { reason })
}

fn told(document: &AnswerDocument, config: &PostingConfig, core_ref: &str) -> Result<Told, String> {
    let told = posting::told(document.json()?, config, core_ref);
    told.map_err(|what| format!("status {}: {what}", document.status()))
}
