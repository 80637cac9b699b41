//! What has waited too long: the backlog as alerts want it, and postings whose change event does not come.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::entry::EntryState;
use sql::params;

use super::breaks::keep_break;
use super::record::COLUMNS;
use super::record::state_of;
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::handles::{GatewayJournal, OperatorsJournal};
use crate::journal::shared::Shared;

/// What has not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many entries are in each state that something must follow.
    pub by_state: BTreeMap<EntryState, i64>,
    /// How long ago the oldest entry without an outcome was made.
    pub oldest_open: Duration,
    /// Entries that evidence contradicts.
    pub contradicted: i64,
    /// Findings of the change data against the journal that nobody has settled.
    pub breaks: i64,
}

/// What one look for unconfirmed postings came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unconfirmed {
    /// New breaks.
    pub found: usize,
    /// Where the next look goes on; `None`: at the beginning, all were looked at.
    pub next_after: Option<EntryId>,
}

impl Backlog {
    /// Entries whose outcome is not known yet.
    pub fn open(&self) -> i64 {
        self.by_state.iter().filter(|(state, _)| state.is_open()).map(|(_, count)| count).sum()
    }
}

/// Finding about an entry that the core said it posted.
const NOT_CONFIRMED: &str = "posted, and its change event did not come";
/// Entries looked at in one go.
const PAGE: i64 = 100;

impl Shared {
    /// What has not ended. Costs what waits, whatever the journal's length.
    pub(in crate::journal) async fn backlog(&self) -> Result<Backlog, JournalError> {
        // Ids are ordered by time in each shard, so the index alone tells the oldest. How old it is, its stamp says: ids are made by many
        // hosts.
        let sql = "SELECT state, COUNT(*) AS n, MIN(id) AS oldest FROM entries \
             WHERE state IN ('submitting', 'queued', 'outcome_unknown', 'parked', 'posted') GROUP BY state, SUBSTR(id, 1, 1)";
        let waiting = EntryState::ALL.into_iter().filter(|state| !state.is_terminal());
        let now_ms = self.server_now_ms().await?;
        let mut backlog = Backlog { by_state: waiting.map(|state| (state, 0)).collect(), ..Backlog::default() };
        let mut oldest = None;
        for row in self.db.query(sql, Vec::new()).await? {
            let state = state_of(&row)?;
            *backlog.by_state.entry(state).or_default() += row.get::<i64>("n")?;
            if state.is_open() {
                let id = EntryId::stored(row.get("oldest")?);
                if oldest.as_ref().is_none_or(|oldest: &EntryId| id.by_time() < oldest.by_time()) {
                    oldest = Some(id);
                }
            }
        }
        if let Some(oldest) = oldest {
            backlog.oldest_open = self.age_of(oldest.as_str(), now_ms).await?;
        }
        let count = async |sql: &str| -> Result<i64, JournalError> {
            Ok(self.db.query(sql, Vec::new()).await?.first().map_or(Ok(0), |row| row.get("n"))?)
        };
        backlog.contradicted = count("SELECT COUNT(*) AS n FROM entries WHERE contradicted = 1").await?;
        backlog.breaks = count("SELECT COUNT(*) AS n FROM breaks WHERE settled_us IS NULL").await?;
        Ok(backlog)
    }

    /// How long ago the entry was admitted, by the SQL server's stamp and now. One that has ended meanwhile is still there.
    async fn age_of(&self, id: &str, now_ms: i64) -> Result<Duration, JournalError> {
        let rows = self.db.query("SELECT accepted_us FROM entries WHERE id = ?", params![id]).await?;
        let accepted_us: i64 = rows.first().ok_or(JournalError::NoSuchEntry)?.get("accepted_us")?;
        let age_ms = now_ms.saturating_sub(accepted_us.div_euclid(1_000));
        Ok(Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)))
    }
}

impl OperatorsJournal {
    /// How many entries ended, and how, archived ones too. Reads an index over the whole history: for proofs, not for dashboards.
    pub async fn ended(&self) -> Result<BTreeMap<EntryState, i64>, JournalError> {
        // One statement, so that an entry that leaves meanwhile counts once.
        let sql = "SELECT state, COUNT(*) AS n FROM entries \
             WHERE state IN ('refused', 'confirmed', 'declined', 'cancelled', 'written_off') GROUP BY state \
             UNION ALL SELECT state, n FROM archived_counts";
        let mut ended: BTreeMap<EntryState, i64> = BTreeMap::new();
        for row in self.0.db.query(sql, Vec::new()).await? {
            *ended.entry(state_of(&row)?).or_default() += row.get::<i64>("n")?;
        }
        Ok(ended)
    }

    /// What waits, by state.
    pub async fn backlog(&self) -> Result<Backlog, JournalError> {
        self.0.backlog().await
    }
}

impl GatewayJournal {
    /// Keeps a break for each entry that the core said it posted and that complete change data do not show `within` that
    /// time. Looks at one page of entries, from the first one after `after`: an entry that cannot be judged yet never hides
    /// those behind it.
    pub async fn find_unconfirmed(
        &self,
        within: Duration,
        after: Option<EntryId>,
    ) -> Result<Unconfirmed, JournalError> {
        let facts = self.0.facts.clone();
        let within_us = i64::try_from(within.as_micros()).unwrap_or(i64::MAX);
        self.0.run(move |tx| {
            let (facts, after) = (facts.clone(), after.clone());
            Box::pin(async move {
                let sql = format!(
                    "SELECT {COLUMNS}, {{now_ms}} AS now_ms FROM entries WHERE state = 'posted' AND id > ? AND updated_us < ({{now_ms}} + 1) * 1000 - ? AND NOT EXISTS \
                     (SELECT id FROM breaks b WHERE b.core_ref = entries.core_ref AND b.finding = ?) ORDER BY id LIMIT ?"
                );
                let after = after.as_ref().map_or("", EntryId::as_str);
                let rows = tx.query(&sql, params![after, within_us, NOT_CONFIRMED, PAGE]).await?;
                let whole = i64::try_from(rows.len()) == Ok(PAGE);
                let last = rows.last().filter(|_| whole).map(|row| row.get::<String>("id")).transpose()?;
                let next_after = last.and_then(|id| EntryId::parse(&id));
                let now_us = rows.first().map_or(Ok(0), |row| row.get::<i64>("now_ms"))?.saturating_mul(1_000);
                let entries: Vec<Entry> = rows.iter().filter_map(Entry::read_or_complain).collect();
                if entries.is_empty() {
                    return Ok(Unconfirmed { found: 0, next_after });
                }
                let legs = entries.iter().flat_map(|entry| entry.command.legs());
                let accounts: Vec<String> = legs.map(|(_, account)| account.to_owned()).collect();
                let sheet = facts.read(tx, &accounts).await?;
                let mut found = 0;
                for entry in entries {
                    // A source time that lies ahead says as little as one that lies as far behind.
                    let as_of_us = sheet.as_of_us(&entry.command);
                    let complete_us = as_of_us.map(|us| now_us.saturating_sub(now_us.saturating_sub(us).saturating_abs()));
                    if complete_us.is_some_and(|us| us.saturating_sub(within_us) > entry.updated_us) {
                        found += usize::from(keep_break(tx, &entry.core_ref, "", "", NOT_CONFIRMED).await?);
                    }
                }
                Ok(Unconfirmed { found, next_after })
            })
        })
        .await
    }

    /// What waits, by state.
    pub async fn backlog(&self) -> Result<Backlog, JournalError> {
        self.0.backlog().await
    }
}
