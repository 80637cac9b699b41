//! Moves the rows of an earlier release, which name source and generation, into the tables of datasets (ADR 0036).
//!
//! Every row is compared with what is there already and written if it is newer. Hence nothing is remembered between processes: one
//! that was interrupted begins again and writes only what is missing, and several may do it at once.

use schemas::model::Entity;
use sql::{Again, Db, Tx, Upsert, Value, params};

use crate::datasets::{number, number_served};
use crate::migrations::{COMPONENT, MIGRATIONS};
use crate::writer::WriteError;
use crate::{core_rows, table};

/// The version with tables of both forms; an earlier release serves and ingests.
const BESIDE: u32 = 6;
/// The version in which every source was halted, and what the fence drops was kept.
const HALTED: u32 = 7;
/// The version in which an earlier release serves and can write nothing.
const FENCED: u32 = 8;
/// The version in which the tables of an earlier release are views of the new ones.
const MOVED: u32 = 9;

/// How often in a row a stage may fail before it is given up. Other processes change the schema meanwhile.
const TRIES_MAX: u32 = 40;
/// Keys looked at by one step.
const KEYS_PER_STEP: u32 = 500;

/// Why the sources of an earlier release stand still.
const WHY_HALTED: &str =
    "rows are being moved into the tables of a newer release; the source goes on by itself when that is done";

/// A table of the earlier form, and how its rows are written now.
struct Table {
    from: &'static str,
    to: &'static str,
    /// By which it is walked.
    key: &'static str,
    /// Columns of the new table; the first `keys` are its key.
    columns: &'static [&'static str],
    keys: usize,
    upsert: fn() -> Upsert,
    /// Its key begins with source and generation, so that it is walked dataset by dataset.
    by_dataset: bool,
}

static TABLES: [Table; 5] = [
    canonical("customers", "customer_rows", table::CUSTOMERS, || table::upsert(Entity::Customer)),
    canonical("accounts", "account_rows", table::ACCOUNTS, || table::upsert(Entity::Account)),
    canonical("balances", "balance_rows", table::MOVED_BALANCES, || {
        table::upsert_of("balance_rows", table::MOVED_BALANCES)
    }),
    canonical("transactions", "transaction_rows", table::MOVED_TRANSACTIONS, || {
        table::upsert_of("transaction_rows", table::MOVED_TRANSACTIONS)
    }),
    Table {
        from: "core_rows",
        to: "core_row_keys",
        key: "row_hash",
        columns: core_rows::COLUMNS,
        keys: 3,
        upsert: core_rows::upsert,
        by_dataset: true,
    },
];

const fn canonical(
    from: &'static str,
    to: &'static str,
    columns: &'static [&'static str],
    upsert: fn() -> Upsert,
) -> Table {
    Table { from, to, key: columns[0], columns, keys: 2, upsert, by_dataset: false }
}

/// Brings the tables to their newest version, with their rows.
pub(crate) async fn migrate(db: &Db) -> Result<(), WriteError> {
    upgrade(db, BESIDE).await?;
    let mut again = Again::at_most(TRIES_MAX);
    loop {
        let before = version(db).await?;
        let stage = match before {
            BESIDE => copy_beside(db).await,
            HALTED => upgrade(db, FENCED).await,
            FENCED => copy_the_rest(db).await,
            _ => break,
        };
        if let Err(err) = stage {
            // Another process may be a stage further, and the tables of this one gone.
            let alone = version(db).await? == before;
            if alone && !again.wait().await {
                return Err(err);
            }
            tracing::info!(error = %err, "moving rows: once more");
        }
    }
    db.migrate(COMPONENT, MIGRATIONS).await?;
    db.exec("UPDATE sources SET halted = NULL WHERE halted = ?", params![WHY_HALTED]).await?;
    Ok(())
}

/// At least to this version; another process may be further.
async fn upgrade(db: &Db, version: u32) -> Result<(), WriteError> {
    match db.migrate(COMPONENT, &MIGRATIONS[..version as usize]).await {
        Err(sql::Error::NewerSchema { .. }) => Ok(()),
        upgraded => Ok(upgraded?),
    }
}

async fn version(db: &Db) -> Result<u32, sql::Error> {
    let sql = "SELECT COALESCE(MAX(version), 0) AS version FROM schema_versions WHERE component = ?";
    db.query(sql, params![COMPONENT]).await?.first().map_or(Ok(0), |row| row.get("version"))
}

/// Copies while the earlier release goes on. Then no source moves any more.
async fn copy_beside(db: &Db) -> Result<(), WriteError> {
    db.transaction(|tx| Box::pin(number_all(tx))).await?;
    copy(db).await?;
    db.transaction(|tx| Box::pin(halt(tx))).await?;
    upgrade(db, HALTED).await
}

/// Copies what the earlier release has written meanwhile; from then on the new tables are served.
async fn copy_the_rest(db: &Db) -> Result<(), WriteError> {
    if !is_finished(db).await? {
        db.transaction(|tx| Box::pin(number_all(tx))).await?;
        copy(db).await?;
        db.transaction(|tx| Box::pin(finish(tx))).await?;
    }
    upgrade(db, MOVED).await
}

/// Numbers what is served and what is filled. Rows of other generations are served to nobody and stay behind.
async fn number_all(tx: &mut Tx) -> Result<(), sql::Error> {
    for row in tx.query("SELECT source, generation, rebuilding FROM sources ORDER BY source", params![]).await? {
        let source: &str = row.get("source")?;
        number(tx, source, row.get("generation")?).await?;
        if let Some(filled) = row.get::<Option<u32>>("rebuilding")? {
            number(tx, source, filled).await?;
        }
    }
    Ok(())
}

/// No process commits anything of a halted source. The column and the tokens that are about to go are kept under new names.
async fn halt(tx: &mut Tx) -> Result<(), sql::Error> {
    let leases = tx.query("SELECT source, token FROM source_leases ORDER BY source FOR UPDATE", params![]).await?;
    tx.exec("DELETE FROM leases", params![]).await?;
    for row in leases {
        let sql = "INSERT INTO leases (source, owner, token, expires_at_ms) VALUES (?, '', ?, 0)";
        tx.exec(sql, params![row.get::<&str>("source")?, row.get::<i64>("token")?]).await?;
    }
    tx.exec("UPDATE sources SET snapshot_seen = snapshot_begun", params![]).await?;
    tx.exec("UPDATE shadows SET snapshot_seen = snapshot_begun", params![]).await?;
    let sql = "UPDATE sources SET halted = ? WHERE halted IS NULL AND dataset IS NULL";
    tx.exec(sql, params![WHY_HALTED]).await.map(drop)
}

/// Every source in one transaction: one that is numbered tells that all are.
async fn finish(tx: &mut Tx) -> Result<(), sql::Error> {
    // A generation that was copied and is served no more, because another took its place meanwhile, is to be swept.
    let sql = "UPDATE sources SET served_at_ms = {now_ms} WHERE served_at_ms IS NULL AND EXISTS (SELECT 1 FROM datasets d \
         WHERE d.source = sources.source AND d.generation < sources.generation)";
    tx.exec(sql, params![]).await?;
    for row in tx.query("SELECT source FROM sources ORDER BY source", params![]).await? {
        number_served(tx, row.get("source")?).await?;
    }
    Ok(())
}

/// There may be no source at all.
async fn is_finished(db: &Db) -> Result<bool, sql::Error> {
    let rows = db.query("SELECT COUNT(*) AS sources, COUNT(dataset) AS numbered FROM sources", params![]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    Ok(row.get::<i64>("sources")? == 0 || row.get::<i64>("numbered")? > 0)
}

/// Walks every table from its beginning to its end.
async fn copy(db: &Db) -> Result<(), WriteError> {
    for table in &TABLES {
        let scopes = if table.by_dataset { numbered(db).await? } else { vec![Vec::new()] };
        for scope in scopes {
            let mut after = None;
            loop {
                after = step(db, table, &scope, after).await?;
                if after.is_none() {
                    break;
                }
            }
        }
        tracing::info!(table = table.from, "rows are copied");
    }
    Ok(())
}

/// Source and generation of every dataset.
async fn numbered(db: &Db) -> Result<Vec<Vec<Value>>, sql::Error> {
    let rows = db.query("SELECT source, generation FROM datasets ORDER BY dataset", params![]).await?;
    rows.iter().map(|row| Ok(vec![row.get("source")?, row.get("generation")?])).collect()
}

/// One bounded piece of the earlier table's key; answers where the next begins.
async fn step(db: &Db, table: &Table, scope: &[Value], after: Option<Value>) -> Result<Option<Value>, WriteError> {
    let Table { from, key, .. } = table;
    let scoped = if scope.is_empty() { "" } else { " AND o.source = ? AND o.generation = ?" };
    // No value stands before all others on every engine, so the first piece has no lower end.
    let behind = if after.is_some() { format!(" AND o.{key} > ?") } else { String::new() };
    let within: Vec<Value> = scope.iter().cloned().chain(after).collect();
    let sql = format!("SELECT o.{key} AS k FROM {from} o WHERE 1 = 1{scoped}{behind} ORDER BY o.{key} LIMIT ?");
    let keys = db.query(&sql, within.iter().cloned().chain(params![KEYS_PER_STEP]).collect()).await?;
    let Some(last) = keys.last().map(|row| row.get::<Value>("k")).transpose()? else { return Ok(None) };
    let sql = format!(
        "{} WHERE o.{key} <= ?{scoped}{behind} AND (n.version IS NULL OR n.version < o.version)",
        table.newer()
    );
    let mut upsert = (table.upsert)();
    for row in db.query(&sql, params![last.clone()].into_iter().chain(within).collect()).await? {
        upsert.push(table.columns.iter().map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()?);
    }
    write(db, upsert).await?;
    Ok((keys.len() == KEYS_PER_STEP as usize).then_some(last))
}

impl Table {
    /// Rows of the earlier table `o` beside what the new one `n` has of them.
    fn newer(&self) -> String {
        let of = |column: &str| if column == "dataset" { "d.dataset".to_owned() } else { format!("o.{column}") };
        let columns: Vec<String> = self.columns.iter().map(|column| format!("{} AS {column}", of(column))).collect();
        let same: Vec<String> =
            self.columns[..self.keys].iter().map(|column| format!("n.{column} = {}", of(column))).collect();
        format!(
            "SELECT {} FROM {} o JOIN datasets d ON d.source = o.source AND d.generation = o.generation \
             LEFT JOIN {} n ON {}",
            columns.join(", "),
            self.from,
            self.to,
            same.join(" AND ")
        )
    }
}

/// A repetition changes nothing, so an unknown outcome is repeated as well.
async fn write(db: &Db, rows: Upsert) -> Result<(), WriteError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut again = Again::at_most(TRIES_MAX);
    loop {
        let rows = rows.clone();
        let written = db.transaction(move |tx| Box::pin(async move { tx.upsert(rows).await })).await;
        let Err(err) = written else { return Ok(()) };
        let repeats = err.is_retryable() || matches!(err, sql::Error::CommitUnknown(_));
        if !repeats || !again.wait().await {
            return Err(err.into());
        }
    }
}
