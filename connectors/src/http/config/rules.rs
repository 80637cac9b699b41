//! Declared answers. Shapes only; what they must satisfy is in `check_rules`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A declared answer: one of the statuses and every condition. At least one condition is about the body: a bare status may come
/// from anything on the way, and so may a header.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Statuses.
    pub status: Vec<u16>,
    /// JSON pointer → the value that must be there.
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
    /// JSON pointers where something must be: neither null nor an empty text, list or object.
    #[serde(default)]
    pub exists: Pointers,
    /// JSON pointers whose place must be there with nothing in it: null, or an empty text, list or object.
    #[serde(default)]
    pub empty: Pointers,
    /// Header → its value; null where it must be missing.
    #[serde(default)]
    pub when_header: BTreeMap<String, Value>,
}

/// A declared refusal: one of the statuses, every condition, and a declared code.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RefusalRule {
    /// Statuses.
    pub status: Vec<u16>,
    /// As in [`Rule`].
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
    /// As in [`Rule`].
    #[serde(default)]
    pub exists: Pointers,
    /// As in [`Rule`].
    #[serde(default)]
    pub empty: Pointers,
    /// As in [`Rule`].
    #[serde(default)]
    pub when_header: BTreeMap<String, Value>,
    /// Where the code is, a string or a whole number.
    pub code: CodeAt,
}

/// Where a refusal has its code. In its pointer `*` stands for each element of a list; the first declared code counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a code is a JSON pointer, or {at: /pointer, until: \":\"}")]
pub enum CodeAt {
    /// At this pointer.
    Pointer(String),
    /// At the beginning of a text.
    Prefix(PrefixCode),
}

/// A code with more text behind it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PrefixCode {
    /// Pointer to the text.
    pub at: String,
    /// The code is what stands before this; the whole text where this is not in it.
    pub until: String,
}

impl CodeAt {
    /// The pointer to the code or its text.
    pub fn pointer(&self) -> &str {
        match self {
            Self::Pointer(pointer) => pointer,
            Self::Prefix(prefix) => &prefix.at,
        }
    }

    /// The code in the text at that pointer.
    pub fn of<'t>(&self, text: &'t str) -> &'t str {
        match self {
            Self::Pointer(_) => text,
            Self::Prefix(prefix) => text.split_once(&prefix.until).map_or(text, |(code, _)| code).trim(),
        }
    }
}

/// One JSON pointer or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Pointers(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a JSON pointer or a list of them")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Pointers {
    fn from(written: OneOrMany) -> Self {
        match written {
            OneOrMany::One(pointer) => Self(vec![pointer]),
            OneOrMany::Many(pointers) => Self(pointers),
        }
    }
}

/// The conditions of any kind of rule.
#[derive(Clone, Copy)]
pub struct Conditions<'a> {
    /// JSON pointer → value.
    pub when: &'a BTreeMap<String, Value>,
    /// Something is there.
    pub exists: &'a Pointers,
    /// The place is there, and nothing in it.
    pub empty: &'a Pointers,
    /// Header → value or null.
    pub when_header: &'a BTreeMap<String, Value>,
}

impl Rule {
    /// What it asks for beside the status.
    pub fn conditions(&self) -> Conditions<'_> {
        let Self { when, exists, empty, when_header, .. } = self;
        Conditions { when, exists, empty, when_header }
    }
}

impl RefusalRule {
    /// What it asks for beside status and code.
    pub fn conditions(&self) -> Conditions<'_> {
        let Self { when, exists, empty, when_header, .. } = self;
        Conditions { when, exists, empty, when_header }
    }
}

impl Conditions<'_> {
    /// Is any of them about the body?
    pub fn any_of_body(&self) -> bool {
        !self.when.is_empty() || !self.exists.0.is_empty() || !self.empty.0.is_empty()
    }
}
