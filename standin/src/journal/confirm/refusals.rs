//! Refusals that the core's own books show, as rows of its commands do.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{EntryState, Evidence, Verdict};
use sql::{Tx, listed, params};

use super::{ACTOR, lock_readable};
use crate::change::Change;
use crate::entry::EntryId;
use crate::journal::attempts::{Attempts, Heard, hear};
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::record::KEYS_PER_STATEMENT;

/// A row of the core that says that it refused what carried one of our references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalSeen {
    /// The reference we sent.
    pub core_ref: String,
    /// The core's own code.
    pub code: String,
}

impl Confirmations {
    /// Ends the entries that the core refused, by the rule for a refusal that an enquiry finds: it counts only where no other attempt may
    /// post. Answers how many ended.
    ///
    /// Called inside the apply transaction, after [`Confirmations::confirm`]: what is booked is not refused.
    pub async fn refuse(&self, tx: &mut Tx, seen: &[RefusalSeen]) -> Result<usize, JournalError> {
        let named = self.refusable(tx, seen).await?;
        if named.is_empty() {
            return Ok(0);
        }
        let (mut work, unreadable) = lock_readable(tx, named.values().cloned().collect(), &BTreeSet::new()).await?;
        let ids: Vec<EntryId> = named.values().filter(|id| !unreadable.contains(*id)).cloned().collect();
        if ids.iter().any(|id| work.entry(id).is_err()) {
            // The next run finds it where it is now.
            return Err(JournalError::Lost("an entry was archived meanwhile"));
        }
        let mut attempts = Attempts::lock(tx, &ids).await?;
        let mut ended = 0;
        for row in seen {
            let Some(id) = named.get(&row.core_ref).filter(|id| !unreadable.contains(*id)) else { continue };
            let change = Change::new(id.clone(), Evidence::CoreRefused);
            if !matches!(hear(&mut attempts, &change), Heard::Evidence(Evidence::CoreRefused)) {
                continue;
            }
            if matches!(work.weigh_in(id, Evidence::CoreRefused)?, Verdict::Moves(_)) {
                work.set_reason(id, Some(row.code.clone()))?;
                ended += 1;
            }
        }
        work.store(tx, ACTOR).await?;
        Ok(ended)
    }

    /// Which of these would change something: those of entries that are not refused yet. Locks nothing.
    pub async fn refusals_news(&self, tx: &mut Tx, seen: &[RefusalSeen]) -> Result<Vec<bool>, JournalError> {
        let named = self.refusable(tx, seen).await?;
        Ok(seen.iter().map(|row| named.contains_key(&row.core_ref)).collect())
    }

    /// The entries of these references that are not refused yet. What is archived has ended, and other systems refuse under references
    /// of their own.
    async fn refusable(&self, tx: &mut Tx, seen: &[RefusalSeen]) -> Result<BTreeMap<String, EntryId>, JournalError> {
        let refs: BTreeSet<&str> = seen.iter().map(|row| row.core_ref.as_str()).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        let mut named = BTreeMap::new();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let (list, keys) = listed(refs.iter().copied());
            let sql =
                format!("SELECT id, core_ref FROM entries WHERE core = ? AND state <> ? AND core_ref IN ({list})");
            let values = params![&*self.0.core, EntryState::Refused.as_str()];
            for row in tx.query(&sql, values.into_iter().chain(keys).collect()).await? {
                let id = EntryId::parse(row.get("id")?).ok_or(JournalError::Corrupt("entry id"))?;
                named.insert(row.get("core_ref")?, id);
            }
        }
        Ok(named)
    }
}
