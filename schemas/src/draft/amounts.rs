//! How an amount's column is written in a mapping, and what a person must know of it.

use super::names::{has_any, words};
use super::sections::plain;
use super::shape::{Column, Form};
use crate::mapping::FILL_IN;

/// Decimals of most currencies.
const USUAL_SCALE: i32 = 2;

/// Type, scale and unit of a column, as they stand in a mapping, and what speaks for them.
pub(super) fn typed(column: &Column) -> (String, String) {
    let name = words(&column.name);
    let minor = has_any(&name, &["minor", "cent", "precise"]);
    match column.form {
        Form::Decimal { scale } if scale > USUAL_SCALE => (
            format!("type: decimal, scale: {scale}"),
            format!(
                "{scale} decimals: rows with more than the currency has are refused; `inexact: floor` drops the rest"
            ),
        ),
        Form::Decimal { scale } => (format!("type: decimal, scale: {scale}"), format!("{scale} decimals")),
        Form::DecimalText => ("type: decimal_text".to_owned(), "decimals as texts".to_owned()),
        Form::DecimalVariable if minor => (
            "type: decimal_variable, unit: minor".to_owned(),
            "a number without a scale, in minor units by its name; compare the sums".to_owned(),
        ),
        Form::DecimalVariable => (
            format!("type: decimal_variable, unit: {FILL_IN}"),
            "a number without a scale: say major (euros) or minor (cents)".to_owned(),
        ),
        Form::TextOrDecimal => (
            format!("type: decimal, scale: {FILL_IN}"),
            "looks like base64 of a decimal: say the column's scale; or `decimal_text`".to_owned(),
        ),
        _ => ("type: minor_units".to_owned(), "an integer, so taken for minor units; compare the sums".to_owned()),
    }
}

/// A whole field.
pub(super) fn field(column: &Column, more: &str) -> (String, String) {
    let (typed, why) = typed(column);
    (format!("{{column: {}, {typed}{more}}}", plain(&column.name)), format!("by its name; {why}"))
}

/// Several columns as one amount, with the type of the first.
pub(super) fn sum(columns: &[&Column], more: &str) -> Option<(String, String)> {
    match columns {
        [] => None,
        [only] => Some(field(only, more)),
        [first, ..] => {
            let (typed, why) = typed(first);
            let names: Vec<String> = columns.iter().map(|column| plain(&column.name)).collect();
            Some((
                format!("{{sum: [{}], {typed}{more}}}", names.join(", ")),
                format!("all of them, by their names; {why}"),
            ))
        }
    }
}
