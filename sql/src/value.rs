//! Values sent to and rows received from an engine, in the four kinds that all engines share.

use crate::error::Error;
use bytes::Bytes;
use std::sync::Arc;

/// One parameter or one column of a row. Bind `Text` to `{text}` columns and `Bytes` to `{bytes}` and `{blob}` ones:
/// SQLite compares the two as different.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Any integer; booleans are 0 and 1.
    Int(i64),
    /// UTF-8 text. SQLite compares it byte for byte; MySQL, MariaDB, TiDB and OceanBase leave trailing spaces out of
    /// comparisons and unique keys (PAD SPACE): where "a" must not be taken for "a ", compare what came back.
    Text(String),
    /// Raw bytes, compared like memcmp.
    Bytes(Vec<u8>),
}

impl Value {
    /// The kind's name, for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Int(_) => "integer",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
        }
    }
}

/// Kinds only: values are personal data and stay out of logs.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

macro_rules! from_integer {
    ($($t:ty),*) => {$(impl From<$t> for Value { fn from(v: $t) -> Self { Value::Int(i64::from(v)) } })*};
}
from_integer!(i64, i32, i16, i8, u32, u16, u8, bool);

impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(v)
    }
}
impl From<&String> for Value {
    fn from(v: &String) -> Self {
        Value::Text(v.clone())
    }
}
impl From<Vec<u8>> for Value {
    fn from(v: Vec<u8>) -> Self {
        Value::Bytes(v)
    }
}
impl From<&[u8]> for Value {
    fn from(v: &[u8]) -> Self {
        Value::Bytes(v.to_vec())
    }
}
impl<const N: usize> From<[u8; N]> for Value {
    fn from(v: [u8; N]) -> Self {
        Value::Bytes(v.to_vec())
    }
}
impl<const N: usize> From<&[u8; N]> for Value {
    fn from(v: &[u8; N]) -> Self {
        Value::Bytes(v.to_vec())
    }
}
impl From<Bytes> for Value {
    fn from(v: Bytes) -> Self {
        Value::Bytes(v.into())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Value::Null, Into::into)
    }
}

/// What a column can be read as. `&str` and `&[u8]` borrow from the row, the others own.
pub trait FromValue<'a>: Sized {
    /// The type's name, for errors.
    const EXPECTED: &'static str;
    /// `None` when the value is of another kind or out of range.
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! to_integer {
    ($($t:ident),*) => {$(impl FromValue<'_> for $t {
        const EXPECTED: &'static str = stringify!($t);
        fn from_value(value: &Value) -> Option<Self> {
            match value { Value::Int(v) => (*v).try_into().ok(), _ => None }
        }
    })*};
}
to_integer!(i64, i32, i16, u64, u32, u16, u8, usize);

impl FromValue<'_> for bool {
    const EXPECTED: &'static str = "bool";
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            _ => None,
        }
    }
}
impl<'a> FromValue<'a> for &'a str {
    const EXPECTED: &'static str = "text";
    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Text(v) => Some(v),
            Value::Bytes(v) => std::str::from_utf8(v).ok(),
            _ => None,
        }
    }
}
impl<'a> FromValue<'a> for &'a [u8] {
    const EXPECTED: &'static str = "bytes";
    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Text(v) => Some(v.as_bytes()),
            Value::Bytes(v) => Some(v),
            _ => None,
        }
    }
}
impl<'a> FromValue<'a> for String {
    const EXPECTED: &'static str = "text";
    fn from_value(value: &'a Value) -> Option<Self> {
        <&str>::from_value(value).map(str::to_owned)
    }
}
impl<'a> FromValue<'a> for Vec<u8> {
    const EXPECTED: &'static str = "bytes";
    fn from_value(value: &'a Value) -> Option<Self> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}
impl<'a> FromValue<'a> for Bytes {
    const EXPECTED: &'static str = "bytes";
    fn from_value(value: &'a Value) -> Option<Self> {
        <&[u8]>::from_value(value).map(Bytes::copy_from_slice)
    }
}
/// As it came, to be bound again.
impl FromValue<'_> for Value {
    const EXPECTED: &'static str = "any value";
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}
impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

/// One row of a result. Columns are found by the name the statement gave them, case-sensitively.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(columns: Arc<[String]>, values: Vec<Value>) -> Self {
        Row { columns, values }
    }

    /// The column of that name as a `T`; a missing column or another kind of value is an error naming it.
    pub fn get<'a, T: FromValue<'a>>(&'a self, column: &str) -> Result<T, Error> {
        let value = self.columns.iter().position(|c| c == column).and_then(|i| self.values.get(i));
        read(value, column)
    }

    /// The column at that index, counted from 0, as a `T`.
    pub fn at<'a, T: FromValue<'a>>(&'a self, index: usize) -> Result<T, Error> {
        match (self.values.get(index), self.columns.get(index)) {
            (Some(value), Some(name)) => read(Some(value), name),
            _ => read(None, &index.to_string()),
        }
    }
}

fn read<'a, T: FromValue<'a>>(value: Option<&'a Value>, column: &str) -> Result<T, Error> {
    let wrong = |found| Error::Column { column: column.to_owned(), expected: T::EXPECTED, found };
    let value = value.ok_or_else(|| wrong("no such column"))?;
    T::from_value(value).ok_or_else(|| wrong(value.kind()))
}
