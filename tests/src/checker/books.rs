//! The core's own arithmetic.

use std::collections::BTreeMap;

use super::{Evidence, Rule, Violation};
use crate::history::{Posting, show_minor};

pub(super) fn check(evidence: &Evidence, found: &mut Vec<Violation>) {
    let mut accounts: BTreeMap<&str, Vec<&Posting>> = BTreeMap::new();
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for posting in evidence.new_postings() {
        accounts.entry(&posting.account).or_default().push(posting);
        *sums.entry(&posting.currency).or_default() += posting.effect_minor();
    }
    for (currency, sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
        let what = format!("debits and credits differ by {}", show_minor(sum, currency));
        found.push(Violation { rule: Rule::Books, about: currency.to_owned(), what, trail: Vec::new() });
    }
    for (name, opening) in &evidence.opening.accounts {
        let mut rows = accounts.remove(name.as_str()).unwrap_or_default();
        rows.sort_by_key(|row| row.number);
        let mut balance = opening.balance_minor;
        for (expected, row) in (opening.last_posting + 1..).zip(&rows) {
            if row.number != expected {
                object(found, name, format!("expected posting #{expected}"), &[row]);
                break;
            }
            balance += row.effect_minor();
        }
        let last = opening.last_posting + i64::try_from(rows.len()).unwrap_or(i64::MAX);
        match evidence.books.accounts.get(name) {
            None => object(found, name, "the account is gone".to_owned(), &[]),
            Some(end) if end.balance_minor != balance || end.last_posting != last => {
                object(found, name, format!("ends as {end:?}, its postings make {balance} after #{last}"), &rows);
            }
            Some(_) => {}
        }
    }
    for (name, rows) in accounts {
        object(found, name, "postings on an account that was not there".to_owned(), &rows);
    }
}

fn object(found: &mut Vec<Violation>, account: &str, what: String, rows: &[&Posting]) {
    let trail = rows.iter().map(ToString::to_string).collect();
    found.push(Violation { rule: Rule::Books, about: account.to_owned(), what, trail });
}
