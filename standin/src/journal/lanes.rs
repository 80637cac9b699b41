//! The lane rows: locked in binary order of account, created where missing, written back on the version read.

use std::collections::{BTreeMap, BTreeSet};

use sql::{BatchUpdate, Policy, Row, Tx, Upsert, filled, listed, params};

use super::record::KEYS_PER_STATEMENT;
use crate::journal::error::JournalError;
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
    /// Locks the lanes of these accounts, in binary order: two transactions never wait for each other in a ring. Missing ones are
    /// created.
    ///
    /// A lane that is only read is locked like one that is written: what was decided on it must hold until the commit.
    pub(super) async fn lock(tx: &mut Tx, accounts: impl IntoIterator<Item = String>) -> Result<Self, JournalError> {
        let wanted: BTreeSet<String> = accounts.into_iter().collect();
        tx.take_turns(wanted.iter().map(String::as_str)).await?;
        let mut locked = Self { lanes: BTreeMap::new() };
        locked.lock_existing(tx, wanted.iter()).await?;
        let missing: Vec<&String> = wanted.iter().filter(|account| !locked.lanes.contains_key(*account)).collect();
        if !missing.is_empty() {
            // Somebody may create one at the same moment, so what was inserted is locked and read like any other. Two transactions
            // that create lanes may meet in a ring; the engine ends one of them, and it runs again.
            let mut create = Upsert::new("lanes", COLUMNS, &["account"], Policy::KeepExisting);
            // Filled up by the last: what is there already is kept.
            for account in missing.iter().chain(missing.last().into_iter().cycle()).take(filled(missing.len())) {
                create.push(params![*account, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
            }
            tx.upsert(create).await?;
            locked.lock_existing(tx, missing.into_iter()).await?;
        }
        if locked.lanes.len() == wanted.len() { Ok(locked) } else { Err(JournalError::Corrupt("lanes")) }
    }

    /// Locks and reads those of these lanes that exist; `accounts` are in binary order, and so are the locks.
    async fn lock_existing(
        &mut self,
        tx: &mut Tx,
        accounts: impl Iterator<Item = &String>,
    ) -> Result<(), JournalError> {
        let accounts: Vec<&String> = accounts.collect();
        for accounts in accounts.chunks(KEYS_PER_STATEMENT) {
            let (columns, (list, keys)) = (COLUMNS.join(", "), listed(accounts.iter().copied()));
            let sql = format!("SELECT {columns} FROM lanes WHERE account IN ({list}) ORDER BY account FOR UPDATE");
            for row in tx.query(&sql, keys).await? {
                let lane = lane_of(&row)?;
                self.lanes.insert(row.get("account")?, Locked { now: lane.clone(), read: lane });
            }
        }
        Ok(())
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

    /// The lane's version once this is stored; `None`: it is not locked.
    pub(super) fn version_after(&self, account: &str) -> Option<i64> {
        self.lanes.get(account).map(|Locked { now, read }| read.version + i64::from(now != read))
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

fn lane_of(row: &Row) -> Result<Lane, JournalError> {
    Ok(Lane {
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
    })
}
