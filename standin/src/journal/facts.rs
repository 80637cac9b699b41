//! What the journal asks the read model.

use std::collections::{HashMap, HashSet};

use schemas::position::TransactionPlace;
use sql::{BoxFuture, Tx};

use crate::account::AccountFacts;
use crate::entry::Transfer;
use crate::journal::postings::PostingRow;
use crate::journal::record::Leg;
use crate::lane::releases;

/// What the read model knows of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAccount {
    /// What the rules ask about.
    pub facts: AccountFacts,
    /// Whose account it is.
    pub customer_id: String,
    /// Number of the last posting the balance includes.
    pub last_posting: i64,
    /// The balance row's place among the source's transactions. Where it has one, that tells what it includes, and the number does not.
    pub place: Option<TransactionPlace>,
    /// The balance row's version, order-preserving bytes.
    pub balance_version: Vec<u8>,
    /// Source time up to which this account's data are complete, microseconds since 1970; `None` = never attested, or in doubt
    /// because an event of the account could not be applied.
    pub as_of_us: Option<i64>,
}

impl KnownAccount {
    /// Does the balance include this leg, as far as is known of the row that booked it?
    pub(super) fn includes(&self, leg: &Leg) -> bool {
        match &self.place {
            Some(place) => leg.booked_place.is_some_and(|booked| place.includes(&booked)),
            None => leg.posting_no.is_some_and(|number| releases(self.last_posting, number)),
        }
    }
}

/// What the read model knows of some accounts, read inside the caller's transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownAccounts {
    /// By account id; in neither = our data show no such account.
    pub accounts: HashMap<String, KnownAccount>,
    /// Accounts that are unclear: their source is not loaded yet, or a row of theirs has not arrived.
    pub unclear: HashSet<String>,
}

impl KnownAccounts {
    /// Must stand-in's decision about `command` wait until more is known?
    pub(super) fn leaves_open(&self, command: &Transfer) -> bool {
        command.legs().iter().any(|(_, account)| self.unclear.contains(*account))
    }

    /// Up to when all accounts of `command` that are known are complete.
    pub(super) fn as_of_us(&self, command: &Transfer) -> Option<i64> {
        let legs = command.legs();
        let sheets = legs.iter().filter_map(|(_, account)| self.accounts.get(*account));
        sheets.map(|sheet| sheet.as_of_us).min().flatten()
    }
}

/// Where the journal learns about accounts. Reads plainly and never locks a read-model row.
pub trait Facts: Send + Sync + 'static {
    /// Reads these accounts inside `tx`.
    fn read<'t>(&'t self, tx: &'t mut Tx, accounts: &'t [String]) -> BoxFuture<'t, Result<KnownAccounts, sql::Error>>;

    /// The core's rows of these numbers, as far as they have come; none where nothing keeps them.
    fn postings<'t>(
        &'t self,
        _tx: &'t mut Tx,
        _postings: &'t [String],
    ) -> BoxFuture<'t, Result<Vec<PostingRow>, sql::Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
