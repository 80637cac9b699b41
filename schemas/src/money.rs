//! Money as checked integers in minor units. Never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An ISO 4217 currency that we know the minor unit of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: [u8; 3],
    exponent: u8,
}

/// Currencies whose minor unit is not 1/100 (ISO 4217, list one).
const OTHER_EXPONENTS: &[(&str, u8)] = &[
    ("BHD", 3),
    ("BIF", 0),
    ("CLF", 4),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("IQD", 3),
    ("ISK", 0),
    ("JOD", 3),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("PYG", 0),
    ("RWF", 0),
    ("TND", 3),
    ("UGX", 0),
    ("UYI", 0),
    ("UYW", 4),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
];

/// Currencies with two decimals (ISO 4217, list one; funds codes and metals left out).
const CENTS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP \
    CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD \
    KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK \
    NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS \
    TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG";

impl Currency {
    /// Reads an upper-case ISO 4217 code; codes without a minor unit of their own are refused.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let known = OTHER_EXPONENTS.iter().find(|(c, _)| *c == code).map(|(_, e)| *e);
        let exponent = match known {
            Some(exponent) => exponent,
            None if code.len() == 3 && CENTS.split(' ').any(|c| c == code) => 2,
            None => return Err(MoneyError::UnknownCurrency),
        };
        let code = code.as_bytes().try_into().map_err(|_| MoneyError::UnknownCurrency)?;
        Ok(Self { code, exponent })
    }

    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or("???")
    }

    /// Decimals of the minor unit: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        u32::from(self.exponent)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

/// Why a text is no amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not an ISO 4217 code with a minor unit.
    #[error("unknown currency code")]
    UnknownCurrency,
    /// Not `digits` or `digits.digits`, with an optional minus.
    #[error("not a decimal number such as \"10.50\"")]
    Malformed,
    /// More decimals than the currency has.
    #[error("more decimals than the currency has")]
    TooManyDecimals,
    /// Beyond what 64 bits of minor units hold.
    #[error("amount out of range")]
    OutOfRange,
}

/// Reads `"10.50"` as 1050 minor units of `currency`; the sign is kept, no exponent, no blanks, no plus, no leading dot.
pub fn parse_minor(text: &str, currency: Currency) -> Result<i64, MoneyError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(MoneyError::Malformed),
        Some(parts) => parts,
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(MoneyError::Malformed);
    }
    let exponent = currency.exponent() as usize;
    if fraction.len() > exponent {
        return Err(MoneyError::TooManyDecimals);
    }
    let padding = std::iter::repeat_n(b'0', exponent - fraction.len());
    let mut minor: i64 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
        minor =
            minor.checked_mul(10).and_then(|m| m.checked_add(i64::from(digit - b'0'))).ok_or(MoneyError::OutOfRange)?;
    }
    Ok(if negative { -minor } else { minor })
}

/// Renders minor units as the decimal string of the currency: `-5` EUR is `"-0.05"`.
pub fn render_minor(minor: i64, currency: Currency) -> String {
    let exponent = currency.exponent() as usize;
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", minor.unsigned_abs(), width = exponent + 1);
    if exponent == 0 {
        return format!("{sign}{digits}");
    }
    let (whole, fraction) = digits.split_at(digits.len() - exponent);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use MoneyError::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn amounts_are_read_exactly_and_rendered_back() {
        for (text, code, minor) in [
            ("10.50", "EUR", 1050),
            ("0.05", "EUR", 5),
            ("-0.05", "EUR", -5),
            ("7", "JPY", 7),
            ("1.234", "KWD", 1234),
            ("92233720368547758.07", "EUR", i64::MAX),
        ] {
            assert_eq!(parse_minor(text, currency(code)), Ok(minor), "{text} {code}");
            assert_eq!(render_minor(minor, currency(code)), text);
        }
        assert_eq!(parse_minor("10.5", currency("EUR")), Ok(1050));
    }

    #[test]
    fn what_is_no_amount_is_named() {
        for (text, code, error) in [
            ("", "EUR", Malformed),
            ("-", "EUR", Malformed),
            (".5", "EUR", Malformed),
            ("1.", "EUR", Malformed),
            ("1e9", "EUR", Malformed),
            ("+1", "EUR", Malformed),
            (" 1", "EUR", Malformed),
            ("1,5", "EUR", Malformed),
            ("--1", "EUR", Malformed),
            ("1.005", "EUR", TooManyDecimals),
            ("1.0", "JPY", TooManyDecimals),
            ("92233720368547758.08", "EUR", OutOfRange),
        ] {
            assert_eq!(parse_minor(text, currency(code)), Err(error), "{text:?}");
        }
    }

    #[test]
    fn unknown_currencies_are_refused() {
        for code in ["", "eur", "EU", "EURO", "XXX", "XAU", "R ON", "EUR USD"] {
            assert_eq!(Currency::parse(code), Err(UnknownCurrency), "{code:?}");
        }
    }
}
