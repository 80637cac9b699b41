//! Whose an account was when an admission last saw it: only a hint about which lanes to lock.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::admission::CoreBelief;
use crate::journal::facts::KnownAccounts;
use crate::write::Write;

/// Accounts remembered, at most: some ten megabytes. Beyond it all are forgotten, and each costs one read again.
const ACCOUNTS_MAX: usize = 65_536;

/// The customers of accounts that admissions of this process saw. What a write may do is decided by facts that are read with its lanes
/// locked. If this is out of date, a lane is locked in vain.
#[derive(Default)]
pub(in crate::journal) struct Owners(Mutex<HashMap<String, String>>);

impl Owners {
    /// Is it known of all these writes that they may debit, and that the lanes of their accounts are needed?
    pub(super) fn vouch_for<'w>(&self, mut writes: impl Iterator<Item = &'w Write>) -> bool {
        let owners = self.owners();
        writes.all(|write| {
            let command = &write.command;
            owners.get(&command.from_account).is_some_and(|customer| write.grant.covers(customer))
                && (write.belief == CoreBelief::Available || owners.contains_key(&command.to_account))
        })
    }

    /// Takes in what was read of these accounts.
    pub(super) fn learn(&self, accounts: &[String], facts: &KnownAccounts) {
        let mut owners = self.owners();
        if owners.len() + accounts.len() > ACCOUNTS_MAX {
            owners.clear();
        }
        for account in accounts {
            match facts.accounts.get(account) {
                Some(sheet) => drop(owners.insert(account.clone(), sheet.customer_id.clone())),
                None => drop(owners.remove(account)),
            }
        }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
