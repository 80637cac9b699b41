//! Deletes the rows of earlier generations in bounded steps, a while after the swap, so that a read that began on the old
//! generation ends on it. Nothing is remembered between processes: an interrupted walk begins again.

use sql::{Db, Row, Value, params, placeholders};

/// How long the rows of an earlier generation stay after the swap, in milliseconds: longer than any read may take.
pub const KEPT_AFTER_SWAP_MS: i64 = 60_000;
/// Keys looked at by one step.
const KEYS_PER_STEP: usize = 1_000;

/// Each table with the first column of its primary key.
const TABLES: [(&str, &str); 4] = [
    ("customers", "customer_id"),
    ("accounts", "account_id"),
    ("balances", "account_id"),
    ("transactions", "transaction_id"),
];
/// Tables with an index that begins with source and generation, and the column of it that follows.
const BY_GENERATION: [(&str, &str); 5] = [
    ("parked", "queue"),
    ("parked_marks", "queue"),
    (EVIDENCE, "core_ref"),
    (WAITING, "account_id"),
    ("core_rows", "row_hash"),
];
const WAITING: &str = "waiting_balances";
const EVIDENCE: &str = "shadow_evidence";
/// Keys of these deleted by one step.
const KEYS_PER_DELETE: usize = 100;

/// One walk over the tables of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    source: String,
    served: u32,
    served_at_ms: i64,
    table: usize,
    after: String,
}

impl Sweep {
    /// A walk, if there is something to delete now: `kept_ms` have passed since the last swap, and nobody has finished one.
    pub async fn due(db: &Db, source: &str, kept_ms: i64) -> Result<Option<Self>, sql::Error> {
        let sql = "SELECT generation, served_at_ms FROM sources WHERE source = ? AND served_at_ms + ? <= {now_ms}";
        let rows = db.query(sql, params![source, kept_ms]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (served, served_at_ms) = (row.get("generation")?, row.get("served_at_ms")?);
        Ok(Some(Self { source: source.to_owned(), served, served_at_ms, table: 0, after: String::new() }))
    }

    /// One step; false when it was the last.
    pub async fn step(&mut self, db: &Db) -> Result<bool, sql::Error> {
        if let Some((table, key)) = TABLES.get(self.table) {
            self.rows_of(db, table, key).await?;
        } else if let Some((table, key)) = BY_GENERATION.get(self.table - TABLES.len()) {
            self.kept_in(db, table, key).await?;
        } else {
            let sql = "UPDATE sources SET served_at_ms = NULL WHERE source = ? AND served_at_ms = ?";
            db.exec(sql, params![&self.source, self.served_at_ms]).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Keys in their order, of every source and generation: each step reads a bounded piece of the primary key.
    async fn rows_of(&mut self, db: &Db, table: &str, key: &str) -> Result<(), sql::Error> {
        let sql = format!("SELECT {key} AS k, source, generation FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?");
        let rows = db.query(&sql, params![&self.after, KEYS_PER_STEP as u32]).await?;
        let Some(last) = rows.last().map(|row| row.get::<String>("k")).transpose()? else {
            self.next_table();
            return Ok(());
        };
        // The piece may end between the generations of its last key.
        let mut old = vec![last.clone()];
        for row in &rows {
            if row.get::<&str>("source")? == self.source && row.get::<u32>("generation")? < self.served {
                old.push(row.get("k")?);
            }
        }
        old.dedup();
        let sql = format!(
            "DELETE FROM {table} WHERE {key} IN ({}) AND source = ? AND generation < ?",
            placeholders(old.len())
        );
        let values = old.iter().map(Value::from).chain(params![&self.source, self.served]).collect();
        db.exec(&sql, values).await?;
        if rows.len() < KEYS_PER_STEP {
            self.next_table()
        } else {
            self.after = last
        }
        Ok(())
    }

    async fn kept_in(&mut self, db: &Db, table: &str, key: &str) -> Result<(), sql::Error> {
        // Evidence is spent with the swap itself.
        let below = self.served + u32::from(table == EVIDENCE);
        let sql = format!("SELECT DISTINCT {key} AS k FROM {table} WHERE source = ? AND generation < ? LIMIT ?");
        let rows = db.query(&sql, params![&self.source, below, KEYS_PER_DELETE as u32]).await?;
        let key_of = |row: &Row| match table {
            EVIDENCE | WAITING => Ok(row.get::<String>("k")?.into()),
            _ => Ok::<Value, sql::Error>(row.get::<Vec<u8>>("k")?.into()),
        };
        let keys = rows.iter().map(key_of).collect::<Result<Vec<Value>, _>>()?;
        if keys.is_empty() {
            self.next_table();
            return Ok(());
        }
        let sql = format!(
            "DELETE FROM {table} WHERE source = ? AND generation < ? AND {key} IN ({})",
            placeholders(keys.len())
        );
        db.exec(&sql, params![&self.source, below].into_iter().chain(keys).collect()).await?;
        Ok(())
    }

    fn next_table(&mut self) {
        self.table += 1;
        self.after.clear();
    }
}
