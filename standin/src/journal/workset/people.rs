//! What people's orders change in a work set beside the state.

use schemas::entry::LegKind;
use sql::Tx;

use super::Touched;
use super::WorkSet;
use crate::entry::EntryId;
use crate::journal::error::JournalError;
use crate::journal::facts::Facts;
use crate::journal::postings::LegSeen;
use crate::journal::record::Leg;
use crate::lane::LaneDelta;

impl WorkSet {
    /// Have the core's rows of all its legs been seen?
    pub(in crate::journal) fn all_legs_seen(&self, id: &EntryId) -> bool {
        let mut legs = self.legs(id).peekable();
        legs.peek().is_some() && legs.all(|leg| leg.row_key.is_some())
    }

    /// Remembers the core's row on the leg of its kind.
    pub(in crate::journal) fn see_row(&mut self, id: &EntryId, row: &LegSeen) {
        let leg = self.legs(id).find(|leg| leg.kind == Some(row.kind)).map(|leg| leg.leg);
        if let Some(leg) = leg {
            self.see_leg(id, leg, row);
        }
    }

    /// Takes the core's rows off its legs. A hold that a balance with such a row had ended counts again.
    pub(in crate::journal) fn free_legs(&mut self, id: &EntryId) -> Result<(), JournalError> {
        let holds = self.entry(id)?.state.holds();
        for Touched { now: leg, .. } in self.legs.get_mut(id).into_iter().flatten() {
            if leg.row_key.take().is_none() {
                continue;
            }
            (leg.posting_no, leg.booked_place) = (None, None);
            if holds && leg.released && leg.kind == Some(LegKind::Debit) {
                leg.released = false;
                self.released.insert((id.clone(), leg.leg), None);
                self.lanes.add(&leg.account, LaneDelta { held_minor: leg.amount_minor, ..LaneDelta::default() })?;
            }
        }
        Ok(())
    }

    /// A person has looked: the flag goes, the log keeps that it was there. The lanes stay stopped until they are cleared.
    pub(in crate::journal) fn end_contradiction(
        &mut self,
        id: &EntryId,
        word: &'static str,
    ) -> Result<(), JournalError> {
        let touched = self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?;
        if touched.now.contradicted || word == FREED {
            touched.now.contradicted = false;
            touched.now.version += 1;
            self.log.push((id.clone(), touched.now.version, touched.now.state, word));
        }
        Ok(())
    }

    /// The core's own number of the posting, unless the core gave one itself.
    pub(in crate::journal) fn set_core_id(&mut self, id: &EntryId, core_id: Option<&str>) -> Result<(), JournalError> {
        let touched = self.entries.get_mut(id).ok_or(JournalError::NoSuchEntry)?;
        if touched.now.core_id.is_none() {
            touched.now.core_id = core_id.map(|text| text.chars().take(64).collect());
        }
        Ok(())
    }

    /// The debited account's number of the posting, as a person read it.
    pub(in crate::journal) fn number_debit(&mut self, id: &EntryId, posting_no: i64) {
        for Touched { now: leg, .. } in self.legs.get_mut(id).into_iter().flatten() {
            if leg.kind == Some(LegKind::Debit) {
                leg.posting_no.get_or_insert(posting_no);
            }
        }
    }

    /// Ends, with the balances served now, the holds of legs whose posting has neither number nor place. A person says that these
    /// balances include it. A number says nothing beside a balance that tells a place.
    pub(in crate::journal) async fn release_as_served(
        &mut self,
        tx: &mut Tx,
        facts: &dyn Facts,
        id: &EntryId,
    ) -> Result<(), JournalError> {
        let unplaced = |leg: &&Leg| !leg.released && leg.booked_place.is_none();
        let accounts: Vec<String> = self.legs(id).filter(unplaced).map(|leg| leg.account.clone()).collect();
        if accounts.is_empty() {
            return Ok(());
        }
        let sheet = facts.read(tx, &accounts).await?;
        for Touched { now: leg, .. } in self.legs.get_mut(id).into_iter().flatten() {
            let Some(account) = sheet.accounts.get(&leg.account).filter(|_| unplaced(&&*leg)) else { continue };
            if leg.posting_no.is_some() && account.place.is_none() {
                continue;
            }
            leg.released = true;
            self.released.insert((id.clone(), leg.leg), Some(account.balance_version.clone()));
            self.lanes.add(&leg.account, LaneDelta { held_minor: -leg.amount_minor, ..LaneDelta::default() })?;
        }
        Ok(())
    }
}

/// The word for an entry whose rows in the books were found not to be its own; kept even where nothing was contradicted.
const FREED: &str = "freed";
