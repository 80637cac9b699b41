//! An answer as a document: its status, its headers, its JSON, and the conditions that it fulfils.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::config::{Conditions, Echo, RefusalRule, Rule, TransportLimits};
use super::transport::Answer;
use crate::heard::shown;
use crate::json::Json;
use crate::uuid::is_of;

/// An answer that was read; what it means is open.
pub(super) struct AnswerDocument {
    status: u16,
    headers: HeaderMap,
    json: Result<Json, String>,
}

/// A header of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header<'a> {
    Missing,
    Is(&'a str),
    /// It came more than once, or is not visible ASCII: nobody can say which of it counts.
    Unclear,
}

impl AnswerDocument {
    /// Reads an answer. Why its body is no JSON document is kept, and never shows its content.
    pub(super) fn read(answer: &Answer, limits: &TransportLimits) -> Self {
        let (status, headers) = (answer.status.as_u16(), answer.headers.clone());
        let json = match header(&headers, CONTENT_TYPE.as_str()) {
            Header::Is(content_type) if is_json(content_type) => {
                Json::read(&answer.body, limits.depth_max).map_err(|err| format!("status {status}: {err}"))
            }
            _ => Err(format!("status {status} and a body that is not declared as JSON")),
        };
        Self { status, headers, json }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Its JSON, or why it has none.
    pub(super) fn json(&self) -> Result<&Json, String> {
        self.json.as_ref().map_err(Clone::clone)
    }

    /// Is this the answer to our request? Asked before anything else: when the two ends of a connection have lost step, the
    /// next answer is another request's.
    pub(super) fn echoes(&self, echo: Option<&Echo>, core_ref: &str) -> Result<(), String> {
        let (place, found) = match echo {
            None => return Ok(()),
            Some(Echo::Body(pointer)) => (pointer, self.at(pointer).and_then(Json::digits_or_text)),
            Some(Echo::Header(name)) => match header(&self.headers, name) {
                Header::Is(value) => (name, Some(value)),
                Header::Missing => (name, None),
                Header::Unclear => return Err(format!("status {}: {name} is not one clear value", self.status)),
            },
        };
        match found {
            Some(found) if is_of(core_ref, found) => Ok(()),
            Some(_) => Err(format!("status {}: {place} is not our reference", self.status)),
            None => Err(format!("status {}: {place} is missing", self.status)),
        }
    }

    /// Does it fit any of these rules?
    pub(super) fn fits_any(&self, rules: &[Rule]) -> bool {
        rules.iter().any(|rule| self.fits(&rule.status, rule.conditions()))
    }

    /// The first declared code that a fitting rule finds.
    pub(super) fn refusal(&self, rules: &[RefusalRule], declared: &BTreeMap<String, String>) -> Option<String> {
        let json = self.json.as_ref().ok()?;
        let fitting = rules.iter().filter(|rule| self.fits(&rule.status, rule.conditions()));
        let mut codes = fitting.flat_map(|rule| {
            let found = json.all_at(rule.code.pointer()).into_iter().filter_map(Json::digits_or_text);
            found.map(move |text| rule.code.of(text))
        });
        codes.find(|code| declared.contains_key(*code)).map(str::to_owned)
    }

    /// One of the statuses and every condition.
    pub(super) fn fits(&self, status: &[u16], conditions: Conditions<'_>) -> bool {
        let Conditions { when, exists, empty, when_header } = conditions;
        let is = |(pointer, expected): (&String, &Value)| self.at(pointer).is_some_and(|found| found.is(expected));
        status.contains(&self.status)
            && when.iter().all(is)
            && exists.0.iter().all(|pointer| self.at(pointer).is_some_and(|found| !found.is_empty()))
            && empty.0.iter().all(|pointer| self.at(pointer).is_some_and(Json::is_empty))
            && when_header.iter().all(|(name, expected)| self.header_is(name, expected))
    }

    /// What keeps a rule from fitting, in words; nothing of one that fits. Says of a value what stands there if it is short.
    pub(super) fn misses(&self, status: &[u16], conditions: Conditions<'_>) -> Vec<String> {
        let Conditions { when, exists, empty, when_header } = conditions;
        let mut misses = Vec::new();
        if !status.contains(&self.status) {
            misses.push(format!("the status is {}, not one of {status:?}", self.status));
        }
        for (pointer, expected) in when {
            match self.at(pointer) {
                Some(found) if found.is(expected) => {}
                Some(found) => misses.push(format!("{pointer} is {}, not {expected}", shown(pointer, found, &[]))),
                None => misses.push(format!("{pointer} is missing, not {expected}")),
            }
        }
        let nothing = |pointer: &&String| !self.at(pointer).is_some_and(|found| !found.is_empty());
        misses.extend(exists.0.iter().filter(nothing).map(|pointer| format!("there is nothing at {pointer}")));
        let something = |pointer: &&String| !self.at(pointer).is_some_and(Json::is_empty);
        misses.extend(empty.0.iter().filter(something).map(|pointer| format!("{pointer} is missing, or not empty")));
        let other = |(name, expected): &(&String, &Value)| !self.header_is(name, expected);
        misses.extend(when_header.iter().filter(other).map(|(name, expected)| match expected {
            Value::Null => format!("the header {name} is there"),
            expected => format!("the header {name} is not {expected}"),
        }));
        misses
    }

    /// Its status and type, for people.
    pub(super) fn what(&self) -> String {
        let kind = match header(&self.headers, CONTENT_TYPE.as_str()) {
            Header::Is(kind) => kind,
            Header::Missing => "without a content type",
            Header::Unclear => "with no clear content type",
        };
        match &self.json {
            Ok(_) => format!("status {}, {kind}", self.status),
            Err(reason) => format!("{reason} ({kind})"),
        }
    }

    /// Is this header there, once or more?
    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    fn header_is(&self, name: &str, expected: &Value) -> bool {
        match (header(&self.headers, name), expected) {
            (Header::Missing, Value::Null) => true,
            (Header::Is(found), Value::String(expected)) => found == expected,
            _ => false,
        }
    }

    fn at(&self, pointer: &str) -> Option<&Json> {
        self.json.as_ref().ok()?.at(pointer)
    }

    /// Exactly one kind of declared answer; none or two say nothing.
    pub(super) fn one_of<T>(&self, kinds: impl IntoIterator<Item = Option<T>>) -> Result<T, String> {
        let mut fitting = kinds.into_iter().flatten();
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(format!("status {} with a body that is not a declared answer", self.status)),
            (Some(_), Some(_)) => Err(format!("status {} fits declared answers of two kinds", self.status)),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Header<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Missing,
        (Some(value), None) => value.to_str().map_or(Header::Unclear, Header::Is),
        (Some(_), Some(_)) => Header::Unclear,
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
