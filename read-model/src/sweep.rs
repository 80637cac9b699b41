//! Deletes the rows of earlier generations in bounded steps, a while after the swap, so that a read that began on the old
//! generation ends on it. Nothing is remembered between processes: an interrupted walk begins again.

use sql::{Db, Value, listed, params};

/// How long the rows of an earlier generation stay after the swap, in milliseconds: longer than any read may take.
pub const KEPT_AFTER_SWAP_MS: i64 = 60_000;
/// Keys looked at by one step.
const KEYS_PER_STEP: usize = 1_000;

/// Each table with the first column of its primary key.
const TABLES: [(&str, &str); 5] = [
    ("customer_rows", "customer_id"),
    ("account_rows", "account_id"),
    ("balance_rows", "account_id"),
    ("transaction_rows", "transaction_id"),
    ("posting_links", "transaction_id"),
];
/// Tables with an index that begins with the dataset, and the column of it that follows.
const BY_DATASET: [(&str, &str); 2] = [("core_row_keys", "row_hash"), ("delete_markers", "transaction_id")];
/// Tables with an index that begins with source and generation, and the column of it that follows.
const BY_GENERATION: [(&str, &str); 6] = [
    ("parked", "queue"),
    ("parked_marks", "queue"),
    (EVIDENCE, "core_ref"),
    (WAITING, "account_id"),
    (EVENTS, "account_id"),
    (REFUSALS, "core_ref"),
];
const WAITING: &str = "waiting_balances";
const EVENTS: &str = "waiting_events";
const REFUSALS: &str = "shadow_refusals";
const EVIDENCE: &str = "shadow_evidence";
/// Keys of these deleted by one step.
const KEYS_PER_DELETE: usize = 100;

/// One walk over the tables of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    source: String,
    served: u32,
    served_at_ms: i64,
    /// The datasets of its earlier generations.
    old: Vec<u32>,
    table: usize,
    after: String,
}

impl Sweep {
    /// A walk, if there is something to delete now: `kept_ms` have passed since the last swap, and nobody has finished one.
    pub async fn due(db: &Db, source: &str, kept_ms: i64) -> Result<Option<Self>, sql::Error> {
        let sql = "SELECT generation, served_at_ms FROM sources WHERE source = ? AND served_at_ms + ? <= {now_ms}";
        let rows = db.query(sql, params![source, kept_ms]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (served, served_at_ms): (u32, i64) = (row.get("generation")?, row.get("served_at_ms")?);
        let sql = "SELECT dataset FROM datasets WHERE source = ? AND generation < ? ORDER BY dataset";
        let rows = db.query(sql, params![source, served]).await?;
        let old = rows.iter().map(|row| row.get("dataset")).collect::<Result<_, _>>()?;
        Ok(Some(Self { source: source.to_owned(), served, served_at_ms, old, table: 0, after: String::new() }))
    }

    /// One step; false when it was the last.
    pub async fn step(&mut self, db: &Db) -> Result<bool, sql::Error> {
        if let Some((table, key)) = TABLES.get(self.table) {
            self.rows_of(db, table, key).await?;
        } else if self.table == TABLES.len() {
            self.kept_by_dataset(db).await?;
        } else if let Some((table, key)) = BY_GENERATION.get(self.table - TABLES.len() - 1) {
            self.kept_in(db, table, key).await?;
        } else {
            let sql = "UPDATE sources SET served_at_ms = NULL WHERE source = ? AND served_at_ms = ?";
            db.exec(sql, params![&self.source, self.served_at_ms]).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Keys in their order, of every dataset: each step reads a bounded piece of the primary key.
    async fn rows_of(&mut self, db: &Db, table: &str, key: &str) -> Result<(), sql::Error> {
        let sql = format!("SELECT {key} AS k, dataset FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?");
        let rows = db.query(&sql, params![&self.after, KEYS_PER_STEP as u32]).await?;
        let Some(last) = rows.last().map(|row| row.get::<String>("k")).transpose()? else {
            self.next_table();
            return Ok(());
        };
        // The piece may end between the datasets of its last key.
        let mut old = vec![last.clone()];
        for row in &rows {
            if self.old.contains(&row.get("dataset")?) {
                old.push(row.get("k")?);
            }
        }
        old.dedup();
        let (keys, keys_given) = listed(&old);
        let (datasets, datasets_given) = listed(self.old.iter().copied());
        let sql = format!("DELETE FROM {table} WHERE {key} IN ({keys}) AND dataset IN ({datasets})");
        db.exec(&sql, keys_given.into_iter().chain(datasets_given).collect()).await?;
        if rows.len() < KEYS_PER_STEP {
            self.next_table()
        } else {
            self.after = last
        }
        Ok(())
    }

    async fn kept_by_dataset(&mut self, db: &Db) -> Result<(), sql::Error> {
        let Some(dataset) = self.old.last().copied() else {
            self.next_table();
            return Ok(());
        };
        let mut some = false;
        for table in BY_DATASET {
            some |= deleted_some(db, table, "dataset = ?", params![dataset]).await?;
        }
        if !some {
            self.old.pop();
        }
        Ok(())
    }

    async fn kept_in(&mut self, db: &Db, table: &str, key: &str) -> Result<(), sql::Error> {
        // Evidence is spent with the swap itself.
        let below = self.served + u32::from(table == EVIDENCE || table == REFUSALS);
        let of_earlier = "source = ? AND generation < ?";
        if !deleted_some(db, (table, key), of_earlier, params![&self.source, below]).await? {
            self.next_table();
        }
        Ok(())
    }

    fn next_table(&mut self) {
        self.table += 1;
        self.after.clear();
    }
}

/// Deletes the rows of some keys among those that `whose` selects; false: there are none left.
async fn deleted_some(db: &Db, (table, key): (&str, &str), whose: &str, given: Vec<Value>) -> Result<bool, sql::Error> {
    let sql = format!("SELECT DISTINCT {key} AS k FROM {table} WHERE {whose} LIMIT ?");
    let rows = db.query(&sql, given.iter().cloned().chain(params![KEYS_PER_DELETE as u32]).collect()).await?;
    if rows.is_empty() {
        return Ok(false);
    }
    let (list, keys) = listed(rows.iter().map(|row| row.get::<Value>("k")).collect::<Result<Vec<_>, _>>()?);
    let sql = format!("DELETE FROM {table} WHERE {whose} AND {key} IN ({list})");
    db.exec(&sql, given.into_iter().chain(keys).collect()).await?;
    Ok(true)
}
