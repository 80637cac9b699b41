//! What admission decides on: plain reads inside its own transaction. Locks nothing.

use schemas::model::Entity;
use sql::{Tx, Value, placeholders};

use crate::lookup::{Found, documents_sql, doubt, found};
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

/// The accounts that the read model has, in no order. A missing one is unknown, or nothing may be said of it:
/// see [`absence_is_known`].
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

/// True when none of the `missing` accounts, those asked for that [`facts`] did not return, exists in any core: every
/// source is loaded, and no parked event may be about one of them. Otherwise nothing may be decided on their absence.
/// With none missing it says whether every source is loaded.
pub async fn absence_is_known(tx: &mut Tx, missing: &[&str]) -> Result<bool, sql::Error> {
    let loaded = every_source_loaded(tx).await?;
    if missing.is_empty() || !loaded {
        return Ok(loaded);
    }
    let (sql, values) = doubt(Entity::Account, missing);
    Ok(tx.query(&sql, values).await?.is_empty())
}

/// True when every source was loaded once. That alone does not make a missing account unknown to the cores: see
/// [`absence_is_known`].
pub async fn every_source_loaded(tx: &mut Tx) -> Result<bool, sql::Error> {
    let sql = "SELECT COUNT(*) AS sources, COALESCE(SUM(loaded), 0) AS loaded FROM sources";
    let row = tx.query_one(sql, Vec::new()).await?;
    let (sources, loaded): (i64, i64) = (row.get("sources")?, row.get("loaded")?);
    Ok(sources > 0 && sources == loaded)
}
