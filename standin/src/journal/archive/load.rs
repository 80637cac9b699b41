//! Entries as they stand in the tables: what the rule is asked, the line of the file, and what the slim row keeps.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{EntryState, LegKind};
use serde_json::{Map, Value as Json, json};
use sql::{Row, Tx, Value, listed};

use super::slim;
use crate::archive::Standing;
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::facts::{Facts, KnownAccounts};

/// How a column is written into a line.
#[derive(Clone, Copy)]
enum As {
    Int,
    Text,
    /// In hexadecimal digits.
    Bytes,
    /// As what it is: JSON.
    Json,
}

type Columns = &'static [(&'static str, As)];

const ENTRY: Columns = &[
    ("id", As::Text),
    ("generation", As::Int),
    ("version", As::Int),
    ("principal", As::Text),
    ("operation", As::Text),
    ("idempotency_key", As::Text),
    ("fingerprint", As::Bytes),
    ("core", As::Text),
    ("core_ref", As::Text),
    ("command", As::Json),
    ("state", As::Text),
    ("ordered", As::Int),
    ("contradicted", As::Int),
    ("reason", As::Text),
    ("core_id", As::Text),
    ("reserved_day", As::Int),
    ("accepted_us", As::Int),
    ("business_day", As::Int),
    ("updated_us", As::Int),
    ("decision", As::Json),
];
const LEG: Columns = &[
    ("leg", As::Int),
    ("account", As::Text),
    ("seq", As::Int),
    ("open", As::Int),
    ("in_order", As::Int),
    ("kind", As::Text),
    ("amount_minor", As::Int),
    ("currency", As::Text),
    ("posting_no", As::Int),
    ("booked_place", As::Bytes),
    ("row_key", As::Text),
    ("released_at", As::Bytes),
];
const ATTEMPT: Columns = &[
    ("n", As::Int),
    ("owner", As::Text),
    ("boot", As::Int),
    ("token", As::Int),
    ("started_us", As::Int),
    ("ended_us", As::Int),
    ("result", As::Text),
    ("alone", As::Int),
    ("started_host_us", As::Int),
    ("ended_host_us", As::Int),
];
const TRANSITION: Columns =
    &[("version", As::Int), ("at_us", As::Int), ("state", As::Text), ("evidence", As::Text), ("actor", As::Text)];
const AUDIT: Columns =
    &[("id", As::Text), ("at_us", As::Int), ("actor", As::Text), ("action", As::Text), ("detail", As::Json)];

/// One entry with all that goes with it.
pub(super) struct Loaded {
    pub(super) entry: Entry,
    pub(super) line: Vec<u8>,
    pub(super) standing: Standing,
    /// Its slim row, but for what the pass adds.
    pub(super) slim: Vec<Value>,
}

/// Loads these entries, those of them that are there and can be read. `lock`: their lanes are locked, and they are to be.
pub(super) async fn load(
    tx: &mut Tx,
    facts: &dyn Facts,
    ids: &[EntryId],
    lock: bool,
) -> Result<Vec<Loaded>, JournalError> {
    let (list, keys) = listed(ids.iter().map(EntryId::as_str));
    let end = if lock { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT {} FROM entries WHERE id IN ({list}) ORDER BY id{end}", names(ENTRY));
    let rows = tx.query(&sql, keys.clone()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut legs = of_each(tx, ("legs", "entry_id", "leg"), LEG, (&list, &keys)).await?;
    let mut attempts = of_each(tx, ("attempts", "entry_id", "n"), ATTEMPT, (&list, &keys)).await?;
    let mut transitions = of_each(tx, ("transitions", "entry_id", "version"), TRANSITION, (&list, &keys)).await?;
    let mut audit = of_each(tx, ("audit", "subject", "id"), AUDIT, (&list, &keys)).await?;
    let wanted = wanted(tx, (&list, &keys)).await?;
    let accounts: BTreeSet<&str> = legs.values().flatten().filter_map(|leg| leg["account"].as_str()).collect();
    let accounts: Vec<String> = accounts.into_iter().map(str::to_owned).collect();
    let sheet = facts.read(tx, &accounts).await?;
    let mut loaded = Vec::with_capacity(rows.len());
    for row in &rows {
        // One that cannot be read stays where a person can look at it.
        let Some(entry) = Entry::read_or_complain(row) else { continue };
        let id = entry.id.as_str();
        let part = |of: &mut Parts| of.remove(id).unwrap_or_default();
        let (legs, attempts) = (part(&mut legs), part(&mut attempts));
        let standing = Standing {
            state: entry.state,
            contradicted: entry.contradicted,
            open_leg: legs.iter().any(|leg| leg["open"] != json!(0)),
            holds: legs.iter().any(|leg| holds(leg, &sheet)),
            open_attempt: attempts.iter().any(|attempt| attempt["ended_us"].is_null()),
            pending_approval: wanted.contains(&(id.to_owned(), APPROVAL)),
            open_break: wanted.contains(&(id.to_owned(), BREAK)),
            unseen_link: wanted.contains(&(id.to_owned(), LINK)),
            updated_us: entry.updated_us,
        };
        // Of one that a person vouched for neither may be known.
        let sent = entry.state == EntryState::Confirmed
            || !attempts.is_empty()
            || legs.iter().any(|leg| !leg["row_key"].is_null());
        let row_of = |kind: LegKind| legs.iter().find(|leg| leg["kind"] == kind.as_str())?["row_key"].as_str();
        let rows_seen = (row_of(LegKind::Debit), row_of(LegKind::Credit));
        let slim = slim::row(&entry, row.get("core")?, sent, rows_seen);
        let line = json!({
            "entry": object(row, ENTRY)?,
            "legs": legs,
            "attempts": attempts,
            "transitions": part(&mut transitions),
            "audit": part(&mut audit),
        });
        let line = serde_json::to_vec(&line).map_err(|_| JournalError::Corrupt("an entry as a line"))?;
        loaded.push(Loaded { entry, line, standing, slim });
    }
    Ok(loaded)
}

/// The rows of one table that belong to entries, as a line has them, by entry.
type Parts = BTreeMap<String, Vec<Json>>;

/// Does this leg count against the balance that is served, or against one before it?
fn holds(leg: &Json, sheet: &KnownAccounts) -> bool {
    let (Some(account), Some(at)) = (leg["account"].as_str(), leg["released_at"].as_str()) else { return true };
    match sheet.accounts.get(account) {
        // Hexadecimal digits are in the order of their bytes.
        Some(known) => at > crate::archive::hex(&known.balance_version).as_str(),
        // Which balance is served of it is not known now. A hold that was dropped never counts.
        None => !at.is_empty() && sheet.unclear.contains(account),
    }
}

/// The rows of one table that belong to these entries, by entry and in order.
async fn of_each(
    tx: &mut Tx,
    (table, owner, order): (&str, &str, &str),
    columns: Columns,
    (list, keys): (&str, &[Value]),
) -> Result<Parts, JournalError> {
    let sql = format!(
        "SELECT {owner} AS owner_id, {} FROM {table} WHERE {owner} IN ({list}) ORDER BY {owner}, {order}",
        names(columns)
    );
    let mut found = Parts::new();
    for row in tx.query(&sql, keys.to_vec()).await? {
        found.entry(row.get("owner_id")?).or_default().push(Json::Object(object(&row, columns)?));
    }
    Ok(found)
}

const APPROVAL: i64 = 1;
const LINK: i64 = 2;
const BREAK: i64 = 3;

/// What people must still decide about these entries, or what they wait for: each entry with the kind of it.
async fn wanted(tx: &mut Tx, (list, keys): (&str, &[Value])) -> Result<BTreeSet<(String, i64)>, JournalError> {
    let sql = format!(
        "SELECT subject AS id, {APPROVAL} AS what FROM approvals \
         WHERE state = 'pending' AND expires_ms > {{now_ms}} AND subject IN ({list}) \
         UNION ALL SELECT entry_id, {LINK} FROM links WHERE seen = 0 AND entry_id IN ({list}) \
         UNION ALL SELECT e.id, {BREAK} FROM entries e JOIN breaks b ON b.core_ref = e.core_ref \
         WHERE e.id IN ({list}) AND b.settled_us IS NULL"
    );
    let rows = tx.query(&sql, [keys, keys, keys].concat()).await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("what")?))).collect()
}

fn names(columns: Columns) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn object(row: &Row, columns: Columns) -> Result<Map<String, Json>, sql::Error> {
    let mut object = Map::new();
    for (name, kind) in columns {
        let value = match kind {
            As::Int => json!(row.get::<Option<i64>>(name)?),
            As::Text => json!(row.get::<Option<&str>>(name)?),
            As::Bytes => json!(row.get::<Option<&[u8]>>(name)?.map(crate::archive::hex)),
            As::Json => match row.get::<Option<&[u8]>>(name)? {
                None => Json::Null,
                // What a line would not say exactly is kept all the same.
                Some(bytes) => serde_json::from_slice(bytes)
                    .ok()
                    .filter(is_exact)
                    .unwrap_or_else(|| json!({ "hex": crate::archive::hex(bytes) })),
            },
        };
        object.insert((*name).to_owned(), value);
    }
    Ok(object)
}

/// Was every number of it read as it is written? One with a point, or of more than 64 bits, is only read as what is next to it.
fn is_exact(value: &Json) -> bool {
    match value {
        Json::Number(number) => !number.is_f64(),
        Json::Array(items) => items.iter().all(is_exact),
        Json::Object(members) => members.values().all(is_exact),
        Json::Null | Json::Bool(_) | Json::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_would_round_are_not_exact() {
        let exact = |text: &str| is_exact(&serde_json::from_str(text).unwrap());
        assert!(exact(r#"{"amount_minor":9223372036854775807,"text":"1.5","more":[null,true,-1]}"#));
        for text in ["1.5", "18446744073709551616", r#"{"rates":[{"rate":1.083456789012345678901}]}"#] {
            assert!(!exact(text), "{text}");
        }
    }
}
