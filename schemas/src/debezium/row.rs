//! Rows and cells borrowed from the record: JSON is scanned once and a cell is parsed only when a mapping asks for it.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::OURS;

/// Columns a row may have; MySQL and MariaDB stop at 4,096, PostgreSQL at 1,600.
pub const COLUMNS_MAX: usize = 4_096;
/// Bytes a column's name may have; MySQL, MariaDB and PostgreSQL stop at 64 characters.
pub const NAME_BYTES_MAX: usize = 256;
/// Nesting a cell may have; Debezium's own structs need two.
pub const CELL_DEPTH_MAX: usize = 32;

/// One column's value as JSON text, not parsed yet. Debug shows its kind only: values are personal data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    json: &'a str,
}

impl<'a> Cell<'a> {
    /// A cell over valid JSON text without surrounding blanks.
    pub(crate) fn new(raw: &'a RawValue) -> Self {
        Self { json: raw.get() }
    }

    /// The JSON text.
    pub fn json(self) -> &'a str {
        self.json
    }

    /// True for JSON `null`.
    pub fn is_null(self) -> bool {
        self.json == "null"
    }

    /// The text of a JSON string; none for any other kind.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.json.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.json).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// An integer that fits; none for strings, fractions and exponents.
    pub fn i64(self) -> Option<i64> {
        self.json.parse().ok()
    }

    /// A non-negative integer that fits.
    pub fn u64(self) -> Option<u64> {
        self.json.parse().ok()
    }

    /// True for an integer of any size, as it is written.
    pub fn is_integer(self) -> bool {
        let digits = self.json.strip_prefix('-').unwrap_or(self.json);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// A boolean.
    pub fn bool(self) -> Option<bool> {
        match self.json {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// `string`, `number`, `object`, `array`, `boolean` or `null`; for messages.
    pub fn kind(self) -> &'static str {
        match self.json.as_bytes().first() {
            Some(b'"') => "string",
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b't' | b'f') => "boolean",
            Some(b'n') => "null",
            _ => "number",
        }
    }

    fn too_deep(self) -> bool {
        let mut depth = 0usize;
        let mut in_string = false;
        let mut escaped = false;
        for byte in self.json.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => {
                    depth += 1;
                    if depth > CELL_DEPTH_MAX {
                        return true;
                    }
                }
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        false
    }
}

impl std::fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}>", self.kind())
    }
}

/// A row: column names with their cells, in the order of the record. Names are unique.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row<'a> {
    cells: Vec<(Cow<'a, str>, Cell<'a>)>,
}

impl<'a> Row<'a> {
    /// The cell of a column; none when the row has no such column (a SQL NULL is a cell).
    pub fn get(&self, column: &str) -> Option<Cell<'a>> {
        self.cells.iter().find(|(name, _)| name == column).map(|(_, cell)| *cell)
    }

    /// All columns in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cell<'a>)> {
        self.cells.iter().map(|(name, cell)| (name.as_ref(), *cell))
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True without columns: the key of a record without a key.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

/// An object's member name, borrowed unless it is escaped.
pub(crate) struct Name<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a member name")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowVisitor;
        impl<'de> Visitor<'de> for RowVisitor {
            type Value = Row<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
                let mut cells: Vec<(Cow<'de, str>, Cell<'de>)> = Vec::with_capacity(16);
                let mut names = Names::default();
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    if name.len() > NAME_BYTES_MAX {
                        return Err(A::Error::custom(format!("{OURS}column names of at most {NAME_BYTES_MAX} bytes")));
                    }
                    if names.maybe_seen(&name) && cells.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(format!("{OURS}one value for column `{}`, not two", clip(&name))));
                    }
                    let cell = Cell::new(map.next_value::<&'de RawValue>()?);
                    if matches!(cell.json.as_bytes().first(), Some(b'{' | b'[')) && cell.too_deep() {
                        return Err(A::Error::custom(format!("{OURS}at most {CELL_DEPTH_MAX} nested levels")));
                    }
                    if cells.len() == COLUMNS_MAX {
                        return Err(A::Error::custom(format!("{OURS}at most {COLUMNS_MAX} columns")));
                    }
                    cells.push((name, cell));
                }
                Ok(Row { cells })
            }
        }
        deserializer.deserialize_map(RowVisitor)
    }
}

/// A set of names that may say yes wrongly, never no: spares most rows the pairwise comparison.
#[derive(Default)]
struct Names {
    bits: [u64; 4],
}

impl Names {
    fn maybe_seen(&mut self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let at = |i: usize| bytes.get(i).copied().map_or(0, usize::from);
        let (last, middle) = (at(bytes.len().wrapping_sub(1)), at(bytes.len() / 2));
        let bit = (at(0) ^ (last << 3) ^ (middle << 5) ^ (bytes.len() * 37)) % 256;
        let word = &mut self.bits[bit / 64];
        let seen = *word & (1 << (bit % 64)) != 0;
        *word |= 1 << (bit % 64);
        seen
    }
}

/// Names in messages are cut: a hostile name may be megabytes.
pub(crate) fn clip(name: &str) -> String {
    name.chars().take(64).filter(|c| !c.is_control()).collect()
}
