//! Events that wait for the row of an account, because they take their currency from it: kept whole, by the account.

use std::collections::{BTreeMap, BTreeSet};

use schemas::money::Currency;
use sql::{Db, Policy, Row, Tx, Upsert, Value, listed, params};

use crate::parked::kept_of_parked;
use crate::progress::Partition;
use crate::rows::RowError;
use crate::writer::{WriteError, Writer};

/// Accounts per statement.
const ACCOUNTS_PER_QUERY: usize = 500;
/// Events that wait and are read at once. Each may be as large as a record.
pub const EVENTS_PER_STEP: u32 = 64;

/// An event that is not applied yet, bytes as they came.
#[derive(Clone, PartialEq, Eq)]
pub struct WaitingEvent {
    /// The account it waits for.
    pub account_id: String,
    /// Where its offset counts.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    /// The Debezium topic it belongs to.
    pub topic: String,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value.
    pub value: Option<Vec<u8>>,
    /// When it was sent, milliseconds since 1970.
    pub sent_ms: i64,
    /// When the core made it, milliseconds since 1970.
    pub made_ms: i64,
    /// The account is known to be left out or deleted, and nothing told its currency: nobody misses the event.
    pub left_out: bool,
}

/// Bytes are personal data: not shown.
impl std::fmt::Debug for WaitingEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.partition.topic, self.partition.partition, self.offset)
    }
}

/// Which events may be applied, or cannot wait any longer.
#[derive(Debug, Clone, Copy)]
pub enum Due<'d> {
    /// Whose account's currency is known, whichever it is.
    Known,
    /// Whose account's currency is known, and is one of these.
    Of(&'d BTreeSet<String>),
    /// Sent until then, milliseconds since 1970, and of an account that is not known.
    SentUntil(i64),
}

const COLUMNS: &[&str] = &[
    "source",
    "generation",
    "account_id",
    "topic",
    "kpartition",
    "koffset",
    "event_topic",
    "event_key",
    "event_value",
    "sent_ms",
    "made_ms",
    "left_out",
];

/// Columns that [`read`] reads.
const READ: &str = "w.account_id AS account_id, w.topic AS topic, w.kpartition AS kpartition, w.koffset AS koffset, \
    w.event_topic AS event_topic, w.event_key AS event_key, w.event_value AS event_value, w.sent_ms AS sent_ms, \
    w.made_ms AS made_ms, w.left_out AS left_out";

impl Writer {
    /// What is known of these accounts: their currencies; none for one that is deleted or left out and whose marker does not tell it.
    /// One of which nothing came is not there.
    pub async fn accounts_known(
        &self,
        db: &Db,
        accounts: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Option<Currency>>, WriteError> {
        let mut known = BTreeMap::new();
        if accounts.is_empty() {
            return Ok(known);
        }
        let dataset = self.dataset_by(db).await?;
        let accounts: Vec<&String> = accounts.iter().collect();
        for accounts in accounts.chunks(ACCOUNTS_PER_QUERY) {
            let (list, keys) = listed(accounts.iter().copied());
            let sql = format!(
                "SELECT account_id, currency, deleted FROM account_rows WHERE dataset = ? AND account_id IN ({list})"
            );
            for row in db.query(&sql, params![dataset].into_iter().chain(keys).collect()).await? {
                let currency = Currency::parse(row.get("currency")?).ok();
                let deleted: bool = row.get("deleted")?;
                if !deleted && currency.is_none() {
                    return Err(RowError::Vocabulary("currency").into());
                }
                known.insert(row.get("account_id")?, currency);
            }
        }
        Ok(known)
    }

    /// Keeps events until their accounts come. A repetition changes nothing.
    pub async fn keep_events(&self, tx: &mut Tx, events: &[WaitingEvent]) -> Result<(), WriteError> {
        let mut upsert = Upsert::new("waiting_events", COLUMNS, &COLUMNS[..6], Policy::KeepExisting);
        for event in events {
            upsert.push(params![
                &*self.source,
                self.generation,
                &event.account_id,
                &event.partition.topic,
                event.partition.partition,
                event.offset,
                &event.topic,
                event.key.as_deref().map(|bytes| kept_of_parked(bytes).into_owned()),
                event.value.as_deref().map(|bytes| kept_of_parked(bytes).into_owned()),
                event.sent_ms,
                event.made_ms,
                event.left_out
            ]);
        }
        Ok(tx.upsert(upsert).await?)
    }

    /// Forgets events: they are applied, parked, or kept for another account.
    pub async fn end_events(&self, tx: &mut Tx, events: &[WaitingEvent]) -> Result<(), WriteError> {
        for event in events {
            let sql = "DELETE FROM waiting_events WHERE source = ? AND generation = ? AND account_id = ? AND topic = ? \
                 AND kpartition = ? AND koffset = ?";
            let Partition { topic, partition } = &event.partition;
            let key = params![&*self.source, self.generation, &event.account_id, topic, *partition, event.offset];
            tx.exec(sql, key).await?;
        }
        Ok(())
    }

    /// Notes of which accounts the currency is known, and of which it is not (none), for the events that wait for them.
    pub async fn tell_waiting(
        &self,
        tx: &mut Tx,
        accounts: &BTreeMap<String, Option<Currency>>,
    ) -> Result<(), WriteError> {
        for left_out in [true, false] {
            let concerned: Vec<&String> =
                accounts.iter().filter(|(_, known)| known.is_none() == left_out).map(|(account, _)| account).collect();
            for accounts in concerned.chunks(ACCOUNTS_PER_QUERY) {
                let (list, keys) = listed(accounts.iter().copied());
                let sql = format!(
                    "UPDATE waiting_events SET left_out = ? WHERE source = ? AND generation = ? AND left_out <> ? \
                     AND account_id IN ({list})"
                );
                let values = params![left_out, &*self.source, self.generation, left_out];
                tx.exec(&sql, values.into_iter().chain(keys).collect()).await?;
            }
        }
        Ok(())
    }

    /// When the core made the oldest event that waits for an account of which nothing came, milliseconds since 1970.
    pub async fn waiting_since_ms(&self, tx: &mut Tx) -> Result<Option<i64>, WriteError> {
        let sql =
            "SELECT MIN(made_ms) AS oldest FROM waiting_events WHERE source = ? AND generation = ? AND left_out = 0";
        Ok(tx.query_one(sql, params![&*self.source, self.generation]).await?.get("oldest")?)
    }

    /// Does any event wait, for whichever account?
    pub async fn any_event_waits(&self, db: &Db) -> Result<bool, WriteError> {
        let sql = "SELECT koffset FROM waiting_events WHERE source = ? AND generation = ? LIMIT 1";
        Ok(!db.query(sql, params![&*self.source, self.generation]).await?.is_empty())
    }

    /// The oldest events that are due, at most [`EVENTS_PER_STEP`].
    pub async fn events_due(&self, db: &Db, due: Due<'_>) -> Result<Vec<WaitingEvent>, WriteError> {
        let mut due_events = Vec::new();
        match due {
            Due::Known => due_events.extend(self.events_there(db, None).await?),
            Due::Of(accounts) => {
                let accounts: Vec<&String> = accounts.iter().collect();
                for accounts in accounts.chunks(ACCOUNTS_PER_QUERY) {
                    due_events.extend(self.events_there(db, Some(accounts)).await?);
                    if !due_events.is_empty() {
                        break;
                    }
                }
            }
            Due::SentUntil(until_ms) => {
                let sql = format!(
                    "SELECT {READ} FROM waiting_events w WHERE w.source = ? AND w.generation = ? AND w.left_out = 0 \
                     AND w.made_ms <= ? AND w.sent_ms <= ? ORDER BY w.made_ms LIMIT {EVENTS_PER_STEP}"
                );
                let values = params![&*self.source, self.generation, until_ms, until_ms];
                for row in db.query(&sql, values).await? {
                    due_events.push(read(&row)?);
                }
            }
        }
        Ok(due_events)
    }

    async fn events_there(&self, db: &Db, accounts: Option<&[&String]>) -> Result<Vec<WaitingEvent>, WriteError> {
        let dataset = self.dataset_by(db).await?;
        let (only, keys) = match accounts {
            // The index finds these without reading all events of accounts that are left out.
            None => (" AND w.left_out = 0".to_owned(), Vec::<Value>::new()),
            Some(accounts) => {
                let (list, keys) = listed(accounts.iter().copied());
                (format!(" AND w.account_id IN ({list})"), keys)
            }
        };
        let sql = format!(
            "SELECT {READ} FROM waiting_events w JOIN account_rows a ON a.account_id = w.account_id AND a.dataset = ? \
             WHERE w.source = ? AND w.generation = ? AND a.currency <> ''{only} LIMIT {EVENTS_PER_STEP}"
        );
        let values = params![dataset, &*self.source, self.generation];
        let mut events = Vec::new();
        for row in db.query(&sql, values.into_iter().chain(keys).collect()).await? {
            events.push(read(&row)?);
        }
        Ok(events)
    }
}

fn read(row: &Row) -> Result<WaitingEvent, RowError> {
    Ok(WaitingEvent {
        account_id: row.get("account_id")?,
        partition: Partition { topic: row.get("topic")?, partition: row.get("kpartition")? },
        offset: row.get("koffset")?,
        topic: row.get("event_topic")?,
        key: row.get("event_key")?,
        value: row.get("event_value")?,
        sent_ms: row.get("sent_ms")?,
        made_ms: row.get("made_ms")?,
        left_out: row.get("left_out")?,
    })
}
