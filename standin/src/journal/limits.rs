//! The limits and rules in force: seeded by the configuration, limits changed live by operators, read by each admission.

use sql::{Policy, Row, Tx, Upsert, Value, params};

use super::audit;
use super::controls::Control;
use super::controls::SEEDED;
use super::controls::from_json;
use super::controls::to_json;
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::handles::{Journal, OperatorsJournal};
use crate::rules::{Limits, Rulebook, Rules};

/// The limits in force.
const LIMITS: Control = Control { name: "limits-by-currency", action: "limits.set" };
const RULES: &str = "rules";
/// Where limits stood while one amount counted for all currencies.
const LIMITS_BEFORE_CURRENCIES: &str = "limits";
const COLUMNS: &[&str] = &["name", "value", "version"];

/// What is in force, read inside the transaction that decides by it.
pub(super) async fn rulebook(tx: &mut Tx) -> Result<Rulebook, JournalError> {
    read_book(&tx.query(&format!("SELECT {IN_FORCE}"), in_force()).await?)
}

/// Selects the controls that make a rulebook, for [`read_book`]; with the values of [`in_force`]. The last two columns are those of an
/// archived entry in an admission's first look.
pub(super) const IN_FORCE: &str =
    "name AS control, value, version AS control_version, NULL AS now_ms, NULL, NULL FROM controls WHERE name IN (?, ?)";
/// The same columns without a control.
pub(super) const NONE_IN_FORCE: &str = "NULL AS control, NULL AS value, NULL AS control_version, NULL AS now_ms";

/// The values of [`IN_FORCE`].
pub(super) fn in_force() -> Vec<Value> {
    params![LIMITS.name, RULES]
}

/// The rulebook that these rows make. Without limits nothing is accepted.
pub(super) fn read_book<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Result<Rulebook, JournalError> {
    let mut book = Rulebook::default();
    for row in rows {
        if row.get::<&str>("control")? == RULES {
            book.rules = from_json(row.get("value")?)?;
        } else {
            book.limits = from_json(row.get("value")?)?;
            book.limits_version = row.get("control_version")?;
        }
    }
    Ok(book)
}

impl Journal {
    /// Puts the configuration's rules in force, for every instance.
    pub async fn seed_rules(&self, rules: &Rules) -> Result<(), JournalError> {
        let value = to_json(rules)?;
        self.0
            .run(move |tx| {
                let value = value.clone();
                Box::pin(async move {
                    let rules = Upsert::new("controls", COLUMNS, &["name"], Policy::Replace);
                    Ok(tx.upsert(rules.row(params![RULES, value, SEEDED])).await?)
                })
            })
            .await
    }

    /// Puts the configuration's limits in force unless somebody has changed them live; answers whether they are.
    ///
    /// Limits that were set live before there were limits per currency are not guessed at: they are
    /// [`JournalError::OutdatedLimits`] until `supersede` names their version.
    pub async fn seed_limits(&self, limits: &Limits, supersede: Option<i64>) -> Result<bool, JournalError> {
        let value = to_json(limits)?;
        self.0
            .run(move |tx| {
                let value = value.clone();
                Box::pin(async move {
                    supersede_outdated(tx, &value, supersede).await?;
                    let create = Upsert::new("controls", COLUMNS, &["name"], Policy::KeepExisting);
                    tx.upsert(create.row(params![LIMITS.name, value.clone(), SEEDED])).await?;
                    let seed = "UPDATE controls SET value = ? WHERE name = ? AND version = ?";
                    Ok(tx.exec(seed, params![value, LIMITS.name, SEEDED]).await? == 1)
                })
            })
            .await
    }
}

impl OperatorsJournal {
    /// The rules in force.
    pub async fn rules(&self) -> Result<Rules, JournalError> {
        let rows = self.0.db.query("SELECT value FROM controls WHERE name = ?", params![RULES]).await?;
        rows.first().map_or(Ok(Rules::default()), |row| from_json(row.get("value")?))
    }

    /// The limits in force, and their version.
    pub async fn limits(&self) -> Result<(Limits, i64), JournalError> {
        let rows = self.0.db.query("SELECT value, version FROM controls WHERE name = ?", params![LIMITS.name]).await?;
        let Some(row) = rows.first() else { return Ok((Limits::default(), SEEDED)) };
        Ok((from_json(row.get("value")?)?, row.get("version")?))
    }

    /// Changes the limits at once, for every instance, audited; only if they are still those of `version`.
    pub async fn set_limits(
        &self,
        actor: &str,
        limits: &Limits,
        version: Option<i64>,
        why: &str,
    ) -> Result<(), JournalError> {
        self.0.set_control(actor, LIMITS, limits, version, why).await
    }
}

/// Before the first limits per currency are kept: were there others that a person had set?
async fn supersede_outdated(tx: &mut Tx, limits: &[u8], supersede: Option<i64>) -> Result<(), JournalError> {
    let row = "SELECT value, version FROM controls WHERE name = ?";
    if tx.query_opt(row, params![LIMITS.name]).await?.is_some() {
        return Ok(());
    }
    let Some(outdated) = tx.query_opt(row, params![LIMITS_BEFORE_CURRENCIES]).await? else { return Ok(()) };
    let (value, version): (Vec<u8>, i64) = (outdated.get("value")?, outdated.get("version")?);
    if version == SEEDED {
        return Ok(());
    }
    if supersede != Some(version) {
        let value = String::from_utf8_lossy(&value).into_owned();
        return Err(JournalError::OutdatedLimits { version, value });
    }
    let detail = serde_json::json!({ "from": from_json::<serde_json::Value>(&value)?,
        "to": from_json::<serde_json::Value>(limits)? });
    audit::keep(tx, &EntryId::generate(), "configuration", "limits.supersede", "", detail).await
}
