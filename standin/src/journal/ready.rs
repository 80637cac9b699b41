//! Which queued entries may go next: those at the head of every lane they touch.
//!
//! Small statements of one shape each. With one join the engine chooses where to begin, and an engine that planned it while
//! the tables were empty read the whole queue for every row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemas::entry::EntryState;
use sql::{Row, Value, params, placeholders};

use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::handles::ReplayJournal;
use crate::journal::stamps::now_us;

/// Heads looked at in one statement.
const HEADS_PER_STATEMENT: usize = 64;

/// Lanes of one entry, and so most entries that can be next behind it.
const HEADS_BEHIND: usize = 2;

/// The lowest open sequence number of a lane.
type Head = (String, i64);

impl ReplayJournal {
    /// Queued entries with nothing open before them in any of their lanes, oldest first. A hint: [`ReplayJournal::claim`] decides.
    ///
    /// Costs as much as there are busy lanes, however long each is. When more entries are ready than asked for, the place
    /// where it begins changes from call to call, so that no lane is left out for ever.
    pub async fn ready(&self, limit: usize) -> Result<Vec<EntryId>, JournalError> {
        let mut heads = self.heads().await?;
        let lowest: HashMap<String, i64> = heads.iter().cloned().collect();
        if heads.len() > limit {
            let begin = usize::try_from(now_us()).unwrap_or(0) % heads.len();
            heads.rotate_left(begin);
        }
        let mut ready = BTreeSet::new();
        for heads in heads.chunks(HEADS_PER_STATEMENT) {
            ready.extend(self.ready_of(heads, &lowest).await?);
            if ready.len() >= limit {
                break;
            }
        }
        Ok(ready.into_iter().take(limit).collect())
    }

    /// Entries that an ended entry may have kept back: the first open ones of its lanes, with nothing open before them in their
    /// other lanes. A hint, as [`ReplayJournal::ready`].
    pub async fn ready_behind(&self, ended: &Entry) -> Result<Vec<EntryId>, JournalError> {
        // One short range of the index each, however long the lane.
        let first = "SELECT entry_id AS id FROM legs WHERE open = 1 AND account = ? ORDER BY seq LIMIT 1";
        let mut next = BTreeSet::new();
        for (_, account) in ended.command.legs() {
            for row in self.0.db.query(first, params![account]).await? {
                next.insert(id_of(&row)?);
            }
        }
        if next.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT DISTINCT l.entry_id AS id FROM legs l JOIN legs b ON b.account = l.account AND b.open = 1 AND b.seq < l.seq \
             WHERE l.entry_id IN ({})",
            placeholders(HEADS_BEHIND)
        );
        let candidates: Vec<&str> = next.iter().map(EntryId::as_str).collect();
        let last = candidates.last().copied().into_iter().cycle();
        let values = candidates.iter().copied().chain(last).take(HEADS_BEHIND).map(Value::from).collect();
        let rows = self.0.db.query(&sql, values).await?;
        let held_back = rows.iter().map(id_of).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(next.into_iter().filter(|id| !held_back.contains(id)).collect())
    }

    async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        let sql = "SELECT account, MIN(seq) AS seq FROM legs WHERE open = 1 GROUP BY open, account";
        let rows = self.0.db.query(sql, Vec::new()).await?;
        rows.iter().map(|row| Ok((row.get("account")?, row.get("seq")?))).collect()
    }

    /// Those entries of these heads that nothing holds back in any of their lanes.
    async fn ready_of(&self, heads: &[Head], lowest: &HashMap<String, i64>) -> Result<Vec<EntryId>, JournalError> {
        let any = vec!["(account = ? AND seq = ?)"; HEADS_PER_STATEMENT].join(" OR ");
        let sql = format!("SELECT entry_id AS id FROM legs WHERE {any}");
        let values = padded(heads).flat_map(|(account, seq)| [account.into(), seq.into()]).collect();
        let rows = self.0.db.query(&sql, values).await?;
        let ids = rows.iter().map(|row| row.get::<String>("id")).collect::<Result<BTreeSet<_>, _>>()?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT e.id AS id, e.state AS state, l.account AS account, l.seq AS seq, l.row_key AS row_key, \
             n.stopped AS stopped FROM entries e JOIN legs l ON l.entry_id = e.id JOIN lanes n ON n.account = l.account \
             WHERE e.id IN ({})",
            placeholders(HEADS_PER_STATEMENT)
        );
        let ids: Vec<String> = ids.into_iter().collect();
        let rows = self.0.db.query(&sql, padded(&ids).map(Value::from).collect()).await?;
        let mut held_back: BTreeMap<EntryId, bool> = BTreeMap::new();
        for row in rows {
            let id = id_of(&row)?;
            let (account, seq): (String, i64) = (row.get("account")?, row.get("seq")?);
            let behind = lowest.get(&account).is_none_or(|head| *head != seq);
            let queued = row.get::<&str>("state")? == EntryState::Queued.as_str();
            let booked = row.get::<Option<String>>("row_key")?.is_some();
            *held_back.entry(id).or_default() |= behind || !queued || booked || row.get("stopped")?;
        }
        Ok(held_back.into_iter().filter(|(_, held_back)| !held_back).map(|(id, _)| id).collect())
    }
}

fn id_of(row: &Row) -> Result<EntryId, JournalError> {
    EntryId::parse(row.get("id")?).ok_or(JournalError::Corrupt("entry id"))
}

/// Padded to one length by repeating the last: one statement to prepare and to plan, whatever the number.
fn padded<T: Clone>(some: &[T]) -> impl Iterator<Item = T> {
    let last = some.last().into_iter().cycle();
    some.iter().chain(last).take(HEADS_PER_STATEMENT).cloned()
}
