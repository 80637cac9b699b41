//! Values that a row takes from its account: `currency: {of: account}`.

use std::collections::BTreeMap;

use super::currency::{CurrencyField, Denomination};
use super::identifier::Id;
use super::node::Problems;
use super::table::Table;
use super::view::View;
use super::{MapError, MapReason, Mapping};
use crate::debezium::{ChangeEvent, Row};
use crate::model::Entity;
use crate::money::Currency;
use crate::position::Version;

/// What is known of accounts: their currencies, by their keys.
pub type Accounts = BTreeMap<String, Currency>;

/// For events that are not applied, and mappings that ask for nothing.
pub(super) static NO_ACCOUNTS: Accounts = Accounts::new();

impl Mapping {
    /// True when rows take their currency from their account.
    pub fn asks_accounts(&self) -> bool {
        self.tables.iter().any(Table::asks_accounts)
    }

    /// The accounts that must be known before an event is applied: those that its rows take something from, and the one that it is a
    /// row of, whose currency must not change. Keys that cannot be read are left out.
    pub fn accounts_asked(&self, event: &ChangeEvent<'_>) -> Vec<String> {
        let (Some(table), Some(after)) = (self.table(event), &event.after) else { return Vec::new() };
        let view = View::plain(self, table, event, Version::floor(0), &[]);
        let own = table.account.as_ref().map(|account| &account.account_id);
        let asked = table.of_account().chain(own).filter_map(|id| view.id_if_there(after, id).ok().flatten());
        asked.collect()
    }
}

impl Table {
    fn asks_accounts(&self) -> bool {
        self.currencies().any(|field| field.of_account)
    }

    /// The accounts that its rows take their currencies from.
    fn of_account(&self) -> impl Iterator<Item = &Id> {
        let of_balance = self.balance.iter().map(|balance| (&balance.currency, &balance.account_id));
        let postings = self.transaction.iter().flat_map(|transaction| &transaction.postings);
        let of_postings = postings.map(|posting| (&posting.currency, &posting.account_id));
        of_balance.chain(of_postings).filter(|(field, _)| field.of_account).map(|(_, id)| id)
    }
}

/// What is taken from an account must be told by it, and for all of its rows.
pub(super) fn check_use(tables: &[Table], counts_by_itself: bool, line: u64, problems: &mut Problems) {
    if !tables.iter().any(Table::asks_accounts) {
        return;
    }
    let mut add = |table: &Table, section: &str, problem: &str| {
        problems.add(line, &format!("tables.{}.{section}", table.name), problem);
    };
    for table in tables {
        let Some(account) = &table.account else { continue };
        if table.asks_accounts() {
            add(table, "account", "the rows of accounts tell the currency themselves; name its column in each section");
        }
        if counts_by_itself || account.currency.is_scaled() {
            let problem = "`{of: account}` elsewhere takes the ISO currency of an account, and that does not say how this core counts it: \
                 drop `exponent` and `code/scale`, or name a column there";
            add(table, "account.currency", problem);
        }
        if table.is_filtered() && !table.key_tells(&account.account_id) {
            let problem = "with `{of: account}` elsewhere, an account that is left out must be told by the table's own key: its postings would \
                 wait for it";
            add(table, "where", problem);
        }
    }
    if !tables.iter().any(|table| table.account.is_some()) {
        problems.add(line, "tables", "`{of: account}` needs a table with `account`");
    }
}

impl View<'_> {
    /// The currency of a row of this account.
    pub(super) fn currency_on(
        &self,
        row: &Row<'_>,
        field: &CurrencyField,
        account: &Id,
    ) -> Result<Denomination, MapError> {
        if !field.of_account {
            return self.currency(row, field);
        }
        let known = self.accounts.get(&self.id(row, account)?).copied();
        let currency = known.ok_or_else(|| self.error(account.first(), MapReason::NoAccount))?;
        Ok(Denomination { currency, exponent: currency.exponent() })
    }

    /// True for an account that must be known to be left out, because its postings would wait for it.
    pub(super) fn must_be_told(&self, entity: Entity) -> bool {
        entity == Entity::Account && self.mapping.asks_accounts()
    }
}
