//! How many lanes a confirmation locks, asked before it locks any.

use std::collections::BTreeSet;

use sql::{Tx, params, placeholders};

use super::{accounts_holding, texts};
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;
use crate::journal::record::KEYS_PER_STATEMENT;

impl Confirmations {
    /// How many lanes [`Confirmations::confirm`] would lock with the same rows and accounts: those of the entries that are booked, and
    /// those of concerned accounts on which a hold counts. Locks nothing.
    pub async fn lanes_to_confirm(
        &self,
        tx: &mut Tx,
        seen: &[LegSeen],
        changed_accounts: &[String],
    ) -> Result<usize, JournalError> {
        let concerned: BTreeSet<&String> = changed_accounts.iter().chain(seen.iter().map(|row| &row.account)).collect();
        let mut lanes = accounts_holding(tx, &concerned.into_iter().collect::<Vec<_>>()).await?;
        let refs: BTreeSet<&str> = seen.iter().map(|row| row.core_ref.as_str()).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let sql = format!(
                "SELECT l.account AS account FROM entries e JOIN legs l ON l.entry_id = e.id \
                 WHERE e.core = ? AND e.core_ref IN ({})",
                placeholders(refs.len())
            );
            let mut values = params![&*self.0.core];
            values.extend(texts(refs));
            for row in tx.query(&sql, values).await? {
                lanes.insert(row.get("account")?);
            }
        }
        Ok(lanes.len())
    }
}
