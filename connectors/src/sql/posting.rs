//! Columns of a posting, in the words of the reader that all connectors share.

use super::config::{AmountColumn, ColumnDirection, ColumnUnit, Each, LegColumns, PostingColumns};
use super::table::{ALL_ROWS, FIRST_ROW};
use crate::http::{AmountConfig, Direction, LegConfig, PostingConfig, Unit};

/// Where the shared reader finds what these columns declare. Names of columns hold nothing that a pointer would escape.
pub(super) fn pointers(columns: &PostingColumns) -> PostingConfig {
    let first = |column: &String| format!("{FIRST_ROW}/{column}");
    PostingConfig {
        reference: columns.reference.as_ref().map(first),
        id: columns.id.as_ref().map(first),
        legs: columns.legs.iter().map(leg).collect(),
    }
}

fn leg(leg: &LegColumns) -> LegConfig {
    let each = leg.each.map(|Each::Row| ALL_ROWS.to_owned());
    let prefix = if each.is_some() { "" } else { FIRST_ROW };
    let at = |column: &String| format!("{prefix}/{column}");
    LegConfig {
        account: at(&leg.account),
        number: leg.number.as_ref().map(at),
        amount: leg.amount.as_ref().map(|amount| self::amount(amount, at)),
        each,
    }
}

fn amount(amount: &AmountColumn, at: impl Fn(&String) -> String) -> AmountConfig {
    let unit = match &amount.unit {
        ColumnUnit::Minor => Unit::Minor,
        ColumnUnit::Currency(code) => Unit::Currency(code.clone()),
        ColumnUnit::CurrencyColumn(column) => Unit::LegCurrency(at(column)),
    };
    let direction = match &amount.direction {
        ColumnDirection::Signed => Direction::Signed,
        ColumnDirection::Debit => Direction::Debit,
        ColumnDirection::Credit => Direction::Credit,
        ColumnDirection::Coded { column, debit, credit } => {
            Direction::Coded { pointer: at(column), debit: debit.clone(), credit: credit.clone() }
        }
    };
    AmountConfig { at: at(&amount.column), unit, direction }
}
