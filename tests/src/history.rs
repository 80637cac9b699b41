//! What clients saw: every request with its answer, on one monotonic clock. Nothing here knows Locum's inside.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value as Json, json};

/// Nanoseconds on the recorder's monotonic clock.
pub type Nanos = u64;

/// One transfer as a client means it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Account to debit.
    pub from: String,
    /// Account to credit.
    pub to: String,
    /// Minor units of `currency`.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Text for the statement.
    pub remittance: Option<String>,
}

impl Transfer {
    /// The body of `POST /v1/transfers`.
    pub fn body(&self) -> Json {
        let mut body = json!({
            "from_account": self.from, "to_account": self.to,
            "amount": show_minor(self.amount_minor, &self.currency), "currency": self.currency,
        });
        if let Some(text) = &self.remittance {
            body["remittance"] = json!(text);
        }
        body
    }
}

/// What was asked about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `POST /v1/transfers`.
    Submit,
    /// `GET /v1/transfers?idempotency_key=`.
    Look,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its body; null where it was no JSON.
    pub body: Json,
}

impl Answer {
    /// A member of the body, where it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Json::as_str)
    }

    /// 2xx, or a decline that names its transfer: Locum took the key and said what becomes of it.
    pub fn acknowledges(&self) -> bool {
        matches!(self.status, 200..=299) || (self.status == 422 && self.text("transfer_id").is_some())
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// With an answer.
    Answered(Answer),
    /// Without one: refused, reset or timed out.
    Broken(String),
}

/// One request about a key.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Who asked.
    pub client: usize,
    /// Which Locum was asked.
    pub instance: usize,
    /// Idempotency key.
    pub key: String,
    /// Submission or look-up.
    pub ask: Ask,
    /// What the client means by the key.
    pub transfer: Transfer,
    /// Just before the first byte, the connect included.
    pub sent: Nanos,
    /// Just after the last byte or the failure.
    pub ended: Nanos,
    /// Answer or failure.
    pub end: End,
}

impl Exchange {
    /// The answer, if there was one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.end {
            End::Answered(answer) => Some(answer),
            End::Broken(_) => None,
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ask, transfer) = (self.ask, &self.transfer);
        write!(f, "{} → {} client {} ", show_ns(self.sent), show_ns(self.ended), self.client)?;
        write!(f, "{ask:?} at locum {} {}→{} ", self.instance, transfer.from, transfer.to)?;
        write!(f, "{}: ", show_minor(transfer.amount_minor, &transfer.currency))?;
        match &self.end {
            End::Answered(answer) => write!(f, "{} {}", answer.status, answer.body),
            End::Broken(why) => write!(f, "no answer: {why}"),
        }
    }
}

/// One read of an account's balances.
#[derive(Debug, Clone)]
pub struct Read {
    /// Which Locum was asked.
    pub instance: usize,
    /// Whose balances.
    pub account: String,
    /// One of a chain: with the position of the one before it as `Min-Position`. A plain read promises no order.
    pub positioned: bool,
    /// Just before the request.
    pub sent: Nanos,
    /// Just after its end.
    pub ended: Nanos,
    /// Answer or failure.
    pub end: End,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {} read of {} ", show_ns(self.sent), show_ns(self.ended), self.account)?;
        match &self.end {
            End::Answered(answer) => write!(f, "at locum {}: {} {}", self.instance, answer.status, answer.body),
            End::Broken(why) => write!(f, "at locum {}: no answer: {why}", self.instance),
        }
    }
}

/// A time in which an instance was killed, starting or frozen, so that its silence is no fault.
#[derive(Debug, Clone, Copy)]
pub struct Away {
    /// Which Locum.
    pub instance: usize,
    /// From just before the signal.
    pub from: Nanos,
    /// Until it said that it was ready.
    pub until: Nanos,
}

/// A time in which somebody who only uses the same database had to wait for it, see [`crate::witness`].
#[derive(Debug, Clone, Copy)]
pub struct Slow {
    /// When it was asked.
    pub from: Nanos,
    /// When it answered.
    pub until: Nanos,
}

/// Everything that clients saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Requests about keys, in the order in which they ended.
    pub exchanges: Vec<Exchange>,
    /// Plain reads.
    pub reads: Vec<Read>,
    /// Absences the test caused.
    pub away: Vec<Away>,
    /// When the store kept everybody waiting.
    pub slow: Vec<Slow>,
}

impl History {
    /// Was `instance` made absent at any time between these two?
    pub fn was_away(&self, instance: usize, sent: Nanos, ended: Nanos) -> bool {
        self.away.iter().any(|away| away.instance == instance && away.from <= ended && sent <= away.until)
    }

    /// Did the store keep everybody waiting at any time between these two?
    pub fn store_was_slow(&self, sent: Nanos, ended: Nanos) -> bool {
        self.slow.iter().any(|slow| slow.from <= ended && sent <= slow.until)
    }

    /// Was anybody answered by the core itself between these two?
    pub fn core_decided(&self, sent: Nanos, ended: Nanos) -> bool {
        let by_core = |answer: &Answer| answer.status == 201 && answer.text("accepted_by") == Some("core");
        let between = |exchange: &&Exchange| (sent..=ended).contains(&exchange.ended);
        self.exchanges.iter().filter(between).filter_map(Exchange::answer).any(by_core)
    }

    /// The requests of each key, by the time they were sent.
    pub fn by_key(&self) -> BTreeMap<&str, Vec<&Exchange>> {
        let mut keys: BTreeMap<&str, Vec<&Exchange>> = BTreeMap::new();
        for exchange in &self.exchanges {
            keys.entry(&exchange.key).or_default().push(exchange);
        }
        for exchanges in keys.values_mut() {
            exchanges.sort_by_key(|exchange| exchange.sent);
        }
        keys
    }

    /// How many submissions got which status; 0 stands for no answer.
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        for exchange in self.exchanges.iter().filter(|exchange| exchange.ask == Ask::Submit) {
            *counts.entry(exchange.answer().map_or(0, |answer| answer.status)).or_default() += 1;
        }
        counts
    }
}

/// One account of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// ISO 4217.
    pub currency: String,
    /// Booked, in minor units.
    pub balance_minor: i64,
    /// Number of its newest posting.
    pub last_posting: i64,
}

/// Which side of an account a posting is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Money goes out.
    Debit,
    /// Money comes in.
    Credit,
}

/// One row of the core's postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The account it is on.
    pub account: String,
    /// Its number there.
    pub number: i64,
    /// What Locum or a branch called it.
    pub core_ref: Option<String>,
    /// Debit or credit.
    pub side: Side,
    /// Positive minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Text of the statement.
    pub text: String,
    /// Such as `2026-02-28`.
    pub value_date: String,
}

impl Posting {
    /// The effect on the balance.
    pub fn effect_minor(&self) -> i64 {
        match self.side {
            Side::Debit => -self.amount_minor,
            Side::Credit => self.amount_minor,
        }
    }
}

impl fmt::Display for Posting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core_ref = self.core_ref.as_deref().unwrap_or("no reference");
        let amount = show_minor(self.amount_minor, &self.currency);
        write!(f, "posting {} #{} {core_ref} {:?} {amount} {}", self.account, self.number, self.side, self.currency)
    }
}

/// The core's own tables.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// By account number.
    pub accounts: BTreeMap<String, Account>,
    /// In any order.
    pub postings: Vec<Posting>,
}

/// The one currency of the simulated core's accounts.
const CURRENCY: &str = "EUR";

/// An amount of the API in minor units; read here anew, so that a fault in how Locum reads amounts cannot hide itself.
pub fn minor(amount: &str, currency: &str) -> Option<i64> {
    let (sign, digits) = amount.strip_prefix('-').map_or((1, amount), |digits| (-1, digits));
    let (whole, cents) = digits.split_once('.')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let known = currency == CURRENCY && cents.len() == 2;
    let minor = number(whole)?.checked_mul(100)?.checked_add(number(cents)?)?;
    known.then_some(sign * minor)
}

/// Minor units as the API writes them.
pub fn show_minor(minor: i64, currency: &str) -> String {
    if currency != CURRENCY {
        return format!("{minor} minor units");
    }
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

fn show_ns(at: Nanos) -> String {
    format!("{:>6}.{:03} s", at / 1_000_000_000, at / 1_000_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_to_the_cent() {
        for (text, expected) in [("0.00", 0), ("0.05", 5), ("-0.05", -5), ("1000.00", 100_000), ("-12.34", -1_234)] {
            assert_eq!(minor(text, CURRENCY), Some(expected), "{text}");
            assert_eq!(show_minor(expected, CURRENCY), text);
        }
        for text in
            ["", "1", "1.0", "1.000", ".05", "1.", "+1.00", "1,00", "1e2.00", "--1.00", "99999999999999999999.00"]
        {
            assert_eq!(minor(text, CURRENCY), None, "{text}");
        }
        assert_eq!(minor("1.00", "JPY"), None);
    }
}
