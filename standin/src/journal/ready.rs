//! Which queued entries may go next: those at the head of every lane in whose order they stand.
//!
//! Small statements of one shape each. With one join the engine chooses where to begin, and an engine that planned it while
//! the tables were empty read the whole queue for every row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::repeat_n;

use schemas::entry::EntryState;
use sql::{Row, Tx, Value, filled, placeholders};

use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::ReplayJournal;
use crate::lane::GLOBAL_LANE;

/// Heads looked at in one statement.
const HEADS_PER_STATEMENT: usize = 64;

/// Statements of one look while there is a lane of all accounts. Nearly all heads wait there, and its own head is looked at first.
const GLOBAL_STATEMENTS_MAX: usize = 8;

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
            let begin = usize::try_from(self.0.db.host().now_us()).unwrap_or(0) % heads.len();
            heads.rotate_left(begin);
        }
        let statements_max = match heads.iter().position(|(account, _)| account == GLOBAL_LANE) {
            Some(global) => {
                heads.swap(0, global);
                GLOBAL_STATEMENTS_MAX
            }
            None => usize::MAX,
        };
        let mut ready = BTreeSet::new();
        for heads in heads.chunks(HEADS_PER_STATEMENT).take(statements_max) {
            ready.extend(self.ready_of(heads, &lowest).await?);
            if ready.len() >= limit {
                break;
            }
        }
        let mut ready: Vec<EntryId> = ready.into_iter().collect();
        ready.sort_by(|one, other| one.by_time().cmp(&other.by_time()));
        ready.truncate(limit);
        Ok(ready)
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
            "SELECT e.id AS id, e.state AS state, l.account AS account, l.seq AS seq, l.in_order AS in_order, l.row_key AS row_key, \
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
            let behind = row.get("in_order")? && lowest.get(&account).is_none_or(|head| *head != seq);
            let queued = row.get::<&str>("state")? == EntryState::Queued.as_str();
            let booked = row.get::<Option<String>>("row_key")?.is_some();
            *held_back.entry(id).or_default() |= behind || !queued || booked || row.get("stopped")?;
        }
        Ok(held_back.into_iter().filter(|(_, held_back)| !held_back).map(|(id, _)| id).collect())
    }
}

/// An open entry's place in one of its lanes.
pub(super) struct Place {
    pub(super) account: String,
    pub(super) seq: i64,
    pub(super) id: EntryId,
}

/// The first `each` open places of each of these lanes, lowest first: one short range of the index a lane, however long it is.
pub(super) async fn first_places(
    tx: &mut Tx,
    accounts: &BTreeSet<&str>,
    each: usize,
) -> Result<Vec<Place>, JournalError> {
    let of_one =
        "SELECT * FROM (SELECT account, seq, entry_id FROM legs WHERE open = 1 AND account = ? ORDER BY seq LIMIT ?) f";
    let each = i64::try_from(each).unwrap_or(i64::MAX);
    let accounts: Vec<&str> = accounts.iter().copied().collect();
    let mut places = Vec::new();
    for accounts in accounts.chunks(HEADS_PER_STATEMENT) {
        // Filled up by an account that no lane has: a lane that stands twice would be read twice.
        let lanes = filled(accounts.len());
        let sql = vec![of_one; lanes].join(" UNION ALL ");
        let accounts = accounts.iter().copied().chain(repeat_n("", lanes - accounts.len()));
        for row in tx.query(&sql, accounts.flat_map(|account| [account.into(), each.into()]).collect()).await? {
            let id = EntryId::stored(row.get("entry_id")?);
            places.push(Place { account: row.get("account")?, seq: row.get("seq")?, id });
        }
    }
    places.sort_by_key(|place| place.seq);
    Ok(places)
}

fn id_of(row: &Row) -> Result<EntryId, JournalError> {
    EntryId::parse(row.get("id")?).ok_or(JournalError::Corrupt("entry id"))
}

/// Padded to one length by repeating the last: one statement to prepare and to plan, whatever the number.
fn padded<T: Clone>(some: &[T]) -> impl Iterator<Item = T> {
    let last = some.last().into_iter().cycle();
    some.iter().chain(last).take(HEADS_PER_STATEMENT).cloned()
}
