//! Decodes records, remembering per topic the bytes that never change: the schema block in front of the payload.

use std::collections::HashMap;
use std::sync::Arc;

use super::envelope::Envelope;
use super::error::{DecodeError, Half};
use super::row::Row;
use super::{Record, TableSchema};

/// Bytes a key or value may have; larger than any Kafka broker's default.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// Topics remembered at once; beyond it memory is dropped and learned again.
pub const TOPICS_MAX: usize = 4_096;

/// A decoder with its memory of topics. Cheap; each thread has its own.
#[derive(Debug, Default)]
pub struct Decoder {
    topics: HashMap<String, Frames>,
}

/// What a topic's records begin with. With an equal beginning the schema is the same and need not be scanned.
#[derive(Debug, Default)]
struct Frames {
    key: Box<[u8]>,
    key_schema: Option<Arc<TableSchema>>,
    value: Box<[u8]>,
    schema: Option<Arc<TableSchema>>,
}

/// A record's key with what its own schema block says.
#[derive(Default)]
struct Key<'a> {
    row: Row<'a>,
    schema: Option<Arc<TableSchema>>,
}

impl<'a> Key<'a> {
    fn tombstone(self) -> Result<Record<'a>, DecodeError> {
        let Self { row: key, schema } = self;
        if key.is_empty() { Err(DecodeError::NoKey) } else { Ok(Record::Tombstone { key, schema }) }
    }

    /// The envelope's record. What the value's block leaves open, the key's may say.
    fn record(self, envelope: Envelope<'a>, schema: Option<Arc<TableSchema>>) -> Result<Record<'a>, DecodeError> {
        envelope.into_record(self.row, schema.or(self.schema))
    }
}

impl Decoder {
    /// A decoder that knows no topic yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one record. The record's own shape says what it is; `topic` finds the remembered schema and says of which
    /// table a change is.
    pub fn decode<'a>(
        &mut self,
        topic: &'a str,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<Record<'a>, DecodeError> {
        for (half, bytes) in [(Half::Key, key), (Half::Value, value)] {
            if bytes.is_some_and(|bytes| bytes.len() > RECORD_BYTES_MAX) {
                return Err(DecodeError::TooLarge { half, what: "size in bytes", max: RECORD_BYTES_MAX });
            }
        }
        let frames = self.frames(topic);
        let key = key.map(|key| frames.key(key)).transpose()?.unwrap_or_default();
        let mut record = match value {
            Some(value) => frames.value(key, value)?,
            None => key.tombstone()?,
        };
        if let Record::Change(event) = &mut record {
            event.topic = topic;
        }
        Ok(record)
    }

    fn frames(&mut self, topic: &str) -> &mut Frames {
        if !self.topics.contains_key(topic) {
            if self.topics.len() >= TOPICS_MAX {
                self.topics.clear();
            }
            self.topics.insert(topic.to_owned(), Frames::default());
        }
        self.topics.entry(topic.to_owned()).or_default()
    }
}

impl Frames {
    fn key<'a>(&mut self, bytes: &'a [u8]) -> Result<Key<'a>, DecodeError> {
        if let Some(row) = payload(bytes, &self.key).and_then(|payload| serde_json::from_str(payload).ok()) {
            return Ok(Key { row, schema: self.key_schema.clone() });
        }
        let outer: Option<Row<'a>> = from_slice(Half::Key, bytes)?;
        let outer = outer.unwrap_or_default();
        // A frame has exactly these two members, and its schema is a struct; columns of these names are no objects.
        let frame = outer.get("schema").zip(outer.get("payload")).filter(|_| outer.len() == 2);
        let frame = frame.filter(|(schema, _)| schema.is_null() || schema.kind() == "object");
        let Some((schema, inner)) = frame else { return Ok(Key { row: outer, schema: None }) };
        let row: Option<Row<'a>> =
            serde_json::from_str(inner.json()).map_err(|err| DecodeError::from_json(Half::Key, "payload", &err))?;
        let schema = TableSchema::of_key(schema.json())?.map(Arc::new);
        self.key = beginning(bytes, inner.json()).into();
        self.key_schema.clone_from(&schema);
        Ok(Key { row: row.unwrap_or_default(), schema })
    }

    fn value<'a>(&mut self, key: Key<'a>, bytes: &'a [u8]) -> Result<Record<'a>, DecodeError> {
        if let Some(envelope) = payload(bytes, &self.value).and_then(|p| serde_json::from_str::<Envelope<'a>>(p).ok()) {
            return key.record(envelope, self.schema.clone());
        }
        let outer: Option<Envelope<'a>> = from_slice(Half::Value, bytes)?;
        let Some(outer) = outer else { return key.tombstone() };
        let Some(inner) = outer.payload else { return key.record(outer, None) };
        let schema = outer.schema.map(TableSchema::of_envelope).transpose()?.flatten().map(Arc::new);
        let envelope: Option<Envelope<'a>> =
            serde_json::from_str(inner.get()).map_err(|err| DecodeError::from_json(Half::Value, "payload", &err))?;
        let Some(envelope) = envelope else { return key.tombstone() };
        // Remembered only when the payload comes last, so that the schema is part of the beginning.
        self.value = beginning(bytes, inner.get()).into();
        self.schema.clone_from(&schema);
        key.record(envelope, schema)
    }
}

/// All text is checked here, once: serde_json does not look into strings that it skips.
fn from_slice<'a, T: serde::Deserialize<'a>>(half: Half, bytes: &'a [u8]) -> Result<T, DecodeError> {
    let text = str::from_utf8(bytes).map_err(|err| DecodeError::Malformed { half, column: err.valid_up_to() + 1 })?;
    serde_json::from_str(text).map_err(|err| DecodeError::from_json(half, "top level", &err))
}

/// The payload of a record that begins with what we remember; none when it does not, or when nothing is remembered.
fn payload<'a>(bytes: &'a [u8], remembered: &[u8]) -> Option<&'a str> {
    if remembered.is_empty() {
        return None;
    }
    str::from_utf8(bytes.strip_prefix(remembered)?.strip_suffix(b"}")?).ok()
}

/// Everything in front of `part`, which lies inside `whole`, when nothing but the closing brace follows it; else nothing.
fn beginning<'a>(whole: &'a [u8], part: &str) -> &'a [u8] {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    match whole.get(start + part.len()..) {
        Some(b"}") => whole.get(..start).unwrap_or_default(),
        _ => &[],
    }
}
