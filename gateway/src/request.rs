//! From an HTTP request to a well-formed write. What is wrong with its shape is said all at once and consumes no key.

use edge::{FieldError, Problem};
use http::HeaderMap;
use schemas::money::{Currency, parse_minor};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use standin::journal::Transfer;

/// The operation of `POST /v1/transfers`.
pub const TRANSFER: &str = "transfer";
/// Version of the fingerprint's recipe, its first byte.
const FINGERPRINT_VERSION: u8 = 1;
const ACCOUNT_CHARS_MAX: usize = 64;
const REMITTANCE_CHARS_MAX: usize = 140;
const KEY_CHARS_MAX: usize = 255;

/// The body of `POST /v1/transfers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    from_account: String,
    to_account: String,
    amount: String,
    currency: String,
    #[serde(default)]
    remittance: Option<String>,
}

impl TransferBody {
    /// The command, or every field that is wrong.
    pub fn parse(self) -> Result<Transfer, Problem> {
        let mut errors = Vec::new();
        for (pointer, account) in [("/from_account", &self.from_account), ("/to_account", &self.to_account)] {
            if !is_account(account) {
                errors.push(wrong(pointer, "invalid-account", "1 to 64 letters, digits, '-' or '_'"));
            }
        }
        if self.from_account == self.to_account {
            errors.push(wrong("/to_account", "same-account", "must differ from from_account"));
        }
        let currency = Currency::parse(&self.currency)
            .map_err(|_| errors.push(wrong("/currency", "unknown-currency", "an upper-case ISO 4217 code such as EUR")))
            .ok();
        let amount = currency.map(|currency| parse_minor(&self.amount, currency));
        match amount {
            Some(Err(err)) => errors.push(wrong("/amount", "invalid-amount", &err.to_string())),
            Some(Ok(..=0)) => errors.push(wrong("/amount", "not-positive", "must be above zero")),
            Some(Ok(_)) | None => {}
        }
        let text = self.remittance.as_deref().unwrap_or("");
        if text.chars().count() > REMITTANCE_CHARS_MAX || text.chars().any(char::is_control) {
            errors.push(wrong("/remittance", "invalid-text", "at most 140 characters, no control characters"));
        }
        match (currency, amount) {
            (Some(currency), Some(Ok(amount_minor))) if errors.is_empty() => Ok(Transfer {
                from_account: self.from_account,
                to_account: self.to_account,
                amount_minor,
                currency,
                remittance: self.remittance,
                unknown: Default::default(),
            }),
            _ => Err(Problem::bad_request("The transfer is not valid; see errors.").errors(errors)),
        }
    }
}

fn is_account(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=ACCOUNT_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn wrong(pointer: &str, code: &'static str, detail: &str) -> FieldError {
    FieldError { pointer: pointer.into(), code, detail: detail.into() }
}

/// The `Idempotency-Key`: exactly one, 1 to 255 visible characters.
pub fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let missing = || {
        Problem::new(400, "idempotency-key-missing", "A write needs an Idempotency-Key")
            .detail("Send one Idempotency-Key header: a new one for each transfer, the same one when you retry it.")
    };
    let value = values.next().ok_or_else(missing)?;
    let key = value.to_str().ok().filter(|_| values.next().is_none()).and_then(key_from);
    key.ok_or_else(|| {
        Problem::new(400, "idempotency-key-invalid", "The Idempotency-Key is not valid")
            .detail("Exactly one header of 1 to 255 visible ASCII characters, bare or as a quoted string.")
    })
}

/// The key that a client wrote, bare or as the string of a structured field (RFC 9651): `"abc"` and `abc` are one key.
pub fn key_from(written: &str) -> Option<String> {
    let key = match written.strip_prefix('"') {
        Some(quoted) => unquoted(quoted.strip_suffix('"')?)?,
        None => written.to_owned(),
    };
    let visible = (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    visible.then_some(key)
}

/// The content of a quoted string; only quotes and backslashes are escaped.
fn unquoted(content: &str) -> Option<String> {
    let mut key = String::with_capacity(content.len());
    let mut chars = content.chars();
    while let Some(char) = chars.next() {
        key.push(match char {
            '\\' => chars.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            '"' => return None,
            char => char,
        });
    }
    Some(key)
}

/// Hash of the parsed command: a retry is the same whatever the order and spacing of its JSON.
pub fn fingerprint(operation: &str, command: &Transfer) -> Result<Vec<u8>, Problem> {
    let canonical = serde_json::to_vec(&(operation, command)).map_err(Problem::internal)?;
    let mut print = vec![FINGERPRINT_VERSION];
    print.extend_from_slice(&Sha256::digest(&canonical));
    Ok(print)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(from: &str, to: &str, amount: &str, currency: &str) -> TransferBody {
        TransferBody {
            from_account: from.into(),
            to_account: to.into(),
            amount: amount.into(),
            currency: currency.into(),
            remittance: None,
        }
    }

    fn codes(body: TransferBody) -> Vec<&'static str> {
        body.parse().err().map(|problem| problem.errors.iter().map(|e| e.code).collect()).unwrap_or_default()
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        assert_eq!(
            codes(body("a b", "a b", "1", "euro")),
            ["invalid-account", "invalid-account", "same-account", "unknown-currency"]
        );
        for amount in ["0", "0.00", "-5"] {
            assert_eq!(codes(body("a", "b", amount, "EUR")), ["not-positive"], "{amount}");
        }
        for amount in ["1.005", "1e3", "", "99999999999999999999"] {
            assert_eq!(codes(body("a", "b", amount, "EUR")), ["invalid-amount"], "{amount}");
        }
        assert_eq!(codes(body("a", "b", "10.50", "EUR")), Vec::<&str>::new());
    }

    #[test]
    fn the_same_command_has_the_same_fingerprint_and_another_amount_has_not() {
        let print = |amount| {
            let command = body("a", "b", amount, "EUR").parse().map_err(|_| ()).unwrap();
            fingerprint(TRANSFER, &command).map_err(|_| ()).unwrap()
        };
        assert_eq!(print("10.5"), print("10.50"));
        // Fingerprints are kept: the form they are made of must not change.
        let command = body("a", "b", "10.50", "EUR").parse().map_err(|_| ()).unwrap();
        let form = r#"{"from_account":"a","to_account":"b","amount_minor":1050,"currency":"EUR"}"#;
        assert_eq!(serde_json::to_string(&command).unwrap(), form);
        assert_ne!(print("10.5"), print("10.51"));
    }

    #[test]
    fn a_key_is_one_key_bare_or_quoted() {
        for (written, key) in [
            ("k", Some("k")),
            (r#""k""#, Some("k")),
            (r#"k"1"#, Some(r#"k"1"#)),
            (r#""k\"\\""#, Some(r#"k"\"#)),
            ("", None),
            (r#""""#, None),
            (r#"""#, None),
            (r#""k"#, None),
            (r#""k"l""#, None),
            (r#""k\l""#, None),
            (r#""a b""#, None),
            ("a b", None),
            ("é", None),
            ("a\n", None),
        ] {
            assert_eq!(key_from(written).as_deref(), key, "{written:?}");
        }
        assert!(key_from(&"x".repeat(255)).is_some() && key_from(&"x".repeat(256)).is_none());
        assert!(key_from(&format!("\"{}\"", "x".repeat(255))).is_some(), "quotes do not count");
    }
}
