//! The audit: what people did, why, and on what grounds. A record is also the trace by which a repeated transaction finds itself.

use serde::Serialize;
use sql::{Row, Tx, params};

use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::OperatorsJournal;

/// One human action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// Which operator.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what, and why.
    pub detail: serde_json::Value,
}

impl AuditRecord {
    fn read(row: &Row) -> Result<Self, JournalError> {
        Ok(Self {
            at_us: row.get("at_us")?,
            actor: row.get("actor")?,
            action: row.get("action")?,
            detail: serde_json::from_slice(row.get("detail")?).map_err(|_| JournalError::Corrupt("audit"))?,
        })
    }
}

impl OperatorsJournal {
    /// Keeps what a person orders elsewhere than in the journal, before it is done.
    pub async fn audit_order(&self, actor: &str, action: &str, detail: serde_json::Value) -> Result<(), JournalError> {
        let (id, actor, action) = (EntryId::generate(), actor.to_owned(), action.to_owned());
        self.0
            .run(move |tx| {
                let (id, actor, action, detail) = (id.clone(), actor.clone(), action.clone(), detail.clone());
                Box::pin(async move {
                    match is_done(tx, &id).await? {
                        true => Ok(()),
                        false => keep(tx, &id, &actor, &action, "", detail).await,
                    }
                })
            })
            .await
    }

    /// The newest human actions first.
    pub async fn audit_trail(&self, limit: i64) -> Result<Vec<AuditRecord>, JournalError> {
        let sql = "SELECT at_us, actor, action, detail FROM audit ORDER BY id DESC LIMIT ?";
        self.0.db.query(sql, params![limit]).await?.iter().map(AuditRecord::read).collect()
    }

    /// What people did about one entry, account or instance, oldest first.
    pub async fn audit_of(&self, subject: &str, limit: i64) -> Result<Vec<AuditRecord>, JournalError> {
        let sql = "SELECT at_us, actor, action, detail FROM audit WHERE subject = ? ORDER BY id LIMIT ?";
        self.0.db.query(sql, params![subject, limit]).await?.iter().map(AuditRecord::read).collect()
    }
}

/// Was this action audited, and so done, by an earlier run of its transaction? Somebody else's later one must stay.
pub(super) async fn is_done(tx: &mut Tx, id: &EntryId) -> Result<bool, JournalError> {
    Ok(tx.query_opt("SELECT id FROM audit WHERE id = ?", params![id.as_str()]).await?.is_some())
}

/// Appends to the audit, under the id of the action. `subject` is the entry, account or instance it is about, or empty.
pub(super) async fn keep(
    tx: &mut Tx,
    id: &EntryId,
    actor: &str,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> Result<(), JournalError> {
    let detail = serde_json::to_vec(&detail).map_err(|_| JournalError::Corrupt("audit"))?;
    let now_us = tx.host().now_us();
    tx.exec(
        "INSERT INTO audit (id, at_us, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
        params![id.as_str(), now_us, actor, action, subject, detail],
    )
    .await?;
    Ok(())
}
