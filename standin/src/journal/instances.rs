//! Instance identity: who sent what, and the proof that a sender is gone.

use std::collections::BTreeSet;
use std::fmt;

use schemas::entry::Evidence;
use sql::params;

use super::attempts::{end_attempt, open_attempts, predecessors_attempts};
use super::record::EntryId;
use super::transitions::now_us;
use super::workset::WorkSet;
use super::{Journal, JournalError};

/// One life of one instance. The identity belongs to a state directory and is held by a lock that the operating system
/// drops with the process; `boot` counts its holders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// Identity kept in the state directory.
    pub id: String,
    /// Which holder of it this process is.
    pub boot: i64,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.boot)
    }
}

impl Journal {
    /// Registers the next holder of `id`. The caller holds the identity's lock, so every earlier holder is dead.
    pub async fn register_instance(&self, id: &str) -> Result<Instance, JournalError> {
        let id = id.to_owned();
        let instance = self
            .run(move |tx| {
                let id = id.clone();
                Box::pin(async move {
                    let columns = &["id", "boot", "started_us"];
                    let create = sql::Upsert::new("instances", columns, &["id"], sql::Policy::KeepExisting);
                    tx.upsert(create.row(params![&id, 0, 0])).await?;
                    tx.exec(
                        "UPDATE instances SET boot = boot + 1, started_us = ? WHERE id = ?",
                        params![now_us(), &id],
                    )
                    .await?;
                    let row = tx.query_one("SELECT boot FROM instances WHERE id = ?", params![&id]).await?;
                    Ok(Instance { id, boot: row.get("boot")? })
                })
            })
            .await?;
        self.end_predecessors(&instance).await?;
        Ok(instance)
    }

    /// Ends the attempts of earlier holders of this identity; their entries' outcomes are unknown. Again and again: a dead
    /// process's last commit may land after its successor's first look.
    pub async fn end_predecessors(&self, instance: &Instance) -> Result<Vec<EntryId>, JournalError> {
        let instance = instance.clone();
        self.run(move |tx| {
            let instance = instance.clone();
            Box::pin(async move {
                let abandoned = predecessors_attempts(tx, &instance).await?;
                let ids: Vec<EntryId> = abandoned.iter().map(|(id, _)| id.clone()).collect();
                if ids.is_empty() {
                    return Ok(ids);
                }
                let mut work = WorkSet::lock(tx, &ids).await?;
                // The predecessor's own last word may have come first.
                let open = open_attempts(tx, &ids).await?;
                let abandoned: Vec<_> = abandoned.into_iter().filter(|attempt| open.contains(attempt)).collect();
                for (id, _) in &abandoned {
                    work.weigh_in(id, Evidence::NoAnswer)?;
                }
                work.store(tx, &instance.to_string(), now_us()).await?;
                // After lanes and entries, as everywhere.
                for (id, n) in &abandoned {
                    end_attempt(tx, id, *n, "sender_gone").await?;
                }
                Ok(abandoned.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>().into_iter().collect())
            })
        })
        .await
    }
}
