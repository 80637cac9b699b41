//! Lanes that need a person: a contradiction stopped them, or their day lies in the future.

use sql::{Value, params, placeholders};

use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::OperatorsJournal;
use crate::journal::moment::Moment;

/// A stopped lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedLane {
    /// Of which account.
    pub account: String,
    /// Entries that wait in it.
    pub ordered: i64,
    /// Minor units of debits that the served balance does not include yet.
    pub held_minor: i64,
    /// Entries with a leg in it that evidence contradicts.
    pub contradicted: Vec<EntryId>,
}

/// A lane whose day lies in the future: what it has used of its limits counts until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneAhead {
    /// Of which account.
    pub account: String,
    /// Its day, days since 1970-01-01.
    pub business_day: i64,
    /// Minor units that stand-in accepted on that day.
    pub used_minor: i64,
    /// Debits that stand-in accepted on that day.
    pub used_count: i64,
}

impl OperatorsJournal {
    /// Lanes whose day lies in the future, in order of account, after this one. Reads every lane.
    pub async fn lanes_ahead(&self, after: &str, limit: i64) -> Result<Vec<LaneAhead>, JournalError> {
        let now_us = self.0.server_now_ms().await?.saturating_mul(1_000);
        let today = Moment::of(&self.0.calendar, now_us)?.business_day;
        let sql = "SELECT account, used_day, used_minor, used_count FROM lanes WHERE used_day > ? AND account > ? \
             ORDER BY account LIMIT ?";
        let rows = self.0.db.query(sql, params![today, after, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(LaneAhead {
                    account: row.get("account")?,
                    business_day: row.get("used_day")?,
                    used_minor: row.get("used_minor")?,
                    used_count: row.get("used_count")?,
                })
            })
            .collect()
    }

    /// Stopped lanes in order of account, after this one.
    pub async fn stopped_lanes(&self, after: &str, limit: i64) -> Result<Vec<StoppedLane>, JournalError> {
        let sql =
            "SELECT account, ordered, held_minor FROM lanes WHERE stopped = 1 AND account > ? ORDER BY account LIMIT ?";
        let mut lanes = Vec::new();
        for row in self.0.db.query(sql, params![after, limit]).await? {
            lanes.push(StoppedLane {
                account: row.get("account")?,
                ordered: row.get("ordered")?,
                held_minor: row.get("held_minor")?,
                contradicted: Vec::new(),
            });
        }
        if lanes.is_empty() {
            return Ok(lanes);
        }
        let sql = format!(
            "SELECT l.account AS account, e.id AS id FROM entries e JOIN legs l ON l.entry_id = e.id \
             WHERE e.contradicted = 1 AND l.account IN ({}) ORDER BY e.accepted_us, e.id",
            placeholders(lanes.len())
        );
        let accounts: Vec<Value> = lanes.iter().map(|lane| (&lane.account).into()).collect();
        for row in self.0.db.query(&sql, accounts).await? {
            let account: String = row.get("account")?;
            let id = EntryId::parse(row.get("id")?).ok_or(JournalError::Corrupt("entry id"))?;
            lanes.iter_mut().filter(|lane| lane.account == account).for_each(|lane| lane.contradicted.push(id.clone()));
        }
        Ok(lanes)
    }
}
