//! The words of the bank's interface: what a posting request says, and why it may be refused.

use jiff::Timestamp;
use jiff::civil::Date;
use schemas::money::{Currency, MoneyError, parse_minor, render_minor};
use serde::{Deserialize, Serialize};

/// Longest reference the core stores, in characters (ISO 20022 Max35Text).
pub const REFERENCE_LEN_MAX: usize = 35;
/// Largest amount that DECIMAL(15,2) holds, in minor units.
pub(crate) const AMOUNT_MINOR_MAX: i64 = 999_999_999_999_999;
/// Longest text of a posting, in characters.
pub const TEXT_LEN_MAX: usize = 140;

/// The body of `POST /api/postings` and of the control port's `POST /branch-posting`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostingBody {
    pub reference: Option<String>,
    pub debit_account: String,
    pub credit_account: String,
    pub amount: String,
    pub currency: String,
    #[serde(default)]
    pub text: String,
    /// When the customer acted; the default value date is its day in UTC.
    pub accepted_at: Option<Timestamp>,
    pub value_date: Option<Date>,
}

/// A well-formed order to post. The amount may still be one that the core refuses.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub reference: Option<String>,
    pub debit: String,
    pub credit: String,
    pub amount: Result<i64, MoneyError>,
    pub currency: String,
    pub text: String,
    pub value_date: Date,
}

impl PostingBody {
    /// The order in it, or what is malformed about it.
    pub(crate) fn into_order(self, now: Timestamp) -> Result<Order, String> {
        if let Some(reference) = &self.reference
            && (reference.is_empty()
                || reference.len() > REFERENCE_LEN_MAX
                || !reference.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(format!("reference: 1 to {REFERENCE_LEN_MAX} visible ASCII characters"));
        }
        if self.debit_account == self.credit_account {
            return Err("debit_account and credit_account are the same".to_owned());
        }
        if self.text.chars().count() > TEXT_LEN_MAX {
            return Err(format!("text: at most {TEXT_LEN_MAX} characters"));
        }
        let currency = Currency::parse(&self.currency).map_err(|err| format!("currency: {err}"))?;
        let amount = parse_minor(&self.amount, currency);
        if amount == Err(MoneyError::Malformed) {
            return Err(format!("amount: {}", MoneyError::Malformed));
        }
        let acted = self.accepted_at.unwrap_or(now);
        Ok(Order {
            reference: self.reference,
            debit: self.debit_account,
            credit: self.credit_account,
            amount,
            currency: self.currency,
            text: self.text,
            value_date: self.value_date.unwrap_or_else(|| acted.to_zoned(jiff::tz::TimeZone::UTC).date()),
        })
    }
}

impl Order {
    /// What must be the same for two requests under one reference to be the same request.
    pub(crate) fn fingerprint(&self) -> String {
        let amount = self.amount.map_or_else(|err| err.to_string(), |minor| minor.to_string());
        format!("{}|{}|{}|{}", self.debit, self.credit, amount, self.currency)
    }
}

/// One side of a posting, as the answers show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Account number.
    pub account: String,
    /// The posting's number on this account: 1, 2, 3 … without gaps.
    pub number: i64,
    /// `"D"` for debit, `"C"` for credit.
    pub direction: String,
    /// Positive decimal such as `"10.50"`.
    pub amount: String,
}

/// The answer to an accepted posting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// The core's own number: debited account, a hyphen, the number of the posting on it.
    pub posting_id: String,
    /// The caller's reference; null for what a branch keyed without one.
    pub reference: Option<String>,
    /// Always `"BOOKED"`.
    pub status: String,
    /// Debit first, credit second.
    pub legs: Vec<Leg>,
}

impl Booked {
    /// The answer for `order` after it got these numbers on the debited and the credited account.
    pub(crate) fn new(order: &Order, minor: i64, currency: Currency, debit_number: i64, credit_number: i64) -> Self {
        let amount = render_minor(minor, currency);
        let leg = |account: &str, number, direction: &str| Leg {
            account: account.to_owned(),
            number,
            direction: direction.to_owned(),
            amount: amount.clone(),
        };
        Self {
            posting_id: format!("{}-{debit_number}", order.debit),
            reference: order.reference.clone(),
            status: "BOOKED".to_owned(),
            legs: vec![leg(&order.debit, debit_number, "D"), leg(&order.credit, credit_number, "C")],
        }
    }
}

/// The core's named no, and every other answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Upper-case code out of the contract.
    pub code: String,
    /// For people; not part of the contract.
    pub message: String,
}

impl Problem {
    /// A problem with this code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(amount: &str) -> PostingBody {
        PostingBody {
            reference: Some("R1".to_owned()),
            debit_account: "100000000001".to_owned(),
            credit_account: "100000000002".to_owned(),
            amount: amount.to_owned(),
            currency: "EUR".to_owned(),
            text: String::new(),
            accepted_at: Some("2026-03-01T00:30:00+01:00".parse().unwrap()),
            value_date: None,
        }
    }

    #[test]
    fn the_value_date_is_the_day_on_which_the_customer_acted_unless_named() {
        let order = body("1.00").into_order(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(order.value_date.to_string(), "2026-02-28");
    }

    #[test]
    fn an_amount_that_is_no_number_is_malformed_and_one_with_three_decimals_is_refused_later() {
        assert!(body("ten").into_order(Timestamp::UNIX_EPOCH).is_err());
        assert!(body("1.005").into_order(Timestamp::UNIX_EPOCH).unwrap().amount.is_err());
    }

    #[test]
    fn references_that_the_core_could_not_store_are_malformed() {
        for reference in ["", " ", "a b", &"x".repeat(36), "é"] {
            let body = PostingBody { reference: Some(reference.to_owned()), ..body("1") };
            assert!(body.into_order(Timestamp::UNIX_EPOCH).is_err(), "{reference:?}");
        }
    }
}
