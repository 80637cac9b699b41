//! Query parameters, strictly: unknown and repeated ones are refused.

use axum::extract::{FromRequestParts, Query};
use edge::{FieldError, Problem, Segment};
use http::Uri;
use http::request::Parts;
use jiff::Timestamp;
use read_model::KEY_LEN_MAX;
use schemas::money::{Currency, parse_minor};

/// The `{id}` of a path; what cannot be an id is not found.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Segment(id) = Segment::from_request_parts(parts, state).await?;
        let plausible = (1..=KEY_LEN_MAX).contains(&id.chars().count());
        if plausible { Ok(Self(id)) } else { Err(Problem::not_found()) }
    }
}

/// The parameters of one request.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes the query; every name must be known and occur once.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let decoded = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) =
            decoded.map_err(|_| Problem::bad_request("the query is not percent-encoded as it must be"))?;
        let mut errors = Vec::new();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                errors.push(fault(name, "unknown-parameter", format!("known are {}", known.join(", "))));
            } else if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                errors.push(fault(name, "duplicate-parameter", "occurs twice"));
            }
        }
        if errors.is_empty() { Ok(Self(pairs)) } else { Err(refuse(errors)) }
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Everything but `left_out`, percent-encoded, for a link.
    pub(crate) fn encoded_without(&self, left_out: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
        kept.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect::<Vec<_>>().join("&")
    }

    /// A moment, RFC 3339 with its zone.
    pub(crate) fn timestamp(&self, name: &'static str) -> Result<Option<Timestamp>, FieldError> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                fault(
                    name,
                    "invalid-time",
                    "must be RFC 3339 with a zone, such as 2026-01-31T00:00:00Z; write + as %2B",
                )
            })
        };
        self.get(name).map(read).transpose()
    }

    /// An amount without a sign, in minor units of the account's currency.
    pub(crate) fn amount(&self, name: &'static str, currency: Currency) -> Result<Option<i64>, FieldError> {
        let read = |text: &str| match parse_minor(text, currency) {
            Ok(minor) if minor >= 0 => Ok(minor),
            Ok(_) => Err(fault(name, "invalid-amount", "must not be negative")),
            Err(error) => Err(fault(name, "invalid-amount", error.to_string())),
        };
        self.get(name).map(read).transpose()
    }

    /// A whole number from 1 to `max`.
    pub(crate) fn count(&self, name: &'static str, max: u32) -> Result<Option<u32>, FieldError> {
        let read = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|n| digits && (1..=max).contains(n));
            number.ok_or_else(|| fault(name, "invalid-number", format!("must be 1 to {max}")))
        };
        self.get(name).map(read).transpose()
    }
}

/// One wrong parameter.
pub(crate) fn fault(name: &str, code: &'static str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: name.chars().take(64).collect(), code, detail: detail.into() }
}

/// 400 with every wrong parameter.
pub(crate) fn refuse(errors: Vec<FieldError>) -> Problem {
    Problem::bad_request("a parameter is not valid").errors(errors)
}

/// RFC 3986: everything but unreserved characters.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
