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

/// Where the search among the entries of one month stands: in each final state, through each shard of the ids.
pub(super) struct Search {
    month: Month,
    /// State, after which id, and up to which one. The last is searched.
    ranges: Vec<(EntryState, String, String)>,
}

impl Search {
    pub(super) fn of(month: Month) -> Self {
        // An entry ends after its id was made, by a clock that is at most a day ahead. So the index leads to the oldest ones.
        let ends_us = month.plus(1).begins_us().unwrap_or(0).saturating_add(DAY_US);
        let of_state = |state| EntryId::ranges_before(ends_us).into_iter().map(move |(from, to)| (state, from, to));
        Self { month, ranges: final_states().flat_map(of_state).collect() }
    }
}

fn final_states() -> impl Iterator<Item = EntryState> {
    EntryState::ALL.into_iter().filter(|state| state.is_terminal())
}

impl ArchiveJournal {
    /// The month of the oldest entry that has ended, by its id and its stamp, whichever is earlier. Ids are made by clocks that are at
    /// most a day ahead, so one behind the first of its range may have ended a day before it.
    pub(super) async fn oldest_month(&self) -> Result<Option<Month>, JournalError> {
        let mut oldest_us: Option<i64> = None;
        for state in final_states() {
            for (from, to) in EntryId::ranges_after(None) {
                let sql =
                    "SELECT id, accepted_us FROM entries WHERE state = ? AND id >= ? AND id < ? ORDER BY id LIMIT 1";
                for row in self.0.db.query(sql, params![state.as_str(), from, to]).await? {
                    let first_us = min(row.get("accepted_us")?, EntryId::stored(row.get("id")?).made_us());
                    oldest_us = Some(oldest_us.map_or(first_us, |us| us.min(first_us)));
                }
            }
        }
        Ok(oldest_us.and_then(|us| Month::of_us(us.saturating_sub(DAY_US).max(0))))
    }

    /// The next candidates of a search, in order of id in each of its ranges; none: it is over.
    pub(super) async fn candidates(&self, search: &mut Search) -> Result<Vec<EntryId>, JournalError> {
        let (Some(begins_us), Some(ends_us)) = (search.month.begins_us(), search.month.plus(1).begins_us()) else {
            return Ok(Vec::new());
        };
        while let Some((state, after, below)) = search.ranges.last_mut() {
            let sql = "SELECT id FROM entries WHERE state = ? AND id > ? AND id < ? AND updated_us >= ? AND updated_us < ? \
                 ORDER BY id LIMIT ?";
            let values = params![state.as_str(), &*after, &*below, begins_us, ends_us, PAGE];
            let rows = self.0.db.query(sql, values).await?;
            let ids = rows.iter().map(|row| Ok(EntryId::stored(row.get("id")?)));
            let ids = ids.collect::<Result<Vec<EntryId>, sql::Error>>()?;
            match ids.last() {
                Some(last) => {
                    *after = last.as_str().to_owned();
                    return Ok(ids);
                }
                None => drop(search.ranges.pop()),
            }
        }
        Ok(Vec::new())
    }
}
