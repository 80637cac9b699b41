//! The canonical rows that every core is mapped to, and the changes of them.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::entry::LegKind;
use crate::money::Currency;
use crate::position::Version;

/// Personal data: reaches answers, never logs. Debug shows dots and there is no Display.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Personal(String);

impl Personal {
    /// Marks a text as personal.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for an answer to somebody entitled to it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The kinds of canonical rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// Who holds accounts.
    Customer,
    /// What an account is; changes seldom.
    Account,
    /// What is on an account; changes with every posting.
    Balance,
    /// One posting; a journal, never coalesced.
    Transaction,
}

impl Entity {
    /// All kinds, owners before what they own.
    pub const ALL: [Entity; 4] = [Entity::Customer, Entity::Account, Entity::Balance, Entity::Transaction];

    /// The name in mappings, SQL and Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            Entity::Customer => "customer",
            Entity::Account => "account",
            Entity::Balance => "balance",
            Entity::Transaction => "transaction",
        }
    }
}

/// What may be done with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountState {
    /// Debits and credits.
    Active,
    /// No debits.
    Frozen,
    /// Nothing.
    Closed,
}

impl AccountState {
    /// All states.
    pub const ALL: [AccountState; 3] = [AccountState::Active, AccountState::Frozen, AccountState::Closed];

    /// The name in mappings, SQL and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountState::Active => "active",
            AccountState::Frozen => "frozen",
            AccountState::Closed => "closed",
        }
    }

    /// The reverse of [`AccountState::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Who holds accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Key.
    pub customer_id: String,
    /// Full name, where mapped.
    pub name: Option<Personal>,
}

/// What an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Key.
    pub account_id: String,
    /// Its holder; empty where nobody holds it, such as an account of the bank itself.
    pub customer_id: String,
    /// Its one currency.
    pub currency: Currency,
    /// What may be done with it.
    pub state: AccountState,
    /// The core's name of the product, where mapped.
    pub product: Option<String>,
}

/// What is on an account, in minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Key.
    pub account_id: String,
    /// Currency of all amounts here.
    pub currency: Currency,
    /// Booked by the core; negative when overdrawn.
    pub booked_minor: i64,
    /// How far below zero debits may go, as a positive number.
    pub overdraft_line_minor: i64,
    /// Reserved by the core itself, as a positive number.
    pub core_holds_minor: i64,
    /// Number of the newest posting included in `booked`; none when the core does not number them.
    pub last_posting: Option<i64>,
}

/// One posting on one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Key.
    pub transaction_id: String,
    /// The account it moved.
    pub account_id: String,
    /// The core's number of it on that account; none when the core does not number them.
    pub posting_no: Option<i64>,
    /// Signed: credits positive, debits negative.
    pub amount_minor: i64,
    /// Currency of the amount.
    pub currency: Currency,
    /// When the core booked it.
    pub booked_at: Timestamp,
    /// Value date; when the core has none, the date of the booking in the mapping's `zone`.
    pub value_date: Date,
    /// Text for the customer.
    pub remittance: Option<Personal>,
    /// The reference we gave the core, where the posting is ours.
    pub core_ref: Option<String>,
}

/// A canonical row of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CanonicalRow {
    /// See [`Customer`].
    Customer(Customer),
    /// See [`Account`].
    Account(Account),
    /// See [`Balance`].
    Balance(Balance),
    /// See [`Transaction`].
    Transaction(Transaction),
}

/// What becomes of a canonical row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// This is the row now.
    Upsert(CanonicalRow),
    /// It is gone; leave a delete marker with the version.
    Delete,
    /// It is none any more, and what others need of it that come later. Otherwise as [`RowChange::Delete`].
    Ended(Was),
}

/// What a row was that is none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Was {
    /// A posting: a link may name it.
    Posting(Transaction),
    /// An account of this currency: postings take theirs from it.
    Account(Currency),
}

/// A change of one canonical row, to be applied when its version is greater than the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalChange {
    /// Which kind of row.
    pub entity: Entity,
    /// Its key within the kind.
    pub key: String,
    /// The account it belongs to, where the event tells it; for a transaction the list it appears in.
    pub account_id: Option<String>,
    /// Its version.
    pub version: Version,
    /// The row or its end.
    pub row: RowChange,
}

/// A row of the core that names a posting and carries the reference we gave, which the posting's own row does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingLink {
    /// The posting, by its key.
    pub transaction_id: String,
    /// The reference.
    pub core_ref: String,
    /// The version of the row that says so.
    pub version: Version,
}

/// Longest code of a refusal that is kept, in characters.
pub const REFUSAL_CODE_CHARS_MAX: usize = 64;

/// A row of the core that says that it refused what carried the reference we gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reference.
    pub core_ref: String,
    /// The core's own code, at most [`REFUSAL_CODE_CHARS_MAX`] characters.
    pub code: String,
    /// The version of that row.
    pub version: Version,
}

/// What a core's row says about a written entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LegVerdict {
    /// The leg is booked.
    Posted,
    /// The core refused the entry.
    Refused,
    /// The row takes back an earlier posting; it never confirms.
    Reversed,
}

/// A core's row that carries a reference we gave: evidence about one leg of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegEvidence {
    /// The reference.
    pub core_ref: String,
    /// Which leg.
    pub leg: LegKind,
    /// What the row says.
    pub verdict: LegVerdict,
    /// The account it moved.
    pub account_id: String,
    /// Signed: credits positive, debits negative.
    pub amount_minor: i64,
    /// Currency of the amount.
    pub currency: Currency,
    /// The core's number of the posting, where it has one.
    pub posting_no: Option<i64>,
    /// The core row's own key, by which a second row for the same leg is noticed.
    pub row_key: String,
    /// The version of that row.
    pub version: Version,
}
