//! The first accounts with what is on them, to be shown as a channel reads them.

use read_model::{AccountDocument, Versioned};
use schemas::model::{Account, Balance, CanonicalChange, CanonicalRow, Entity, RowChange, Transaction};
use schemas::position::Version;

/// Accounts that are shown.
pub const ACCOUNTS_SHOWN: usize = 3;
/// Transactions that are shown of each.
pub const TRANSACTIONS_SHOWN: usize = 3;

/// An account that is shown. It is one of the first that any row named, so nothing of it was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownAccount {
    /// Its key.
    pub account_id: String,
    /// Its row; none when no row of an account has this key.
    pub account: Option<Versioned<Account>>,
    /// Its balance, if one came.
    pub balance: Option<Versioned<Balance>>,
    /// Its first transactions.
    pub transactions: Vec<Transaction>,
}

impl ShownAccount {
    /// As the read model holds it; none without a row of the account, of which a channel reads that it does not exist.
    pub fn document(&self, source: &str) -> Option<AccountDocument> {
        let account = self.account.clone()?;
        Some(AccountDocument { source: source.to_owned(), account, balance: self.balance.clone() })
    }

    fn take(&mut self, change: &CanonicalChange) {
        let version = change.version;
        match (&change.row, change.entity) {
            (RowChange::Upsert(CanonicalRow::Account(row)), _) => replace(&mut self.account, row, version),
            (RowChange::Upsert(CanonicalRow::Balance(row)), _) => replace(&mut self.balance, row, version),
            (RowChange::Upsert(CanonicalRow::Transaction(row)), _) => self.posted(row),
            (RowChange::Delete | RowChange::Ended(_), Entity::Account) => self.account = None,
            (RowChange::Delete, Entity::Balance) => self.balance = None,
            (RowChange::Delete | RowChange::Ended(_), Entity::Transaction) => {
                self.transactions.retain(|t| t.transaction_id != change.key);
            }
            (RowChange::Upsert(CanonicalRow::Customer(_)), _) | (RowChange::Delete | RowChange::Ended(_), _) => {}
        }
    }

    fn posted(&mut self, row: &Transaction) {
        let has_room = self.transactions.len() < TRANSACTIONS_SHOWN;
        match self.transactions.iter_mut().find(|known| known.transaction_id == row.transaction_id) {
            Some(known) => known.clone_from(row),
            None if has_room => self.transactions.push(row.clone()),
            None => {}
        }
    }
}

fn replace<T: Clone>(kept: &mut Option<Versioned<T>>, row: &T, version: Version) {
    if kept.as_ref().is_none_or(|kept| version > kept.version) {
        *kept = Some(Versioned { row: row.clone(), version });
    }
}

#[derive(Default)]
pub(super) struct Shown(Vec<ShownAccount>);

impl Shown {
    pub(super) fn take(&mut self, change: &CanonicalChange) {
        let Some(account_id) = &change.account_id else { return };
        let known = self.0.iter().position(|shown| shown.account_id == *account_id);
        let place = match known {
            Some(place) => place,
            None if self.0.len() < ACCOUNTS_SHOWN => {
                let account_id = account_id.clone();
                self.0.push(ShownAccount { account_id, account: None, balance: None, transactions: Vec::new() });
                self.0.len() - 1
            }
            None => return,
        };
        self.0[place].take(change);
    }

    pub(super) fn accounts(&self) -> &[ShownAccount] {
        &self.0
    }
}
