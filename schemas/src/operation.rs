//! What an operation is: the fields of a request, and what they move. Today there is one, the transfer.
//!
//! How a request is checked, what the core is told and which legs it must have booked follow from the description.

use crate::core::CoreLeg;
use crate::entry::LegKind;
use crate::money::{Currency, parse_minor};
use crate::post_request::Field;

/// Longest account in a request.
const ACCOUNT_CHARS_MAX: usize = 64;

/// Money from one account of the bank to another one.
pub const TRANSFER: Operation = Operation {
    name: "transfer",
    fields: &[
        FieldSpec { name: "from_account", kind: FieldKind::Account { differs_from: None } },
        FieldSpec { name: "to_account", kind: FieldKind::Account { differs_from: Some("from_account") } },
        FieldSpec { name: "amount", kind: FieldKind::Money { currency: "currency" } },
        FieldSpec { name: "remittance", kind: FieldKind::OptionalText { chars_max: 140 } },
    ],
    legs: &[
        LegSpec { account: "from_account", side: LegKind::Debit, amount: "amount" },
        LegSpec { account: "to_account", side: LegKind::Credit, amount: "amount" },
    ],
};

static ALL: &[Operation] = &[TRANSFER];

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its name in entries, keys, rules and connectors.
    pub name: &'static str,
    /// The fields of a request, in the order in which faults are told and the core is told them.
    pub fields: &'static [FieldSpec],
    /// What it moves.
    pub legs: &'static [LegSpec],
}

/// One field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name in requests and connectors.
    pub name: &'static str,
    /// What it may hold.
    pub kind: FieldKind,
}

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// An account of the bank: 1 to 64 letters, digits, `-` or `_`.
    Account {
        /// The field with an account that this one must not be.
        differs_from: Option<&'static str>,
    },
    /// A positive amount, as a decimal.
    Money {
        /// The member with its currency.
        currency: &'static str,
    },
    /// A text without control characters, which may be left out.
    OptionalText {
        /// Most characters.
        chars_max: usize,
    },
}

/// What one account gives or gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegSpec {
    /// The field with the account.
    pub account: &'static str,
    /// Debit or credit.
    pub side: LegKind,
    /// The field with the amount.
    pub amount: &'static str,
}

/// What is wrong with one member of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The member.
    pub member: &'static str,
    /// Stable word for programs, kebab-case.
    pub code: &'static str,
    /// For people; shows no value.
    pub detail: String,
}

impl Operation {
    /// The operation of that name.
    pub fn of(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|operation| operation.name == name)
    }

    /// The fields of a request with these members, or all that is wrong with them. A text that was left out is left out.
    pub fn read<'g>(&self, given: impl Fn(&str) -> Option<&'g str>) -> Result<Vec<(String, Field)>, Vec<FieldFault>> {
        let (mut fields, mut faults) = (Vec::with_capacity(self.fields.len()), Vec::new());
        for spec in self.fields {
            if let Some(field) = spec.read(&given, &mut faults) {
                fields.push((spec.name.to_owned(), field));
            }
        }
        if faults.is_empty() { Ok(fields) } else { Err(faults) }
    }

    /// What the core is told, field by field; a text that was left out is an empty one. `None`: another field is missing.
    pub fn told(&self, value: impl Fn(&str) -> Option<Field>) -> Option<Vec<(String, Field)>> {
        let mut fields = Vec::with_capacity(self.fields.len());
        for spec in self.fields {
            let field = match spec.kind {
                FieldKind::OptionalText { .. } => value(spec.name).unwrap_or_else(|| Field::Text(String::new())),
                FieldKind::Account { .. } | FieldKind::Money { .. } => value(spec.name)?,
            };
            fields.push((spec.name.to_owned(), field));
        }
        Some(fields)
    }

    /// The legs that the core books for these fields. `None`: one of them is missing or of another kind.
    pub fn core_legs<'f>(&self, field: impl Fn(&str) -> Option<&'f Field>) -> Option<Vec<CoreLeg>> {
        let mut legs = Vec::with_capacity(self.legs.len());
        for spec in self.legs {
            let (Some(Field::Text(account)), Some(Field::Money { minor, .. })) =
                (field(spec.account), field(spec.amount))
            else {
                return None;
            };
            let amount_minor = match spec.side {
                LegKind::Debit => minor.checked_neg()?,
                LegKind::Credit => *minor,
            };
            legs.push(CoreLeg { account: account.clone(), amount_minor });
        }
        Some(legs)
    }
}

impl FieldSpec {
    fn read<'g>(&self, given: &impl Fn(&str) -> Option<&'g str>, faults: &mut Vec<FieldFault>) -> Option<Field> {
        let mut wrong = |member: &'static str, code: &'static str, detail: String| {
            faults.push(FieldFault { member, code, detail });
        };
        match self.kind {
            FieldKind::Account { differs_from } => {
                let account = given(self.name).unwrap_or_default();
                if !is_account(account) {
                    let detail = format!("1 to {ACCOUNT_CHARS_MAX} letters, digits, '-' or '_'");
                    wrong(self.name, "invalid-account", detail);
                }
                if let Some(other) = differs_from
                    && given(other) == Some(account)
                {
                    wrong(self.name, "same-account", format!("must differ from {other}"));
                }
                Some(Field::Text(account.to_owned()))
            }
            FieldKind::Money { currency: member } => {
                let Ok(currency) = Currency::parse(given(member).unwrap_or_default()) else {
                    wrong(member, "unknown-currency", "an upper-case ISO 4217 code such as EUR".to_owned());
                    return None;
                };
                match parse_minor(given(self.name).unwrap_or_default(), currency) {
                    Err(err) => wrong(self.name, "invalid-amount", err.to_string()),
                    Ok(..=0) => wrong(self.name, "not-positive", "must be above zero".to_owned()),
                    Ok(minor) => return Some(Field::Money { minor, currency }),
                }
                None
            }
            FieldKind::OptionalText { chars_max } => {
                let text = given(self.name)?;
                if text.chars().count() > chars_max || text.chars().any(char::is_control) {
                    let detail = format!("at most {chars_max} characters, no control characters");
                    wrong(self.name, "invalid-text", detail);
                }
                Some(Field::Text(text.to_owned()))
            }
        }
    }
}

fn is_account(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=ACCOUNT_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(members: &[(&str, &'static str)]) -> Result<Vec<(String, Field)>, Vec<FieldFault>> {
        TRANSFER.read(|name| members.iter().find(|(member, _)| *member == name).map(|(_, text)| *text))
    }

    fn members(amount: &'static str) -> Vec<(&'static str, &'static str)> {
        vec![("from_account", "a"), ("to_account", "b"), ("amount", amount), ("currency", "EUR")]
    }

    #[test]
    fn every_field_is_in_reach_of_legs_and_names_are_there_once() {
        for operation in ALL {
            let kind = |name: &str| operation.fields.iter().find(|spec| spec.name == name).map(|spec| spec.kind);
            for leg in operation.legs {
                assert!(matches!(kind(leg.account), Some(FieldKind::Account { .. })), "{leg:?}");
                assert!(matches!(kind(leg.amount), Some(FieldKind::Money { .. })), "{leg:?}");
            }
            for (n, spec) in operation.fields.iter().enumerate() {
                assert!(operation.fields[..n].iter().all(|other| other.name != spec.name), "{spec:?}");
            }
            assert_eq!(Operation::of(operation.name), Some(operation));
        }
        assert_eq!(Operation::of("levitate"), None);
    }

    #[test]
    fn a_request_is_told_to_the_core_field_by_field_and_books_both_legs() {
        let fields = read(&members("10.5")).unwrap();
        let value = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        let told = TRANSFER.told(|name| value(name).cloned()).unwrap();
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["from_account", "to_account", "amount", "remittance"]);
        assert!(told[3].1 == Field::Text(String::new()), "a text that was left out is an empty one");
        let leg = |account: &str, amount_minor| CoreLeg { account: account.to_owned(), amount_minor };
        assert_eq!(TRANSFER.core_legs(value), Some(vec![leg("a", -1050), leg("b", 1050)]));
        assert_eq!(TRANSFER.core_legs(|name| value(name).filter(|_| name != "to_account")), None);
        assert!(TRANSFER.told(|name| value(name).filter(|_| name != "amount").cloned()).is_none());
    }

    #[test]
    fn all_that_is_wrong_is_told_in_the_order_of_the_fields() {
        let given = [
            ("from_account", "a b"),
            ("to_account", "a b"),
            ("amount", "1"),
            ("currency", "euro"),
            ("remittance", "a\nb"),
        ];
        let faults = read(&given).unwrap_err();
        let told: Vec<(&str, &str)> = faults.iter().map(|fault| (fault.member, fault.code)).collect();
        assert_eq!(
            told,
            [
                ("from_account", "invalid-account"),
                ("to_account", "invalid-account"),
                ("to_account", "same-account"),
                ("currency", "unknown-currency"),
                ("remittance", "invalid-text"),
            ]
        );
        for (amount, code) in [("1.005", "invalid-amount"), ("0.00", "not-positive"), ("-5", "not-positive")] {
            let faults = read(&members(amount)).unwrap_err();
            assert_eq!((faults.len(), faults[0].member, faults[0].code), (1, "amount", code), "{amount}");
        }
    }

    #[test]
    fn a_text_that_was_left_out_is_no_empty_text() {
        let count = |given: &[(&str, &'static str)]| read(given).unwrap().len();
        let mut given = members("1");
        assert_eq!(count(&given), 3);
        given.push(("remittance", ""));
        assert_eq!(count(&given), 4);
    }
}
