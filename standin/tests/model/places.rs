//! A core that numbers no postings: its balances tell by their source transactions which postings they include (ADR 0041).
//!
//! The core books one posting after the other, and the end of a transaction is a step of its own, so one holds one posting or several.
//! Posting rows and balance rows are two topics: each is read in its order, either is ahead of the other by any number of rows, and
//! both come again at any time. Nothing tells the ingester that a transaction is over, as when the markers of its end never come. A new
//! generation begins at any time with a snapshot of what is committed, goes on with the rows behind it, and is swapped in at any time.

use schemas::entry::{EntryState, Evidence};
use schemas::position::{OpenDebits, SourcePosition, TransactionPlace};

use super::actions::Action;
use super::journal::effect;
use super::state::{ACCOUNTS, Core, Served, State};
use super::variants::{Locum, Variant};

/// An account's balance after a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BalanceRow {
    index: u8,
    account: usize,
}

/// Bytes of a place before the name of its transaction.
const ORDERED: usize = TransactionPlace::NAME_FROM - 1;
/// A row of a transaction that is no row of a posting booked in it.
const ANOTHER_ROW: u64 = 999;

impl Core {
    /// How many postings are of transactions that have ended.
    pub fn committed(&self) -> u8 {
        (u8::BITS - self.ends.leading_zeros()) as u8
    }

    /// The transaction of a posting, counted from 0.
    fn transaction(&self, index: u8) -> u32 {
        (self.ends & ((1 << index) - 1)).count_ones()
    }

    fn write(&self, index: u8) -> usize {
        usize::from(self.log[usize::from(index)])
    }

    /// Has one transaction booked two requests?
    pub fn has_coalesced(&self) -> bool {
        (1..self.committed()).any(|index| self.transaction(index) == self.transaction(index - 1))
    }
}

impl Locum {
    /// What can happen to the rows of such a core.
    pub fn row_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.core.committed() < state.core.len {
            actions.push(Action::Commit);
        }
        let postings = self.posting_rows(state).len();
        if usize::from(state.offset) < postings {
            actions.push(Action::Ingest);
        }
        if usize::from(state.balances) < self.balance_rows(state).len() {
            actions.push(Action::IngestBalance);
        }
        if state.shadow.is_some() {
            actions.push(Action::Swap);
        } else {
            actions.extend((0..state.offset).map(|row| Action::Redeliver { row }));
            if usize::from(state.offset) == postings && state.begun() < state.core.committed() {
                actions.extend((0..state.core.committed()).map(|index| Action::Touch { index }));
            }
        }
        let complete = |account: &usize| state.waiting(self, *account).iter().any(|row| state.is_complete(self, *row));
        actions.extend((0..ACCOUNTS).filter(complete).map(|account| Action::Attest { account: account as u8 }));
        if state.budget.snapshots > 0 {
            actions.push(Action::NewSnapshot);
        }
    }

    /// The posting rows of the generation, as (posting, leg).
    fn posting_rows(&self, state: &State) -> Vec<(u8, usize)> {
        let legs = |index: u8| (0..self.legs(state.core.write(index)).count()).map(move |leg| (index, leg));
        (state.begun()..state.core.committed()).flat_map(legs).collect()
    }

    /// Its balance rows: the last of each transaction and account, or all.
    fn balance_rows(&self, state: &State) -> Vec<BalanceRow> {
        let (core, stepwise) = (&state.core, self.unnumbered.is_some_and(|shape| shape.stepwise));
        let touches = |index: u8, account: usize| self.legs(core.write(index)).any(|(a, _)| a == account);
        let mut rows = Vec::new();
        for index in state.begun()..core.committed() {
            for (account, _) in self.legs(core.write(index)) {
                let mut later = index + 1..core.committed();
                let again = later.any(|i| core.transaction(i) == core.transaction(index) && touches(i, account));
                if stepwise || !again {
                    rows.push(BalanceRow { index, account });
                }
            }
        }
        rows
    }

    /// Where the row of a posting stands, or the balance row behind it.
    fn place(&self, state: &State, index: u8, is_balance: bool) -> TransactionPlace {
        let balance_first = self.unnumbered.is_some_and(|shape| shape.balance_first);
        let row = 2 * u64::from(index) + u64::from(is_balance != balance_first);
        self.streamed(state, state.core.transaction(index), row)
    }

    fn streamed(&self, state: &State, transaction: u32, row: u64) -> TransactionPlace {
        let begin = beginning_of(transaction);
        let at = begin + row;
        let (position, id) = match self.unnumbered.is_some_and(|shape| shape.wal) {
            // Numbers of transactions need not rise in the order of commits.
            true => (SourcePosition::Wal { lsn: at, commit_lsn: Some(begin) }, format!("{}:{at}", 800 - transaction)),
            false => (binlog(at), format!("0-1-{transaction}")),
        };
        TransactionPlace::streamed(state.generation(), &position, &id).expect("an id of a transaction")
    }

    /// Where the rows of a snapshot stand that was read when these transactions had ended.
    fn snapshot_place(&self, state: &State, ends: u8) -> TransactionPlace {
        let at = beginning_of(ends.count_ones());
        let position = match self.unnumbered.is_some_and(|shape| shape.wal) {
            true => SourcePosition::Wal { lsn: at, commit_lsn: None },
            false => binlog(at),
        };
        TransactionPlace::snapshot(state.generation(), &position)
    }
}

fn beginning_of(transaction: u32) -> u64 {
    1_000 * u64::from(transaction + 1)
}

fn binlog(pos: u64) -> SourcePosition<'static> {
    SourcePosition::Binlog { file: 1, pos, row: 0, gtid: None }
}

impl State {
    fn generation(&self) -> u32 {
        1 + u32::from(self.snapshot.is_some())
    }

    /// How many postings were in the snapshot that the generation began with.
    fn begun(&self) -> u8 {
        self.snapshot.unwrap_or(0)
    }

    /// Does a balance wait?
    pub fn waits(&self, locum: &Locum, account: usize) -> bool {
        !self.waiting(locum, account).is_empty()
    }

    /// Does one although the rows of all debits have come?
    pub fn waits_for_the_rest(&self, locum: &Locum, account: usize) -> bool {
        self.waits(locum, account) && !self.open_debits(locum, account).any_without_row
    }

    /// The core ends a transaction.
    pub fn commit(&mut self) {
        self.core.ends |= 1 << (self.core.len - 1);
    }

    /// The balance of the generation that is filled.
    fn filled(&self, account: usize) -> &Served {
        self.shadow.as_ref().map_or(&self.served[account], |shadow| &shadow[account])
    }

    /// The ingester applies the next posting row. What a shadow sees of our entries is told in the swap.
    pub fn ingest_posting(&mut self, locum: &Locum) {
        self.offset += 1;
        if self.shadow.is_none() {
            self.hear_again(locum, self.offset - 1);
        }
    }

    /// It applies a posting row.
    pub fn hear_again(&mut self, locum: &Locum, row: u8) {
        let (index, leg) = locum.posting_rows(self)[usize::from(row)];
        let place = locum.place(self, index, false);
        self.see_row(locum, (index, leg), place);
        self.settle_all(locum);
    }

    /// The newest transaction changes the row of a debit that an earlier one booked.
    pub fn touch(&mut self, locum: &Locum, index: u8) {
        let newest = self.core.transaction(self.core.committed() - 1);
        if self.core.transaction(index) < newest {
            let place = locum.streamed(self, newest, ANOTHER_ROW);
            self.see_row(locum, (index, 0), place);
            self.settle_all(locum);
        }
    }

    /// The ingester applies the next balance row, or lets it wait.
    pub fn ingest_balance(&mut self, locum: &Locum) {
        self.balances += 1;
        self.settle_all(locum);
    }

    /// A new generation begins in the shadow: what is committed, read at one place.
    pub fn begin_anew(&mut self, locum: &Locum) {
        self.budget.snapshots -= 1;
        let committed = self.core.committed();
        (self.snapshot, self.offset, self.balances) = (Some(committed), 0, 0);
        self.shadow = Some(Default::default());
        let place = locum.snapshot_place(self, self.core.ends);
        for account in 0..ACCOUNTS {
            self.serve(locum, account, (committed, place));
        }
    }

    /// It is served: first its balances, then what it has seen of our entries.
    pub fn swap(&mut self, locum: &Locum) {
        let Some(shadow) = self.shadow.take() else { return };
        self.served = shadow;
        let begun = self.begun();
        let place = locum.snapshot_place(self, self.core.ends & ((1 << begun) - 1));
        for index in 0..begun {
            for leg in 0..locum.legs(self.core.write(index)).count() {
                self.see_row(locum, (index, leg), place);
            }
        }
        for (index, leg) in locum.posting_rows(self).into_iter().take(self.offset.into()) {
            let place = locum.place(self, index, false);
            self.see_row(locum, (index, leg), place);
        }
        self.absorb_all(locum);
    }

    fn see_row(&mut self, locum: &Locum, (index, leg): (u8, usize), place: TransactionPlace) {
        let write = self.core.write(index);
        let Some(entry) = self.journal[write].as_mut() else { return };
        self.breach |= entry.rows[leg].is_some_and(|row| row != index);
        entry.rows[leg].get_or_insert(index);
        if leg == 0 {
            let first = TransactionPlace::first_of(entry.booked, Some(place));
            entry.booked = if locum.breaks(Variant::LatestPlace) { Some(place) } else { first };
        }
        let legs = locum.legs(write).count();
        if entry.rows[..legs].iter().all(Option::is_some) {
            self.evidence(locum, write, Evidence::AllLegsSeen);
        }
    }

    /// What every apply transaction does: first balances, then holds.
    fn settle_all(&mut self, locum: &Locum) {
        (0..ACCOUNTS).for_each(|account| self.settle(locum, account, false));
        self.absorb_all(locum);
    }

    /// Serves what may be served of an account's balances. `attested` = the ingester knows what is complete.
    pub fn settle(&mut self, locum: &Locum, account: usize, attested: bool) {
        let (waiting, debits) = (self.waiting(locum, account), self.open_debits(locum, account));
        let places: Vec<_> = waiting.iter().map(|index| locum.place(self, *index, true)).collect();
        let may = |n: usize| {
            debits.let_pass(&places[n], places.get(n + 1))
                || (attested && self.is_complete(locum, waiting[n]))
                || (locum.breaks(Variant::FirstOfTransaction) && !debits.any_without_row)
                || (locum.breaks(Variant::ShadowDoesNotWait) && self.shadow.is_some())
                || locum.breaks(Variant::BalanceRunsAhead)
        };
        if let Some(newest) = (0..places.len()).rposition(may) {
            self.serve(locum, account, (waiting[newest] + 1, places[newest]));
            self.absorb_all(locum);
        }
    }

    /// The balance rows in hand that are newer than what is served, each told by the last posting that it includes.
    fn waiting(&self, locum: &Locum, account: usize) -> Vec<u8> {
        let served = self.filled(account).last_posting;
        let is_newer = |row: &&BalanceRow| self.posting_no(locum, row.index, account) > served;
        let rows = locum.balance_rows(self);
        let of_account = rows[..usize::from(self.balances)].iter().filter(|row| row.account == account);
        of_account.filter(is_newer).map(|row| row.index).collect()
    }

    /// Is everything applied of the transaction of this posting, and of those before it?
    fn is_complete(&self, locum: &Locum, index: u8) -> bool {
        let later = |other: u8| self.core.transaction(other) > self.core.transaction(index);
        let (postings, balances) = (locum.posting_rows(self), locum.balance_rows(self));
        postings[usize::from(self.offset)..].iter().all(|(other, _)| later(*other))
            && balances[usize::from(self.balances)..].iter().all(|row| later(row.index))
    }

    /// The debits of an account that were sent and whose holds count. What a shadow sees is not recorded before the swap.
    fn open_debits(&self, locum: &Locum, account: usize) -> OpenDebits {
        let mut debits = OpenDebits::default();
        for (write, entry) in self.journal.iter().enumerate().filter_map(|(w, entry)| Some((w, entry.as_ref()?))) {
            let is_held = entry.state.holds() && entry.state != EntryState::Queued && !entry.absorbed;
            if !is_held || usize::from(locum.writes[write].debit) != account {
                continue;
            }
            match entry.booked.filter(|place| place.generation() == self.generation()) {
                Some(place) => debits.booked.push(place),
                None => debits.any_without_row = true,
            }
        }
        debits
    }

    /// A balance that includes the first so many postings is served, or stands in the shadow.
    fn serve(&mut self, locum: &Locum, account: usize, (postings, place): (u8, TransactionPlace)) {
        let booked: i64 = (0..postings).map(|index| effect(locum, self.core.write(index), account)).sum();
        let last_posting = if postings == 0 { 0 } else { self.posting_no(locum, postings - 1, account) };
        let served = self.shadow.as_mut().unwrap_or(&mut self.served);
        served[account] = Served { booked, last_posting, place: Some(place), ..Served::default() };
    }

    /// Ends the holds that the served balances include.
    fn absorb_all(&mut self, locum: &Locum) {
        for write in 0..locum.writes.len() {
            let balance = self.served[usize::from(locum.writes[write].debit)].place;
            let booked = self.journal[write].as_ref().and_then(|entry| entry.booked);
            let (Some(balance), Some(booked)) = (balance, booked) else { continue };
            let includes = match locum.breaks(Variant::PositionAlone) {
                true => booked.as_bytes()[..ORDERED] <= balance.as_bytes()[..ORDERED],
                false => balance.includes(&booked),
            };
            if includes {
                self.release(locum, write);
            }
        }
    }
}
