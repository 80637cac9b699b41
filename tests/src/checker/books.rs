//! The core's own arithmetic, and what plain reads showed of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Rule, Violation};
use crate::history::{End, Posting, Read, minor, show_minor};

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
    let mut shown = BTreeMap::new();
    for (name, opening) in &evidence.opening.accounts {
        let mut rows = accounts.remove(name.as_str()).unwrap_or_default();
        rows.sort_by_key(|row| row.number);
        let mut balance = opening.balance_minor;
        let mut balances = BTreeSet::from([balance]);
        for (expected, row) in (opening.last_posting + 1..).zip(&rows) {
            if row.number != expected {
                object(found, name, format!("expected posting #{expected}"), &[row]);
                break;
            }
            balance += row.effect_minor();
            balances.insert(balance);
        }
        let last = opening.last_posting + i64::try_from(rows.len()).unwrap_or(i64::MAX);
        match evidence.books.accounts.get(name) {
            None => object(found, name, "the account is gone".to_owned(), &[]),
            Some(end) if end.balance_minor != balance || end.last_posting != last => {
                object(found, name, format!("ends as {end:?}, its postings make {balance} after #{last}"), &rows);
            }
            Some(_) => {}
        }
        shown.insert(name.as_str(), balances);
    }
    for (name, rows) in accounts {
        object(found, name, "postings on an account that was not there".to_owned(), &rows);
    }
    for read in &evidence.history.reads {
        check_read(evidence, read, &shown, found);
    }
}

/// A living Locum answers a plain read, with a balance that the account had at some time.
fn check_read(evidence: &Evidence, read: &Read, balances: &BTreeMap<&str, BTreeSet<i64>>, found: &mut Vec<Violation>) {
    let what = match &read.end {
        End::Broken(_) if evidence.history.was_away(read.instance, read.sent, read.ended) => return,
        End::Broken(why) => format!("a living Locum gave no answer: {why}"),
        End::Answered(answer) if answer.status != 200 => format!("{} {}", answer.status, answer.body),
        End::Answered(answer) => {
            let booked = booked(&answer.body);
            let had = balances.get(read.account.as_str());
            if booked.zip(had).is_some_and(|(booked, had)| had.contains(&booked)) {
                return;
            }
            format!("it never had the balance that was shown: {}", answer.body)
        }
    };
    let trail = vec![format!("locum {} between {} and {} ns", read.instance, read.sent, read.ended)];
    found.push(Violation { rule: Rule::Read, about: read.account.clone(), what, trail });
}

/// `booked` of a balances answer in minor units.
pub fn booked(body: &serde_json::Value) -> Option<i64> {
    let amount = &body["booked"];
    let currency = amount.get("currency").or_else(|| body.get("currency"))?.as_str()?;
    minor(amount.get("amount").unwrap_or(amount).as_str()?, currency)
}

fn object(found: &mut Vec<Violation>, account: &str, what: String, rows: &[&Posting]) {
    let trail = rows.iter().map(ToString::to_string).collect();
    found.push(Violation { rule: Rule::Books, about: account.to_owned(), what, trail });
}
