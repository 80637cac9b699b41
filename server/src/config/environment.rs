//! Overrides from the environment: `LOCUM__SQL__URL` is `sql.url`, `LOCUM__SOURCES__0__NAME` is `sources[0].name`.

use std::ffi::OsString;

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::Fault;
use crate::roles::Role;

/// What every override begins with.
const PREFIX: &str = "LOCUM__";

/// The overrides of this process, less what is no text. Roles of the command line come last, and so win.
pub fn overrides(roles: &[Role]) -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let mut overrides: Vec<_> = std::env::vars_os().filter_map(text).collect();
    if !roles.is_empty() {
        let names = roles.iter().filter_map(ValueEnum::to_possible_value).map(|value| value.get_name().to_owned());
        overrides.push(("LOCUM__ROLES".to_owned(), format!("[{}]", names.collect::<Vec<_>>().join(", "))));
    }
    overrides
}

/// Writes the overrides into the tree. Values are read as YAML scalars; those that are none stay texts.
pub(super) fn overlay(tree: &mut Value, environment: impl IntoIterator<Item = (String, String)>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        if path.iter().any(String::is_empty) || !set(tree, &path, scalar(&value)) {
            faults.push(Fault::new(name, "names no place in the configuration; write LOCUM__SECTION__KEY"));
        }
    }
    faults
}

fn scalar(text: &str) -> Value {
    match serde_saphyr::from_str::<Value>(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ if text.starts_with('[') => serde_saphyr::from_str(text).unwrap_or_else(|_| text.into()),
        _ => text.into(),
    }
}

fn set(tree: &mut Value, path: &[String], value: Value) -> bool {
    let Some((key, rest)) = path.split_first() else {
        *tree = value;
        return true;
    };
    if tree.is_null() {
        *tree = Value::Object(Map::new());
    }
    match tree {
        Value::Object(map) => set(map.entry(key.clone()).or_insert(Value::Null), rest, value),
        Value::Array(items) => {
            let item = key.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            item.is_some_and(|item| set(item, rest, value))
        }
        _ => false,
    }
}
