//! The one defined balance: `available = booked + overdraft line − the core's holds − our holds not absorbed yet`.

use read_model::AccountDocument;
use schemas::money::render_minor;
use serde::Serialize;

use crate::seams::AccountHolds;

/// A balance as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BalanceView {
    account_id: String,
    currency: String,
    booked: String,
    pending: String,
    available: String,
    overdraft_line: String,
    core_holds: String,
    as_of_posting: Option<i64>,
}

/// Why there is no balance to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoBalance {
    /// Its row has not arrived yet.
    NotArrived,
    /// The numbers leave 64 bits.
    OutOfRange,
}

impl BalanceView {
    /// Composes it from a document and the holds that were read after it.
    pub(crate) fn of(document: &AccountDocument, holds: &AccountHolds) -> Result<Self, NoBalance> {
        let balance = document.balance.as_ref().ok_or(NoBalance::NotArrived)?;
        let row = &balance.row;
        let pending = held_minor(holds, balance.version.as_bytes());
        let available = i128::from(row.booked_minor) + i128::from(row.overdraft_line_minor)
            - i128::from(row.core_holds_minor)
            - pending;
        let render = |minor: i128| {
            i64::try_from(minor).map(|minor| render_minor(minor, row.currency)).map_err(|_| NoBalance::OutOfRange)
        };
        Ok(Self {
            account_id: row.account_id.clone(),
            currency: row.currency.code().to_owned(),
            booked: render(row.booked_minor.into())?,
            pending: render(pending)?,
            available: render(available)?,
            overdraft_line: render(row.overdraft_line_minor.into())?,
            core_holds: render(row.core_holds_minor.into())?,
            as_of_posting: row.last_posting,
        })
    }
}

/// What our holds take from a balance of `version`: those no balance absorbed, or only a later one.
fn held_minor(holds: &AccountHolds, version: &[u8]) -> i128 {
    let counts = |released: &Option<Vec<u8>>| released.as_deref().is_none_or(|at| at > version);
    holds.holds.iter().filter(|hold| counts(&hold.released_at)).map(|hold| i128::from(hold.amount_minor)).sum()
}

/// Strong entity tag of a balance: the version of the account's document and of its lane.
pub(crate) fn entity_tag(document: &AccountDocument, holds: &AccountHolds) -> String {
    let balance = document.balance.as_ref().map(|balance| balance.version.to_hex()).unwrap_or_default();
    format!("\"{balance}-{:x}\"", holds.lane_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use standin::journal::Hold;

    #[test]
    fn a_hold_counts_until_the_balance_that_absorbed_it_is_the_one_shown() {
        let hold = |released_at: Option<&[u8]>| Hold { amount_minor: 5, released_at: released_at.map(<[u8]>::to_vec) };
        let holds = AccountHolds { lane_version: 1, holds: vec![hold(None), hold(Some(&[2])), hold(Some(&[3]))] };
        assert_eq!(held_minor(&holds, &[1]), 15);
        assert_eq!(held_minor(&holds, &[2]), 10);
        assert_eq!(held_minor(&holds, &[3]), 5);
    }

    #[test]
    fn sums_of_holds_do_not_wrap() {
        let hold = Hold { amount_minor: i64::MAX, released_at: None };
        let holds = AccountHolds { lane_version: 1, holds: vec![hold.clone(), hold] };
        assert_eq!(held_minor(&holds, &[]), 2 * i128::from(i64::MAX));
    }
}
