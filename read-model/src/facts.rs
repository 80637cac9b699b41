//! What admission decides on: plain reads inside its own transaction. Locks nothing.

use schemas::model::Entity;
use schemas::position::TransactionPlace;
use sql::{Tx, listed};

use crate::lookup::{Found, documents_sql, doubt, found};
use crate::reader::ReadError;
use crate::rows::{AccountDocument, place};
use crate::source::SourceStatus;
use std::sync::Arc;

/// An account as admission sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRead {
    /// Account and balance with their versions.
    pub document: Arc<AccountDocument>,
    /// Its source: age, position, condition. Data of a source with `halted` set tighten limits.
    pub source: Arc<SourceStatus>,
    /// Parked events touch it.
    pub degraded: bool,
    /// Of the balance: its place among the source's transactions, where it tells by that which postings it includes.
    pub place: Option<TransactionPlace>,
}

/// The accounts that the read model has, in no order. A missing one is unknown, or nothing may be said of it:
/// see [`unclear`].
pub async fn facts(tx: &mut Tx, accounts: &[&str]) -> Result<Vec<AccountRead>, ReadError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let (list, values) = listed(accounts.iter().copied());
    let sql = documents_sql(&format!("a.account_id IN ({list})"));
    let read = |row: &sql::Row| -> Result<AccountRead, ReadError> {
        let Found { document, status, degraded, .. } = found(row)?;
        Ok(AccountRead { document, source: status, degraded, place: place(row)? })
    };
    let mut known = tx.query(&sql, values).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    known.retain(|facts| accounts.contains(&facts.document.account_id()));
    Ok(known)
}

/// Those of the `missing` accounts whose absence means nothing, because a source is not loaded or a parked event may be
/// about them. No core has the others.
pub async fn unclear<'a>(tx: &mut Tx, missing: &[&'a str]) -> Result<Vec<&'a str>, sql::Error> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    if !every_source_loaded(tx).await? {
        return Ok(missing.to_vec());
    }
    // All together first: doubt is rare, and a stranger may name any number of accounts.
    if !in_doubt(tx, missing).await? {
        return Ok(Vec::new());
    }
    let mut unclear = Vec::new();
    for account in missing {
        if in_doubt(tx, &[account]).await? {
            unclear.push(*account);
        }
    }
    Ok(unclear)
}

async fn in_doubt(tx: &mut Tx, accounts: &[&str]) -> Result<bool, sql::Error> {
    let (sql, values) = doubt(Entity::Account, accounts);
    Ok(!tx.query(&sql, values).await?.is_empty())
}

/// True when every source was loaded once. That alone does not make a missing account unknown to the cores: see
/// [`unclear`].
pub async fn every_source_loaded(tx: &mut Tx) -> Result<bool, sql::Error> {
    let sql = "SELECT COUNT(*) AS sources, COALESCE(SUM(loaded), 0) AS loaded FROM sources";
    let row = tx.query_one(sql, Vec::new()).await?;
    let (sources, loaded): (i64, i64) = (row.get("sources")?, row.get("loaded")?);
    Ok(sources > 0 && sources == loaded)
}
