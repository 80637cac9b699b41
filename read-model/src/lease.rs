//! One ingester per source: a lease with a fencing token, on the SQL server's clock.
//!
//! Taking it stamps the token into `sources` and `offsets`, so that an apply transaction of an earlier holder matches no
//! row and rolls back, whatever its clock says. A row's lock waits out a commit that is still on its way.

use std::time::Duration;

use schemas::position::Version;
use sql::{Db, Policy, Tx, Upsert, params};

use crate::datasets::number_served;
use crate::writer::WriteError;

/// A held lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The source.
    pub source: String,
    /// Who holds it; unique per process start.
    pub owner: String,
    /// Rises with every taking.
    pub token: i64,
}

/// Creates the source in generation 1 if it is new. What is there already stays; the update that follows locks the lease.
async fn register(tx: &mut Tx, source: &str) -> Result<(), sql::Error> {
    const COLUMNS: &[&str] = &["source", "generation", "loaded", "watermark", "applied_seq", "events_applied", "token"];
    let floor = Version::floor(1);
    let sources = Upsert::new("sources", COLUMNS, &["source"], Policy::KeepExisting);
    tx.upsert(sources.row(params![source, 1, 0, floor.as_bytes(), 0, 0, 0])).await?;
    let leases =
        Upsert::new("leases", &["source", "owner", "token", "expires_at_ms"], &["source"], Policy::KeepExisting);
    tx.upsert(leases.row(params![source, "", 0, 0])).await
}

/// Two looks at a server's clock may differ by so much in the wrong direction, and it was not set back: on TiDB a transaction's clock
/// stands still while it waits for the row.
const UNEVEN_MS: i64 = 5_000;

/// Locks the lease's row, if there is one.
async fn is_locked(tx: &mut Tx, source: &str) -> Result<bool, sql::Error> {
    let lock = "SELECT source FROM leases WHERE source = ? FOR UPDATE";
    Ok(tx.query_opt(lock, params![source]).await?.is_some())
}

/// Takes the lease if it is free, expired or already this owner's; `None` when somebody else holds it. All takers of one source hold it
/// for the same `length`: a lease that lies further ahead was taken before the SQL server's clock was set back, and has expired.
pub async fn take(db: &Db, source: &str, owner: &str, length: Duration) -> Result<Option<Lease>, WriteError> {
    let (source, owner) = (source.to_owned(), owner.to_owned());
    let length_ms = millis(length);
    db.transaction(move |tx| {
        Box::pin(async move {
            if !is_locked(tx, &source).await? {
                register(tx, &source).await?;
            }
            let taken = tx
                .exec(
                    "UPDATE leases SET owner = ?, token = token + 1, expires_at_ms = {now_ms} + ? \
                     WHERE source = ? AND (expires_at_ms < {now_ms} OR expires_at_ms > {now_ms} + ? OR owner = ?)",
                    params![&owner, length_ms, &source, length_ms.saturating_add(UNEVEN_MS), &owner],
                )
                .await?;
            if taken == 0 {
                return Ok(None);
            }
            let row = tx.query_one("SELECT token FROM leases WHERE source = ?", params![&source]).await?;
            let token: i64 = row.get("token")?;
            number_served(tx, &source).await?;
            tx.exec("UPDATE sources SET token = ? WHERE source = ?", params![token, &source]).await?;
            tx.exec("UPDATE offsets SET token = ? WHERE source = ?", params![token, &source]).await?;
            Ok(Some(Lease { source, owner, token }))
        })
    })
    .await
}

/// Prolongs it; false when it was taken over.
pub async fn renew(db: &Db, lease: &Lease, length: Duration) -> Result<bool, sql::Error> {
    let renewed = db
        .exec(
            "UPDATE leases SET expires_at_ms = {now_ms} + ? WHERE source = ? AND owner = ? AND token = ?",
            params![millis(length), &lease.source, &lease.owner, lease.token],
        )
        .await?;
    Ok(renewed == 1)
}

/// Gives it back, so that the next taker need not wait.
pub async fn release(db: &Db, lease: &Lease) -> Result<(), sql::Error> {
    db.exec(
        "UPDATE leases SET expires_at_ms = 0, owner = '' WHERE source = ? AND owner = ? AND token = ?",
        params![&lease.source, &lease.owner, lease.token],
    )
    .await
    .map(drop)
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4)
}
