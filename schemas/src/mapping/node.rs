//! YAML as a tree with lines, and the reading of it that collects every problem instead of stopping at the first.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::code::Code;
use super::{FILL_IN, MappingIssue};

/// A YAML node with the line it starts at.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// Fractions and whatever else no mapping needs.
    Other,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("YAML")
            }
            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_none<E: Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Integer(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                Ok(i64::try_from(value).map_or(Value::Other, Value::Integer))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
                Ok(Value::Other)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = seq.next_element()? {
                    nodes.push(node);
                }
                Ok(Value::List(nodes))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Value::Map(members))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Collects problems while a tree is read.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<MappingIssue>);

impl Problems {
    pub(super) fn add(&mut self, line: u64, at: &str, problem: impl Into<String>) {
        self.0.push(MappingIssue { line, at: at.to_owned(), problem: problem.into() });
    }

    /// A non-empty text. Codes and names that YAML takes for numbers or booleans must be quoted: `01` is not `1`.
    pub(super) fn text(&mut self, node: &Node, at: &str) -> Option<String> {
        match &node.value {
            Value::Text(text) if text == FILL_IN => {
                self.add(node.line, at, "left open by the draft: say what the core means here; the comment beside it tells what was looked for");
            }
            Value::Text(text) if !text.is_empty() => return Some(text.clone()),
            Value::Integer(_) | Value::Bool(_) | Value::Null | Value::Other => {
                self.add(node.line, at, "expected a text (put it in quotes)");
            }
            _ => self.add(node.line, at, "expected a text"),
        }
        None
    }

    /// One text or a list of them, not empty.
    pub(super) fn texts(&mut self, node: &Node, at: &str) -> Option<Vec<String>> {
        self.list(node, at, Self::text)
    }

    /// One code or a list of them: texts, or `true` and `false`.
    pub(super) fn codes(&mut self, node: &Node, at: &str) -> Option<Vec<String>> {
        self.list(node, at, |problems, node, at| match node.value {
            Value::Bool(value) => Some(value.to_string()),
            _ => problems.text(node, at),
        })
    }

    /// Codes of `where`: one or a list of them, not empty, none twice. Texts may be empty; `null` is NULL.
    pub(super) fn filter_codes(&mut self, node: &Node, at: &str) -> Option<Vec<Code>> {
        let codes = self.list(node, at, |problems, node, at| match &node.value {
            Value::Null => Some(Code::Null),
            Value::Bool(value) => Some(Code::Text(value.to_string())),
            Value::Integer(number) => Some(Code::Number(*number)),
            Value::Text(text) => Some(Code::Text(text.clone())),
            _ => {
                problems.add(
                    node.line,
                    at,
                    "expected a code: a text (put it in quotes), an integer, true, false or null",
                );
                None
            }
        })?;
        let twice = codes.iter().enumerate().find(|(i, code)| codes[..*i].iter().any(|other| other.overlaps(code)));
        if let Some((_, code)) = twice {
            self.add(
                node.line,
                at,
                format!("the code `{code}` is there twice (`true` and `1` are one, `false` and `0`)"),
            );
            return None;
        }
        Some(codes)
    }

    /// One item or a list of them, not empty.
    pub(super) fn list<T>(
        &mut self,
        node: &Node,
        at: &str,
        mut read: impl FnMut(&mut Self, &Node, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::List(nodes) = &node.value else { return read(self, node, at).map(|item| vec![item]) };
        if nodes.is_empty() {
            self.add(node.line, at, "expected at least one");
            return None;
        }
        let items: Vec<_> = nodes.iter().filter_map(|node| read(self, node, at)).collect();
        (items.len() == nodes.len()).then_some(items)
    }
}

/// The members of a map; each is taken once, and what is left over is a problem.
pub(super) struct Members<'n> {
    line: u64,
    at: String,
    left: Vec<(&'n str, &'n Node)>,
    known: Vec<&'static str>,
}

impl<'n> Members<'n> {
    pub(super) fn of(node: &'n Node, at: &str, problems: &mut Problems) -> Option<Self> {
        let Value::Map(members) = &node.value else {
            problems.add(node.line, at, "expected fields");
            return None;
        };
        let left = members.iter().map(|(name, node)| (name.as_str(), node)).collect();
        Some(Self { line: node.line, at: at.to_owned(), left, known: Vec::new() })
    }

    pub(super) fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// A member that may be missing.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        let place = self.left.iter().position(|(other, _)| *other == name)?;
        Some(self.left.swap_remove(place).1)
    }

    /// A member that must be there.
    pub(super) fn need(&mut self, name: &'static str, problems: &mut Problems) -> Option<&'n Node> {
        let node = self.take(name);
        if node.is_none() {
            problems.add(self.line, &self.path(name), "missing");
        }
        node
    }

    /// Reports what nobody took.
    pub(super) fn finish(self, problems: &mut Problems) {
        for (name, node) in &self.left {
            problems.add(node.line, &self.path(name), format!("unknown field; known here: {}", self.known.join(", ")));
        }
    }
}
