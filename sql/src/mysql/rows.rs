//! Values between our callers and the driver.

use crate::value::{Row, Value};
use mysql_async::Params;
use mysql_async::consts::ColumnType;
use std::sync::Arc;

/// The character set number of raw bytes.
const BINARY: u16 = 63;

/// Parameters as the driver takes them.
pub(super) fn bound(params: Vec<Value>) -> Params {
    if params.is_empty() {
        return Params::Empty;
    }
    let bind = |value| match value {
        Value::Null => mysql_async::Value::NULL,
        Value::Int(v) => mysql_async::Value::Int(v),
        Value::Text(v) => mysql_async::Value::Bytes(v.into_bytes()),
        Value::Bytes(v) => mysql_async::Value::Bytes(v),
    };
    Params::Positional(params.into_iter().map(bind).collect())
}

/// Rows as our callers take them.
pub(super) fn read(rows: Vec<mysql_async::Row>) -> Vec<Row> {
    let Some(first) = rows.first() else {
        return Vec::new();
    };
    let columns = first.columns();
    let names: Arc<[String]> = columns.iter().map(|c| c.name_str().into_owned()).collect();
    let kinds: Vec<_> = columns.iter().map(|c| ColumnKind::of(c.column_type(), c.character_set())).collect();
    let row = |row: mysql_async::Row| {
        let values = row.unwrap().into_iter().zip(&kinds).map(|(value, kind)| kind.read(value)).collect();
        Row::new(names.clone(), values)
    };
    rows.into_iter().map(row).collect()
}

/// What the bytes of a column mean.
#[derive(Clone, Copy)]
enum ColumnKind {
    /// SUM over integers is DECIMAL on these engines.
    Number,
    Text,
    Bytes,
}

impl ColumnKind {
    fn of(column: ColumnType, charset: u16) -> ColumnKind {
        match column {
            ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL => ColumnKind::Number,
            _ if charset == BINARY => ColumnKind::Bytes,
            _ => ColumnKind::Text,
        }
    }

    fn read(self, value: mysql_async::Value) -> Value {
        match (self, value) {
            (_, mysql_async::Value::NULL) => Value::Null,
            (_, mysql_async::Value::Int(v)) => Value::Int(v),
            (_, mysql_async::Value::UInt(v)) => {
                i64::try_from(v).map_or_else(|_| Value::Text(v.to_string()), Value::Int)
            }
            (ColumnKind::Bytes, mysql_async::Value::Bytes(v)) => Value::Bytes(v),
            (ColumnKind::Text, mysql_async::Value::Bytes(v)) => text(v),
            (ColumnKind::Number, mysql_async::Value::Bytes(v)) => {
                match std::str::from_utf8(&v).ok().and_then(|s| s.parse().ok()) {
                    Some(integer) => Value::Int(integer),
                    None => text(v),
                }
            }
            // Floats and dates have no place in the shared dialect; as text they fail where they are read.
            (_, other) => Value::Text(other.as_sql(true)),
        }
    }
}

fn text(bytes: Vec<u8>) -> Value {
    String::from_utf8(bytes).map_or_else(|err| Value::Bytes(err.into_bytes()), Value::Text)
}
