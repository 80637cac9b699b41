//! Datasets: what one generation of one source holds. A small number stands for the pair in every row of the core.
//!
//! A pair gets its number once, in the transaction that opens the generation or first sees the source, and keeps it for good: rows of
//! `datasets` are never changed or deleted, so no number is used again, and a process may remember one.

use sql::{Db, Row, Tx, params};

use crate::writer::{WriteError, Writer};

/// How often a number is tried that others take at the same time.
const TRIES_MAX: u32 = 32;

const KNOWN: &str = "SELECT dataset FROM datasets WHERE source = ? AND generation = ?";

/// The number of this pair, which gets one if it has none. Two transactions at once agree: a unique index decides.
pub(crate) async fn number(tx: &mut Tx, source: &str, generation: u32) -> Result<u32, sql::Error> {
    for _ in 0..TRIES_MAX {
        if let Some(known) = tx.query_opt(KNOWN, params![source, generation]).await? {
            return known.get("dataset");
        }
        let sql = "SELECT COALESCE(MAX(dataset), 0) + 1 AS next FROM datasets";
        let next: u32 = tx.query_one(sql, params![]).await?.get("next")?;
        let sql = "INSERT INTO datasets (dataset, source, generation) VALUES (?, ?, ?)";
        match tx.exec(sql, params![next, source, generation]).await {
            Ok(_) => return Ok(next),
            // Another pair has the number, or this pair has one by now.
            Err(sql::Error::Duplicate) => {}
            Err(err) => return Err(err),
        }
    }
    Err(sql::Error::Duplicate)
}

/// Gives the served generation of a source its number, if nothing of the source is numbered yet.
pub(crate) async fn number_served(tx: &mut Tx, source: &str) -> Result<(), sql::Error> {
    let sql = "SELECT generation FROM sources WHERE source = ? AND dataset IS NULL FOR UPDATE";
    let Some(row) = tx.query_opt(sql, params![source]).await? else { return Ok(()) };
    let dataset = number(tx, source, row.get("generation")?).await?;
    tx.exec("UPDATE sources SET dataset = ? WHERE source = ?", params![dataset, source]).await.map(drop)
}

impl Writer {
    /// The number of what it writes. A pair without one was never opened.
    pub(crate) async fn dataset(&self, tx: &mut Tx) -> Result<u32, WriteError> {
        match self.dataset.get() {
            Some(known) => Ok(*known),
            None => self.remember(tx.query(KNOWN, params![&*self.source, self.generation]).await?.first()),
        }
    }

    /// The same outside a transaction.
    pub(crate) async fn dataset_by(&self, db: &Db) -> Result<u32, WriteError> {
        match self.dataset.get() {
            Some(known) => Ok(*known),
            None => self.remember(db.query(KNOWN, params![&*self.source, self.generation]).await?.first()),
        }
    }

    fn remember(&self, row: Option<&Row>) -> Result<u32, WriteError> {
        let known = row.ok_or_else(|| self.fenced("dataset"))?.get("dataset")?;
        Ok(*self.dataset.get_or_init(|| known))
    }
}
