//! Exact decimals from Debezium's cells. Nothing is ever rounded and no binary fraction is accepted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::debezium::{Cell, ColumnKind};

/// Digits after the point that are believed, either way; no core has more.
pub const SCALE_MAX: i32 = 1_000;

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
    Text,
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
    /// A plain decimal text where base64 belongs.
    #[error("a decimal text where base64 belongs: map the column as decimal_text")]
    TextNotBase64,
    /// More digits than 128 bits hold.
    #[error("more digits than 38")]
    TooManyDigits,
    /// The scale is beyond belief.
    #[error("scale beyond {SCALE_MAX}")]
    Scale,
    /// More decimals than the currency's minor unit; rounding is not ours to do.
    #[error("more decimals than the currency has")]
    Inexact,
    /// Beyond 64 bits of minor units.
    #[error("amount out of range")]
    OutOfRange,
}

impl Decimal {
    /// Reads a cell. The schema block's word, where there is one, overrides the mapping's format and scale.
    pub fn from_cell(cell: Cell<'_>, declared: DecimalFormat, block: Option<ColumnKind>) -> Result<Self, DecimalError> {
        let format = match (block, declared) {
            (Some(ColumnKind::Decimal { scale }), _) => DecimalFormat::Precise { scale },
            (Some(ColumnKind::VariableScaleDecimal), _) => DecimalFormat::Variable,
            (Some(ColumnKind::Text), _) => DecimalFormat::Text,
            (Some(ColumnKind::Float), _) => return Err(DecimalError::BinaryFraction),
            (Some(ColumnKind::Integer), DecimalFormat::Integer { .. }) | (None, _) => declared,
            (Some(_), _) => {
                return Err(DecimalError::Expected("a decimal column, and the schema block says otherwise"));
            }
        };
        if cell.kind() == "number" && (!matches!(format, DecimalFormat::Integer { .. }) || cell.i64().is_none()) {
            return Err(DecimalError::BinaryFraction);
        }
        let text = || cell.text().ok_or(DecimalError::Expected("a string"));
        match format {
            DecimalFormat::Precise { scale } => Self::from_base64(&text()?, scale),
            DecimalFormat::Text => Self::from_text(&text()?),
            DecimalFormat::Variable => Self::from_variable(cell),
            DecimalFormat::Integer { scale } => {
                let unscaled = cell.i64().ok_or(DecimalError::Expected("an integer of 64 bits"))?;
                Self::checked(unscaled.into(), scale)
            }
        }
    }

    /// Reads Connect's `Decimal`: base64 of a two's-complement big-endian integer.
    pub fn from_base64(text: &str, scale: i32) -> Result<Self, DecimalError> {
        if text.contains(['.', '-']) {
            return Err(DecimalError::TextNotBase64);
        }
        // 128 bits are 24 characters; leave room for a long sign extension, not for megabytes.
        if text.len() > 1_024 {
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
        let parsed: Variable<'_> = serde_json::from_str(cell.json())
            .map_err(|_| DecimalError::Expected("an object of `scale` (integer) and `value` (base64)"))?;
        Self::from_base64(&parsed.value, parsed.scale)
    }

    fn checked(unscaled: i128, scale: i32) -> Result<Self, DecimalError> {
        if (-SCALE_MAX..=SCALE_MAX).contains(&scale) { Ok(Self { unscaled, scale }) } else { Err(DecimalError::Scale) }
    }

    /// Minor units of a currency with `exponent` decimals, exactly or not at all.
    pub fn to_minor(self, exponent: u32) -> Result<i64, DecimalError> {
        if self.unscaled == 0 {
            return Ok(0);
        }
        let exponent = i32::try_from(exponent).map_err(|_| DecimalError::Scale)?;
        let shift = exponent.checked_sub(self.scale).ok_or(DecimalError::Scale)?;
        let factor = 10i128.checked_pow(shift.unsigned_abs());
        let minor = match (factor, shift >= 0) {
            (Some(factor), true) => self.unscaled.checked_mul(factor).ok_or(DecimalError::OutOfRange)?,
            (None, true) => return Err(DecimalError::OutOfRange),
            (Some(factor), false) if self.unscaled % factor == 0 => self.unscaled / factor,
            (_, false) => return Err(DecimalError::Inexact),
        };
        i64::try_from(minor).map_err(|_| DecimalError::OutOfRange)
    }
}

impl From<Decimal> for bigdecimal::BigDecimal {
    fn from(decimal: Decimal) -> Self {
        bigdecimal::BigDecimal::new(decimal.unscaled.into(), decimal.scale.into())
    }
}

#[cfg(test)]
mod tests;
