//! Amounts: the columns that an amount is made of, and how they become minor units, exactly.

use super::MapError;
use super::currency::Denomination;
use super::field::{Field, Fields};
use super::filter::Where;
use super::node::{Members, Node, Value};
use super::view::View;
use crate::debezium::{Cell, Row};
use crate::decimal::{Decimal, DecimalError, DecimalFormat, Inexact, is_base64};

/// How a row tells an amount: the sum of its terms.
#[derive(Debug, Clone)]
pub(super) struct Amount {
    /// At least one.
    pub(super) terms: Vec<Term>,
    /// It is zero for rows that fail these tests.
    only: Where,
    /// What becomes of less than a minor unit.
    inexact: Inexact,
}

/// One column of an amount.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub(super) column: String,
    pub(super) format: AmountFormat,
    /// It is subtracted.
    negative: bool,
    /// NULL is no amount; otherwise the field needs a value.
    null_is_zero: bool,
    /// It is zero for rows that fail these tests.
    only: Where,
}

/// How an amount's column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AmountFormat {
    /// A decimal number of the currency, such as euros.
    Decimal(DecimalFormat),
    /// A decimal number of its minor units, such as cents.
    Minor(DecimalFormat),
    /// An integer of its minor units.
    MinorUnits,
}

impl AmountFormat {
    /// True for base64 without a scale of its own.
    fn is_precise(self) -> bool {
        let (Self::Decimal(format) | Self::Minor(format)) = self else { return false };
        matches!(format, DecimalFormat::Precise { .. })
    }
}

impl Amount {
    /// The first column, for messages about the whole amount.
    pub(super) fn column(&self) -> &str {
        self.terms.first().map_or("", |term| &term.column)
    }

    /// Every column that it is made of, or that decides about it.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        let terms = self.terms.iter().flat_map(|term| std::iter::once(&term.column).chain(term.only.columns()));
        terms.chain(self.only.columns())
    }

    /// What becomes of less than a minor unit.
    pub(super) fn inexact(&self) -> Inexact {
        self.inexact
    }
}

const TYPES: &str = "expected a type: decimal (with a scale), decimal_text, decimal_variable or minor_units";

/// What the terms of an amount have in common.
#[derive(Clone, Copy)]
struct Common {
    format: Option<AmountFormat>,
    null_is_zero: bool,
}

impl Fields<'_> {
    /// Reads `{column, type, scale, unit, null_is, where, inexact}`, or the same with `sum` and `minus` instead of `column`.
    ///
    /// `rounding` = how less than a minor unit may be dropped so that nobody is shown more than there is.
    pub(super) fn amount(&mut self, node: &Node, at: &str, rounding: Inexact) -> Option<Amount> {
        let Some(mut members) = self.long(node, at) else {
            let field = self.field(node, at)?;
            self.problems.add(field.line, at, TYPES);
            return None;
        };
        let null_is_zero = self.null_is_zero(&mut members);
        let zero = null_is_zero.unwrap_or_default();
        let only = self.only(&mut members);
        let inexact = members.take("inexact").map(|n| self.inexact(n, &members.path("inexact"), rounding));
        let (sum, minus) = (members.take("sum"), members.take("minus"));
        let terms = if sum.is_none() && minus.is_none() {
            self.one_term(members, None, zero).map(|term| vec![term])
        } else {
            let common = self.common(&mut members, zero);
            let (sum_at, minus_at) = (members.path("sum"), members.path("minus"));
            let line = members.line();
            members.finish(self.problems);
            let common = common?;
            let mut terms = Vec::new();
            let signs = [(sum, sum_at, false), (minus, minus_at, true)];
            let all = signs.into_iter().all(|(node, at, negative)| {
                let read = node.map_or(Some(Vec::new()), |n| self.terms(n, &at, negative, common));
                read.map(|mut read| terms.append(&mut read)).is_some()
            });
            self.each_once(&terms, line, at);
            all.then_some(terms)
        };
        let inexact = match inexact {
            None => Inexact::Refuse,
            Some(inexact) => inexact?,
        };
        null_is_zero?;
        Some(Amount { terms: terms?, only: only?, inexact })
    }

    fn null_is_zero(&mut self, members: &mut Members<'_>) -> Option<bool> {
        let Some(node) = members.take("null_is") else { return Some(false) };
        if matches!(node.value, Value::Integer(0)) {
            return Some(true);
        }
        self.problems.add(node.line, &members.path("null_is"), "expected 0: NULL may stand for no other amount");
        None
    }

    fn only(&mut self, members: &mut Members<'_>) -> Option<Where> {
        let Some(node) = members.take("where") else { return Some(Where::default()) };
        self.filter(node, &members.path("where"))
    }

    fn inexact(&mut self, node: &Node, at: &str, rounding: Inexact) -> Option<Inexact> {
        let read = match self.problems.text(node, at)?.as_str() {
            "refuse" => Some(Inexact::Refuse),
            "floor" if rounding == Inexact::Floor => Some(Inexact::Floor),
            "ceil" if rounding == Inexact::Ceil => Some(Inexact::Ceil),
            _ => None,
        };
        if read.is_none() {
            let problem = match rounding {
                Inexact::Ceil => "expected refuse or ceil: what is held must not be shown as less",
                _ => "expected refuse or floor: what is there must not be shown as more",
            };
            self.problems.add(node.line, at, problem);
        }
        read
    }

    /// Type, scale and unit that stand beside `sum`.
    fn common(&mut self, members: &mut Members<'_>, null_is_zero: bool) -> Option<Common> {
        let unit = members.take("unit").map(|n| self.in_minor_units(n, &members.path("unit")));
        let kind = members.take("type").map(|n| self.problems.text(n, &members.path("type")));
        let scale = members.take("scale").map(|n| self.scale(n, &members.path("scale")));
        let (line, at) = (members.line(), members.at());
        if kind.is_none() && (scale.is_some() || unit.is_some()) {
            self.problems.add(line, at, TYPES);
            return None;
        }
        let format = match kind {
            None => None,
            Some(kind) => {
                let (scale, unit) =
                    (scale.map_or(Some(None), |s| s.map(Some)), unit.map_or(Some(None), |u| u.map(Some)));
                Some(self.format(Some(&kind?), scale?, unit?, (line, at))?)
            }
        };
        Some(Common { format, null_is_zero })
    }

    fn terms(&mut self, node: &Node, at: &str, negative: bool, common: Common) -> Option<Vec<Term>> {
        let nodes = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if nodes.is_empty() {
            self.problems.add(node.line, at, "expected at least one");
            return None;
        }
        let terms: Vec<Term> = nodes.iter().filter_map(|node| self.term(node, at, common)).collect();
        let whole = terms.len() == nodes.len();
        whole.then(|| terms.into_iter().map(|term| Term { negative, ..term }).collect())
    }

    fn term(&mut self, node: &Node, at: &str, common: Common) -> Option<Term> {
        let Common { format, null_is_zero } = common;
        if let Some(mut members) = self.long(node, at) {
            let null = self.null_is_zero(&mut members);
            let only = self.only(&mut members);
            let term = self.one_term(members, format, null_is_zero || null == Some(true));
            null?;
            return Some(Term { only: only?, ..term? });
        }
        let column = self.problems.text(node, at)?;
        let Some(format) = format else {
            self.problems.add(node.line, at, TYPES);
            return None;
        };
        Some(Term { column, format, negative: false, null_is_zero, only: Where::default() })
    }

    /// One column with its own type, or with the one of all.
    fn one_term(&mut self, mut members: Members<'_>, common: Option<AmountFormat>, null_is_zero: bool) -> Option<Term> {
        let unit = members.take("unit").map(|n| self.in_minor_units(n, &members.path("unit")));
        let field = self.rest(members)?;
        if field.codes.is_some() {
            self.problems.add(field.line, &field.at, "this field has no codes");
        }
        let Field { line, at, kind, scale, .. } = &field;
        let format = match (kind, common) {
            (None, Some(format)) if scale.is_none() && unit.is_none() => format,
            _ => {
                let unit = unit.map_or(Some(None), |unit| unit.map(Some))?;
                self.format(kind.as_ref().map(|(_, kind)| kind.as_str()), *scale, unit, (*line, at.as_str()))?
            }
        };
        let column = self.single(field)?;
        Some(Term { column, format, negative: false, null_is_zero, only: Where::default() })
    }

    /// True for `unit: minor`.
    fn in_minor_units(&mut self, node: &Node, at: &str) -> Option<bool> {
        match self.problems.text(node, at)?.as_str() {
            "major" => Some(false),
            "minor" => Some(true),
            _ => {
                self.problems.add(node.line, at, "expected major (such as euros) or minor (such as cents)");
                None
            }
        }
    }

    fn format(
        &mut self,
        kind: Option<&str>,
        scale: Option<i32>,
        minor: Option<bool>,
        (line, at): (u64, &str),
    ) -> Option<AmountFormat> {
        let in_unit =
            |format| if minor == Some(true) { AmountFormat::Minor(format) } else { AmountFormat::Decimal(format) };
        let problem = match (kind, scale) {
            (Some("decimal"), Some(scale)) => return Some(in_unit(DecimalFormat::Precise { scale })),
            (Some("decimal"), None) => "missing scale: events without a schema block do not tell it",
            (Some("decimal_text"), scale) => return Some(in_unit(DecimalFormat::Text { scale })),
            (Some("decimal_variable"), None) => return Some(in_unit(DecimalFormat::Variable)),
            (Some("minor_units"), None) if minor.is_none() => return Some(AmountFormat::MinorUnits),
            (Some("minor_units"), None) => "type minor_units says the unit already: drop `unit`",
            (Some("decimal_variable" | "minor_units"), Some(_)) => "only types decimal and decimal_text have a scale",
            _ => TYPES,
        };
        self.problems.add(line, at, problem);
        None
    }

    fn each_once(&mut self, terms: &[Term], line: u64, at: &str) {
        let twice = terms.iter().enumerate().find(|(i, term)| terms[..*i].iter().any(|t| t.column == term.column));
        if let Some((_, term)) = twice {
            self.problems.add(line, at, format!("column `{}` is there twice", term.column));
        }
    }
}

impl View<'_> {
    pub(super) fn amount(&self, row: &Row<'_>, amount: &Amount, unit: Denomination) -> Result<i64, MapError> {
        let total = self.total(row, amount, unit)?;
        self.minor(total, amount, amount.inexact, unit)
    }

    /// An exact amount in minor units.
    pub(super) fn minor(
        &self,
        total: Decimal,
        amount: &Amount,
        inexact: Inexact,
        unit: Denomination,
    ) -> Result<i64, MapError> {
        let minor = total.to_minor_by(unit.currency.exponent(), inexact);
        minor.map_err(|err| self.error(amount.column(), err.into()))
    }

    /// The exact sum of an amount's terms.
    pub(super) fn total(&self, row: &Row<'_>, amount: &Amount, unit: Denomination) -> Result<Decimal, MapError> {
        let mut total = Decimal::ZERO;
        if !self.fits(row, &amount.only)? {
            return Ok(total);
        }
        for term in &amount.terms {
            let value = self.term(row, term, unit)?;
            total = total.checked_add(value).map_err(|err| self.error(&term.column, err.into()))?;
        }
        Ok(total)
    }

    fn term(&self, row: &Row<'_>, term: &Term, unit: Denomination) -> Result<Decimal, MapError> {
        if !self.fits(row, &term.only)? || (term.null_is_zero && self.cell(row, &term.column)?.is_null()) {
            return Ok(Decimal::ZERO);
        }
        let cell = self.value(row, &term.column)?;
        let exponent = unit.exponent;
        let format = match term.format {
            AmountFormat::Decimal(format) | AmountFormat::Minor(format) => format,
            AmountFormat::MinorUnits => DecimalFormat::Integer { scale: i32::try_from(exponent).unwrap_or(0) },
        };
        let read = match (Decimal::from_cell(cell, format, self.kind(&term.column)), format) {
            (Err(DecimalError::Ambiguous), DecimalFormat::Precise { scale }) if self.writes_base64(row) => cell
                .text()
                .ok_or(DecimalError::Expected("a string"))
                .and_then(|text| Decimal::from_base64(&text, scale)),
            (decimal, _) => decimal,
        };
        let value = match term.format {
            AmountFormat::Minor(_) => read.and_then(|units| units.of_units(exponent)),
            AmountFormat::Decimal(_) | AmountFormat::MinorUnits => read,
        };
        let signed = if term.negative { value.and_then(Decimal::checked_neg) } else { value };
        signed.map_err(|err| self.error(&term.column, err.into()))
    }

    /// True when another amount of the row can only be base64. A connector writes all decimals in one form.
    fn writes_base64(&self, row: &Row<'_>) -> bool {
        let terms = self.table.amounts().flat_map(|amount| &amount.terms);
        terms.filter(|term| term.format.is_precise()).any(|term| {
            let text = row.get(&term.column).and_then(Cell::text);
            text.is_some_and(|text| is_base64(&text) && Decimal::from_text(&text).is_err())
        })
    }
}
