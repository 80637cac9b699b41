//! Strict JSON bodies: what we do not understand exactly, we refuse, and say where.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use crate::problem::{FieldError, Problem};

/// Largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of objects and arrays.
pub const DEPTH_MAX: usize = 32;
/// Longest time for a body to arrive, in milliseconds.
pub const BODY_MS_MAX: u64 = 10_000;
/// Most faults listed in one answer.
const ERRORS_MAX: usize = 20;

/// Reads the body of `request` as one `T`. 415, 413, 408, or 400 with pointers; unknown fields are refused whatever `T`
/// declares.
pub async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    require_json(request.headers())?;
    let body = read_body(request, BODY_BYTES_MAX, Duration::from_millis(BODY_MS_MAX)).await?;
    parse(&body)
}

/// Reads a whole body: at most `bytes_max`, within `deadline`.
pub async fn read_body(request: Request, bytes_max: usize, deadline: Duration) -> Result<Bytes, Problem> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if declared.is_some_and(|length: usize| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let body: Limited<Body> = Limited::new(request.into_body(), bytes_max);
    match tokio::time::timeout(deadline, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Ok(Err(_)) => Err(Problem::bad_request("the body ended early or is not framed as HTTP wants it")),
        Err(_) => Err(Problem::new(408, "body-timeout", "The body did not arrive in time")),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE.as_u16(), "body-too-large", "The body is too large")
        .detail(format!("a body has at most {bytes_max} bytes"))
}

/// 415 unless the body is declared as `application/json`, with UTF-8 or no charset.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (kind, rest) = value.split_once(';').unwrap_or((value, ""));
    let rest = rest.trim().trim_matches('"').to_ascii_lowercase();
    let utf8 = rest.is_empty() || matches!(rest.as_str(), "charset=utf-8" | "charset=\"utf-8");
    if kind.trim().eq_ignore_ascii_case("application/json") && utf8 {
        return Ok(());
    }
    Err(Problem::new(415, "unsupported-media-type", "The body must be application/json")
        .detail("send Content-Type: application/json"))
}

/// Parses one strict JSON text into `T`.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    check_shape(text).map_err(|error| invalid([error]))?;
    // serde would fill a struct from a list by the order of its fields.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid([field(String::new(), "invalid-value", "must be a JSON object")]));
    }
    let mut unknown = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let parsed = serde_ignored::deserialize(tracked, |path| {
        if unknown.len() < ERRORS_MAX {
            unknown.push(field(ignored_pointer(&path), "unknown-field", "there is no such field"));
        }
    });
    match parsed {
        Ok(value) if unknown.is_empty() => Ok(value),
        Ok(_) => Err(invalid(unknown)),
        Err(error) => Err(invalid(unknown.into_iter().chain([named(path_pointer(&track.path()), &error)]))),
    }
}

fn invalid(errors: impl IntoIterator<Item = FieldError>) -> Problem {
    Problem::bad_request("the body is not what this operation takes").errors(errors)
}

fn field(pointer: String, code: &'static str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer, code, detail: detail.into() }
}

/// Sorts serde's message into one of our codes.
fn named(parent: String, error: &serde_json::Error) -> FieldError {
    let text = without_place(error);
    let quoted = text.split('`').nth(1).map(escape).unwrap_or_default();
    match text.as_str() {
        t if t.starts_with("missing field") => field(format!("{parent}/{quoted}"), "missing-field", "is required"),
        t if t.starts_with("unknown field") => {
            let pointer = if parent.ends_with(&format!("/{quoted}")) { parent } else { format!("{parent}/{quoted}") };
            field(pointer, "unknown-field", "there is no such field")
        }
        _ => field(parent, "invalid-value", text),
    }
}

/// serde_json's message without its "at line 1 column 2": pointers say it better.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned()
}

fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn path_pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn ignored_pointer(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}/{index}", ignored_pointer(parent)),
        Path::Map { parent, key } => format!("{}/{}", ignored_pointer(parent), escape(key)),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            ignored_pointer(parent)
        }
    }
}

/// Refuses what serde_json alone would let pass: repeated keys, deep nesting; and anything that is not JSON in UTF-8.
fn check_shape(text: &[u8]) -> Result<(), FieldError> {
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_slice(text);
    let walked = Shape { at: &Place::Root, depth: 0, fault: &mut fault }.deserialize(&mut json);
    match walked.and_then(|()| json.end()) {
        Ok(()) => Ok(()),
        Err(error) => Err(fault.unwrap_or_else(|| {
            let code = if error.to_string().starts_with("number out of range") {
                "number-out-of-range"
            } else {
                "invalid-json"
            };
            field(String::new(), code, error.to_string())
        })),
    }
}

/// Where a value stands. Only a refusal renders it: a text for each value would cost the length of its path every time.
enum Place<'p> {
    Root,
    Item(&'p Place<'p>, usize),
    Field(&'p Place<'p>, &'p str),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        #[cfg(test)]
        tests::RENDERED.with(|rendered| rendered.set(rendered.get() + 1));
        match self {
            Place::Root => String::new(),
            Place::Item(parent, index) => format!("{}/{index}", parent.pointer()),
            Place::Field(parent, name) => format!("{}/{}", parent.pointer(), escape(name)),
        }
    }
}

/// Walks one value.
struct Shape<'f> {
    at: &'f Place<'f>,
    depth: usize,
    fault: &'f mut Option<FieldError>,
}

impl Shape<'_> {
    fn refuse<E: serde::de::Error>(&mut self, place: &Place<'_>, code: &'static str, detail: &str) -> E {
        *self.fault = Some(field(place.pointer(), code, detail));
        E::custom(code)
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        Err(self.refuse(self.at, "too-deep", &format!("nested deeper than {DEPTH_MAX}")))
    }

    /// What stands inside this value, at `at`.
    fn child<'c>(&'c mut self, at: &'c Place<'c>) -> Shape<'c> {
        Shape { at, depth: self.depth + 1, fault: self.fault }
    }
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if number.is_finite() { Ok(()) } else { Err(E::custom("number out of range")) }
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut index = 0usize;
        while items.next_element_seed(self.child(&Place::Item(self.at, index)))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            let at = self.at;
            let place = Place::Field(at, &key);
            if seen.contains(&key) {
                return Err(self.refuse(&place, "duplicate-key", "the key occurs twice"));
            }
            fields.next_value_seed(self.child(&place))?;
            seen.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Places that were rendered in this thread.
        pub(super) static RENDERED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn a_bodys_price_is_its_length_not_its_square() {
        let (name, items) = ("k".repeat(30_000), vec!["0"; 15_000].join(","));
        let body = format!("{{\"{name}\":[{items}]}}");
        parse::<serde_json::Value>(body.as_bytes()).unwrap();
        assert_eq!(RENDERED.get(), 0, "each costs the length of its path");
        // Of a refusal the place is rendered once, with the one around it.
        let twice = format!("{{\"{name}\":[{items}],\"{name}\":0}}");
        parse::<serde_json::Value>(twice.as_bytes()).unwrap_err();
        assert_eq!(RENDERED.get(), 2);
    }
}
