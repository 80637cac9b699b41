//! Instance identity: who sent what, and the proof that a sender is gone.

use std::collections::BTreeSet;

use failpoints::{Flaw, flawed};
use schemas::entry::Evidence;
use sql::{Row, Tx, params};

use super::attempts::AttemptKey;
use super::attempts::Attempts;
use super::attempts::attempts_of_gone;
use super::attempts::predecessors_attempts;
use super::fence::one_at_a_time;
use super::outcomes::TOGETHER_MAX;
use super::workset::WorkSet;
use crate::entry::EntryId;
use crate::instance::Instance;
use crate::journal::error::JournalError;
use crate::journal::handles::{GatewayJournal, Journal, OperatorsJournal};
use crate::journal::shared::Shared;

impl Journal {
    /// Registers the next holder of `id`. The caller holds the identity's lock, so every earlier holder is dead.
    pub async fn register_instance(&self, id: &str) -> Result<Instance, JournalError> {
        let id = id.to_owned();
        let instance = self.0.run(move |tx| {
            let id = id.clone();
            Box::pin(async move { register(tx, id).await })
        });
        let instance = instance.await?;
        self.0.end_predecessors(&instance).await?;
        Ok(instance)
    }

    /// The same, if with it no more than `places` instances are alive; otherwise nothing is done. Alive is who gave a sign of life
    /// within `silent_ms` by the SQL server's clock, unless the caller has seen that it gives none: it names such a sign in `dead`.
    /// Of several that start at once each counts those before it.
    pub async fn register_among(
        &self,
        id: &str,
        places: usize,
        silent_ms: i64,
        dead: Vec<SignOfLife>,
    ) -> Result<Registration, JournalError> {
        let id = id.to_owned();
        let registration = self.0.run(move |tx| {
            let (id, dead) = (id.clone(), dead.clone());
            Box::pin(async move {
                one_at_a_time(tx, PLACES).await?;
                let mut others = others_alive(tx, &id, silent_ms).await?;
                others.retain(|sign| !dead.contains(sign));
                if others.len() >= places {
                    return Ok(Registration::NoPlace(others));
                }
                register(tx, id).await.map(Registration::Registered)
            })
        });
        let registration = registration.await?;
        if let Registration::Registered(instance) = &registration {
            self.0.end_predecessors(instance).await?;
        }
        Ok(registration)
    }

    /// Leaves a sign of life. It is refused if the instance was declared gone, or if another process holds its identity.
    /// Then the process must stop at once: others take its attempts for ended.
    pub async fn beat(&self, instance: &Instance) -> Result<Life, JournalError> {
        let sql = "UPDATE instances SET beats = beats + 1, seen_us = {now_ms} * 1000 \
             WHERE id = ? AND boot = ? AND gone_boot < boot";
        let beaten = self.0.db.exec(sql, params![&instance.id, instance.boot]).await?;
        Ok(if beaten == 1 { Life::Current } else { Life::Over })
    }
}

impl Shared {
    /// See [`GatewayJournal::end_predecessors`](super::GatewayJournal::end_predecessors).
    pub(in crate::journal) async fn end_predecessors(&self, instance: &Instance) -> Result<Vec<EntryId>, JournalError> {
        let (actor, instance) = (instance.to_string(), instance.clone());
        let abandoned = self.run(move |tx| {
            let instance = instance.clone();
            let none = flawed(Flaw::PredecessorsForgotten);
            Box::pin(async move { if none { Ok(Vec::new()) } else { predecessors_attempts(tx, &instance).await } })
        });
        self.end_each(abandoned.await?, &actor, "sender_gone").await
    }

    /// Ends abandoned attempts, [`TOGETHER_MAX`] in one transaction.
    async fn end_each(
        &self,
        abandoned: Vec<AttemptKey>,
        actor: &str,
        result: &'static str,
    ) -> Result<Vec<EntryId>, JournalError> {
        let mut ended = Vec::new();
        for abandoned in abandoned.chunks(TOGETHER_MAX) {
            ended.extend(match self.end_together(abandoned.to_vec(), actor, result).await {
                Err(err) if err.is_permanent() => {
                    tracing::error!(error = %err, "abandoned attempts are ended one by one");
                    self.end_one_by_one(abandoned, actor, result).await?
                }
                outcome => outcome?,
            });
        }
        Ok(ended)
    }

    /// An entry that cannot be read keeps no other one back. Its own attempt merely ends.
    async fn end_one_by_one(
        &self,
        abandoned: &[AttemptKey],
        actor: &str,
        result: &'static str,
    ) -> Result<Vec<EntryId>, JournalError> {
        let mut ended = Vec::new();
        for (id, n) in abandoned {
            match self.end_together(vec![(id.clone(), *n)], actor, result).await {
                Ok(entries) => ended.extend(entries),
                Err(err) if err.is_permanent() => {
                    tracing::error!(entry = %id, error = %err, "an abandoned attempt merely ends; its entry cannot be moved");
                    self.end_own_attempt(id, *n, result).await?;
                }
                Err(err) => return Err(err),
            }
        }
        Ok(ended)
    }

    async fn end_together(
        &self,
        abandoned: Vec<AttemptKey>,
        actor: &str,
        result: &'static str,
    ) -> Result<Vec<EntryId>, JournalError> {
        if abandoned.is_empty() {
            return Ok(Vec::new());
        }
        let actor = actor.to_owned();
        self.run(move |tx| {
            let (abandoned, actor) = (abandoned.clone(), actor.clone());
            Box::pin(async move { end_abandoned(tx, abandoned, &actor, result).await })
        })
        .await
    }
}

impl GatewayJournal {
    /// Ends the attempts of instances that people declared gone. Again and again, for the same reason.
    pub async fn end_attempts_of_gone(&self, actor: &Instance) -> Result<Vec<EntryId>, JournalError> {
        let abandoned = self.0.run(|tx| {
            Box::pin(async move {
                let mut abandoned = Vec::new();
                for row in tx.query("SELECT id, gone_boot FROM instances WHERE gone_boot > 0", Vec::new()).await? {
                    abandoned.extend(attempts_of_gone(tx, row.get("id")?, row.get("gone_boot")?).await?);
                }
                Ok(abandoned)
            })
        });
        self.0.end_each(abandoned.await?, &actor.to_string(), DECLARED_GONE).await
    }
}

impl OperatorsJournal {
    /// Every identity there ever was, in order of id, after this one.
    pub async fn instances(&self, after: &str, limit: i64) -> Result<Vec<InstanceRecord>, JournalError> {
        let sql = "SELECT id, boot, beats, started_us, seen_us, gone_boot, {now_ms} AS now_ms, \
             (SELECT COUNT(*) FROM attempts a WHERE a.owner = instances.id AND a.ended_us IS NULL) AS open_attempts \
             FROM instances WHERE id > ? ORDER BY id LIMIT ?";
        let rows = self.0.db.query(sql, params![after, limit]).await?;
        rows.iter().map(InstanceRecord::read).collect()
    }

    /// The identity of this name.
    pub async fn instance(&self, id: &str) -> Result<Option<InstanceRecord>, JournalError> {
        let sql = "SELECT id, boot, beats, started_us, seen_us, gone_boot, {now_ms} AS now_ms, \
             (SELECT COUNT(*) FROM attempts a WHERE a.owner = instances.id AND a.ended_us IS NULL) AS open_attempts \
             FROM instances WHERE id = ?";
        self.0.db.query(sql, params![id]).await?.first().map(InstanceRecord::read).transpose()
    }
}

/// The row of `fences` that those who look for a place lock, one after the other.
const PLACES: &str = "places";

async fn register(tx: &mut Tx, id: String) -> Result<Instance, JournalError> {
    if !is_locked(tx, &id).await? {
        create(tx, &id).await?;
    }
    let now_us = tx.host().now_us();
    tx.exec(
        "UPDATE instances SET boot = boot + 1, beats = beats + 1, started_us = ?, seen_us = {now_ms} * 1000 WHERE id = ?",
        params![now_us, &id],
    )
    .await?;
    let row = tx.query_one("SELECT boot FROM instances WHERE id = ?", params![&id]).await?;
    Ok(Instance { id, boot: row.get("boot")? })
}

/// The newest signs of life of other instances. One from the future counts, too: the server's clock was set back since. Those that were
/// declared gone are fenced off, or end with their next sign of life.
async fn others_alive(tx: &mut Tx, id: &str, silent_ms: i64) -> Result<Vec<SignOfLife>, JournalError> {
    let sql = "SELECT id, boot, beats FROM instances WHERE id <> ? AND gone_boot < boot AND seen_us > ({now_ms} - ?) * 1000 ORDER BY id";
    let rows = tx.query(sql, params![id, silent_ms]).await?;
    rows.iter()
        .map(|row| Ok(SignOfLife { id: row.get("id")?, boot: row.get("boot")?, beats: row.get("beats")? }))
        .collect()
}

/// Locks the identity's row, if there is one.
async fn is_locked(tx: &mut Tx, id: &str) -> Result<bool, JournalError> {
    Ok(tx.query_opt("SELECT id FROM instances WHERE id = ? FOR UPDATE", params![id]).await?.is_some())
}

/// Makes the row of a new identity, and locks it: another process may have made it at the same moment.
async fn create(tx: &mut Tx, id: &str) -> Result<(), JournalError> {
    let create = sql::Upsert::new("instances", &["id", "boot", "started_us"], &["id"], sql::Policy::KeepExisting);
    tx.upsert(create.row(params![id, 0, 0])).await?;
    if is_locked(tx, id).await? { Ok(()) } else { Err(JournalError::Corrupt("instance")) }
}

/// How an attempt ended whose instance was declared gone.
pub(super) const DECLARED_GONE: &str = "declared_gone";

/// The newest sign of life of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOfLife {
    /// Whose.
    pub id: String,
    /// Its holder.
    pub boot: i64,
    /// Which sign.
    pub beats: i64,
}

/// What became of a start among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// It has a place.
    Registered(Instance),
    /// These have all the places.
    NoPlace(Vec<SignOfLife>),
}

/// Whether a process still holds its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Current,
    /// It was declared gone, or a later process holds the identity.
    Over,
}

/// An identity as its row tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRecord {
    /// Which.
    pub id: String,
    /// Its newest holder.
    pub boot: i64,
    /// Signs of life so far.
    pub beats: i64,
    /// When the newest holder started, microseconds since 1970.
    pub started_us: i64,
    /// How long ago the last sign of life was, by the SQL server's clock; `None`: there was none.
    pub seen_ago_ms: Option<i64>,
    /// Holders up to this one were declared gone; 0: none.
    pub gone_boot: i64,
    /// Attempts that nobody has ended.
    pub open_attempts: i64,
}

impl InstanceRecord {
    fn read(row: &Row) -> Result<Self, JournalError> {
        let (seen_us, now_ms): (i64, i64) = (row.get("seen_us")?, row.get("now_ms")?);
        Ok(Self {
            id: row.get("id")?,
            boot: row.get("boot")?,
            beats: row.get("beats")?,
            started_us: row.get("started_us")?,
            seen_ago_ms: (seen_us > 0).then(|| now_ms.saturating_sub(seen_us / 1_000)),
            gone_boot: row.get("gone_boot")?,
            open_attempts: row.get("open_attempts")?,
        })
    }

    /// Is its newest holder declared gone?
    pub fn is_gone(&self) -> bool {
        self.gone_boot >= self.boot
    }
}

/// Ends attempts whose senders are gone; the outcomes of their entries are unknown. Answers the entries.
pub(super) async fn end_abandoned(
    tx: &mut Tx,
    abandoned: Vec<AttemptKey>,
    actor: &str,
    result: &'static str,
) -> Result<Vec<EntryId>, JournalError> {
    let ids: BTreeSet<EntryId> = abandoned.iter().map(|(id, _)| id.clone()).collect();
    let ids: Vec<EntryId> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(ids);
    }
    let mut work = WorkSet::lock(tx, &ids).await?;
    let mut attempts = Attempts::lock(tx, &ids).await?;
    // The sender's own last word may have come first.
    let abandoned: Vec<EntryId> =
        abandoned.into_iter().filter(|(id, n)| attempts.end(id, *n, result)).map(|(id, _)| id).collect();
    for id in &abandoned {
        work.weigh_in(id, Evidence::NoAnswer)?;
    }
    let now_us = work.now_us();
    work.store(tx, actor).await?;
    attempts.store(tx, now_us, None).await?;
    Ok(abandoned.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}
