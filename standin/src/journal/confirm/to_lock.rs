//! How much a confirmation locks, asked before it locks anything.

use std::collections::BTreeSet;

use sql::{Tx, listed, params};

use super::accounts_holding;
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;
use crate::journal::record::{KEYS_PER_STATEMENT, legs_of};

/// What a confirmation locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToLock {
    /// Lanes of the entries that are booked, and of concerned accounts on which a hold counts.
    pub lanes: usize,
    /// The entries that are booked.
    pub entries: usize,
}

impl Confirmations {
    /// How much [`Confirmations::confirm`] would lock with the same rows and accounts. Locks nothing.
    pub async fn to_lock(
        &self,
        tx: &mut Tx,
        seen: &[LegSeen],
        changed_accounts: &[String],
    ) -> Result<ToLock, JournalError> {
        let concerned: BTreeSet<&String> = changed_accounts.iter().chain(seen.iter().map(|row| &row.account)).collect();
        let mut lanes = accounts_holding(tx, &concerned.into_iter().collect::<Vec<_>>()).await?;
        let mut entries = BTreeSet::new();
        let refs: BTreeSet<&str> = seen.iter().map(|row| row.core_ref.as_str()).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let (list, refs) = listed(refs.iter().copied());
            let sql = format!("SELECT id FROM entries WHERE core = ? AND core_ref IN ({list})");
            let mut values = params![&*self.0.core];
            values.extend(refs);
            for row in tx.query(&sql, values).await? {
                entries.insert(EntryId::stored(row.get("id")?));
            }
        }
        // Apart from the look-up by reference: joined with it, an engine may read all legs there are instead of these.
        let ids: Vec<EntryId> = entries.iter().cloned().collect();
        lanes.extend(legs_of(tx, &ids).await?.into_iter().map(|leg| leg.account));
        Ok(ToLock { lanes: lanes.len(), entries: entries.len() })
    }
}
