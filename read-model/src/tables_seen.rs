//! Which of the core's tables a source has seen, and events that no mapped table takes.

use std::collections::BTreeMap;

use sql::{Db, Policy, Tx, Upsert, params};

use crate::rows::RowError;
use crate::writer::{WriteError, Writer};

/// What is known of one of the core's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSeen {
    /// The source.
    pub source: String,
    /// The table, as the mapping or the topic names it.
    pub table: String,
    /// A topic of it is there, or an event of it came.
    pub seen: bool,
    /// Events of it that the mapping does not take.
    pub unmapped: i64,
}

/// Longest name of a table that is kept.
const TABLE_LEN_MAX: usize = 249;

impl Writer {
    /// Writes which mapped tables were seen; their counts stay.
    pub async fn note_tables(&self, db: &Db, tables: &BTreeMap<String, bool>) -> Result<(), sql::Error> {
        let (source, tables) = (self.source.clone(), tables.clone());
        db.transaction(move |tx| {
            Box::pin(async move {
                for (table, seen) in &tables {
                    create(tx, &source, table).await?;
                    let sql = "UPDATE source_tables SET seen = ? WHERE source = ? AND table_name = ?";
                    tx.exec(sql, params![*seen, &*source, table]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Adds to the counts of unmapped events, in the apply transaction.
    pub async fn count_unmapped(&self, tx: &mut Tx, events: &BTreeMap<String, i64>) -> Result<(), WriteError> {
        for (table, events) in events {
            let table: String = table.chars().take(TABLE_LEN_MAX).collect();
            create(tx, &self.source, &table).await?;
            let sql = "UPDATE source_tables SET seen = 1, unmapped = unmapped + ? WHERE source = ? AND table_name = ?";
            tx.exec(sql, params![*events, &*self.source, &table]).await?;
        }
        Ok(())
    }
}

async fn create(tx: &mut Tx, source: &str, table: &str) -> Result<(), sql::Error> {
    let columns: &[&str] = &["source", "table_name", "seen", "unmapped"];
    let upsert = Upsert::new("source_tables", columns, &["source", "table_name"], Policy::KeepExisting);
    tx.upsert(upsert.row(params![source, table, 0, 0])).await
}

/// Every table that is known of, by source and name.
pub async fn tables_seen(db: &Db) -> Result<Vec<TableSeen>, RowError> {
    let sql = "SELECT source, table_name, seen, unmapped FROM source_tables ORDER BY source, table_name";
    let read = |row: &sql::Row| -> Result<_, RowError> {
        Ok(TableSeen {
            source: row.get("source")?,
            table: row.get("table_name")?,
            seen: row.get("seen")?,
            unmapped: row.get("unmapped")?,
        })
    };
    db.query(sql, params![]).await?.iter().map(read).collect()
}
