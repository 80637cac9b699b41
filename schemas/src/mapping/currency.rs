//! Currencies: the column that names a row's currency, what the core calls currencies, and how it counts them.

use std::borrow::Cow;

use super::field::Fields;
use super::node::{Members, Node, Problems, Value};
use super::table::Table;
use super::view::View;
use super::{MapError, MapReason};
use crate::debezium::Row;
use crate::money::Currency;

/// Largest exponent of a core's own minor unit: 64 bits hold no whole unit of a smaller one.
const EXPONENT_MAX: u32 = 18;
const SCALED: &str = "a currency and its scale, such as EUR/2";

/// A currency, and the decimals of the minor unit in which the core counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denomination {
    pub(super) currency: Currency,
    pub(super) exponent: u32,
}

/// What the core calls currencies, where that is not ISO 4217 or it counts them in other minor units.
#[derive(Debug, Clone, Default)]
pub(super) struct Currencies(Vec<Declared>);

#[derive(Debug, Clone)]
struct Declared {
    code: String,
    denomination: Denomination,
    /// The exponent is the core's own.
    own_exponent: bool,
}

impl Currencies {
    /// A code that the mapping declares, or one of ISO 4217.
    fn of(&self, code: &str) -> Option<Denomination> {
        let declared = self.0.iter().find(|declared| declared.code == code).map(|declared| declared.denomination);
        let iso =
            || Currency::parse(code).ok().map(|currency| Denomination { currency, exponent: currency.exponent() });
        declared.or_else(iso)
    }

    /// Reads `currencies`: each code of the core with `is`, `exponent` or both.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Self {
        let Value::Map(codes) = &node.value else {
            problems.add(node.line, "currencies", "expected currencies of the core, each with `is` or `exponent`");
            return Self::default();
        };
        Self(codes.iter().filter_map(|(code, node)| Declared::read(code, node, problems)).collect())
    }

    /// True when the core counts some currency in a unit of its own.
    pub(super) fn have_own_exponents(&self) -> bool {
        self.0.iter().any(|declared| declared.own_exponent)
    }

    /// An exponent that nothing is counted in contradicts the fields.
    pub(super) fn check_use(&self, tables: &[Table], line: u64, problems: &mut Problems) {
        let scaled = |field: &CurrencyField| field.scaled && field.otherwise.is_none();
        let mut fields = tables.iter().flat_map(Table::currencies);
        if self.0.iter().any(|declared| declared.own_exponent) && fields.all(scaled) {
            problems.add(
                line,
                "currencies",
                "no exponent here is ever used: every row tells the scale of its currency",
            );
        }
    }
}

impl Declared {
    fn read(code: &str, node: &Node, problems: &mut Problems) -> Option<Self> {
        let at = format!("currencies.{code}");
        let mut members = Members::of(node, &at, problems)?;
        let named = members.take("is").map(|n| (n.line, problems.text(n, &members.path("is"))));
        let exponent = members.take("exponent").map(|n| exponent(n, &members.path("exponent"), problems));
        members.finish(problems);
        if named.is_none() && exponent.is_none() {
            problems.add(node.line, &at, "says nothing; expected `is`, `exponent` or both");
            return None;
        }
        let (line, at, iso) = match &named {
            None => (node.line, at.clone(), code),
            Some((line, named)) => (*line, format!("{at}.is"), named.as_deref()?),
        };
        let Ok(currency) = Currency::parse(iso) else {
            let problem = "no ISO 4217 currency: say in `is` which one it is, or leave its rows out (`unknown: skip` in the field)";
            problems.add(line, &at, problem);
            return None;
        };
        let own_exponent = exponent.is_some();
        let exponent = exponent.unwrap_or(Some(currency.exponent()))?;
        Some(Self { code: code.to_owned(), denomination: Denomination { currency, exponent }, own_exponent })
    }
}

fn exponent(node: &Node, at: &str, problems: &mut Problems) -> Option<u32> {
    let exponent = match node.value {
        Value::Integer(exponent) => u32::try_from(exponent).ok().filter(|exponent| *exponent <= EXPONENT_MAX),
        _ => None,
    };
    if exponent.is_none() {
        problems.add(node.line, at, format!("expected the decimals of the core's minor unit, 0 to {EXPONENT_MAX}"));
    }
    exponent
}

/// Where the currency of a row stands.
#[derive(Debug, Clone)]
pub(super) struct CurrencyField {
    /// The column; none = every row has the same.
    pub(super) column: Option<String>,
    /// The currency of rows without a column, or with NULL in it.
    otherwise: Option<Denomination>,
    /// The column tells the scale of the core's minor unit behind the code.
    scaled: bool,
    /// Rows in a currency that is not known are not meant; otherwise they are parked.
    pub(super) skips_unknown: bool,
    /// It is the one of the row's account.
    pub(super) of_account: bool,
}

impl CurrencyField {
    /// True where the column tells the scale of the core's minor unit, too.
    pub(super) fn is_scaled(&self) -> bool {
        self.scaled
    }
}

impl Fields<'_> {
    /// Reads a column's name, `{column, form, unknown, null_is}`, `{constant: …}` or `{of: account}`.
    pub(super) fn currency(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<CurrencyField> {
        let node = members.need(name, self.problems)?;
        self.currency_at(node, &members.path(name))
    }

    pub(super) fn currency_at(&mut self, node: &Node, at: &str) -> Option<CurrencyField> {
        let plain =
            CurrencyField { column: None, otherwise: None, scaled: false, skips_unknown: false, of_account: false };
        if let Some(of_account) = self.of_account(node, at) {
            return of_account.then_some(CurrencyField { of_account, ..plain });
        }
        if let Some(text) = self.constant(node, at) {
            let otherwise = self.currency_of(&text?, node.line, &format!("{at}.constant"))?;
            return Some(CurrencyField { otherwise: Some(otherwise), ..plain });
        }
        let Some(mut members) = self.long(node, at) else {
            let field = self.field(node, at)?;
            let column = self.column_of(field, "text")?;
            return Some(CurrencyField { column: Some(column), ..plain });
        };
        let null = members.take("null_is").map(|n| self.currency_named(n, &members.path("null_is")));
        let scaled = members.take("form").map(|n| self.word(n, &members.path("form"), ["code", "code/scale"]));
        let skips = members.take("unknown").map(|n| self.word(n, &members.path("unknown"), ["refuse", "skip"]));
        let field = self.rest(members)?;
        let column = self.column_of(field, "text")?;
        let otherwise = match null {
            None => None,
            Some(denomination) => Some(denomination?),
        };
        let (scaled, skips_unknown) = (scaled.unwrap_or(Some(false))?, skips.unwrap_or(Some(false))?);
        Some(CurrencyField { column: Some(column), otherwise, scaled, skips_unknown, ..plain })
    }

    /// Reads `{of: account}`; false where that is wrong, none where a field is something else.
    fn of_account(&mut self, node: &Node, at: &str) -> Option<bool> {
        let Value::Map(all) = &node.value else { return None };
        all.iter().find(|(name, _)| name == "of")?;
        let mut members = Members::of(node, at, self.problems)?;
        let of = members.take("of").and_then(|n| self.problems.text(n, &members.path("of")));
        if all.len() > 1 {
            self.problems.add(node.line, at, "`of` has nothing beside it");
        } else if of.as_deref().is_some_and(|of| of != "account") {
            self.problems.add(node.line, at, "expected `of: account`: no other row is looked up");
        }
        Some(all.len() == 1 && of.as_deref() == Some("account"))
    }

    /// One of two words; true for the second.
    pub(super) fn word(&mut self, node: &Node, at: &str, words: [&str; 2]) -> Option<bool> {
        let text = self.problems.text(node, at)?;
        let place = words.iter().position(|word| *word == text);
        if place.is_none() {
            self.problems.add(node.line, at, format!("expected {} or {}", words[0], words[1]));
        }
        place.map(|place| place == 1)
    }

    fn currency_named(&mut self, node: &Node, at: &str) -> Option<Denomination> {
        let text = self.problems.text(node, at)?;
        self.currency_of(&text, node.line, at)
    }

    fn currency_of(&mut self, code: &str, line: u64, at: &str) -> Option<Denomination> {
        let denomination = self.currencies.of(code);
        if denomination.is_none() {
            let problem = "unknown currency: expected an ISO 4217 code such as EUR, or one that `currencies` declares";
            self.problems.add(line, at, problem);
        }
        denomination
    }
}

impl View<'_> {
    pub(super) fn currency(&self, row: &Row<'_>, field: &CurrencyField) -> Result<Denomination, MapError> {
        let column = field.column.as_deref().unwrap_or_default();
        let text: Option<Cow<'_, str>> = self.optional(row, field.column.as_ref(), Self::text)?;
        match (text, field.otherwise) {
            (Some(text), _) => self.denomination(&text, field.scaled).map_err(|reason| self.error(column, reason)),
            (None, Some(denomination)) => Ok(denomination),
            (None, None) => Err(self.error(column, MapReason::Null)),
        }
    }

    fn denomination(&self, text: &str, scaled: bool) -> Result<Denomination, MapReason> {
        if !scaled {
            return self.mapping.currencies.of(text).ok_or(MapReason::UnknownCurrency);
        }
        let (code, scale) = text.split_once('/').ok_or(MapReason::Expected(SCALED))?;
        let digits = !scale.is_empty() && scale.bytes().all(|byte| byte.is_ascii_digit());
        let exponent = scale.parse::<u32>().ok().filter(|exponent| digits && *exponent <= EXPONENT_MAX);
        let exponent = exponent.ok_or(MapReason::Expected(SCALED))?;
        let known = self.mapping.currencies.of(code).ok_or(MapReason::UnknownCurrency)?;
        Ok(Denomination { exponent, ..known })
    }

    /// False for a row in a currency that is not known and therefore not meant.
    pub(super) fn is_in_known_currency(&self, row: &Row<'_>, field: &CurrencyField) -> Result<bool, MapError> {
        if !field.skips_unknown {
            return Ok(true);
        }
        match self.currency(row, field) {
            Err(err) if err.reason == MapReason::UnknownCurrency => Ok(false),
            other => other.map(|_| true),
        }
    }
}
