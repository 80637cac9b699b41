//! What a mapping knows of one of the core's tables.

use super::amount::Amount;
use super::choice::Choice;
use super::code::Predicate;
use super::currency::CurrencyField;
use super::filter::Where;
use super::identifier::{Holder, Id};
use super::links::LinkFields;
use super::reference::Reference;
use super::refusals::RefusalFields;
use super::time::Time;
use super::words::Words;
use crate::entry::LegKind;
use crate::model::{AccountState, Entity};

/// A table's name, with its database where that is named.
pub(super) fn qualified(database: Option<&String>, name: &String) -> String {
    database.into_iter().chain([name]).cloned().collect::<Vec<_>>().join(".")
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) database: Option<String>,
    pub(super) name: String,
    pub(super) key: Vec<String>,
    /// Which of its rows are meant; the others are seen and skipped.
    pub(super) filter: Where,
    pub(super) customer: Option<CustomerFields>,
    pub(super) account: Option<AccountFields>,
    pub(super) balance: Option<BalanceFields>,
    pub(super) transaction: Option<TransactionFields>,
    pub(super) confirms: Option<Confirms>,
    pub(super) links: Option<LinkFields>,
    pub(super) refusals: Option<RefusalFields>,
}

impl Table {
    pub(super) fn full_name(&self) -> String {
        qualified(self.database.as_ref(), &self.name)
    }

    /// The column of its rows' currency, where there is one.
    pub(super) fn currency(&self) -> Option<&String> {
        self.currencies().find_map(|field| field.column.as_ref())
    }

    /// Where its rows' currencies stand.
    pub(super) fn currencies(&self) -> impl Iterator<Item = &CurrencyField> {
        let of_account = self.account.iter().map(|account| &account.currency);
        let of_balance = self.balance.iter().map(|balance| &balance.currency);
        let postings = self.transaction.iter().flat_map(|transaction| &transaction.postings);
        of_account.chain(of_balance).chain(postings.map(|posting| &posting.currency))
    }

    /// The kinds of rows it feeds with the columns their keys are made of; each kind once.
    pub(super) fn ids(&self) -> Vec<(Entity, &Id)> {
        let mut ids: Vec<(Entity, &Id)> = self.feeds().into_iter().map(|feed| (feed.entity, feed.id)).collect();
        ids.dedup_by_key(|(entity, _)| *entity);
        ids
    }

    /// The kinds of rows it feeds, owners before what they own.
    pub(super) fn feeds(&self) -> Vec<Feed<'_>> {
        let plain = |entity, id| Feed { entity, id, posting: None };
        let mut feeds = Vec::with_capacity(2);
        feeds.extend(self.customer.as_ref().map(|f| plain(Entity::Customer, &f.customer_id)));
        feeds.extend(self.account.as_ref().map(|f| plain(Entity::Account, &f.account_id)));
        feeds.extend(self.balance.as_ref().map(|f| plain(Entity::Balance, &f.account_id)));
        feeds.extend(self.transaction.iter().flat_map(TransactionFields::feeds));
        feeds
    }

    /// True where the table's own key holds an identifier.
    pub(super) fn key_tells(&self, id: &Id) -> bool {
        id.columns().all(|column| self.key.contains(column))
    }

    /// True when some of its rows may be left out.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filter.0.is_empty() || self.currencies().any(|field| field.skips_unknown)
    }

    /// True when some of its rows may be without one of their legs.
    pub(super) fn may_lack_a_leg(&self) -> bool {
        self.transaction.iter().flat_map(|transaction| &transaction.postings).any(|posting| posting.may_be_absent)
    }

    /// Where our references stand in its rows.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        let of_postings = self.transaction.iter().filter_map(|transaction| transaction.core_ref.as_ref());
        let of_links = self.links.iter().map(|links| &links.core_ref);
        of_postings.chain(of_links).chain(self.refusals.iter().map(|refusals| &refusals.core_ref))
    }

    /// Its texts for people.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Words> {
        let of_customer = self.customer.iter().filter_map(|customer| customer.name.as_ref());
        let of_account = self.account.iter().filter_map(|account| account.product.as_ref());
        let of_posting = self.transaction.iter().filter_map(|transaction| transaction.remittance.as_ref());
        of_customer.chain(of_account).chain(of_posting)
    }

    /// The amounts of its rows.
    pub(super) fn amounts(&self) -> impl Iterator<Item = &Amount> {
        let of_balance = self.balance.iter().flat_map(BalanceFields::amounts);
        of_balance.chain(self.transaction.iter().flat_map(TransactionFields::amounts))
    }
}

/// One canonical row that a table's rows feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed<'t> {
    pub(super) entity: Entity,
    /// The columns that its key is made of.
    pub(super) id: &'t Id,
    /// Of a transaction: which posting of the row it is.
    pub(super) posting: Option<&'t PostingFields>,
}

impl Feed<'_> {
    /// The canonical key of a row with this identifier.
    pub(super) fn key(&self, mut id: String) -> String {
        id.push_str(self.suffix());
        id
    }

    /// Not empty where a row is several postings.
    pub(super) fn suffix(&self) -> &'static str {
        self.posting.map_or("", |posting| posting.suffix)
    }
}

#[derive(Debug, Clone)]
pub(super) struct CustomerFields {
    pub(super) customer_id: Id,
    pub(super) name: Option<Words>,
}

#[derive(Debug, Clone)]
pub(super) struct AccountFields {
    pub(super) account_id: Id,
    pub(super) customer_id: Holder,
    pub(super) currency: CurrencyField,
    pub(super) state: Choice<AccountState>,
    pub(super) product: Option<Words>,
}

#[derive(Debug, Clone)]
pub(super) struct BalanceFields {
    pub(super) account_id: Id,
    pub(super) currency: CurrencyField,
    pub(super) booked: Amount,
    pub(super) overdraft_line: Option<Amount>,
    pub(super) core_holds: Option<Amount>,
    pub(super) last_posting: Option<String>,
}

impl BalanceFields {
    pub(super) fn amounts(&self) -> impl Iterator<Item = &Amount> {
        [Some(&self.booked), self.overdraft_line.as_ref(), self.core_holds.as_ref()].into_iter().flatten()
    }
}

#[derive(Debug, Clone)]
pub(super) struct TransactionFields {
    pub(super) transaction_id: Id,
    /// One for the whole row, or one for each leg in it.
    pub(super) postings: Vec<PostingFields>,
    pub(super) booked_at: Time,
    pub(super) value_date: Option<String>,
    pub(super) remittance: Option<Words>,
    pub(super) core_ref: Option<Reference>,
}

impl TransactionFields {
    pub(super) fn feeds(&self) -> impl Iterator<Item = Feed<'_>> {
        self.postings.iter().map(|posting| Feed {
            entity: Entity::Transaction,
            id: &self.transaction_id,
            posting: Some(posting),
        })
    }

    pub(super) fn amounts(&self) -> impl Iterator<Item = &Amount> {
        self.postings.iter().map(|posting| &posting.amount)
    }
}

/// One posting in a row.
#[derive(Debug, Clone)]
pub(super) struct PostingFields {
    /// What is put behind the row's identifier; empty where a row is one posting.
    pub(super) suffix: &'static str,
    pub(super) account_id: Id,
    /// A row with NULL there has no such posting.
    pub(super) may_be_absent: bool,
    pub(super) posting_no: Option<String>,
    pub(super) amount: Amount,
    pub(super) leg: Option<Choice<LegKind>>,
    pub(super) currency: CurrencyField,
}

#[derive(Debug, Clone)]
pub(super) struct Confirms {
    pub(super) posted: Option<Predicate>,
    pub(super) refused: Option<Predicate>,
    pub(super) reversed: Option<Predicate>,
}
