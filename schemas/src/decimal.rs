//! Exact decimals from Debezium's cells. Nothing is rounded unless a rule is given, and no binary fraction is accepted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::debezium::{Cell, ColumnKind};

/// Digits after the point that are believed, either way; no core has more.
pub const SCALE_MAX: i32 = 1_000;
/// Longest base64 that is read, in characters: 128 bits are 24, and a long sign extension may stand in front.
const BASE64_LEN_MAX: usize = 1_024;
const VARIABLE: &str = "an object of `scale` (integer) and `value` (base64)";

/// `unscaled × 10^-scale`, exactly. Holds every DECIMAL of up to 38 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// All digits as an integer.
    pub unscaled: i128,
    /// Digits after the point; negative for trailing zeros left out.
    pub scale: i32,
}

/// How a column's decimals are written in events; a mapping's word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalFormat {
    /// `decimal.handling.mode=precise`: base64 of the unscaled two's-complement integer, the scale known from elsewhere.
    Precise {
        /// Digits after the point.
        scale: i32,
    },
    /// `decimal.handling.mode=string`: plain text.
    Text {
        /// Digits after the point that the text must have, where the mapping says.
        scale: Option<i32>,
    },
    /// A struct of scale and value, for columns without a fixed scale.
    Variable,
    /// An integer column that counts units of `10^-scale`.
    Integer {
        /// Digits after the point.
        scale: i32,
    },
}

/// Why a cell is no exact amount. Holds no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// A binary fraction has lost digits before it reached us.
    #[error("a binary fraction: configure decimal.handling.mode=precise or string")]
    BinaryFraction,
    /// Not written as the format says.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The column is written in another form than the mapping or the schema block says.
    #[error("the connector writes this column in another form than mapped: expected {0}")]
    OtherForm(&'static str),
    /// A plain decimal text where base64 belongs.
    #[error("a decimal text where base64 belongs: map the column as decimal_text")]
    TextNotBase64,
    /// Base64 where a plain decimal text belongs.
    #[error("base64 where a decimal text belongs: map the column as decimal, with its scale")]
    Base64NotText,
    /// Base64 and a plain number alike, and nothing in the row tells which it is.
    #[error(
        "a text that is base64 and a plain number alike: send the schema block, or set decimal.handling.mode=string \
         and map the column as decimal_text with its scale"
    )]
    Ambiguous,
    /// A decimal text with more or fewer digits after the point than the mapping says.
    #[error("expected a decimal text with {0} digits after the point, as mapped")]
    OtherScale(i32),
    /// More digits than 128 bits hold.
    #[error("more digits than 38")]
    TooManyDigits,
    /// The scale is beyond belief.
    #[error("scale beyond {SCALE_MAX}")]
    Scale,
    /// More decimals than the currency's minor unit, and no rule for them; rounding is not ours to decide.
    #[error("more decimals than the currency has")]
    Inexact,
    /// Beyond 64 bits of minor units.
    #[error("amount out of range")]
    OutOfRange,
}

impl DecimalError {
    /// True when the connector's settings or the core's tables differ from the mapping: then no value of the column may be
    /// believed, not only this one.
    pub fn is_contradiction(self) -> bool {
        match self {
            Self::BinaryFraction
            | Self::OtherForm(_)
            | Self::TextNotBase64
            | Self::Base64NotText
            | Self::Ambiguous
            | Self::OtherScale(_) => true,
            Self::Expected(_) | Self::TooManyDigits | Self::Scale | Self::Inexact | Self::OutOfRange => false,
        }
    }
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self { unscaled: 0, scale: 0 };

    /// Reads a cell. The schema block's word, where there is one, overrides the mapping's format and scale.
    ///
    /// Without a block the declared form is demanded, and a text that another form would read as well is refused.
    pub fn from_cell(cell: Cell<'_>, declared: DecimalFormat, block: Option<ColumnKind>) -> Result<Self, DecimalError> {
        let format = match (block, declared) {
            (Some(ColumnKind::Decimal { scale }), _) => DecimalFormat::Precise { scale },
            (Some(ColumnKind::VariableScaleDecimal), _) => DecimalFormat::Variable,
            (Some(ColumnKind::Text), DecimalFormat::Text { scale }) => DecimalFormat::Text { scale },
            (Some(ColumnKind::Text), _) => DecimalFormat::Text { scale: None },
            (Some(ColumnKind::Float), _) => return Err(DecimalError::BinaryFraction),
            (Some(ColumnKind::Integer | ColumnKind::Unsigned), DecimalFormat::Integer { .. }) | (None, _) => declared,
            (Some(_), _) => {
                return Err(DecimalError::OtherForm("a decimal column, and the schema block says otherwise"));
            }
        };
        match (format, cell.kind()) {
            (DecimalFormat::Integer { scale }, "number") => Self::from_integer(cell, scale),
            (_, "number") => Err(DecimalError::BinaryFraction),
            (DecimalFormat::Precise { scale }, "string") => {
                let text = cell.text().ok_or(DecimalError::Expected("a string"))?;
                match (Self::from_text(&text).is_ok(), is_base64(&text)) {
                    (true, true) if block.is_none() => Err(DecimalError::Ambiguous),
                    (true, false) => Err(DecimalError::TextNotBase64),
                    _ => Self::from_base64(&text, scale),
                }
            }
            (DecimalFormat::Text { scale }, "string") => {
                Self::from_declared_text(&cell.text().ok_or(DecimalError::Expected("a string"))?, scale)
            }
            (DecimalFormat::Variable, "object") => Self::from_variable(cell),
            (DecimalFormat::Variable, "string") => Err(DecimalError::OtherForm(VARIABLE)),
            (DecimalFormat::Variable, _) => Err(DecimalError::Expected(VARIABLE)),
            (DecimalFormat::Precise { .. } | DecimalFormat::Text { .. }, "object")
                if Self::from_variable(cell).is_ok() =>
            {
                Err(DecimalError::OtherForm("a string, and it is an object: map the column as decimal_variable"))
            }
            (DecimalFormat::Precise { .. } | DecimalFormat::Text { .. }, _) => Err(DecimalError::Expected("a string")),
            (DecimalFormat::Integer { .. }, "string" | "object") => {
                Err(DecimalError::OtherForm("an integer of 64 bits"))
            }
            (DecimalFormat::Integer { .. }, _) => Err(DecimalError::Expected("an integer of 64 bits")),
        }
    }

    fn from_integer(cell: Cell<'_>, scale: i32) -> Result<Self, DecimalError> {
        match cell.i64() {
            Some(unscaled) => Self::checked(unscaled.into(), scale),
            None if cell.is_integer() => Err(DecimalError::OutOfRange),
            None => Err(DecimalError::BinaryFraction),
        }
    }

    fn from_declared_text(text: &str, scale: Option<i32>) -> Result<Self, DecimalError> {
        let decimal = Self::from_text(text).map_err(|err| match err {
            DecimalError::Expected(_) if is_base64(text) => DecimalError::Base64NotText,
            err => err,
        })?;
        match scale {
            Some(scale) if scale != decimal.scale => Err(DecimalError::OtherScale(scale)),
            _ => Ok(decimal),
        }
    }

    /// Reads Connect's `Decimal`: base64 of a two's-complement big-endian integer.
    pub fn from_base64(text: &str, scale: i32) -> Result<Self, DecimalError> {
        if text.len() > BASE64_LEN_MAX {
            return Err(DecimalError::TooManyDigits);
        }
        let bytes = STANDARD.decode(text).map_err(|_| DecimalError::Expected("base64"))?;
        let first = *bytes.first().ok_or(DecimalError::Expected("at least one byte"))?;
        let fill = if first & 0x80 == 0 { 0x00 } else { 0xff };
        let spare = bytes.len().saturating_sub(16);
        if bytes[..spare].iter().any(|b| *b != fill) {
            return Err(DecimalError::TooManyDigits);
        }
        let mut wide = [fill; 16];
        let tail = &bytes[spare..];
        wide[16 - tail.len()..].copy_from_slice(tail);
        let unscaled = i128::from_be_bytes(wide);
        if spare > 0 && (unscaled < 0) != (fill == 0xff) {
            return Err(DecimalError::TooManyDigits);
        }
        Self::checked(unscaled, scale)
    }

    /// Reads `-12.34`, and Java's `1.2E+3`.
    pub fn from_text(text: &str) -> Result<Self, DecimalError> {
        const SHAPE: DecimalError = DecimalError::Expected("a decimal number such as \"10.50\"");
        let (mantissa, exponent) = match text.split_once(['E', 'e']) {
            None => (text, 0i32),
            Some((mantissa, exponent)) => (mantissa, exponent.parse().map_err(|_| SHAPE)?),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, mantissa),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(SHAPE),
            Some(parts) => parts,
            None => (digits, ""),
        };
        if whole.is_empty() {
            return Err(SHAPE);
        }
        let mut unscaled: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() {
                return Err(SHAPE);
            }
            let next = unscaled.checked_mul(10).and_then(|n| n.checked_add(i128::from(digit - b'0')));
            unscaled = next.ok_or(DecimalError::TooManyDigits)?;
        }
        let scale = i32::try_from(fraction.len()).ok().and_then(|scale| scale.checked_sub(exponent));
        Self::checked(if negative { -unscaled } else { unscaled }, scale.ok_or(DecimalError::Scale)?)
    }

    fn from_variable(cell: Cell<'_>) -> Result<Self, DecimalError> {
        #[derive(Deserialize)]
        struct Variable<'a> {
            scale: i32,
            #[serde(borrow)]
            value: std::borrow::Cow<'a, str>,
        }
        let parsed: Variable<'_> = serde_json::from_str(cell.json()).map_err(|_| DecimalError::Expected(VARIABLE))?;
        Self::from_base64(&parsed.value, parsed.scale)
    }

    fn checked(unscaled: i128, scale: i32) -> Result<Self, DecimalError> {
        if (-SCALE_MAX..=SCALE_MAX).contains(&scale) { Ok(Self { unscaled, scale }) } else { Err(DecimalError::Scale) }
    }

    /// Minor units of a currency with `exponent` decimals, exactly or not at all.
    pub fn to_minor(self, exponent: u32) -> Result<i64, DecimalError> {
        self.to_minor_by(exponent, Inexact::Refuse)
    }

    /// Minor units of a currency with `exponent` decimals. What is smaller than a minor unit goes as `inexact` says.
    pub fn to_minor_by(self, exponent: u32, inexact: Inexact) -> Result<i64, DecimalError> {
        if self.unscaled == 0 {
            return Ok(0);
        }
        let exponent = i32::try_from(exponent).map_err(|_| DecimalError::Scale)?;
        let shift = exponent.checked_sub(self.scale).ok_or(DecimalError::Scale)?;
        let factor = 10i128.checked_pow(shift.unsigned_abs());
        let minor = match (factor, shift >= 0) {
            (Some(factor), true) => self.unscaled.checked_mul(factor).ok_or(DecimalError::OutOfRange)?,
            (None, true) => return Err(DecimalError::OutOfRange),
            (Some(factor), false) => inexact.quotient(self.unscaled.div_euclid(factor), self.unscaled % factor == 0)?,
            // 10^39 and more: whatever 128 bits hold is less than one.
            (None, false) => inexact.quotient(if self.unscaled < 0 { -1 } else { 0 }, false)?,
        };
        i64::try_from(minor).map_err(|_| DecimalError::OutOfRange)
    }

    /// The exact sum.
    pub fn checked_add(self, other: Self) -> Result<Self, DecimalError> {
        let scale = match (self.unscaled, other.unscaled) {
            (_, 0) => return Ok(self),
            (0, _) => return Ok(other),
            _ => self.scale.max(other.scale),
        };
        let sum = self.digits_at(scale)?.checked_add(other.digits_at(scale)?);
        Ok(Self { unscaled: sum.ok_or(DecimalError::TooManyDigits)?, scale })
    }

    /// The same amount with the other sign.
    pub fn checked_neg(self) -> Result<Self, DecimalError> {
        let unscaled = self.unscaled.checked_neg().ok_or(DecimalError::TooManyDigits)?;
        Ok(Self { unscaled, ..self })
    }

    /// The amount of which this many units of `10^-exponent` are counted.
    pub fn of_units(self, exponent: u32) -> Result<Self, DecimalError> {
        let exponent = i32::try_from(exponent).map_err(|_| DecimalError::Scale)?;
        Self::checked(self.unscaled, self.scale.checked_add(exponent).ok_or(DecimalError::Scale)?)
    }

    /// All digits, as many after the point as `scale` says, which is not less than there are.
    fn digits_at(self, scale: i32) -> Result<i128, DecimalError> {
        let shift = scale.checked_sub(self.scale).and_then(|shift| u32::try_from(shift).ok());
        let factor = shift.and_then(|shift| 10i128.checked_pow(shift));
        factor.and_then(|factor| self.unscaled.checked_mul(factor)).ok_or(DecimalError::TooManyDigits)
    }
}

/// What becomes of an amount that no whole number of minor units is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inexact {
    /// It is refused.
    #[default]
    Refuse,
    /// The next lower one is taken: less money, and a larger debit.
    Floor,
    /// The next higher one is taken.
    Ceil,
}

impl Inexact {
    /// The rule for the same amount with the other sign.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Refuse => Self::Refuse,
            Self::Floor => Self::Ceil,
            Self::Ceil => Self::Floor,
        }
    }

    /// A quotient of which the next lower whole number is known.
    fn quotient(self, floor: i128, exact: bool) -> Result<i128, DecimalError> {
        match self {
            _ if exact => Ok(floor),
            Self::Refuse => Err(DecimalError::Inexact),
            Self::Floor => Ok(floor),
            Self::Ceil => floor.checked_add(1).ok_or(DecimalError::OutOfRange),
        }
    }
}

/// The shortest plain text: equal numbers have equal texts, whatever their scale.
impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = bigdecimal::BigDecimal::from(*self).normalized();
        f.write_str(&plain.to_plain_string())
    }
}

/// True for padded base64 of at least one byte. Many plain words are that too.
pub(crate) fn is_base64(text: &str) -> bool {
    !text.is_empty() && text.len() <= BASE64_LEN_MAX && STANDARD.decode(text).is_ok()
}

impl From<Decimal> for bigdecimal::BigDecimal {
    fn from(decimal: Decimal) -> Self {
        bigdecimal::BigDecimal::new(decimal.unscaled.into(), decimal.scale.into())
    }
}

#[cfg(test)]
mod tests;
