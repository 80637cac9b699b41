//! A strict reader of a core's answer: bounded depth, no duplicate keys, and numbers kept as the digits that came.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An answer. Numbers are their text, so that no amount ever passes through a float.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why an answer was not read. Says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("body is not JSON, or names a key twice")]
    Malformed,
    #[error("body is nested too deeply")]
    TooDeep,
}

impl Json {
    pub(super) fn read(body: &[u8], depth_max: usize) -> Result<Self, Unreadable> {
        let raw: &RawValue = serde_json::from_slice(body).map_err(|_| Unreadable::Malformed)?;
        Self::of(raw.get(), depth_max)
    }

    fn of(text: &str, depth_left: usize) -> Result<Self, Unreadable> {
        let deeper = || depth_left.checked_sub(1).ok_or(Unreadable::TooDeep);
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let (Members(members), depth) = (parse(text)?, deeper()?);
                let read = |(key, raw): (String, &RawValue)| Ok((key, Self::of(raw.get(), depth)?));
                Self::Object(members.into_iter().map(read).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let (items, depth) = (parse::<Vec<&RawValue>>(text)?, deeper()?);
                Self::List(items.into_iter().map(|raw| Self::of(raw.get(), depth)).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Self::Text(parse(text)?),
            Some(b't' | b'f') => Self::Bool(parse(text)?),
            Some(b'n') => Self::Null,
            _ => Self::Number(text.to_owned()),
        })
    }

    /// The value at an RFC 6901 pointer.
    pub(super) fn at(&self, pointer: &str) -> Option<&Json> {
        pointer.split('/').skip(1).try_fold(self, Self::child)
    }

    /// Every value at a pointer in which `*` stands for each element of a list, in order.
    pub(super) fn all_at(&self, pointer: &str) -> Vec<&Json> {
        pointer
            .split('/')
            .skip(1)
            .fold(vec![self], |values, token| values.into_iter().flat_map(|value| value.children(token)).collect())
    }

    fn children(&self, token: &str) -> Vec<&Json> {
        match self {
            Json::List(items) if token == "*" => items.iter().collect(),
            value => value.child(token).into_iter().collect(),
        }
    }

    fn child(&self, token: &str) -> Option<&Json> {
        let token = token.replace("~1", "/").replace("~0", "~");
        match self {
            Json::Object(members) => members.iter().find(|(key, _)| *key == token).map(|(_, value)| value),
            Json::List(items) if token.bytes().all(|b| b.is_ascii_digit()) => items.get(token.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Everything that holds nothing further, with its pointer, in order; at most so many.
    pub(super) fn scalars(&self, max: usize) -> Vec<(String, &Json)> {
        let mut found = Vec::new();
        self.collect(String::new(), max, &mut found);
        found
    }

    fn collect<'j>(&'j self, at: String, max: usize, found: &mut Vec<(String, &'j Json)>) {
        match self {
            _ if found.len() >= max => {}
            Json::Object(members) if !members.is_empty() => {
                for (key, value) in members {
                    value.collect(format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), max, found);
                }
            }
            Json::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    item.collect(format!("{at}/{index}"), max, found);
                }
            }
            scalar => found.push((at, scalar)),
        }
    }

    /// Null, or an empty text, list or object.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Json::Null => true,
            Json::Bool(_) | Json::Number(_) => false,
            Json::Text(text) => text.is_empty(),
            Json::List(items) => items.is_empty(),
            Json::Object(members) => members.is_empty(),
        }
    }

    /// The text of a string or a number: codes, references, amounts.
    pub(super) fn digits_or_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) | Json::Number(text) => Some(text),
            _ => None,
        }
    }

    /// Equal in kind and value to a scalar of the configuration.
    pub(super) fn is(&self, expected: &serde_json::Value) -> bool {
        match (self, expected) {
            (Json::Text(text), serde_json::Value::String(expected)) => text == expected,
            (Json::Number(digits), serde_json::Value::Number(expected)) => *digits == expected.to_string(),
            (Json::Bool(value), serde_json::Value::Bool(expected)) => value == expected,
            _ => false,
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|_| Unreadable::Malformed)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("duplicate key"));
            }
            members.push((key, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_as_they_came() {
        let read = Json::read(br#" {"a":[10.50, 92233720368547758.07, 1e999], "b~/c":{"":true}} "#, 4).unwrap();
        for (pointer, digits) in [("/a/0", "10.50"), ("/a/1", "92233720368547758.07"), ("/a/2", "1e999")] {
            assert_eq!(read.at(pointer).and_then(Json::digits_or_text), Some(digits));
        }
        assert_eq!(read.at("/b~0~1c/"), Some(&Json::Bool(true)));
        assert_eq!(read.at(""), Some(&read));
        assert_eq!(read.at("/a/3"), None);
        assert_eq!(read.at("/a/+1"), None);
    }

    #[test]
    fn a_star_stands_for_each_element_of_a_list() {
        let read = Json::read(br#"{"e":[{"c":"A"},{"d":1},[{"c":"B"}],{"c":2}],"o":{"*":"C"},"x":[]}"#, 8).unwrap();
        let texts = |pointer| read.all_at(pointer).into_iter().filter_map(Json::digits_or_text).collect::<Vec<_>>();
        for (pointer, found) in [
            ("/e/*/c", &["A", "2"][..]),
            ("/e/*/*/c", &["B"]),
            ("/e/0/c", &["A"]),
            ("/o/*", &["C"]),
            ("/x/*", &[]),
            ("/e/*/c/*", &[]),
            ("/none/*/c", &[]),
        ] {
            assert_eq!(texts(pointer), found, "{pointer}");
        }
        assert_eq!(read.at("/e/*/c"), None, "only where it is asked for");
        assert_eq!(read.all_at(""), [&read]);
    }

    #[test]
    fn every_scalar_has_the_pointer_that_leads_to_it() {
        let read = Json::read(br#"{"a":[1,{"b/c":null}],"d":{},"e":"x"}"#, 8).unwrap();
        let scalars = read.scalars(9);
        let pointers: Vec<&str> = scalars.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a/0", "/a/1/b~1c", "/d", "/e"]);
        assert!(scalars.iter().all(|(pointer, value)| read.at(pointer) == Some(*value)));
        assert_eq!(read.scalars(2).len(), 2);
    }

    #[test]
    fn what_holds_nothing_is_empty() {
        let read = Json::read(br#"[null,"",[],{},0,false," ",[null],{"a":null}]"#, 8).unwrap();
        let Json::List(items) = &read else { panic!("{read:?}") };
        let empty: Vec<bool> = items.iter().map(Json::is_empty).collect();
        assert_eq!(empty, [true, true, true, true, false, false, false, false, false]);
    }

    #[test]
    fn what_is_not_one_clean_document_is_refused() {
        for body in [
            &b""[..],
            b"<html>",
            b"{} {}",
            b"{\"a\":1,\"a\":1}",
            b"{\"x\":{\"a\":1,\"\\u0061\":1}}",
            b"[1,]",
            b"\"\\ud800\"",
            b"\xff",
            b"NaN",
            b"01",
        ] {
            assert_eq!(Json::read(body, 8), Err(Unreadable::Malformed), "{body:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(Json::read(b"[[1]]", 2).is_ok());
        assert_eq!(Json::read(b"[[[1]]]", 2), Err(Unreadable::TooDeep));
        let bomb = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(Json::read(&bomb, 16).is_err());
    }
}
