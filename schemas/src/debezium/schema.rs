//! The schema block of a record: what Debezium says about each column's type.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{DecodeError, Half};

/// What the schema block says of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Any integer without a meaning of its own.
    Integer,
    /// An integer of a column that the core declares unsigned, where the connector propagates the column's own type.
    Unsigned,
    /// A string without a meaning of its own.
    Text,
    /// Base64 of a two's-complement integer, with this scale.
    Decimal {
        /// Digits after the point.
        scale: i32,
    },
    /// A struct of scale and value.
    VariableScaleDecimal,
    /// A binary fraction: `decimal.handling.mode=double`, FLOAT, DOUBLE.
    Float,
    /// Days since 1970.
    Date,
    /// Milliseconds since 1970.
    TimestampMillis,
    /// Microseconds since 1970.
    TimestampMicros,
    /// Nanoseconds since 1970.
    TimestampNanos,
    /// RFC 3339 text with an offset.
    ZonedTimestamp,
    /// Anything else.
    Other,
}

impl ColumnKind {
    /// True for decimals and binary fractions: their cells are written in forms that no code is compared with.
    pub fn holds_no_code(self) -> bool {
        matches!(self, Self::Decimal { .. } | Self::VariableScaleDecimal | Self::Float)
    }
}

/// A table's columns as the schema block describes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSchema {
    columns: Vec<(String, ColumnKind)>,
}

impl TableSchema {
    /// What the block says of a column; none when it does not have it.
    pub fn kind(&self, column: &str) -> Option<ColumnKind> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, kind)| *kind)
    }

    /// Reads an envelope's schema; none for `null` and for schemas without row structs (heartbeats, transactions).
    pub(crate) fn of_envelope(raw: &RawValue) -> Result<Option<Self>, DecodeError> {
        let Some(block) = block(Half::Value, raw.get())? else { return Ok(None) };
        let half = |name: &str| block.fields.iter().find(|f| f.field.as_deref() == Some(name));
        half("after").or_else(|| half("before")).map(|row| row.columns(Half::Value)).transpose()
    }

    /// Reads a key's schema; none for `null`.
    pub(crate) fn of_key(json: &str) -> Result<Option<Self>, DecodeError> {
        block(Half::Key, json)?.map(|row| row.columns(Half::Key)).transpose()
    }
}

fn block(half: Half, json: &str) -> Result<Option<Field<'_>>, DecodeError> {
    serde_json::from_str(json).map_err(|err| DecodeError::from_json(half, "schema", &err))
}

#[derive(Deserialize)]
struct Field<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    field: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<Parameters<'a>>,
    #[serde(borrow, default)]
    fields: Vec<Field<'a>>,
}

#[derive(Deserialize)]
struct Parameters<'a> {
    #[serde(borrow)]
    scale: Option<Cow<'a, str>>,
    /// Written with `column.propagate.source.type` or `datatype.propagate.source.type`.
    #[serde(borrow, rename = "__debezium.source.column.type")]
    source_type: Option<Cow<'a, str>>,
}

impl Field<'_> {
    fn is_unsigned(&self) -> bool {
        let source_type = self.parameters.as_ref().and_then(|parameters| parameters.source_type.as_deref());
        source_type.is_some_and(|name| name.to_ascii_uppercase().contains("UNSIGNED"))
    }

    fn columns(&self, half: Half) -> Result<TableSchema, DecodeError> {
        let columns = self.fields.iter().map(|field| field.column(half)).collect::<Result<_, _>>()?;
        Ok(TableSchema { columns })
    }

    fn column(&self, half: Half) -> Result<(String, ColumnKind), DecodeError> {
        let name = self.field.as_deref().unwrap_or_default();
        let kind = match self.name.as_deref() {
            Some("org.apache.kafka.connect.data.Decimal") => {
                let scale = self.parameters.as_ref().and_then(|p| p.scale.as_deref()).and_then(|s| s.parse().ok());
                let scale = scale.ok_or_else(|| {
                    let at = format!("schema of column `{}`", super::row::clip(name));
                    DecodeError::expected(half, at, "`parameters.scale` as an integer in a string")
                })?;
                ColumnKind::Decimal { scale }
            }
            Some("io.debezium.data.VariableScaleDecimal") => ColumnKind::VariableScaleDecimal,
            Some("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date") => ColumnKind::Date,
            Some("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp") => {
                ColumnKind::TimestampMillis
            }
            Some("io.debezium.time.MicroTimestamp") => ColumnKind::TimestampMicros,
            Some("io.debezium.time.NanoTimestamp") => ColumnKind::TimestampNanos,
            Some("io.debezium.time.ZonedTimestamp") => ColumnKind::ZonedTimestamp,
            Some("io.debezium.data.Enum") | None => match self.kind.as_ref() {
                "int8" | "int16" | "int32" | "int64" if self.is_unsigned() => ColumnKind::Unsigned,
                "int8" | "int16" | "int32" | "int64" => ColumnKind::Integer,
                "string" => ColumnKind::Text,
                "float" | "double" | "float32" | "float64" => ColumnKind::Float,
                _ => ColumnKind::Other,
            },
            Some(_) => ColumnKind::Other,
        };
        Ok((name.to_owned(), kind))
    }
}
