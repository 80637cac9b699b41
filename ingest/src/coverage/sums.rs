//! Sums by currency, of each row as it was last: what a person compares with the core's own sums.

use std::collections::{BTreeMap, HashMap};

use schemas::model::{CanonicalChange, CanonicalRow, Entity, RowChange};
use schemas::money::Currency;
use schemas::position::Version;

/// Balances, and postings, that are summed at most; together up to half a gigabyte of memory.
pub const ROWS_SUMMED_MAX: usize = 1_000_000;

/// The sums of one currency, in its minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SumOf {
    /// Balances.
    pub balances: u64,
    /// What is booked on them.
    pub booked_minor: i128,
    /// What the core holds on them.
    pub core_holds_minor: i128,
    /// Their overdraft lines.
    pub overdraft_lines_minor: i128,
    /// Postings.
    pub postings: u64,
    /// Of them the credits.
    pub credits_minor: i128,
    /// Of them the debits, negative.
    pub debits_minor: i128,
}

/// The amounts of a row; none once it ended.
type Kept = (Version, Option<(Currency, [i64; 3])>);

#[derive(Default)]
pub(super) struct Sums {
    balances: HashMap<String, Kept>,
    postings: HashMap<String, Kept>,
    left_out: bool,
}

impl Sums {
    pub(super) fn take(&mut self, change: &CanonicalChange) {
        let rows = match change.entity {
            Entity::Balance => &mut self.balances,
            Entity::Transaction => &mut self.postings,
            Entity::Customer | Entity::Account => return,
        };
        let amounts = match &change.row {
            RowChange::Upsert(CanonicalRow::Balance(row)) => {
                Some((row.currency, [row.booked_minor, row.core_holds_minor, row.overdraft_line_minor]))
            }
            RowChange::Upsert(CanonicalRow::Transaction(row)) => Some((row.currency, [row.amount_minor, 0, 0])),
            RowChange::Upsert(_) | RowChange::Delete | RowChange::Ended(_) => None,
        };
        match rows.get_mut(&change.key) {
            Some(kept) if change.version > kept.0 => *kept = (change.version, amounts),
            Some(_) => {}
            None if rows.len() < ROWS_SUMMED_MAX => {
                rows.insert(change.key.clone(), (change.version, amounts));
            }
            None => self.left_out = true,
        }
    }

    pub(super) fn has_all(&self) -> bool {
        !self.left_out
    }

    pub(super) fn totals(&self) -> BTreeMap<String, SumOf> {
        let mut totals: BTreeMap<String, SumOf> = BTreeMap::new();
        for (currency, [booked, holds, line]) in self.balances.values().filter_map(|(_, amounts)| *amounts) {
            let sum = totals.entry(currency.code().to_owned()).or_default();
            sum.balances += 1;
            sum.booked_minor += i128::from(booked);
            sum.core_holds_minor += i128::from(holds);
            sum.overdraft_lines_minor += i128::from(line);
        }
        for (currency, [amount, ..]) in self.postings.values().filter_map(|(_, amounts)| *amounts) {
            let sum = totals.entry(currency.code().to_owned()).or_default();
            sum.postings += 1;
            let side = if amount < 0 { &mut sum.debits_minor } else { &mut sum.credits_minor };
            *side += i128::from(amount);
        }
        totals
    }
}
