//! Which entries may be due: the SQL only selects candidates, the rule decides.

use std::cmp::min;

use schemas::entry::EntryState;
use sql::params;

use super::{ArchiveJournal, DAY_US};
use crate::archive::Month;
use crate::entry::EntryId;
use crate::journal::error::JournalError;

/// Candidates of one look.
const PAGE: u32 = 256;

/// Where the search among the entries of one month stands.
pub(super) struct Search {
    month: Month,
    states: Vec<EntryState>,
    after: String,
}

impl Search {
    pub(super) fn of(month: Month) -> Self {
        let states = EntryState::ALL.into_iter().filter(|state| state.is_terminal()).collect();
        Self { month, states, after: String::new() }
    }
}

impl ArchiveJournal {
    /// The month of the oldest entry that has ended, by its id and its stamp, whichever is earlier. Ids are ordered by time.
    pub(super) async fn oldest_month(&self) -> Result<Option<Month>, JournalError> {
        let mut oldest_us: Option<i64> = None;
        for state in EntryState::ALL.into_iter().filter(|state| state.is_terminal()) {
            let sql = "SELECT id, accepted_us FROM entries WHERE state = ? ORDER BY id LIMIT 1";
            for row in self.0.db.query(sql, params![state.as_str()]).await? {
                let made_us = made_us(row.get("id")?);
                let first_us = min(row.get("accepted_us")?, made_us);
                oldest_us = Some(oldest_us.map_or(first_us, |us| us.min(first_us)));
            }
        }
        Ok(oldest_us.and_then(|us| Month::of_us(us.max(0))))
    }

    /// The next candidates of a search, in order of id; none: it is over.
    pub(super) async fn candidates(&self, search: &mut Search) -> Result<Vec<EntryId>, JournalError> {
        let (Some(begins_us), Some(ends_us)) = (search.month.begins_us(), search.month.plus(1).begins_us()) else {
            return Ok(Vec::new());
        };
        // An entry ends after its id was made, by a clock that is at most a day ahead. So the index leads to the oldest ones.
        let below = format!("{:012x}", (ends_us.saturating_add(DAY_US) / 1_000).max(0));
        while let Some(state) = search.states.last() {
            let sql = "SELECT id FROM entries WHERE state = ? AND id > ? AND id < ? AND updated_us >= ? AND updated_us < ? \
                 ORDER BY id LIMIT ?";
            let values = params![state.as_str(), &search.after, &below, begins_us, ends_us, PAGE];
            let rows = self.0.db.query(sql, values).await?;
            let ids = rows.iter().map(|row| Ok(EntryId::stored(row.get("id")?)));
            let ids = ids.collect::<Result<Vec<EntryId>, sql::Error>>()?;
            match ids.last() {
                Some(last) => {
                    search.after = last.as_str().to_owned();
                    return Ok(ids);
                }
                None => {
                    search.states.pop();
                    search.after.clear();
                }
            }
        }
        Ok(Vec::new())
    }
}

/// When an id was made, by its maker's clock; of one that tells no time, at the beginning of all times.
fn made_us(id: &str) -> i64 {
    id.get(..12).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0).saturating_mul(1_000)
}
