//! Reading the journal: for clients by id and key, for operators by state, for balances their holds.

use std::collections::HashMap;

use schemas::entry::EntryState;
use serde::Serialize;
use sql::{Value, listed, params};

use super::record::{COLUMNS, KEYS_PER_STATEMENT};
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::handles::{GatewayJournal, HoldsView, OperatorsJournal};
use crate::journal::shared::Shared;

/// Debits that a served balance may not include yet: one that a balance absorbed, or all together that none did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Minor units.
    pub amount_minor: i64,
    /// Balance version that absorbed it; it counts against every balance below, `None` against all.
    pub released_at: Option<Vec<u8>>,
}

/// Which entries an operator asks for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only in one of these states; empty = in any.
    pub states: Vec<EntryState>,
    /// Only with a leg on this account.
    pub account: Option<String>,
    /// Only entries after this one, in order of time.
    pub after: Option<EntryId>,
    /// At most so many.
    pub limit: i64,
}

/// One step in an entry's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransitionRecord {
    /// The entry's version after it.
    pub version: i64,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// The state it led to.
    pub state: String,
    /// What was learned or decided.
    pub evidence: String,
    /// By whom.
    pub actor: String,
}

/// An entry with its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryDetail {
    /// The entry.
    pub entry: Entry,
    /// Every step, oldest first.
    pub transitions: Vec<TransitionRecord>,
    /// What the newest decision of our rules about it rested on; see `admission::record`.
    pub decision: Option<serde_json::Value>,
}

/// Every process asks this twice a second, so it costs one place of an index for each state, however many entries wait and
/// whatever an engine makes of OR. Of `submitting` it reads what is in flight, and nothing else.
const ANY_ORDERED: &str = "\
    SELECT q.id AS id FROM (SELECT id FROM entries WHERE state = 'queued' LIMIT 1) q \
    UNION ALL SELECT u.id AS id FROM (SELECT id FROM entries WHERE state = 'outcome_unknown' LIMIT 1) u \
    UNION ALL SELECT s.id AS id FROM (SELECT id FROM entries WHERE state = 'submitting' AND ordered = 1 LIMIT 1) s";

impl Shared {
    /// The entry of this id.
    pub(in crate::journal) async fn get(&self, id: &EntryId) -> Result<Option<Entry>, JournalError> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE id = ?");
        let rows = self.db.query(&sql, params![id.as_str()]).await?;
        rows.first().map(Entry::read).transpose()
    }
}

impl GatewayJournal {
    /// The entry of this principal's key.
    pub async fn get_by_key(&self, principal: &str, operation: &str, key: &str) -> Result<Option<Entry>, JournalError> {
        let sql =
            format!("SELECT {COLUMNS} FROM entries WHERE principal = ? AND operation = ? AND idempotency_key = ?");
        let rows = self.0.db.query(&sql, params![principal, operation, key]).await?;
        rows.first().map(Entry::read).transpose()
    }

    /// The version of an account's lane: what a reader must have seen to see every write to it so far.
    pub async fn lane_version(&self, account: &str) -> Result<Option<i64>, JournalError> {
        let rows = self.0.db.query("SELECT version FROM lanes WHERE account = ?", params![account]).await?;
        Ok(rows.first().map(|row| row.get("version")).transpose()?)
    }

    /// Is anything open that was queued or answered "accepted"? While there is, the core is being caught up with.
    ///
    /// Parked entries wait for a person, not for the core, and do not count.
    pub async fn any_ordered(&self) -> Result<bool, JournalError> {
        Ok(!self.0.db.query(ANY_ORDERED, Vec::new()).await?.is_empty())
    }
}

impl OperatorsJournal {
    /// The entry with everything that happened to it.
    pub async fn detail(&self, id: &EntryId) -> Result<Option<EntryDetail>, JournalError> {
        let Some(entry) = self.0.get(id).await? else { return Ok(None) };
        let rows = self
            .0
            .db
            .query(
                "SELECT version, at_us, state, evidence, actor FROM transitions WHERE entry_id = ? ORDER BY version",
                params![id.as_str()],
            )
            .await?;
        let transitions = rows
            .iter()
            .map(|row| {
                Ok(TransitionRecord {
                    version: row.get("version")?,
                    at_us: row.get("at_us")?,
                    state: row.get("state")?,
                    evidence: row.get("evidence")?,
                    actor: row.get("actor")?,
                })
            })
            .collect::<Result<_, JournalError>>()?;
        let kept = self.0.db.query("SELECT decision FROM entries WHERE id = ?", params![id.as_str()]).await?;
        let kept = kept.first().map(|row| row.get::<Option<Vec<u8>>>("decision")).transpose()?.flatten();
        let decision = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Some(EntryDetail { entry, transitions, decision }))
    }

    /// Entries in order of time, for operators.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, JournalError> {
        let mut found = match &filter.account {
            Some(account) => self.of_account(account, filter).await?,
            None => self.of_every_shard(filter).await?,
        };
        found.sort_by(|one, other| one.by_time().cmp(&other.by_time()));
        found.truncate(usize::try_from(filter.limit).unwrap_or(0));
        let mut entries = Vec::with_capacity(found.len());
        for ids in found.chunks(KEYS_PER_STATEMENT) {
            let (list, ids) = listed(ids.iter().map(EntryId::as_str));
            let sql = format!("SELECT {COLUMNS} FROM entries WHERE id IN ({list})");
            for row in self.0.db.query(&sql, ids).await? {
                entries.push(Entry::read(&row)?);
            }
        }
        entries.sort_by(|one, other| one.id.by_time().cmp(&other.id.by_time()));
        Ok(entries)
    }

    /// The first ids of each shard in each state: one short range of an index each.
    async fn of_every_shard(&self, filter: &Filter) -> Result<Vec<EntryId>, JournalError> {
        let in_state = if filter.states.is_empty() { "" } else { " AND state = ?" };
        let of_one =
            format!("SELECT * FROM (SELECT id FROM entries WHERE id >= ? AND id < ?{in_state} ORDER BY id LIMIT ?) s");
        let states: Vec<Option<Value>> = match filter.states.as_slice() {
            [] => vec![None],
            states => states.iter().map(|state| Some(state.as_str().into())).collect(),
        };
        let (mut parts, mut values) = (Vec::new(), Vec::new());
        for (from, to) in EntryId::ranges_after(filter.after.as_ref()) {
            for state in &states {
                parts.push(of_one.as_str());
                values.extend(params![&from, &to].into_iter().chain(state.clone()).chain(params![filter.limit]));
            }
        }
        self.ids(&parts.join(" UNION ALL "), values).await
    }

    /// The first ids among those of one account, all of which are read.
    async fn of_account(&self, account: &str, filter: &Filter) -> Result<Vec<EntryId>, JournalError> {
        let (in_states, states) = in_states(filter);
        let after = filter.after.clone().unwrap_or_else(|| EntryId::stored(String::new()));
        let sql = format!(
            "SELECT id FROM entries WHERE id IN (SELECT entry_id FROM legs WHERE account = ?) \
             AND (SUBSTR(id, 2) > ? OR (SUBSTR(id, 2) = ? AND id > ?)){in_states} ORDER BY SUBSTR(id, 2), id LIMIT ?"
        );
        let first = params![account, after.time(), after.time(), after.as_str()];
        self.ids(&sql, first.into_iter().chain(states).chain(params![filter.limit]).collect()).await
    }

    async fn ids(&self, sql: &str, values: Vec<Value>) -> Result<Vec<EntryId>, JournalError> {
        let rows = self.0.db.query(sql, values).await?;
        rows.iter().map(|row| Ok(EntryId::stored(row.get("id")?))).collect()
    }
}

/// A condition for the states that are asked for, and its values.
fn in_states(filter: &Filter) -> (String, Vec<Value>) {
    if filter.states.is_empty() {
        return (String::new(), Vec::new());
    }
    let (list, states) = listed(filter.states.iter().map(|state| state.as_str()));
    (format!(" AND state IN ({list})"), states)
}

impl HoldsView {
    /// For each account the lane's version and the holds that a balance of the version given does not include.
    ///
    /// Read the balance first and this after it: a hold released in between still counts against the older balance.
    pub async fn against(
        &self,
        balances: &[(String, Vec<u8>)],
    ) -> Result<HashMap<String, (i64, Vec<Hold>)>, JournalError> {
        let mut holds: HashMap<String, (i64, Vec<Hold>)> = HashMap::new();
        if balances.is_empty() {
            return Ok(holds);
        }
        let oldest = balances.iter().map(|(_, version)| version.clone()).min().unwrap_or_default();
        // One statement, one snapshot: a lane version never claims holds that were not counted, and what left the lane's sum is
        // among the legs that a balance absorbed. One range of an index each: neither what waits nor an account's history is read.
        let (list, accounts) = listed(balances.iter().map(|(account, _)| account));
        let sql = format!(
            "SELECT account, version, held_minor AS amount_minor, NULL AS released_at FROM lanes WHERE account IN ({list}) \
             UNION ALL SELECT account, NULL, amount_minor, released_at FROM legs WHERE account IN ({list}) AND released_at > ?"
        );
        let values = accounts.iter().cloned().chain(accounts.iter().cloned()).chain([oldest.into()]).collect();
        for row in self.0.db.query(&sql, values).await? {
            let account: String = row.get("account")?;
            let balance = balances.iter().find(|(a, _)| *a == account).map(|(_, version)| version);
            let (lane_version, list) = holds.entry(account).or_default();
            if let Some(version) = row.get("version")? {
                *lane_version = version;
            }
            let (amount_minor, released_at) = (row.get("amount_minor")?, row.get::<Option<Vec<u8>>>("released_at")?);
            let counts = released_at.as_ref().is_none_or(|at| balance.is_some_and(|version| at > version));
            if counts && amount_minor != 0 {
                list.push(Hold { amount_minor, released_at });
            }
        }
        Ok(holds)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sql::{BoxFuture, Db, Tx};

    use super::*;
    use crate::journal::Journal;
    use crate::journal::facts::{Facts, KnownAccounts};

    struct NoAccounts;

    impl Facts for NoAccounts {
        fn read<'t>(&'t self, _: &'t mut Tx, _: &'t [String]) -> BoxFuture<'t, Result<KnownAccounts, sql::Error>> {
            Box::pin(async { Ok(KnownAccounts::default()) })
        }
    }

    #[tokio::test]
    async fn whether_anything_is_ordered_is_read_from_one_place_of_an_index_for_each_state() {
        let db = Db::open("sqlite::memory:", sql::Options::default()).await.unwrap();
        Journal::open(db.clone(), Arc::new(NoAccounts), "core").await.unwrap();
        let plan = db.query(&format!("EXPLAIN QUERY PLAN {ANY_ORDERED}"), Vec::new()).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail").unwrap()).collect();
        let of_entries: Vec<_> = steps.iter().filter(|step| step.contains("entries")).collect();
        assert_eq!(of_entries.len(), 3, "{steps:#?}");
        assert!(of_entries.iter().all(|step| step.contains("INDEX entries_by_state (state=?)")), "{steps:#?}");
        assert_eq!(of_entries.iter().filter(|step| step.contains("COVERING")).count(), 2, "{steps:#?}");
    }
}
