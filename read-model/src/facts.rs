//! What admission decides on: plain reads inside its own transaction. Locks nothing.

use sql::{Tx, Value, placeholders};

use crate::lookup::{Found, documents_sql, found};
use crate::reader::ReadError;
use crate::rows::AccountDocument;
use crate::source::SourceStatus;
use std::sync::Arc;

/// An account as admission sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Account and balance with their versions.
    pub document: Arc<AccountDocument>,
    /// Its source: age, position, condition. Data of a source with `halted` set tighten limits.
    pub source: Arc<SourceStatus>,
    /// Parked events touch it.
    pub degraded: bool,
}

/// The accounts that the read model has, in no order. A missing one is unknown, or its source not loaded:
/// see [`every_source_loaded`].
pub async fn facts(tx: &mut Tx, accounts: &[&str]) -> Result<Vec<Facts>, ReadError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = documents_sql(&format!("a.account_id IN ({})", placeholders(accounts.len())));
    let values = accounts.iter().map(|account| Value::from(*account)).collect();
    let read = |row: &sql::Row| -> Result<Facts, ReadError> {
        let (document, source, degraded): Found = found(row)?;
        Ok(Facts { document, source, degraded })
    };
    let mut known = tx.query(&sql, values).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    known.retain(|facts| accounts.contains(&facts.document.account_id()));
    Ok(known)
}

/// True when an account that [`facts`] does not return does not exist in any core.
pub async fn every_source_loaded(tx: &mut Tx) -> Result<bool, sql::Error> {
    let sql = "SELECT COUNT(*) AS sources, COALESCE(SUM(loaded), 0) AS loaded FROM sources";
    let row = tx.query_one(sql, Vec::new()).await?;
    let (sources, loaded): (i64, i64) = (row.get("sources")?, row.get("loaded")?);
    Ok(sources > 0 && sources == loaded)
}
