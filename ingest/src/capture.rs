//! Records that somebody wrote to a file: one JSON object a line, with `topic`, `key` and `value`.
//!
//! `key` and `value` are what the record holds, as JSON or as a text with JSON in it, so that what `kcat -J` writes (with `payload`
//! for `value`) is read, too.

use std::borrow::Cow;
use std::sync::Arc;

use read_model::Partition;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feed::RawRecord;

/// A line as it stands in the file.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default, alias = "ts", alias = "timestamp")]
    timestamp_ms: Option<i64>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "payload")]
    value: Option<&'a RawValue>,
}

/// Why a line is no record. Never shows what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// It is no JSON object of the form.
    #[error("not a record ({0}); expected one JSON object a line: {{\"topic\":…,\"key\":…,\"value\":…}}")]
    Form(String),
    /// It holds neither.
    #[error("neither key nor value; expected {{\"topic\":…,\"key\":…,\"value\":…}} with what the Kafka record holds")]
    Empty,
}

/// Reads a line. `number` = its place in the file, which stands for the offset where the line tells none.
pub fn record(line: &str, number: i64) -> Result<RawRecord, CaptureError> {
    let form = |err: serde_json::Error| CaptureError::Form(format!("column {}", err.column()));
    let line: Line<'_> = serde_json::from_str(line).map_err(form)?;
    let (key, value) = (line.key.map(bytes), line.value.map(bytes));
    if key.is_none() && value.is_none() {
        return Err(CaptureError::Empty);
    }
    let topic = line.topic.unwrap_or_default();
    let partition = Partition { topic: topic.clone().into_owned(), partition: line.partition.unwrap_or(0) };
    let topic: Arc<str> = Arc::from(&*topic);
    let offset = line.offset.filter(|offset| *offset >= 0).unwrap_or(number);
    Ok(RawRecord { topic, partition: Arc::new(partition), offset, timestamp_ms: line.timestamp_ms, key, value })
}

/// The bytes of a key or value: JSON as it stands, or the JSON in a text.
fn bytes(raw: &RawValue) -> Vec<u8> {
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => text.into_bytes(),
        Err(_) => raw.get().as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.unwrap_or_default()).unwrap()
    }

    #[test]
    fn a_line_is_read_as_json_or_as_texts_with_json_in_them() {
        let plain = record(r#"{"topic":"c.b.t","key":{"id":1},"value":{"op":"c"}}"#, 7).unwrap();
        let place = (plain.partition.topic.as_str(), plain.partition.partition, plain.offset);
        assert_eq!((&*plain.topic, place), ("c.b.t", ("c.b.t", 0, 7)), "a line without an offset has its number");
        assert_eq!((text(plain.key), text(plain.value)), (r#"{"id":1}"#.to_owned(), r#"{"op":"c"}"#.to_owned()));
        let kcat = r#"{"topic":"c.b.t","partition":3,"offset":9,"ts":5,"key":"{\"id\":1}","payload":"{\"op\":\"c\"}"}"#;
        let kcat = record(kcat, 7).unwrap();
        assert_eq!((kcat.partition.partition, kcat.offset, kcat.timestamp_ms), (3, 9, Some(5)));
        assert_eq!((text(kcat.key), text(kcat.value)), (r#"{"id":1}"#.to_owned(), r#"{"op":"c"}"#.to_owned()));
    }

    #[test]
    fn a_tombstone_has_a_key_alone_and_what_is_no_record_is_told_without_its_content() {
        let tombstone = record(r#"{"topic":"c.b.t","key":{"id":1},"value":null}"#, 0).unwrap();
        assert!(tombstone.key.is_some() && tombstone.value.is_none());
        assert_eq!(record(r#"{"topic":"c.b.t"}"#, 0), Err(CaptureError::Empty));
        let told = record(r#"{"topic":"c.b.t","value":{"name":"Ines""#, 0).unwrap_err().to_string();
        assert!(told.contains("column") && !told.contains("Ines"), "{told}");
    }
}
