//! The fence: one replayer schedules.

use sql::{Policy, Tx, Upsert, params};

use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::handles::{GatewayJournal, ReplayJournal};
use crate::journal::shared::Shared;

/// Proof of being the newest holder of a name; its token grows with every change of holder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence {
    /// What is fenced, e.g. `replay`.
    pub name: String,
    /// Holder, `instance:boot`.
    pub owner: String,
    /// Fencing token.
    pub token: i64,
}

/// Two looks at a server's clock may differ by so much in the wrong direction, and it was not set back: on TiDB a transaction's clock
/// stands still while it waits for the row.
const UNEVEN_MS: i64 = 5_000;

impl Shared {
    /// See [`ReplayJournal::hold_fence`].
    pub(in crate::journal) async fn hold_fence(
        &self,
        name: &str,
        owner: &Instance,
        ttl_ms: i64,
    ) -> Result<Option<Fence>, JournalError> {
        let (name, instance) = (name.to_owned(), owner.clone());
        self.run(move |tx| {
            let (name, owner, instance) = (name.clone(), instance.to_string(), instance.clone());
            Box::pin(async move {
                one_at_a_time(tx, &name).await?;
                // Only now, with the row locked: the wait for it may have been long, and its holder may have renewed it meanwhile.
                let sql = "SELECT owner, token, until_ms, {now_ms} AS now_ms FROM fences WHERE name = ?";
                let row = tx.query_one(sql, params![&name]).await?;
                let (holder, token): (String, i64) = (row.get("owner")?, row.get("token")?);
                let (until_ms, now_ms): (i64, i64) = (row.get("until_ms")?, row.get("now_ms")?);
                // Further ahead than anybody holds it: the SQL server's clock was set back since.
                let furthest_ms = now_ms.saturating_add(ttl_ms).saturating_add(UNEVEN_MS);
                let runs = until_ms > now_ms && until_ms <= furthest_ms;
                if holder != owner && runs && !instance.succeeds(&holder) {
                    return Ok(None);
                }
                let token = if holder == owner { token } else { token + 1 };
                tx.exec(
                    "UPDATE fences SET owner = ?, token = ?, until_ms = ? WHERE name = ?",
                    params![&owner, token, now_ms + ttl_ms, &name],
                )
                .await?;
                Ok(Some(Fence { name, owner, token }))
            })
        })
        .await
    }

    /// See [`ReplayJournal::release_fence`].
    pub(in crate::journal) async fn release_fence(&self, fence: &Fence) -> Result<(), JournalError> {
        let release = "UPDATE fences SET until_ms = 0 WHERE name = ? AND owner = ? AND token = ?";
        self.db.exec(release, params![&fence.name, &fence.owner, fence.token]).await?;
        Ok(())
    }
}

impl GatewayJournal {
    /// As [`ReplayJournal::hold_fence`], for work that one gateway does for all.
    pub async fn hold_fence(&self, name: &str, owner: &Instance, ttl_ms: i64) -> Result<Option<Fence>, JournalError> {
        self.0.hold_fence(name, owner, ttl_ms).await
    }
}

impl ReplayJournal {
    /// Gives the fence up, so that the next holder need not wait.
    pub async fn release_fence(&self, fence: &Fence) -> Result<(), JournalError> {
        self.0.release_fence(fence).await
    }

    /// Takes or renews the fence `name`. `None`: somebody else holds it and has not run out on the SQL server's clock. An earlier holder
    /// of the same identity is dead, so its fence is taken at once. All holders of one name hold it for the same `ttl_ms`.
    pub async fn hold_fence(&self, name: &str, owner: &Instance, ttl_ms: i64) -> Result<Option<Fence>, JournalError> {
        self.0.hold_fence(name, owner, ttl_ms).await
    }
}

/// Locks the row of this name, made if it is missing: what follows is done by one transaction at a time, in all processes.
pub(super) async fn one_at_a_time(tx: &mut Tx, name: &str) -> Result<(), JournalError> {
    if is_locked(tx, name).await? { Ok(()) } else { create(tx, name).await }
}

/// Locks the fence's row, if there is one.
async fn is_locked(tx: &mut Tx, name: &str) -> Result<bool, JournalError> {
    Ok(tx.query_opt("SELECT name FROM fences WHERE name = ? FOR UPDATE", params![name]).await?.is_some())
}

/// Makes the row of a new fence, held by nobody, and locks it: another process may have made it at the same moment.
async fn create(tx: &mut Tx, name: &str) -> Result<(), JournalError> {
    const COLUMNS: &[&str] = &["name", "owner", "token", "until_ms"];
    let create = Upsert::new("fences", COLUMNS, &["name"], Policy::KeepExisting);
    tx.upsert(create.row(params![name, "", 0, 0])).await?;
    if is_locked(tx, name).await? { Ok(()) } else { Err(JournalError::Corrupt("fence")) }
}

/// Fails unless the fence's token is the newest. Asked with lanes and entries locked, as late as may be; the fence itself is not
/// locked, so that transactions of different lanes do not wait for each other (R2).
pub(super) async fn check_fence(tx: &mut Tx, fence: &Fence) -> Result<(), JournalError> {
    let row = tx.query_opt("SELECT token FROM fences WHERE name = ?", params![&fence.name]).await?;
    match row {
        Some(row) if row.get::<i64>("token")? == fence.token => Ok(()),
        _ => Err(JournalError::Fenced(fence.name.clone())),
    }
}
