//! The transaction in which entries leave the tables: lanes and entries locked, the rule asked again, the file's lines compared.

use std::collections::{BTreeMap, BTreeSet};

use failpoints::{ARCHIVE_BEFORE_COMMIT, reached};
use sql::{Insert, Tx, Value, listed, params};

use super::load::{Loaded, load};
use super::{DAY_US, slim};
use crate::archive::{Month, stays};
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::facts::Facts;
use crate::journal::fence::{Fence, check_fence};
use crate::journal::lanes::LockedLanes;
use crate::journal::record::legs_of;

/// Entries that a file has and that may leave.
pub(super) struct Leaving {
    /// What the file says of each.
    pub(super) lines: BTreeMap<EntryId, Vec<u8>>,
    pub(super) file: String,
    pub(super) fence: Fence,
    pub(super) due: Month,
    pub(super) keys_days: u32,
}

impl Leaving {
    /// Deletes the rows of those that may still leave and are what the file says; answers how many. What has left before is not found.
    pub(super) async fn leave(&self, tx: &mut Tx, facts: &dyn Facts) -> Result<u64, JournalError> {
        let ids: Vec<EntryId> = self.lines.keys().cloned().collect();
        // Which accounts an entry touches never changes, so this may be read before the lanes are locked.
        let accounts: BTreeSet<String> = legs_of(tx, &ids).await?.into_iter().map(|leg| leg.account).collect();
        let _lanes = LockedLanes::lock(tx, accounts).await?;
        let mut leaving = load(tx, facts, &ids, true).await?;
        check_fence(tx, &self.fence).await?;
        leaving.retain(|loaded| self.leaves(loaded));
        if leaving.is_empty() {
            return Ok(0);
        }
        let left = leaving.len() as u64;
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for loaded in &leaving {
            *counts.entry(loaded.entry.state.as_str()).or_default() += 1;
        }
        for (state, n) in &counts {
            count(tx, state, *n).await?;
        }
        let mut kept = Insert::new("archived_entries", slim::COLUMNS);
        let (list, keys) = listed(leaving.iter().map(|loaded| loaded.entry.id.as_str()));
        for Loaded { entry, mut slim, .. } in leaving {
            let until_us = entry.updated_us.saturating_add(i64::from(self.keys_days).saturating_mul(DAY_US));
            slim.extend([Value::from(until_us), Value::from(&self.file)]);
            kept.push(slim);
        }
        tx.insert(kept).await?;
        for table in ["legs", "attempts", "transitions"] {
            tx.exec(&format!("DELETE FROM {table} WHERE entry_id IN ({list})"), keys.clone()).await?;
        }
        if tx.exec(&format!("DELETE FROM entries WHERE id IN ({list})"), keys).await? != left {
            return Err(JournalError::Lost("an entry left under its lock"));
        }
        reached(ARCHIVE_BEFORE_COMMIT);
        Ok(left)
    }

    fn leaves(&self, loaded: &Loaded) -> bool {
        let same = self.lines.get(&loaded.entry.id).is_some_and(|line| *line == loaded.line);
        same && stays(&loaded.standing, self.due).is_none()
    }
}

/// Counts entries that leave: with them those that are left, the sum of all that ended stays what it was.
async fn count(tx: &mut Tx, state: &str, n: i64) -> Result<(), JournalError> {
    let more = "UPDATE archived_counts SET n = n + ? WHERE state = ?";
    if tx.exec(more, params![n, state]).await? == 0 {
        tx.exec("INSERT INTO archived_counts (state, n) VALUES (?, ?)", params![state, n]).await?;
    }
    Ok(())
}
