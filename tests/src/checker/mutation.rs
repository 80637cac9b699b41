//! Evidence with one crime in it. The books still add up, so that the rule in question has to object itself: that is how
//! the checker is tested, on hand-made evidence and on that of every real run.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Evidence, Known, Rule, check, reads};
use crate::history::{Ask, Books, End, Nanos, Posting, Read, Side, minor, show_minor};

/// One crime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A COMPLETED transfer's postings are missing.
    Lost,
    /// The core posted a transfer twice.
    Doubled,
    /// The core posted another amount.
    AlteredAmount,
    /// The core credited somebody else.
    AlteredAccount,
    /// The core posted a later transfer before an earlier one.
    Reordered,
    /// The core posted what nobody asked for.
    Unexplained,
    /// GET shows FAILED after the client was told COMPLETED.
    Contradicted,
    /// GET knows nothing of an acknowledged key, and nothing was posted.
    Forgotten,
    /// A refusal without its reason.
    SilentRefusal,
    /// A refused transfer was posted.
    RefusedButPosted,
    /// A balance is off by one minor unit.
    WrongBalance,
    /// A read shows a balance that the account never had.
    NeverHad,
    /// A read shows the opening after another showed more.
    WentBack,
    /// A read shows a cent less available than its parts make.
    WrongSum,
    /// A read shows as available what is promised.
    HoldForgotten,
}

/// All of them.
pub const ALL: [Mutation; 15] = [
    Mutation::Lost,
    Mutation::Doubled,
    Mutation::AlteredAmount,
    Mutation::AlteredAccount,
    Mutation::Reordered,
    Mutation::Unexplained,
    Mutation::Contradicted,
    Mutation::Forgotten,
    Mutation::SilentRefusal,
    Mutation::RefusedButPosted,
    Mutation::WrongBalance,
    Mutation::NeverHad,
    Mutation::WentBack,
    Mutation::WrongSum,
    Mutation::HoldForgotten,
];

impl Mutation {
    /// The rule that must object.
    pub fn rule(self) -> Rule {
        match self {
            Self::Lost | Self::Forgotten => Rule::Lost,
            Self::Doubled => Rule::Doubled,
            Self::AlteredAmount | Self::AlteredAccount => Rule::Altered,
            Self::Reordered => Rule::Reordered,
            Self::Unexplained => Rule::Unexplained,
            Self::Contradicted => Rule::Contradiction,
            Self::SilentRefusal => Rule::SilentRefusal,
            Self::RefusedButPosted => Rule::RefusedButPosted,
            Self::WrongBalance => Rule::Books,
            Self::NeverHad => Rule::Read,
            Self::WentBack => Rule::WentBack,
            Self::WrongSum => Rule::Sum,
            Self::HoldForgotten => Rule::Overstated,
        }
    }

    /// The evidence with this crime; `None` where it holds nobody to commit it on.
    pub fn commit(self, clean: &Evidence) -> Option<Evidence> {
        let mut evidence = clean.clone();
        match self {
            Self::Lost => {
                let core_ref = core_ref_of(clean, "COMPLETED")?;
                evidence.books.postings.retain(|row| row.core_ref.as_ref() != Some(&core_ref));
            }
            Self::Doubled => {
                let core_ref = core_ref_of(clean, "COMPLETED")?;
                let again: Vec<_> = rows(&evidence, &core_ref).map(at_the_end).collect();
                evidence.books.postings.extend(again);
            }
            Self::AlteredAmount => {
                let core_ref = core_ref_of(clean, "COMPLETED")?;
                rows_mut(&mut evidence, &core_ref).for_each(|row| row.amount_minor += 1);
            }
            Self::AlteredAccount => {
                let core_ref = core_ref_of(clean, "COMPLETED")?;
                let own: Vec<_> = rows(clean, &core_ref).map(|row| &row.account).collect();
                // The quietest of the others, where the order of postings says nothing.
                let others = clean.books.accounts.iter().filter(|(account, _)| !own.contains(account));
                let (other, _) = others.min_by_key(|(_, account)| account.last_posting)?;
                let credit = rows_mut(&mut evidence, &core_ref).find(|row| row.side == Side::Credit)?;
                *credit = Posting { account: other.clone(), ..at_the_end(credit) };
            }
            Self::Reordered => swap(clean, &mut evidence)?,
            Self::Unexplained => {
                let core_ref = core_ref_of(clean, "COMPLETED")?;
                let nobody = |row: &Posting| Posting { core_ref: Some("NOBODY".to_owned()), ..at_the_end(row) };
                let more: Vec<_> = rows(clean, &core_ref).map(nobody).collect();
                evidence.books.postings.extend(more);
            }
            Self::Contradicted => {
                let told = clean.history.exchanges.iter().find(|e| e.answer().is_some_and(|a| a.status == 201))?;
                let shown = evidence.shown.get_mut(&told.key)?;
                let failed = told.answer()?.text("status") == Some("FAILED");
                shown.body["status"] = json!(if failed { "COMPLETED" } else { "FAILED" });
                shown.body["reason"] = json!("insufficient-funds");
            }
            Self::Forgotten => {
                let (key, core_ref) = completed(clean, "COMPLETED").next()?;
                evidence.books.postings.retain(|row| row.core_ref.as_ref() != Some(&core_ref));
                evidence.shown.get_mut(&key)?.status = 404;
            }
            Self::SilentRefusal => {
                let (key, _) = completed(clean, "FAILED").next()?;
                evidence.shown.get_mut(&key)?.body["reason"] = json!(null);
            }
            Self::RefusedButPosted => {
                let (key, core_ref) = completed(clean, "FAILED").next()?;
                let transfer = &clean.history.exchanges.iter().find(|e| e.key == key)?.transfer;
                for (side, account) in [(Side::Debit, &transfer.from), (Side::Credit, &transfer.to)] {
                    evidence.books.postings.push(Posting {
                        account: account.clone(),
                        number: i64::MAX,
                        core_ref: Some(core_ref.clone()),
                        side,
                        amount_minor: transfer.amount_minor,
                        currency: transfer.currency.clone(),
                        text: transfer.remittance.clone().unwrap_or_default(),
                        value_date: String::new(),
                    });
                }
            }
            Self::WrongBalance => {
                evidence.books.accounts.values_mut().next()?.balance_minor += 1;
                return Some(evidence);
            }
            Self::NeverHad => {
                let answers = evidence.history.reads.iter_mut().find_map(balances);
                answers?["booked"] = json!(show_minor(i64::MAX, "EUR"));
            }
            Self::WentBack => {
                let newer = reads::moved(&Known::new(clean))?;
                let opening = &clean.opening.accounts[&newer.account];
                let mut older = Read { sent: Nanos::MAX - 1, ended: Nanos::MAX, ..newer.clone() };
                let body = balances(&mut older)?;
                body["booked"] = json!(show_minor(opening.balance_minor, "EUR"));
                body["as_of_posting"] = json!(opening.last_posting);
                for part in ["pending", "available", "overdraft_line", "core_holds"] {
                    body.as_object_mut()?.remove(part);
                }
                evidence.history.reads.push(older);
            }
            Self::WrongSum => {
                let mut answers = evidence.history.reads.iter_mut().filter_map(balances);
                let body = answers.find(|body| body["available"].is_string())?;
                let available = minor(body["available"].as_str()?, "EUR")?;
                body["available"] = json!(show_minor(available - 1, "EUR"));
            }
            Self::HoldForgotten => {
                let read = reads::holding(&Known::new(clean))?;
                let body = balances(&mut evidence.history.reads[read])?;
                let part = |name: &str| minor(body[name].as_str()?, "EUR");
                let own = part("booked")? + part("overdraft_line")? - part("core_holds")?;
                body["pending"] = json!("0.00");
                body["available"] = json!(show_minor(own, "EUR"));
            }
        }
        evidence.books = balanced(&evidence.opening, evidence.books);
        Some(evidence)
    }
}

/// Commits every crime that the evidence has room for and panics unless its own rule objects to each.
/// Returns those that were committed.
pub fn assert_caught(clean: &Evidence) -> Vec<Mutation> {
    let mut committed = Vec::new();
    for mutation in ALL {
        let Some(evidence) = mutation.commit(clean) else { continue };
        let found = check(&evidence);
        assert!(
            found.iter().any(|violation| violation.rule == mutation.rule()),
            "the checker has no objection to {mutation:?}; all it says: {:?}",
            found.iter().map(|violation| violation.rule).collect::<Vec<_>>()
        );
        committed.push(mutation);
    }
    committed
}

/// The balances that a read was answered with.
fn balances(read: &mut Read) -> Option<&mut Json> {
    match &mut read.end {
        End::Answered(answer) if answer.status == 200 => Some(&mut answer.body),
        _ => None,
    }
}

/// Keys that GET shows in this status, with their references.
fn completed<'a>(evidence: &'a Evidence, status: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
    let acknowledged = |key: &str| {
        evidence
            .history
            .exchanges
            .iter()
            .any(|e| e.key == key && e.answer().is_some_and(|answer| answer.acknowledges()))
    };
    let shown = evidence.shown.iter().filter(move |(_, answer)| answer.text("status") == Some(status));
    shown.filter_map(move |(key, answer)| {
        acknowledged(key).then_some((key.clone(), answer.text("core_reference")?.to_owned()))
    })
}

fn core_ref_of(evidence: &Evidence, status: &str) -> Option<String> {
    completed(evidence, status).next().map(|(_, core_ref)| core_ref)
}

fn rows<'a>(evidence: &'a Evidence, core_ref: &'a str) -> impl Iterator<Item = &'a Posting> {
    evidence.books.postings.iter().filter(move |row| row.core_ref.as_deref() == Some(core_ref))
}

fn rows_mut<'a>(evidence: &'a mut Evidence, core_ref: &'a str) -> impl Iterator<Item = &'a mut Posting> {
    evidence.books.postings.iter_mut().filter(move |row| row.core_ref.as_deref() == Some(core_ref))
}

/// The same posting once more, after all others of its account.
fn at_the_end(row: &Posting) -> Posting {
    Posting { number: i64::MAX, ..row.clone() }
}

/// Exchanges the numbers of two debits of an account, where the first was promised before the second was asked for.
fn swap(clean: &Evidence, evidence: &mut Evidence) -> Option<()> {
    let known = Known::new(clean);
    let sent: BTreeMap<&str, Nanos> = known
        .keys
        .iter()
        .filter_map(|(key, es)| Some((*key, es.iter().filter(|e| e.ask == Ask::Submit).map(|e| e.sent).min()?)))
        .collect();
    let promised = |key: &str| {
        let said = known.keys.get(key)?.iter().filter(|e| e.ask == Ask::Submit);
        said.filter(|e| e.answer().is_some_and(|a| matches!(a.status, 201 | 202))).map(|e| e.ended).min()
    };
    let mut accounts: BTreeMap<&str, Vec<(i64, &str, &str)>> = BTreeMap::new();
    for (core_ref, rows) in &known.posted {
        let Some(key) = known.owners.get(core_ref) else { continue };
        let debits = rows.iter().filter(|row| row.effect_minor() < 0);
        debits.for_each(|row| accounts.entry(&row.account).or_default().push((row.number, *key, *core_ref)));
    }
    for (account, mut rows) in accounts {
        rows.sort_unstable();
        for pair in rows.windows(2) {
            let ((first, x, x_ref), (second, y, y_ref)) = (pair[0], pair[1]);
            if promised(x).zip(sent.get(y)).is_some_and(|(promised, sent)| promised < *sent) {
                for row in evidence.books.postings.iter_mut().filter(|row| row.account == account) {
                    match row.core_ref.as_deref() {
                        Some(core_ref) if core_ref == x_ref => row.number = second,
                        Some(core_ref) if core_ref == y_ref => row.number = first,
                        _ => {}
                    }
                }
                return Some(());
            }
        }
    }
    None
}

/// The books with gapless numbers, and balances that follow from them.
fn balanced(opening: &Books, mut books: Books) -> Books {
    books.postings.sort_by(|a, b| (&a.account, a.number).cmp(&(&b.account, b.number)));
    let mut next: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in &mut books.postings {
        let Some(account) = opening.accounts.get(&row.account) else { continue };
        if row.number <= account.last_posting {
            continue;
        }
        let entry = next.entry(row.account.clone()).or_insert((account.last_posting, account.balance_minor));
        entry.0 += 1;
        entry.1 += row.effect_minor();
        row.number = entry.0;
    }
    for (name, account) in &mut books.accounts {
        let Some(open) = opening.accounts.get(name) else { continue };
        (account.last_posting, account.balance_minor) =
            next.get(name).copied().unwrap_or((open.last_posting, open.balance_minor));
    }
    books
}
