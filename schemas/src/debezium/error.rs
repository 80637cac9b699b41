//! Why a record is no change event. Messages name places and expectations, never values: values are personal data.

/// Which half of a Kafka record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
}

impl std::fmt::Display for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Half::Key => "key",
            Half::Value => "value",
        })
    }
}

/// A record that cannot be decoded. Safe to log and to show: it holds no value of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The JSON ends early.
    #[error("{half}: JSON ends early at column {column}")]
    Truncated {
        /// Key or value.
        half: Half,
        /// One-based column of the line, 0 when unknown.
        column: usize,
    },
    /// Not JSON, or not UTF-8.
    #[error("{half}: malformed JSON at column {column}")]
    Malformed {
        /// Key or value.
        half: Half,
        /// One-based column of the line, 0 when unknown.
        column: usize,
    },
    /// Well-formed JSON that is not what Debezium writes there.
    #[error("{half}: {at}: expected {expected}")]
    Unexpected {
        /// Key or value.
        half: Half,
        /// Path inside that half, such as `source.pos`.
        at: String,
        /// What belongs there.
        expected: String,
    },
    /// More than a limit allows.
    #[error("{half}: {what} exceeds {max}")]
    TooLarge {
        /// Key or value.
        half: Half,
        /// What is counted, with its unit.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A tombstone, or an event of an operation that needs a key, came without one.
    #[error("a tombstone without a key")]
    NoKey,
    /// Valid JSON, but none of Debezium's record shapes (a flattening transform, or another producer).
    #[error(
        "no Debezium envelope: neither `op`, a transaction marker nor a heartbeat (is a flattening transform configured?)"
    )]
    NoEnvelope,
}

impl DecodeError {
    pub(crate) fn expected(half: Half, at: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Unexpected { half, at: at.into(), expected: expected.into() }
    }

    /// Keeps of serde's message only what we wrote ourselves: the place and what was expected there.
    pub(crate) fn from_json(half: Half, at: &str, err: &serde_json::Error) -> Self {
        use serde_json::error::Category;
        match err.classify() {
            Category::Eof => Self::Truncated { half, column: err.column() },
            Category::Syntax | Category::Io => Self::Malformed { half, column: err.column() },
            Category::Data => {
                let message = err.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text);
                // serde's own texts quote the offending value before `, expected `; ours never contain that.
                let expected = match message.rsplit_once(", expected ") {
                    Some((_, expected)) => expected,
                    None => message.strip_prefix(OURS).unwrap_or("another shape"),
                };
                Self::expected(half, at, expected)
            }
        }
    }
}

/// Marks the custom serde errors of this module, so that foreign texts are never passed on.
pub(crate) const OURS: &str = "locum: ";
