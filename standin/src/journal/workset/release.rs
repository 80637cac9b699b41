//! The end of holds: in the transaction in which the served balance first includes the debit.

use std::collections::BTreeSet;

use schemas::entry::{EntryState, LegKind};
use sql::Tx;

use super::{Touched, WorkSet};
use crate::journal::{FactSheet, Facts, JournalError};
use crate::lane::{LaneDelta, releases};

impl WorkSet {
    /// Ends the holds that the served balances include: in this very transaction, neither twice nor not at all.
    fn release_absorbed(&mut self, facts: &FactSheet) -> Result<(), JournalError> {
        for (id, legs) in &mut self.legs {
            let state = self.entries.get(id).map(|touched| touched.now.state);
            for Touched { now: leg, .. } in legs.iter_mut().filter(|leg| !leg.now.released) {
                let Some(sheet) = facts.accounts.get(&leg.account) else { continue };
                let absorbed = leg.posting_no.is_some_and(|number| releases(sheet.last_posting, number));
                if absorbed && state.is_some_and(EntryState::holds) {
                    leg.released = true;
                    self.released.insert((id.clone(), leg.leg), sheet.balance_version.clone());
                    let held_minor = if leg.kind == LegKind::Debit { -leg.amount_minor } else { 0 };
                    self.lanes.add(&leg.account, LaneDelta { held_minor, ..LaneDelta::default() })?;
                }
            }
        }
        Ok(())
    }

    /// Accounts with a leg whose posting number is known and whose hold still counts.
    fn accounts_awaiting_release(&self) -> Vec<String> {
        let waiting = self.legs.values().flatten().map(|touched| &touched.now);
        let accounts: BTreeSet<String> =
            waiting.filter(|leg| !leg.released && leg.posting_no.is_some()).map(|leg| leg.account.clone()).collect();
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
}
