//! Rows of the core's tables: how they are read, written and shown.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use schemas::money::{Currency, render_minor};
use serde_json::{Value as Json, json};
use sql::{Dialect, Error, Row, Value};

/// One row of `accounts`; amounts in minor units, times as the database writes them (UTC).
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub account_no: String,
    pub owner: String,
    pub ccy: String,
    pub status: String,
    pub balance: i64,
    pub overdraft: i64,
    pub held: i64,
    pub last_posting: i64,
    pub opened: String,
    pub updated: String,
}

impl Account {
    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            account_no: row.get("account_no")?,
            owner: row.get("owner")?,
            ccy: row.get("ccy")?,
            status: row.get("status")?,
            balance: row.get("balance_minor")?,
            overdraft: row.get("overdraft_minor")?,
            held: row.get("held_minor")?,
            last_posting: row.get("last_posting")?,
            opened: row.get("opened_text")?,
            updated: row.get("updated_text")?,
        })
    }

    /// The row as `GET /api/accounts/{no}` and `GET /ledger` show it.
    pub(crate) fn show(&self) -> Json {
        json!({
            "account": self.account_no, "owner": self.owner, "currency": self.ccy, "status": self.status,
            "balance": show_minor(self.balance), "overdraft": show_minor(self.overdraft), "held": show_minor(self.held),
            "last_posting": self.last_posting, "opened": self.opened, "updated": show_moment(&self.updated),
        })
    }
}

/// One row of `postings`.
#[derive(Debug, Clone)]
pub(crate) struct PostingRow {
    pub account_no: String,
    pub posting_no: i64,
    pub ext_ref: Option<String>,
    pub leg: String,
    pub amount: i64,
    pub ccy: String,
    pub booked_at: String,
    pub value_date: String,
    pub text: String,
}

impl PostingRow {
    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            account_no: row.get("account_no")?,
            posting_no: row.get("posting_no")?,
            ext_ref: row.get("ext_ref")?,
            leg: row.get("leg")?,
            amount: row.get("amount_minor")?,
            ccy: row.get("ccy")?,
            booked_at: row.get("booked_text")?,
            value_date: row.get("value_text")?,
            text: row.get("text")?,
        })
    }

    /// The values in the order of the table's columns.
    pub(crate) fn values(&self, dialect: Dialect) -> Vec<Value> {
        vec![
            self.account_no.as_str().into(),
            self.posting_no.into(),
            self.ext_ref.as_deref().into(),
            self.leg.as_str().into(),
            money(dialect, self.amount),
            self.ccy.as_str().into(),
            self.booked_at.as_str().into(),
            self.value_date.as_str().into(),
            self.text.as_str().into(),
        ]
    }

    /// The row as `GET /ledger` shows it.
    pub(crate) fn show(&self) -> Json {
        json!({
            "account": self.account_no, "number": self.posting_no, "reference": self.ext_ref, "direction": self.leg,
            "amount": show_minor(self.amount), "currency": self.ccy, "booked_at": show_moment(&self.booked_at),
            "value_date": self.value_date, "text": self.text,
        })
    }
}

/// An amount as this engine stores it: text that DECIMAL reads exactly, or minor units.
pub(crate) fn money(dialect: Dialect, minor: i64) -> Value {
    match dialect {
        Dialect::MySql => show_minor(minor).into(),
        Dialect::Sqlite => minor.into(),
    }
}

/// Minor units with two decimals, as every currency of this core has.
pub(crate) fn show_minor(minor: i64) -> String {
    match Currency::parse("EUR") {
        Ok(two_decimals) => render_minor(minor, two_decimals),
        Err(_) => minor.to_string(),
    }
}

/// A moment as both engines store it: `2026-01-31 23:59:59.123456`, UTC.
pub(crate) fn moment_text(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// Microseconds since 1970 of a stored moment; `None` for what is none.
pub(crate) fn moment_micros(text: &str) -> Option<i64> {
    let moment: DateTime = text.parse().ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// Days since 1970 of a stored date.
pub(crate) fn date_days(text: &str) -> Option<i32> {
    let date: Date = text.parse().ok()?;
    let epoch = Date::constant(1970, 1, 1);
    date.since((jiff::Unit::Day, epoch)).ok().map(|span| span.get_days())
}

/// A stored moment in RFC 3339.
fn show_moment(text: &str) -> String {
    format!("{}Z", text.replacen(' ', "T", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_dates_are_stored_and_read_back_exactly() {
        let moment: Timestamp = "2026-02-28T23:59:59.000001Z".parse().unwrap();
        let text = moment_text(moment);
        assert_eq!(text, "2026-02-28 23:59:59.000001");
        assert_eq!(moment_micros(&text), Some(moment.as_microsecond()));
        assert_eq!(show_moment(&text), "2026-02-28T23:59:59.000001Z");
        assert_eq!(date_days("1970-01-02"), Some(1));
        assert_eq!(date_days("2026-02-28"), Some(20_512));
    }
}
