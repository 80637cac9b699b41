//! Postings that people keyed into the core by hand, and the entries they stand for.
//!
//! Such a posting does not carry our reference, so no change event names the entry. The core's own number identifies it. It
//! is looked for in the read model until its rows have come.

use schemas::entry::Evidence;
use sql::{Tx, params};

use super::breaks::keep_break;
use super::confirm::{ANOTHERS, see};
use super::workset::WorkSet;
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::GatewayJournal;
use crate::journal::postings::{LegSeen, PostingRow};

const ACTOR: &str = "links";
/// Links looked at in one transaction.
const PAGE: i64 = 100;

/// Keeps which postings stand for an entry; those in `seen` need not be looked for any more.
pub(super) async fn keep(
    tx: &mut Tx,
    core: &str,
    id: &EntryId,
    postings: &[String],
    seen: &[LegSeen],
) -> Result<(), JournalError> {
    let now_us = tx.host().now_us();
    for posting in postings {
        let came = seen.iter().any(|row| row.row_key == *posting);
        tx.exec(
            "INSERT INTO links (core, posting, entry_id, at_us, seen) VALUES (?, ?, ?, ?, ?)",
            params![core, posting, id.as_str(), now_us, came],
        )
        .await?;
    }
    Ok(())
}

impl GatewayJournal {
    /// Looks for the rows of linked postings that have not come yet, and confirms the entries whose rows have. A row that books
    /// something else than the entry asks for is a break. Answers how many rows came.
    pub async fn confirm_linked(&self) -> Result<usize, JournalError> {
        let (mut came, mut after) = (0, String::new());
        loop {
            let sql = "SELECT posting, entry_id FROM links WHERE core = ? AND seen = 0 AND posting > ? ORDER BY posting LIMIT ?";
            let rows = self.0.db.query(sql, params![&*self.0.core, &after, PAGE]).await?;
            let Some(last) = rows.last() else { return Ok(came) };
            after = last.get("posting")?;
            let mut waiting = Vec::new();
            for row in &rows {
                let id = EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))?;
                waiting.push((row.get("posting")?, id));
            }
            came += self.confirm_page(waiting).await?;
        }
    }

    async fn confirm_page(&self, waiting: Vec<(String, EntryId)>) -> Result<usize, JournalError> {
        let journal = self.clone();
        self.0
            .run(move |tx| {
                let (journal, waiting) = (journal.clone(), waiting.clone());
                Box::pin(async move { journal.confirm_in(tx, waiting).await })
            })
            .await
    }

    async fn confirm_in(&self, tx: &mut Tx, waiting: Vec<(String, EntryId)>) -> Result<usize, JournalError> {
        let postings: Vec<String> = waiting.iter().map(|(posting, _)| posting.clone()).collect();
        let rows = self.0.facts.postings(tx, &postings).await?;
        let of = |row: &PostingRow| waiting.iter().find(|(posting, _)| *posting == row.posting);
        let mut ids: Vec<EntryId> = rows.iter().filter_map(of).map(|(_, id)| id.clone()).collect();
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return Ok(0);
        }
        let (mut work, mut came) = (WorkSet::lock(tx, &ids).await?, 0);
        for row in &rows {
            let Some((posting, id)) = of(row) else { continue };
            let Some(leg) = row.as_leg_of(work.entry(id)?) else { continue };
            let mark = "UPDATE links SET seen = 1 WHERE core = ? AND posting = ? AND seen = 0";
            // Another instance may have been here first.
            if tx.exec(mark, params![&*self.0.core, posting]).await? == 0 {
                continue;
            }
            came += 1;
            let carried = row.core_ref.as_ref().filter(|text| self.0.references.marks(text));
            let finding = match carried.filter(|text| **text != leg.core_ref) {
                // It came with the reference of another entry, so it may be that one's.
                Some(_) => {
                    work.contradict(id)?;
                    Some(ANOTHERS)
                }
                None => see(&mut work, id, &leg)?,
            };
            if let Some(finding) = finding {
                keep_break(tx, &leg.core_ref, leg.kind.as_str(), &leg.row_key, finding).await?;
            }
        }
        for id in &ids {
            if work.all_legs_seen(id) {
                work.weigh_in(id, Evidence::AllLegsSeen)?;
            }
        }
        work.release_by(tx, &*self.0.facts).await?;
        work.store(tx, ACTOR).await?;
        Ok(came)
    }
}
