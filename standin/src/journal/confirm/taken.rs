//! Postings that a person linked to an entry. They book no other one, whichever reference they carry by now.

use std::collections::{BTreeMap, BTreeSet};

use sql::{Tx, listed, params};

use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;
use crate::journal::record::KEYS_PER_STATEMENT;

/// What a row is kept as whose posting a person linked to another entry.
pub(in crate::journal) const ANOTHERS: &str = "the posting stands for another entry";

/// The entry that each linked posting stands for.
pub(super) type Taken = BTreeMap<String, EntryId>;

impl Confirmations {
    /// Which of the rows that name an entry are linked, and to which entry. Locks nothing.
    pub(super) async fn taken(
        &self,
        tx: &mut Tx,
        seen: &[LegSeen],
        booked: &BTreeMap<String, EntryId>,
    ) -> Result<Taken, JournalError> {
        let named = seen.iter().filter(|row| booked.contains_key(&row.core_ref));
        let postings: BTreeSet<&str> = named.map(|row| row.row_key.as_str()).collect();
        let postings: Vec<&str> = postings.into_iter().collect();
        let mut taken = Taken::new();
        for postings in postings.chunks(KEYS_PER_STATEMENT) {
            let (list, keys) = listed(postings.iter().copied());
            let sql = format!("SELECT posting, entry_id FROM links WHERE core = ? AND posting IN ({list})");
            let mut values = params![&*self.0.core];
            values.extend(keys);
            for row in tx.query(&sql, values).await? {
                taken.insert(row.get("posting")?, EntryId::stored(row.get("entry_id")?));
            }
        }
        Ok(taken)
    }
}
