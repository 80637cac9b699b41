//! The checked compositions. The whole protocol in one would not end; each of these is exhausted, and says what it covers.
//!
//! | composition | parties | covers |
//! |---|---|---|
//! | [`one_write`] | 1 gateway, 2 replayers, 1 write | every fault at once around one entry: takeovers, stale senders, resends, refusals, cancels |
//! | [`abandoned`] | the same, with fewer other faults | a submission given up for abandoned while its sender lives, late refusals, clocks of several hosts |
//! | [`retries`] | 2 gateways, 1 replayer, 2 writes on one account, one key sent to both gateways | keys, lost commits, 202 while submitting, order behind it |
//! | [`turns`] | as `retries`, gateways that believe differently of the core | what a promise uses of a day, and what is given back |
//! | [`three_writes`] | 2 gateways, 1 replayer, 3 writes over two accounts, one key sent to both gateways | order through a transfer that joins two lanes |
//! | [`credit_apart`] | the same, with credits that take no place | lanes that count debits alone |
//! | [`takeover`] | 1 gateway, 2 replayers, 2 writes on one account | order and absence across a lost lease |
//! | [`runs`], [`chained_runs`] | as `takeover`, and as `three_writes`, replayers that claim runs | what is claimed behind an entry that is not sent yet |
//! | [`row_by_row`], [`balance_first`] | as `retries`, core rows applied and delivered again one at a time | holds |
//! | [`by_transaction`] | 1 gateway, 1 replayer, 2 writes on one account, a core without posting numbers | holds by source transaction |

use super::state::Budget;
use super::variants::{Class, Locum, Unnumbered, Write};

/// From account 0 to account 1.
const TRANSFER: Write = Write { debit: 0, credit: Some(1), amount: 1 };
/// Out of account 0.
const FROM_FIRST: Write = Write { debit: 0, credit: None, amount: 2 };
/// Out of account 1.
const FROM_SECOND: Write = Write { debit: 1, credit: None, amount: 4 };

/// No fault at all.
pub const NO_FAULTS: Budget = Budget {
    crashes: 0,
    losses: 0,
    commits: 0,
    takeovers: 0,
    refusals: 0,
    cancels: 0,
    abandons: 0,
    set_backs: 0,
    declines: 0,
    snapshots: 0,
};

/// Everything that can befall one entry.
pub fn one_write(class: Class) -> Locum {
    let budget = Budget { crashes: 2, losses: 2, commits: 1, takeovers: 2, refusals: 1, cancels: 1, ..NO_FAULTS };
    Locum::new(class, &[FROM_FIRST], 1, &[(0, 0)], 2).with(budget)
}

/// An entry that a replayer resolves while the gateway is still at work on it. Every host has a clock of its own.
pub fn abandoned(class: Class) -> Locum {
    let budget = Budget { abandons: 1, refusals: 1, losses: 1, takeovers: 1, set_backs: 1, ..NO_FAULTS };
    one_write(class).with(budget).with_clocks([0, 1, -1, 0])
}

/// One key through two gateways, a second write behind it.
pub fn retries(class: Class, budget: Budget) -> Locum {
    Locum::new(class, &[TRANSFER, FROM_FIRST], 2, &[(0, 0), (1, 0), (1, 1)], 1).with(budget)
}

/// The same, with the day's limits counted.
pub fn turns(class: Class, budget: Budget) -> Locum {
    Locum { days: true, ..retries(class, budget) }
}

/// A transfer between two accounts that both have a write of their own.
pub fn three_writes(class: Class, budget: Budget) -> Locum {
    let writes = [TRANSFER, FROM_FIRST, FROM_SECOND];
    let apart = Locum::new(class, &writes, 2, &[(0, 0), (1, 0), (1, 1), (0, 2)], 1).with(budget);
    Locum { credits_in_order: true, ..apart }
}

/// The same where a credit takes no place in the order of its account.
pub fn credit_apart(class: Class, budget: Budget) -> Locum {
    Locum { credits_in_order: false, ..three_writes(class, budget) }
}

/// Two replayers, two writes of one account.
pub fn takeover(class: Class, budget: Budget) -> Locum {
    Locum::new(class, &[TRANSFER, FROM_FIRST], 1, &[(0, 0), (0, 1)], 2).with(budget)
}

/// The same with runs: the second is claimed behind the first.
pub fn runs(class: Class, budget: Budget) -> Locum {
    Locum { runs: true, ..takeover(class, budget) }
}

/// Runs through two lanes.
pub fn chained_runs(class: Class, budget: Budget) -> Locum {
    Locum { runs: true, ..three_writes(class, budget) }
}

/// Balance rows apart from posting rows, each delivered again at any later time.
pub fn row_by_row(class: Class, budget: Budget) -> Locum {
    Locum { whole_transactions: false, ..retries(class, budget) }
}

/// The same where the core writes an account's balance before the posting.
pub fn balance_first(class: Class, budget: Budget) -> Locum {
    Locum { balance_first: true, ..row_by_row(class, budget) }
}

/// A core that numbers no postings. Its posting rows and its balance rows are applied one at a time, in any order of the two.
pub fn by_transaction(class: Class, shape: Unnumbered, budget: Budget) -> Locum {
    let locum = Locum::new(class, &[TRANSFER, FROM_FIRST], 1, &[(0, 0), (0, 1)], 1).with(budget);
    Locum { whole_transactions: false, unnumbered: Some(shape), ..locum }
}
