//! What operators set live: the mode, the pause of the replay, a lane's stop; and the audit of all orders.

use serde::{Deserialize, Serialize};
use sql::params;

use super::audit;
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::{GatewayJournal, OperatorsJournal};
use crate::journal::shared::Shared;

const MODE: Control = Control { name: "mode", action: "mode.set" };
const REPLAY: Control = Control { name: "replay", action: "replay.set" };
/// Version of a control that nobody has set live.
pub(super) const SEEDED: i64 = 1;

/// Something that operators set live.
#[derive(Clone, Copy)]
pub(super) struct Control {
    /// Its row.
    pub(super) name: &'static str,
    /// A change of it, in the audit.
    pub(super) action: &'static str,
}

/// What an operator ordered about the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeOrder {
    /// Follow the core's health.
    #[default]
    Auto,
    /// Take every write in stand-in, whatever the core's health.
    StandIn,
    /// Always try the core first.
    Normal,
}

impl Shared {
    /// See [`OperatorsJournal::mode_order`].
    pub(in crate::journal) async fn mode_order(&self) -> Result<ModeOrder, JournalError> {
        Ok(self.control(MODE).await?.unwrap_or_default())
    }

    /// Was the replay paused by an operator?
    pub(in crate::journal) async fn replay_paused(&self) -> Result<bool, JournalError> {
        Ok(self.control(REPLAY).await?.unwrap_or_default())
    }

    pub(in crate::journal) async fn control<T: for<'a> Deserialize<'a>>(
        &self,
        control: Control,
    ) -> Result<Option<T>, JournalError> {
        let rows = self.db.query("SELECT value FROM controls WHERE name = ?", params![control.name]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        from_json(row.get("value")?).map(Some)
    }

    /// Sets a control to a new value, audited; only if it is still of `version`.
    pub(in crate::journal) async fn set_control<T: Serialize>(
        &self,
        actor: &str,
        Control { name, action }: Control,
        value: &T,
        version: Option<i64>,
        why: &str,
    ) -> Result<(), JournalError> {
        let json = serde_json::to_value(value).map_err(|_| JournalError::Corrupt("control"))?;
        let (bytes, actor, why) = (to_json(value)?, actor.to_owned(), why.to_owned());
        let id = EntryId::generate();
        self.run(move |tx| {
            let (id, json, bytes, actor, why) = (id.clone(), json.clone(), bytes.clone(), actor.clone(), why.clone());
            Box::pin(async move {
                let columns = &["name", "value", "version"];
                let create = sql::Upsert::new("controls", columns, &["name"], sql::Policy::KeepExisting);
                tx.upsert(create.row(params![name, bytes.clone(), SEEDED])).await?;
                let lock = "SELECT version FROM controls WHERE name = ? FOR UPDATE";
                let row = tx.query_one(lock, params![name]).await?;
                // With the row locked, an earlier run of this very action is visible, should its commit have landed.
                if audit::is_done(tx, &id).await? {
                    return Ok(());
                }
                if version.is_some_and(|version| row.get("version") != Ok(version)) {
                    return Err(JournalError::Changed);
                }
                tx.exec("UPDATE controls SET value = ?, version = version + 1 WHERE name = ?", params![bytes, name])
                    .await?;
                let detail = serde_json::json!({ "to": json, "why": why });
                audit::keep(tx, &id, &actor, action, "", detail).await
            })
        })
        .await
    }
}

impl GatewayJournal {
    /// What was ordered about the mode.
    pub async fn mode_order(&self) -> Result<ModeOrder, JournalError> {
        self.0.mode_order().await
    }
}

impl OperatorsJournal {
    /// Orders a mode, audited.
    pub async fn order_mode(&self, actor: &str, order: ModeOrder, why: &str) -> Result<(), JournalError> {
        self.0.set_control(actor, MODE, &order, None, why).await
    }

    /// Pauses or resumes the replay, audited.
    pub async fn pause_replay(&self, actor: &str, paused: bool, why: &str) -> Result<(), JournalError> {
        self.0.set_control(actor, REPLAY, &paused, None, why).await
    }

    /// What was ordered about the mode.
    pub async fn mode_order(&self) -> Result<ModeOrder, JournalError> {
        self.0.mode_order().await
    }
}

pub(super) fn from_json<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, JournalError> {
    serde_json::from_slice(bytes).map_err(|_| JournalError::Corrupt("control"))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(value).map_err(|_| JournalError::Corrupt("control"))
}
