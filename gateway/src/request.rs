//! From an HTTP request to a well-formed write. What is wrong with its shape is said all at once and consumes no key.

use edge::{FieldError, Problem};
use http::HeaderMap;
use schemas::operation::{self, FieldFault};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use standin::journal::Transfer;

/// The operation of `POST /v1/transfers`.
pub const TRANSFER: &str = operation::TRANSFER.name;
/// Version of the fingerprint's recipe, its first byte.
const FINGERPRINT_VERSION: u8 = 1;
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
        let read = operation::TRANSFER.read(|name| match name {
            "from_account" => Some(self.from_account.as_str()),
            "to_account" => Some(self.to_account.as_str()),
            "amount" => Some(self.amount.as_str()),
            "currency" => Some(self.currency.as_str()),
            "remittance" => self.remittance.as_deref(),
            _ => None,
        });
        let fields = read.map_err(|faults| {
            Problem::bad_request("The transfer is not valid; see errors.").errors(faults.into_iter().map(wrong))
        })?;
        Transfer::of_fields(fields).ok_or_else(|| Problem::internal("a transfer's description and its command differ"))
    }
}

fn wrong(fault: FieldFault) -> FieldError {
    FieldError { pointer: format!("/{}", fault.member), code: fault.code, detail: fault.detail }
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
        let hex: String = print("10.50").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "01323d86db295b0127db0315a13113ad5b94a690fc54a4fdc2f6fa1034379c0d98");
    }

    #[test]
    fn a_command_holds_what_the_request_says_and_an_empty_text_is_not_none() {
        let with = |remittance: Option<&str>| TransferBody {
            remittance: remittance.map(str::to_owned),
            ..body("a", "b", "10.50", "EUR")
        };
        for remittance in [None, Some(""), Some("rent")] {
            let command = with(remittance).parse().map_err(|_| ()).unwrap();
            assert_eq!((command.from_account.as_str(), command.to_account.as_str()), ("a", "b"));
            assert_eq!((command.amount_minor, command.currency.code()), (1050, "EUR"));
            assert_eq!(command.remittance.as_deref(), remittance);
        }
        let problem = with(Some("a\tb")).parse().err().unwrap();
        assert_eq!((problem.errors[0].pointer.as_str(), problem.errors[0].code), ("/remittance", "invalid-text"));
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
