//! How much a confirmation locks, asked before it locks anything.

use std::collections::BTreeSet;

use sql::{Tx, params, placeholders};

use super::{accounts_holding, texts};
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;
use crate::journal::record::KEYS_PER_STATEMENT;

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
            let sql = format!(
                "SELECT e.id AS id, l.account AS account FROM entries e JOIN legs l ON l.entry_id = e.id \
                 WHERE e.core = ? AND e.core_ref IN ({})",
                placeholders(refs.len())
            );
            let mut values = params![&*self.0.core];
            values.extend(texts(refs));
            for row in tx.query(&sql, values).await? {
                lanes.insert(row.get("account")?);
                entries.insert(row.get::<String>("id")?);
            }
        }
        Ok(ToLock { lanes: lanes.len(), entries: entries.len() })
    }
}
