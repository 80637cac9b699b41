//! Debits of ours that a balance of a core without posting numbers may include.

use std::collections::BTreeMap;

use schemas::entry::LegKind;
use schemas::position::{OpenDebits, TransactionPlace};
use sql::{Tx, placeholders};

use super::texts;
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;
use crate::journal::record::{KEYS_PER_STATEMENT, place};

impl Confirmations {
    /// The debits on these accounts that were sent and whose holds count, by account. The row of one has come if it is stored with a
    /// place of this generation, or is among `coming`.
    ///
    /// A write that is admitted after this was read is sent later still, so no balance in hand can include it.
    pub async fn open_debits(
        &self,
        tx: &mut Tx,
        accounts: &[String],
        coming: &[LegSeen],
        generation: u32,
    ) -> Result<BTreeMap<String, OpenDebits>, JournalError> {
        // The first place of a row, as the leg keeps it: the same row may come again with a later change.
        let mut booked_here: BTreeMap<(&str, &str), TransactionPlace> = BTreeMap::new();
        for row in coming.iter().filter(|row| row.kind == LegKind::Debit) {
            if let Some(place) = row.place {
                booked_here.entry((row.core_ref.as_str(), row.account.as_str())).or_insert(place);
            }
        }
        let mut open: BTreeMap<String, OpenDebits> = BTreeMap::new();
        for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
            // A credit is stored as released from the start.
            let sql = format!(
                "SELECT l.account AS account, l.booked_place AS booked_place, e.core_ref AS core_ref \
                 FROM legs l JOIN entries e ON e.id = l.entry_id \
                 WHERE l.account IN ({}) AND l.released_at IS NULL AND e.state <> 'queued'",
                placeholders(accounts.len())
            );
            for row in tx.query(&sql, texts(accounts)).await? {
                let (account, core_ref): (String, &str) = (row.get("account")?, row.get("core_ref")?);
                let stored = place(&row)?.filter(|place| place.generation() >= generation);
                let booked = stored.or_else(|| booked_here.get(&(core_ref, account.as_str())).copied());
                let debits = open.entry(account).or_default();
                match booked {
                    Some(booked) => debits.booked.push(booked),
                    None => debits.any_without_row = true,
                }
            }
        }
        Ok(open)
    }
}
