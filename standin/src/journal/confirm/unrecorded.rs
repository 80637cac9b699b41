//! What a read model that is filled anew asks the journal: which rows are news, and where holds are.

use std::collections::BTreeSet;

use sql::{Tx, listed, params};

use super::Named;
use crate::journal::archive::Late;
use crate::journal::error::JournalError;
use crate::journal::handles::Confirmations;
use crate::journal::postings::LegSeen;
use crate::journal::record::KEYS_PER_STATEMENT;

impl Confirmations {
    /// For each row: would [`Confirmations::confirm`](super::Confirmations::confirm) change anything? It would if the row
    /// carries a reference of ours and is not recorded on its leg yet; of an archived entry, if it is another row than the one that booked it. Locks nothing.
    pub async fn is_news(&self, tx: &mut Tx, seen: &[LegSeen]) -> Result<Vec<bool>, JournalError> {
        let seen: Vec<LegSeen> = seen.iter().cloned().map(LegSeen::bounded).collect();
        let Named { booked, archived, freed } = self.entries_of(tx, &seen).await?;
        let refs: BTreeSet<&str> = booked.keys().map(String::as_str).collect();
        let refs: Vec<&str> = refs.into_iter().collect();
        let mut recorded: BTreeSet<(String, String, String, i64)> = BTreeSet::new();
        for refs in refs.chunks(KEYS_PER_STATEMENT) {
            let (list, refs) = listed(refs.iter().copied());
            let sql = format!(
                "SELECT e.core_ref AS core_ref, l.kind AS kind, l.row_key AS row_key, l.posting_no AS posting_no \
                 FROM entries e JOIN legs l ON l.entry_id = e.id \
                 WHERE e.core = ? AND e.core_ref IN ({list}) AND l.row_key IS NOT NULL AND l.posting_no IS NOT NULL"
            );
            let mut values = params![&*self.0.core];
            values.extend(refs);
            for row in tx.query(&sql, values).await? {
                recorded.insert((row.get("core_ref")?, row.get("kind")?, row.get("row_key")?, row.get("posting_no")?));
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
            let leg = (known.0, known.1, known.2, row.posting_no);
            ours && !is_freed && !recorded.contains(&leg)
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
