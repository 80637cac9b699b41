//! What a read model that is filled anew asks the journal: which rows are news, and where holds are.

use std::collections::{BTreeMap, BTreeSet};

use schemas::position::TransactionPlace;
use sql::{Tx, params, placeholders};

use super::{Named, texts};
use crate::journal::archive::Late;
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;
use crate::journal::record::{KEYS_PER_STATEMENT, place};

/// What the journal has of the row that booked a leg.
struct Recorded {
    posting_no: Option<i64>,
    place: Option<TransactionPlace>,
    released: bool,
}

impl Recorded {
    /// Would this row tell it nothing? The place in a newer generation is news as long as the hold counts: it ends with a balance of
    /// that generation.
    fn has(&self, row: &LegSeen) -> bool {
        match &row.place {
            Some(place) => self.released || self.place.is_some_and(|known| known.generation() >= place.generation()),
            None => self.posting_no.is_some() && self.posting_no == row.posting_no,
        }
    }
}

impl Confirmations {
    /// For each row: would [`Confirmations::confirm`](super::Confirmations::confirm) change anything? It would if the row
    /// carries a reference of ours and is not recorded on its leg yet; of an archived entry, if it is another row than the one that booked it. Locks nothing.
    pub async fn is_news(&self, tx: &mut Tx, seen: &[LegSeen]) -> Result<Vec<bool>, JournalError> {
        let seen: Vec<LegSeen> = seen.iter().cloned().map(LegSeen::bounded).collect();
        let Named { booked, archived, freed } = self.entries_of(tx, &seen).await?;
        let refs: BTreeSet<&str> = booked.keys().map(String::as_str).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        let mut recorded: BTreeMap<(String, String, String), Recorded> = BTreeMap::new();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let sql = format!(
                "SELECT e.core_ref AS core_ref, l.kind AS kind, l.row_key AS row_key, l.posting_no AS posting_no, \
                 l.booked_place AS booked_place, l.released_at AS released_at \
                 FROM entries e JOIN legs l ON l.entry_id = e.id \
                 WHERE e.core = ? AND e.core_ref IN ({}) AND l.row_key IS NOT NULL",
                placeholders(refs.len())
            );
            let mut values = params![&*self.0.core];
            values.extend(texts(refs));
            for row in tx.query(&sql, values).await? {
                let leg = Recorded {
                    posting_no: row.get("posting_no")?,
                    place: place(&row)?,
                    released: row.get::<Option<&[u8]>>("released_at")?.is_some(),
                };
                recorded.insert((row.get("core_ref")?, row.get("kind")?, row.get("row_key")?), leg);
            }
        }
        let news = |row: &LegSeen| {
            if let Some(ended) = archived.get(&row.core_ref) {
                let known = (row.core_ref.clone(), row.kind.as_str().to_owned(), row.row_key.clone());
                return !freed.contains(&known) && ended.says(row) != Late::Nothing;
            }
            let ours = booked.contains_key(&row.core_ref) || self.0.references.marks(&row.core_ref);
            let known = (row.core_ref.clone(), row.kind.as_str().to_owned(), row.row_key.clone());
            let is_freed = freed.contains(&known);
            ours && !is_freed && recorded.get(&known).is_none_or(|leg| !leg.has(row))
        };
        Ok(seen.iter().map(news).collect())
    }

    /// Every account on which a hold counts, in byte order.
    pub async fn accounts_with_holds(&self, tx: &mut Tx) -> Result<Vec<String>, JournalError> {
        let (mut accounts, mut after) = (Vec::new(), String::new());
        loop {
            let sql = "SELECT account, held_minor FROM lanes WHERE account > ? ORDER BY account LIMIT ?";
            let rows = tx.query(sql, params![&after, KEYS_PER_STATEMENT as u32]).await?;
            for row in &rows {
                after = row.get("account")?;
                if row.get::<i64>("held_minor")? != 0 {
                    accounts.push(after.clone());
                }
            }
            if rows.len() < KEYS_PER_STATEMENT {
                return Ok(accounts);
            }
        }
    }
}
