//! The ledger checker: says from the clients' histories, the final look-ups and the core's own tables alone whether money
//! went wrong. Pure; it knows nothing of Locum's inside.

mod answers;
mod books;
pub mod mutation;
mod order;
mod postings;
mod reads;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{Answer, Ask, Books, Exchange, History, Posting, Transfer};

/// What a run left behind.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What clients saw.
    pub history: History,
    /// `GET /v1/transfers?idempotency_key=` of every key at the end: 200 or 404.
    pub shown: BTreeMap<String, Answer>,
    /// The core's tables before the first request.
    pub opening: Books,
    /// The core's tables at the end.
    pub books: Books,
    /// References of postings that were keyed at a branch.
    pub branch_refs: BTreeSet<String>,
}

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// W8: an acknowledged write is gone, or COMPLETED without its posting.
    Lost,
    /// W2: more than one posting for a leg.
    Doubled,
    /// The posting differs from what the key asked for.
    Altered,
    /// A posting that no key resolves to.
    Unexplained,
    /// A key that ended as refused or cancelled and was posted all the same.
    RefusedButPosted,
    /// A refusal without a reason, or one that GET does not show.
    SilentRefusal,
    /// W1: no end although the run came to rest.
    NotEnded,
    /// W7: two answers to one key that cannot both be true.
    Contradiction,
    /// R1: the answer to x preceded the request y on one account, and the core posted y first.
    Reordered,
    /// M3 and the core's own arithmetic.
    Books,
    /// A living Locum failed a request.
    ServerError,
    /// A living Locum gave an answer the API does not know.
    WrongAnswer,
    /// A read on a living Locum failed or showed a balance the account never had.
    Read,
    /// Q1: a read showed less than the one whose position it carried.
    WentBack,
    /// The available balance is not the sum of its parts.
    Sum,
    /// M2: more is available than promised debits leave.
    Overstated,
}

/// One broken promise with its evidence.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// The key or account it is about.
    pub about: String,
    /// What is wrong.
    pub what: String,
    /// Everything known of it: requests, final look-up, postings.
    pub trail: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.rule, self.about, self.what)?;
        self.trail.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Every broken promise, the gravest rules first.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let known = Known::new(evidence);
    let mut found = Vec::new();
    postings::check(&known, &mut found);
    order::check(&known, &mut found);
    books::check(evidence, &mut found);
    reads::check(&known, &mut found);
    answers::check(&known, &mut found);
    found.sort_by_key(|violation| violation.rule);
    found
}

/// Panics with the first violations and their evidence unless there are none.
pub fn assert_clean(evidence: &Evidence) {
    const SHOWN_MAX: usize = 12;
    let found = check(evidence);
    let mut counts: BTreeMap<Rule, usize> = BTreeMap::new();
    found.iter().for_each(|violation| *counts.entry(violation.rule).or_default() += 1);
    let shown: Vec<String> = found.iter().take(SHOWN_MAX).map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} violations {counts:?}, the first of them:\n{}", found.len(), shown.join("\n"));
}

/// The evidence, indexed once.
struct Known<'a> {
    evidence: &'a Evidence,
    /// Requests of each key by the time they were sent.
    keys: BTreeMap<&'a str, Vec<&'a Exchange>>,
    /// The core's reference of each key that GET resolves.
    refs: BTreeMap<&'a str, &'a str>,
    /// The key of each reference.
    owners: BTreeMap<&'a str, &'a str>,
    /// The core's rows of each reference.
    posted: BTreeMap<&'a str, Vec<&'a Posting>>,
}

impl<'a> Known<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let refs: BTreeMap<_, _> = evidence
            .shown
            .iter()
            .filter(|(_, answer)| answer.status == 200)
            .filter_map(|(key, answer)| Some((key.as_str(), answer.text("core_reference")?)))
            .collect();
        let owners = refs.iter().map(|(key, core_ref)| (*core_ref, *key)).collect();
        let mut posted: BTreeMap<&str, Vec<&Posting>> = BTreeMap::new();
        for posting in evidence.new_postings() {
            if let Some(core_ref) = &posting.core_ref {
                posted.entry(core_ref).or_default().push(posting);
            }
        }
        Self { evidence, keys: evidence.history.by_key(), refs, owners, posted }
    }

    fn postings_of(&self, key: &str) -> &[&'a Posting] {
        let rows = self.refs.get(key).and_then(|core_ref| self.posted.get(core_ref));
        rows.map_or(&[], Vec::as_slice)
    }

    /// Everything known of a key.
    fn trail(&self, key: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut last = None;
        for exchange in self.keys.get(key).into_iter().flatten() {
            // A client that polls hears the same again and again.
            if exchange.ask == Ask::Submit || last != Some(&exchange.end) {
                lines.push(exchange.to_string());
            }
            last = Some(&exchange.end);
        }
        lines.push(match self.evidence.shown.get(key) {
            Some(answer) => format!("at the end GET shows {} {}", answer.status, answer.body),
            None => "at the end nobody asked for it".to_owned(),
        });
        lines.extend(self.postings_of(key).iter().map(ToString::to_string));
        lines
    }

    fn object(&self, found: &mut Vec<Violation>, rule: Rule, key: &str, what: impl Into<String>) {
        found.push(Violation { rule, about: key.to_owned(), what: what.into(), trail: self.trail(key) });
    }
}

impl Evidence {
    /// The rows that were not there at the opening.
    fn new_postings(&self) -> impl Iterator<Item = &Posting> {
        self.books.postings.iter().filter(|posting| {
            self.opening.accounts.get(&posting.account).is_none_or(|account| posting.number > account.last_posting)
        })
    }
}

/// What the key's client asked for.
fn asked<'a>(exchanges: &[&'a Exchange]) -> Option<&'a Transfer> {
    exchanges.iter().find(|exchange| exchange.ask == Ask::Submit).map(|exchange| &exchange.transfer)
}
