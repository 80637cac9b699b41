//! Writing a work set back: lanes, entries, legs, log, in this order.

use std::collections::BTreeMap;

use schemas::position::TransactionPlace;
use sql::{BatchUpdate, Insert, Tx, params};

use super::Touched;
use super::WorkSet;
use crate::entry::{Entry, EntryId};
use crate::journal::error::JournalError;
use crate::journal::record::Leg;

const TRANSITIONS: &[&str] = &["entry_id", "version", "at_us", "state", "evidence", "actor"];

impl WorkSet {
    /// Writes everything that changed; each entry conditional on the version read. Returns the entries as they are now.
    pub(in crate::journal) async fn store(
        self,
        tx: &mut Tx,
        actor: &str,
    ) -> Result<BTreeMap<EntryId, Entry>, JournalError> {
        let Self { lanes, mut entries, legs, released, log, decisions, now_us, .. } = self;
        let version = |entry: &Entry| lanes.version_after(&entry.command.from_account);
        let versions: Vec<Option<i64>> = entries.values().map(|touched| version(&touched.now)).collect();
        lanes.store(tx).await?;
        let mut update = BatchUpdate::new("entries")
            .key("id")
            .guard("version")
            .set("version")
            .set("state")
            .set("ordered")
            .set("contradicted")
            .set("reason")
            .set("core_id")
            .set("reserved_day")
            .set("updated_us");
        for Touched { now, read } in entries.values_mut() {
            if now != read {
                now.updated_us = now_us;
                update.push(params![
                    now.id.as_str(),
                    read.version,
                    now.version,
                    now.state.as_str(),
                    now.ordered,
                    now.contradicted,
                    now.reason.clone(),
                    now.core_id.clone(),
                    now.reserved_day,
                    now_us
                ]);
            }
        }
        let expected = update.len() as u64;
        if tx.batch_update(update).await? != expected {
            return Err(JournalError::Lost("an entry changed under its lock"));
        }
        let mut decided = BatchUpdate::new("entries").key("id").set("decision");
        for (id, decision) in decisions {
            decided.push(params![id.as_str(), decision]);
        }
        tx.batch_update(decided).await?;
        store_legs(tx, &entries, &legs, released).await?;
        let mut history = Insert::new("transitions", TRANSITIONS);
        for (id, version, state, evidence) in log {
            history.push(params![id.as_str(), version, now_us, state.as_str(), evidence, actor]);
        }
        tx.insert(history).await?;
        let stored = entries.into_iter().zip(versions);
        Ok(stored.map(|((id, touched), lane_version)| (id, Entry { lane_version, ..touched.now })).collect())
    }
}

async fn store_legs(
    tx: &mut Tx,
    entries: &BTreeMap<EntryId, Touched<Entry>>,
    legs: &BTreeMap<EntryId, Vec<Touched<Leg>>>,
    released: BTreeMap<(EntryId, i64), Option<Vec<u8>>>,
) -> Result<(), JournalError> {
    let mut seen =
        BatchUpdate::new("legs").key("entry_id").key("leg").set("posting_no").set("booked_place").set("row_key");
    let mut open = BatchUpdate::new("legs").key("entry_id").key("leg").set("open");
    let mut end = BatchUpdate::new("legs").key("entry_id").key("leg").set("released_at");
    for (id, legs) in legs {
        let opened = entries.get(id).map(|e| (e.read.state.is_open(), e.now.state.is_open()));
        for Touched { now, read } in legs {
            let booked = |leg: &Leg| (leg.posting_no, leg.booked_place, leg.row_key.clone());
            if booked(now) != booked(read) {
                let place = now.booked_place.as_ref().map(TransactionPlace::as_bytes);
                seen.push(params![id.as_str(), now.leg, now.posting_no, place, now.row_key.clone()]);
            }
            if let Some((before, after)) = opened
                && before != after
                && now.in_order
            {
                open.push(params![id.as_str(), now.leg, after]);
            }
        }
    }
    for ((id, leg), version) in released {
        end.push(params![id.as_str(), leg, version]);
    }
    for update in [seen, open, end] {
        let expected = update.len() as u64;
        if tx.batch_update(update).await? != expected {
            return Err(JournalError::Lost("a leg is missing"));
        }
    }
    Ok(())
}
