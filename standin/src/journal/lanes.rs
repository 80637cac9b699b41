//! The lane rows: created and locked in binary order of account, written back on the version read.

use std::collections::BTreeMap;

use sql::{BatchUpdate, Policy, Tx, Upsert, params, placeholders};

use super::JournalError;
use super::record::KEYS_PER_STATEMENT;
use crate::lane::{Lane, LaneDelta, Usage};

const COLUMNS: &[&str] = &[
    "account",
    "version",
    "next_seq",
    "ordered",
    "direct",
    "held_minor",
    "stopped",
    "used_day",
    "used_minor",
    "used_count",
];

/// Lanes locked by this transaction, with the versions they were read at.
pub(super) struct LockedLanes {
    lanes: BTreeMap<String, Locked>,
}

struct Locked {
    now: Lane,
    read: Lane,
}

impl LockedLanes {
    /// Creates the missing ones and locks all, in binary order of account: two transactions never wait for each other in a ring.
    pub(super) async fn lock(tx: &mut Tx, accounts: impl IntoIterator<Item = String>) -> Result<Self, JournalError> {
        let mut lanes = BTreeMap::new();
        for account in accounts {
            lanes.insert(account, Locked { now: Lane::default(), read: Lane::default() });
        }
        if lanes.is_empty() {
            return Ok(Self { lanes });
        }
        let mut create = Upsert::new("lanes", COLUMNS, &["account"], Policy::KeepExisting);
        for account in lanes.keys() {
            create.push(params![account, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        }
        tx.upsert(create).await?;
        let accounts: Vec<String> = lanes.keys().cloned().collect();
        let mut rows = Vec::with_capacity(accounts.len());
        for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
            let list = placeholders(accounts.len());
            let sql = format!("SELECT {} FROM lanes WHERE account IN ({list})", COLUMNS.join(", "));
            rows.extend(tx.query(&sql, accounts.iter().map(Into::into).collect()).await?);
        }
        if rows.len() != lanes.len() {
            return Err(JournalError::Corrupt("lanes"));
        }
        for row in rows {
            let account: String = row.get("account")?;
            let lane = Lane {
                version: row.get("version")?,
                next_seq: row.get("next_seq")?,
                ordered: row.get("ordered")?,
                direct: row.get("direct")?,
                held_minor: row.get("held_minor")?,
                stopped: row.get("stopped")?,
                usage: Usage {
                    business_day: row.get("used_day")?,
                    amount_minor: row.get("used_minor")?,
                    count: row.get("used_count")?,
                },
            };
            lanes.insert(account, Locked { now: lane.clone(), read: lane });
        }
        Ok(Self { lanes })
    }

    pub(super) fn get(&self, account: &str) -> Result<&Lane, JournalError> {
        self.lanes.get(account).map(|locked| &locked.now).ok_or(JournalError::Corrupt("lane not locked"))
    }

    pub(super) fn get_mut(&mut self, account: &str) -> Result<&mut Lane, JournalError> {
        self.lanes.get_mut(account).map(|locked| &mut locked.now).ok_or(JournalError::Corrupt("lane not locked"))
    }

    /// Adds a delta; a sum that leaves 64 bits is refused, not wrapped.
    pub(super) fn add(&mut self, account: &str, delta: LaneDelta) -> Result<(), JournalError> {
        let lane = self.get_mut(account)?;
        lane.ordered += delta.ordered;
        lane.direct += delta.direct;
        lane.held_minor =
            lane.held_minor.checked_add(delta.held_minor).ok_or(JournalError::Corrupt("held amount out of range"))?;
        Ok(())
    }

    /// Writes what changed, each lane conditional on the version read.
    pub(super) async fn store(self, tx: &mut Tx) -> Result<(), JournalError> {
        let mut update = BatchUpdate::new("lanes")
            .key("account")
            .guard("version")
            .set("version")
            .set("next_seq")
            .set("ordered")
            .set("direct")
            .set("held_minor")
            .set("stopped")
            .set("used_day")
            .set("used_minor")
            .set("used_count");
        for (account, Locked { now, read }) in self.lanes {
            if now == read {
                continue;
            }
            update.push(params![
                account,
                read.version,
                read.version + 1,
                now.next_seq,
                now.ordered,
                now.direct,
                now.held_minor,
                now.stopped,
                now.usage.business_day,
                now.usage.amount_minor,
                now.usage.count
            ]);
        }
        let expected = update.len() as u64;
        if tx.batch_update(update).await? != expected {
            return Err(JournalError::Lost("a lane changed under its lock"));
        }
        Ok(())
    }
}
