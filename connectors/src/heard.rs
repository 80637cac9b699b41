//! What a core answered beside the rules that are declared for it: for a person who writes them. It decides nothing; what an answer
//! means is said by the same tests on the same answer.

use std::sync::Arc;

use super::json::Json;

/// Places of an answer that are shown.
const PLACES_MAX: usize = 40;
/// Longest value that is shown, in characters: codes, states and numbers are short.
const VALUE_CHARS_MAX: usize = 40;
/// Rules that are told although they do not fit, the nearest.
const MISSES_MAX: usize = 4;
/// Parts of names whose values are never shown.
const SECRET: [&str; 11] =
    ["token", "secret", "password", "passwd", "pwd", "auth", "session", "cookie", "credential", "apikey", "signature"];

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// What came: its status and type, its error, its rows.
    pub what: String,
    /// Declared rules that fit, by their place in the operation, such as `post.accepted[0]`.
    pub fits: Vec<String>,
    /// Rules that do not fit, each with all that keeps it from fitting; the nearest first.
    pub misses: Vec<(String, Vec<String>)>,
    /// Places of the answer and what stands there. A long value and what may be a secret are told and not shown.
    pub places: Vec<(String, String)>,
}

/// Is told every answer.
pub type Listener = Arc<dyn Fn(Heard) + Send + Sync>;

impl Heard {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// A rule and what keeps it from fitting; nothing of one that fits.
    pub(super) fn rule(&mut self, name: &str, index: usize, misses: Vec<String>) {
        let name = format!("{name}[{index}]");
        if misses.is_empty() {
            self.fits.push(name);
        } else {
            self.misses.push((name, misses));
        }
    }

    /// What stands in the answer; texts that hold one of `secrets` are not shown.
    pub(super) fn body(&mut self, json: &Json, secrets: &[&str]) {
        let scalars = json.scalars(PLACES_MAX).into_iter();
        self.places.extend(scalars.map(|(pointer, value)| {
            let shown = shown(&pointer, value, secrets);
            (pointer, shown)
        }));
    }

    /// Keeps the nearest of the rules that do not fit.
    pub(super) fn done(mut self) -> Self {
        self.misses.sort_by_key(|(_, misses)| misses.len());
        self.misses.truncate(MISSES_MAX);
        self
    }
}

/// A value for people. Numbers and texts alike may be personal; the caller asked for this answer.
pub(super) fn shown(pointer: &str, value: &Json, secrets: &[&str]) -> String {
    let name = pointer.rsplit('/').find(|part| !part.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase();
    let hidden = SECRET.iter().any(|secret| name.contains(secret));
    let holds = |text: &str| secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret));
    match value {
        Json::Null => "null".to_owned(),
        Json::List(_) => "an empty list".to_owned(),
        Json::Object(_) => "an empty object".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Text(text) | Json::Number(text) if hidden || holds(text) => "(not shown)".to_owned(),
        Json::Number(digits) => digits.clone(),
        Json::Text(text) => match text.chars().count() {
            chars if chars > VALUE_CHARS_MAX => format!("a text of {chars} characters"),
            _ => serde_json::Value::from(text.as_str()).to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let body = br#"{"status":"OK","Access_Token":"abc","keys":{"api-key":["x",7]},"echo":"Basic Zm9v","long":"0123456789012345678901234567890123456789-"}"#;
        let json = Json::read(body, 8).unwrap();
        let mut heard = Heard::new("status 200");
        heard.body(&json, &["Zm9v"]);
        let shown: Vec<(&str, &str)> = heard.places.iter().map(|(at, value)| (at.as_str(), value.as_str())).collect();
        let hidden = "(not shown)";
        assert_eq!(
            shown,
            [
                ("/status", "\"OK\""),
                ("/Access_Token", hidden),
                ("/keys/api-key/0", hidden),
                ("/keys/api-key/1", hidden),
                ("/echo", hidden),
                ("/long", "a text of 41 characters"),
            ]
        );
    }

    #[test]
    fn the_rules_that_nearly_fit_are_told_first() {
        let mut heard = Heard::new("");
        for (index, misses) in [3, 1, 2, 0, 4, 5].into_iter().enumerate() {
            heard.rule("post.accepted", index, vec![String::new(); misses]);
        }
        let heard = heard.done();
        assert_eq!(heard.fits, ["post.accepted[3]"]);
        let near: Vec<&str> = heard.misses.iter().map(|(rule, _)| rule.as_str()).collect();
        assert_eq!(near, ["post.accepted[1]", "post.accepted[2]", "post.accepted[0]", "post.accepted[4]"]);
    }
}
