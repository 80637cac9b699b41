//! From the file's tree to its sections. A fault in one section does not hide those of the next.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Fault;
use super::sections::Config;
use crate::roles::Role;

/// Time within which a channel has its answer to a write, in milliseconds.
const WRITE_DEADLINE_MS: u64 = 2_000;
const CLOCK_DIFFERENCE_MS_MAX: u64 = 2_000;

/// Reads every section for itself, so that a fault in one does not hide those of the next.
pub(super) fn read(tree: Value) -> (Config, Vec<Fault>) {
    let mut faults = Vec::new();
    let Value::Object(tree) = tree else {
        faults.push(Fault::new("", "the file must be a list of sections, such as `sql: {url: …}`"));
        return (Reading { tree: Map::new(), faults: &mut Vec::new() }.config(), faults);
    };
    let mut reading = Reading { tree, faults: &mut faults };
    let config = reading.config();
    let unknown: Vec<String> = reading.tree.keys().cloned().collect();
    faults.extend(unknown.into_iter().map(|name| Fault::new(name, "there is no such section; see locum.example.yaml")));
    (config, faults)
}

struct Reading<'f> {
    tree: Map<String, Value>,
    faults: &'f mut Vec<Fault>,
}

/// Members of limits while one amount counted for all currencies.
const BEFORE_CURRENCIES: [&str; 2] = ["per_transfer_minor", "per_day_minor"];

impl Reading<'_> {
    /// One member of a section, taken out of it.
    fn take_member<T: DeserializeOwned>(&mut self, section: &str, member: &str) -> Option<T> {
        let value = self.tree.get_mut(section)?.as_object_mut()?.remove(member)?;
        match serde_json::from_value(value) {
            Ok(read) => Some(read),
            Err(error) => {
                self.faults.push(Fault::new(format!("{section}.{member}"), redacted(&error.to_string())));
                None
            }
        }
    }

    /// A section whose type accepts unknown members, because it is kept in SQL too. The file may not have such members.
    fn take_known<T: DeserializeOwned + Serialize>(&mut self, section: &str) -> Option<T> {
        let written = self.tree.get(section).cloned().unwrap_or_default();
        let outdated = BEFORE_CURRENCIES.iter().any(|member| written.get(member).is_some());
        if outdated {
            let remedy = "limits are per currency, in its own minor units: write `currencies: {EUR: {per_transfer_minor: …, \
                          per_day_minor: …}}` with an entry for each currency, and leave `per_transfer_minor` and \
                          `per_day_minor` of the section itself out";
            self.tree.remove(section);
            self.faults.push(Fault::new(section, remedy));
            return None;
        }
        let read: T = self.take(section)?;
        let known = serde_json::to_value(&read).unwrap_or_default();
        for path in unknown(&written, &known, section) {
            self.faults.push(Fault::new(path, "unknown field"));
        }
        Some(read)
    }

    fn config(&mut self) -> Config {
        Config {
            listen: self.take("listen").unwrap_or_default(),
            admin: self.take("admin").unwrap_or_default(),
            state_dir: self.take("state_dir").unwrap_or_else(|| "state".into()),
            instances_max: self.take("instances_max").unwrap_or(1),
            sql: self.take("sql").unwrap_or_default(),
            redis: self.take("redis"),
            kafka: self.take("kafka").unwrap_or_default(),
            sources: self.take("sources").unwrap_or_default(),
            core: self.take("core").unwrap_or_default(),
            supersede_limits: self.take_member("limits", "supersede_version"),
            limits: self.take_known("limits").unwrap_or_default(),
            rules: self.take_known("rules").unwrap_or_default(),
            business_day: self.take("business_day").unwrap_or_default(),
            tokens: self.take("tokens"),
            cursor_key: self.take("cursor_key"),
            principals: self.take("principals").unwrap_or_default(),
            write_deadline_ms: self.take("write_deadline_ms").unwrap_or(WRITE_DEADLINE_MS),
            clock_difference_ms_max: self.take("clock_difference_ms_max").unwrap_or(CLOCK_DIFFERENCE_MS_MAX),
            replay: self.take("replay").unwrap_or_default(),
            operators: self.take("operators").unwrap_or_default(),
            retention: self.take("retention").unwrap_or_default(),
            roles: self.take("roles").unwrap_or_else(|| Role::ALL.to_vec()),
        }
    }

    fn take<T: DeserializeOwned>(&mut self, section: &str) -> Option<T> {
        let value = self.tree.remove(section).filter(|value| !value.is_null())?;
        match serde_path_to_error::deserialize(value) {
            Ok(read) => Some(read),
            Err(error) => {
                let inner = error.path().to_string();
                let path = match inner.as_str() {
                    "." => section.to_owned(),
                    inner if inner.starts_with('[') => format!("{section}{inner}"),
                    inner => format!("{section}.{inner}"),
                };
                self.faults.push(Fault::new(path, redacted(&error.into_inner().to_string())));
                None
            }
        }
    }
}

/// The places where `written` has members that `known`, which was read from it, has not.
fn unknown(written: &Value, known: &Value, at: &str) -> Vec<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => written
            .iter()
            .flat_map(|(name, value)| match known.get(name) {
                Some(known) => unknown(value, known, &format!("{at}.{name}")),
                None => vec![format!("{at}.{name}")],
            })
            .collect(),
        (Value::Array(written), Value::Array(known)) => {
            let items = written.iter().zip(known).enumerate();
            items.flat_map(|(index, (written, known))| unknown(written, known, &format!("{at}[{index}]"))).collect()
        }
        _ => Vec::new(),
    }
}

/// serde quotes what it did not expect, and that may be a password.
fn redacted(message: &str) -> String {
    match message.split_once("string \"") {
        Some((before, rest)) => {
            let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
            format!("{before}a text{after}")
        }
        None => message.to_owned(),
    }
}
