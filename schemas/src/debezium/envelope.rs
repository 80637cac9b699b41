//! The value's outer object: one scan finds every member, and the shape decides what the record is.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{DecodeError, Half, OURS};
use super::row::{Cell, Name, Row};
use super::source::RawSource;
use super::{ChangeEvent, Ignored, Op, Record, TableSchema, TransactionMarker, TransactionRef, TransactionStatus};
use crate::position::TOTAL_ORDER_MAX;

/// Members of the envelope, or of the frame around it (`schema`, `payload`).
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub(super) schema: Option<&'a RawValue>,
    pub(super) payload: Option<&'a RawValue>,
    before: Option<Option<Row<'a>>>,
    after: Option<Option<Row<'a>>>,
    source: Option<RawSource<'a>>,
    op: Option<Cell<'a>>,
    ts_ms: Option<Cell<'a>>,
    transaction: Option<Option<Row<'a>>>,
    status: Option<Cell<'a>>,
    id: Option<Cell<'a>>,
    event_count: Option<Cell<'a>>,
    data_collections: Option<Option<Vec<Row<'a>>>>,
    ddl: Option<IgnoredAny>,
}

fn fill<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    slot: &mut Option<T>,
    name: &'static str,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::custom(format!("{OURS}one member `{name}`, not two")));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

fn fill_cell<'de, A: MapAccess<'de>>(
    map: &mut A,
    slot: &mut Option<Cell<'de>>,
    name: &'static str,
) -> Result<(), A::Error> {
    let mut raw: Option<&'de RawValue> = None;
    if slot.is_some() {
        return Err(A::Error::custom(format!("{OURS}one member `{name}`, not two")));
    }
    fill(map, &mut raw, name)?;
    *slot = raw.map(Cell::new);
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnvelopeVisitor;
        impl<'de> Visitor<'de> for EnvelopeVisitor {
            type Value = Envelope<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let mut e = Envelope::default();
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    match name.as_ref() {
                        "schema" => fill(&mut map, &mut e.schema, "schema")?,
                        "payload" => fill(&mut map, &mut e.payload, "payload")?,
                        "before" => fill(&mut map, &mut e.before, "before")?,
                        "after" => fill(&mut map, &mut e.after, "after")?,
                        "source" => fill(&mut map, &mut e.source, "source")?,
                        "op" => fill_cell(&mut map, &mut e.op, "op")?,
                        "ts_ms" => fill_cell(&mut map, &mut e.ts_ms, "ts_ms")?,
                        "transaction" => fill(&mut map, &mut e.transaction, "transaction")?,
                        "status" => fill_cell(&mut map, &mut e.status, "status")?,
                        "id" => fill_cell(&mut map, &mut e.id, "id")?,
                        "event_count" => fill_cell(&mut map, &mut e.event_count, "event_count")?,
                        "data_collections" => fill(&mut map, &mut e.data_collections, "data_collections")?,
                        "ddl" | "tableChanges" => e.ddl = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(e)
            }
        }
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

impl<'a> Envelope<'a> {
    /// Decides what the record is. `key` is the record's key row, empty without one.
    pub(super) fn into_record(self, key: Row<'a>, schema: Option<Arc<TableSchema>>) -> Result<Record<'a>, DecodeError> {
        if let Some(op) = self.op {
            return self.into_change(op, key, schema);
        }
        if let Some(status) = self.status {
            return self.into_marker(status).map(Record::Transaction);
        }
        if self.ddl.is_some() {
            return Ok(Record::Ignored(Ignored::SchemaChange));
        }
        match self.ts_ms {
            Some(ts_ms) if self.source.is_none() && self.after.is_none() => {
                let ts_ms = ts_ms.i64().ok_or_else(|| expected("ts_ms", "an integer"))?;
                Ok(Record::Heartbeat { ts_ms })
            }
            _ => Err(DecodeError::NoEnvelope),
        }
    }

    fn into_change(
        self,
        op: Cell<'a>,
        key: Row<'a>,
        schema: Option<Arc<TableSchema>>,
    ) -> Result<Record<'a>, DecodeError> {
        let op = match op.text().as_deref() {
            Some("c") => Op::Create,
            Some("u") => Op::Update,
            Some("d") => Op::Delete,
            Some("r") => Op::Read,
            Some("m") => return Ok(Record::Ignored(Ignored::Message)),
            Some("t") => {
                let source = self.source.ok_or_else(|| expected("source", "an object"))?.parse()?;
                return Ok(Record::Truncate { source: Box::new(source) });
            }
            _ => return Err(expected("op", "one of \"c\", \"u\", \"d\", \"r\", \"t\", \"m\"")),
        };
        let source = self.source.ok_or_else(|| expected("source", "an object"))?.parse()?;
        let (before, after) = (self.before.flatten(), self.after.flatten());
        if op == Op::Delete {
            if after.is_some() {
                return Err(expected("after", "null in a delete"));
            }
            if before.is_none() && key.is_empty() {
                return Err(expected("before", "the deleted row, as the record has no key"));
            }
        } else if after.is_none() {
            return Err(expected("after", "the row"));
        }
        let transaction = self.transaction.flatten().map(|row| transaction_ref(&row)).transpose()?;
        Ok(Record::Change(Box::new(ChangeEvent { topic: "", source, op, key, before, after, transaction, schema })))
    }

    fn into_marker(self, status: Cell<'a>) -> Result<TransactionMarker<'a>, DecodeError> {
        let status = match status.text().as_deref() {
            Some("BEGIN") => TransactionStatus::Begin,
            Some("END") => TransactionStatus::End,
            _ => return Err(expected("status", "\"BEGIN\" or \"END\"")),
        };
        let id = self.id.and_then(Cell::text).ok_or_else(|| expected("id", "a string"))?;
        let event_count = match self.event_count.filter(|cell| !cell.is_null()) {
            None if status == TransactionStatus::End => return Err(expected("event_count", "a count at the END")),
            None => None,
            Some(cell) => Some(cell.u64().ok_or_else(|| expected("event_count", "a non-negative integer"))?),
        };
        let tables = self.data_collections.flatten().unwrap_or_default();
        let tables = tables.iter().map(table_count).collect::<Result<_, _>>()?;
        Ok(TransactionMarker { id, status, event_count, tables, ts_ms: self.ts_ms.and_then(Cell::i64) })
    }
}

fn table_count<'a>(row: &Row<'a>) -> Result<(Cow<'a, str>, u64), DecodeError> {
    let name = row.get("data_collection").and_then(Cell::text);
    let count = row.get("event_count").and_then(Cell::u64);
    name.zip(count).ok_or_else(|| expected("data_collections", "`data_collection` and `event_count` in each"))
}

fn transaction_ref<'a>(row: &Row<'a>) -> Result<TransactionRef<'a>, DecodeError> {
    let number = |name: &str| {
        row.get(name)
            .and_then(Cell::u64)
            .ok_or_else(|| expected(&format!("transaction.{name}"), "a non-negative integer"))
    };
    let id = row.get("id").and_then(Cell::text).ok_or_else(|| expected("transaction.id", "a string"))?;
    let (total_order, collection_order) = (number("total_order")?, number("data_collection_order")?);
    if total_order > TOTAL_ORDER_MAX {
        return Err(expected("transaction.total_order", &format!("at most {TOTAL_ORDER_MAX}")));
    }
    Ok(TransactionRef { id, total_order, collection_order })
}

fn expected(at: &str, what: &str) -> DecodeError {
    DecodeError::expected(Half::Value, at, what)
}
