//! The end of holds: in the transaction in which the served balance first includes the debit.

use std::collections::BTreeSet;

use failpoints::{Flaw, flawed};
use schemas::entry::{EntryState, LegKind};
use schemas::position::{Reach, TransactionPlace};
use sql::{BatchUpdate, Tx, Value, params};

use super::Touched;
use super::WorkSet;
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::facts::{Facts, KnownAccount, KnownAccounts};
use crate::journal::record::KEYS_PER_STATEMENT;
use crate::lane::LaneDelta;

/// Accounts whose releasable legs one statement looks for: each is a condition of its own.
const ACCOUNTS_PER_STATEMENT: usize = 200;

impl WorkSet {
    /// Ends the holds of this work set's entries that the served balances include. It happens in this transaction, so no
    /// debit counts twice or not at all.
    pub(in crate::journal) fn release_absorbed(&mut self, facts: &KnownAccounts) -> Result<(), JournalError> {
        for (id, legs) in &mut self.legs {
            let state = self.entries.get(id).map(|touched| touched.now.state);
            for Touched { now: leg, .. } in
                legs.iter_mut().filter(|leg| !leg.now.released || flawed(Flaw::HoldReleasedTwice))
            {
                let Some(sheet) = facts.accounts.get(&leg.account) else { continue };
                if sheet.includes(leg) && state.is_some_and(EntryState::holds) {
                    leg.released = true;
                    self.released.insert((id.clone(), leg.leg), Some(sheet.balance_version.clone()));
                    let held_minor = if leg.kind == Some(LegKind::Debit) { -leg.amount_minor } else { 0 };
                    self.lanes.add(&leg.account, LaneDelta { held_minor, ..LaneDelta::default() })?;
                }
            }
        }
        Ok(())
    }

    /// Accounts with a leg whose posting is known by its number or place and whose hold still counts.
    fn accounts_awaiting_release(&self) -> Vec<String> {
        let waiting = self.legs.values().flatten().map(|touched| &touched.now);
        let accounts: BTreeSet<String> =
            waiting.filter(|leg| !leg.released && leg.is_placed()).map(|leg| leg.account.clone()).collect();
        accounts.into_iter().collect()
    }

    /// Reads the balances of those accounts and releases what they include.
    pub(in crate::journal) async fn release_by(&mut self, tx: &mut Tx, facts: &dyn Facts) -> Result<(), JournalError> {
        let accounts = self.accounts_awaiting_release();
        if accounts.is_empty() {
            return Ok(());
        }
        let sheet = facts.read(tx, &accounts).await?;
        self.release_absorbed(&sheet)
    }

    /// Ends every hold on the accounts of `facts` whose posting is stored with its number or place and which the served balance includes.
    ///
    /// The lanes of these accounts are locked. Only legs that can be released are read, in pieces: an account may have any
    /// number of debits that wait. Legs of entries in this work set are released in memory too.
    pub(in crate::journal) async fn release_stored(
        &mut self,
        tx: &mut Tx,
        facts: &KnownAccounts,
    ) -> Result<(), JournalError> {
        let accounts: BTreeSet<&String> = facts.accounts.keys().collect();
        let accounts: Vec<&String> = accounts.into_iter().collect();
        for accounts in accounts.chunks(ACCOUNTS_PER_STATEMENT) {
            while self.release_some(tx, accounts, facts).await? == KEYS_PER_STATEMENT {}
        }
        Ok(())
    }

    /// Releases at most [`KEYS_PER_STATEMENT`] legs; answers how many. What is released is not found again.
    async fn release_some(
        &mut self,
        tx: &mut Tx,
        accounts: &[&String],
        facts: &KnownAccounts,
    ) -> Result<usize, JournalError> {
        let bounds = accounts.iter().filter_map(|account| facts.accounts.get_key_value(*account));
        let (included, values): (Vec<String>, Vec<Vec<Value>>) = bounds.map(|(a, sheet)| included(a, sheet)).unzip();
        let (included, values) = (included.join(" OR "), values.concat());
        let sql = format!(
            "SELECT entry_id, leg, account, amount_minor FROM legs WHERE {included} LIMIT {KEYS_PER_STATEMENT}"
        );
        let found = tx.query(&sql, values).await?;
        let mut end = BatchUpdate::new("legs").key("entry_id").key("leg").set("released_at");
        for row in &found {
            let (account, leg): (String, i64) = (row.get("account")?, row.get("leg")?);
            let id = EntryId::parse(row.get("entry_id")?).ok_or(JournalError::Corrupt("entry id"))?;
            let sheet = facts.accounts.get(&account).ok_or(JournalError::Corrupt("account of a leg"))?;
            end.push(params![id.as_str(), leg, sheet.balance_version.clone()]);
            // A hold that counts is always a debit's: a credit's leg is stored as released.
            let held_minor = -row.get::<i64>("amount_minor")?;
            self.lanes.add(&account, LaneDelta { held_minor, ..LaneDelta::default() })?;
            for touched in self.legs.get_mut(&id).into_iter().flatten().filter(|touched| touched.now.leg == leg) {
                (touched.now.released, touched.read.released) = (true, true);
            }
        }
        let expected = end.len() as u64;
        if tx.batch_update(end).await? != expected {
            return Err(JournalError::Lost("a leg is missing"));
        }
        Ok(found.len())
    }
}

/// The condition on legs of an account that its balance includes, and its values: [`KnownAccount::includes`] in SQL.
fn included(account: &str, sheet: &KnownAccount) -> (String, Vec<Value>) {
    match &sheet.place {
        None => {
            let by_number = "(account = ? AND released_at IS NULL AND posting_no <= ?)";
            (by_number.to_owned(), params![account, sheet.last_posting])
        }
        Some(place) => {
            let Reach { from, below, name } = place.reach();
            let by_place = format!(
                "(account = ? AND released_at IS NULL AND booked_place >= ? AND (booked_place < ? OR SUBSTR(booked_place, {}) = ?))",
                TransactionPlace::NAME_FROM
            );
            (by_place, params![account, from, below, name])
        }
    }
}
