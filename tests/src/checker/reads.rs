//! What reads showed, against the core's own numbered history of each account.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Known, Rule, Violation, order};
use crate::history::{Answer, End, Nanos, Posting, Read, minor, show_minor};

/// An account's life after the opening.
struct Track {
    /// Number of the newest posting at the opening.
    first: i64,
    /// The balance after `first`, and after each posting that followed.
    balances: Vec<i64>,
    /// Debits that were promised to somebody.
    debits: Vec<Debit>,
}

struct Debit {
    promised: Nanos,
    number: i64,
    amount_minor: i64,
}

/// The accounts' lives, by account number.
pub(super) struct Tracks<'a>(BTreeMap<&'a str, Track>);

impl<'a> Tracks<'a> {
    pub(super) fn of(known: &Known<'a>) -> Self {
        let mut rows: BTreeMap<&str, Vec<&Posting>> = BTreeMap::new();
        known.evidence.new_postings().for_each(|row| rows.entry(&row.account).or_default().push(row));
        let mut tracks = BTreeMap::new();
        for (name, opening) in &known.evidence.opening.accounts {
            let mut rows = rows.remove(name.as_str()).unwrap_or_default();
            rows.sort_by_key(|row| row.number);
            let mut balances = vec![opening.balance_minor];
            // A gap is for another rule to judge; nothing is known of what follows it.
            for (_, row) in (opening.last_posting + 1..).zip(&rows).take_while(|(number, row)| row.number == *number) {
                balances.push(balances[balances.len() - 1] + row.effect_minor());
            }
            let debits = rows.iter().filter_map(|row| promised(known, row)).collect();
            tracks.insert(name.as_str(), Track { first: opening.last_posting, balances, debits });
        }
        Self(tracks)
    }

    /// Lowest and highest number of a posting after which the account had the balance that was shown.
    fn places(&self, account: &str, shown: &Shown) -> Option<(i64, i64)> {
        let track = self.0.get(account)?;
        let had = (track.first..).zip(&track.balances).filter(|(_, balance)| **balance == shown.booked);
        let mut places = had.map(|(number, _)| number).filter(|number| shown.as_of.is_none_or(|at| at == *number));
        let lowest = places.next()?;
        Some((lowest, places.last().unwrap_or(lowest)))
    }

    /// What was promised before `sent` and is not among the postings up to `place`.
    fn promised_beyond(&self, account: &str, place: i64, sent: Nanos) -> i64 {
        let debits = self.0.get(account).into_iter().flat_map(|track| &track.debits);
        let beyond = debits.filter(|debit| debit.promised < sent && debit.number > place);
        beyond.map(|debit| debit.amount_minor).sum()
    }
}

/// A debit that a key resolves to and that was promised.
fn promised(known: &Known<'_>, row: &Posting) -> Option<Debit> {
    let key = known.owners.get(row.core_ref.as_deref()?)?;
    let promised = order::span(known.keys.get(key)?)?.promised?;
    (row.effect_minor() < 0).then_some(Debit { promised, number: row.number, amount_minor: row.amount_minor })
}

/// What an answer says of a balance.
struct Shown {
    booked: i64,
    /// The posting that the balance includes last, where the answer says so.
    as_of: Option<i64>,
    rest: Rest,
}

/// What it says beyond the booked balance.
enum Rest {
    Nothing,
    /// Some of it, and not the whole.
    Torn,
    Whole {
        pending: i64,
        available: i64,
        line: i64,
        core_holds: i64,
    },
}

impl Shown {
    fn of(body: &Json) -> Option<Self> {
        let amount = |member: &str| {
            let value = &body[member];
            let currency = value.get("currency").or_else(|| body.get("currency"))?.as_str()?;
            minor(value.get("amount").unwrap_or(value).as_str()?, currency)
        };
        let whole = || {
            let (pending, available) = (amount("pending")?, amount("available")?);
            Some(Rest::Whole { pending, available, line: amount("overdraft_line")?, core_holds: amount("core_holds")? })
        };
        let nothing = body.get("pending").is_none() && body.get("available").is_none();
        let rest = if nothing { Rest::Nothing } else { whole().unwrap_or(Rest::Torn) };
        Some(Self { booked: amount("booked")?, as_of: body["as_of_posting"].as_i64(), rest })
    }
}

pub(super) fn check(known: &Known<'_>, found: &mut Vec<Violation>) {
    let tracks = Tracks::of(known);
    let mut placed: BTreeMap<(usize, &str), Vec<Placed<'_>>> = BTreeMap::new();
    for read in &known.evidence.history.reads {
        let Some(answer) = answer(known, read, found) else { continue };
        let shown = Shown::of(&answer.body);
        let places = shown.as_ref().and_then(|shown| tracks.places(&read.account, shown));
        let Some((shown, (lowest, highest))) = shown.zip(places) else {
            object(found, Rule::Read, read, "it never had the balance that was shown".to_owned(), None);
            continue;
        };
        check_available(&tracks, read, &shown, highest, found);
        if read.positioned {
            placed.entry((read.instance, &read.account)).or_default().push(Placed { read, lowest, highest });
        }
    }
    for reads in placed.into_values() {
        went_back(reads, found);
    }
}

/// A living Locum answers a read.
fn answer<'a>(known: &Known<'_>, read: &'a Read, found: &mut Vec<Violation>) -> Option<&'a Answer> {
    match &read.end {
        End::Answered(answer) if answer.status == 200 => return Some(answer),
        End::Answered(answer)
            if answer.text("code") == Some("store-unavailable")
                && known.evidence.history.store_was_slow(read.sent, read.ended) => {}
        End::Answered(_) => object(found, Rule::Read, read, "not answered 200".to_owned(), None),
        End::Broken(_) if known.evidence.history.was_away(read.instance, read.sent, read.ended) => {}
        End::Broken(_) => object(found, Rule::Read, read, "a living Locum gave no answer".to_owned(), None),
    }
    None
}

/// M2: the available balance is the sum of its parts, and no promised debit is missing from it. That a debit counts twice for
/// a moment is a declared gap (ADR 0004), and no violation.
fn check_available(tracks: &Tracks<'_>, read: &Read, shown: &Shown, place: i64, found: &mut Vec<Violation>) {
    let (pending, available, line, core_holds) = match shown.rest {
        Rest::Nothing => return,
        Rest::Torn => return object(found, Rule::Sum, read, "a part of the balance is missing".to_owned(), None),
        Rest::Whole { pending, available, line, core_holds } => (pending, available, line, core_holds),
    };
    let own = shown.booked + line - core_holds;
    if available != own - pending {
        let what = format!("{} is available, and the parts make {}", show(available), show(own - pending));
        object(found, Rule::Sum, read, what, None);
    }
    let promised = tracks.promised_beyond(&read.account, place, read.sent);
    if available > own - promised {
        let what = format!(
            "{} is available although debits of {} had been promised that posting #{place} does not include",
            show(available),
            show(promised)
        );
        object(found, Rule::Overstated, read, what, None);
    }
}

struct Placed<'a> {
    read: &'a Read,
    lowest: i64,
    highest: i64,
}

/// Q1: a read with the position of one before it shows nothing older.
fn went_back(mut reads: Vec<Placed<'_>>, found: &mut Vec<Violation>) {
    reads.sort_by_key(|placed| placed.read.sent);
    let mut answered: Vec<&Placed<'_>> = reads.iter().collect();
    answered.sort_by_key(|placed| placed.read.ended);
    let mut answered = answered.into_iter().peekable();
    let mut newest: Option<&Placed<'_>> = None;
    for later in &reads {
        while let Some(earlier) = answered.next_if(|earlier| earlier.read.ended < later.read.sent) {
            newest = newest.into_iter().chain([earlier]).max_by_key(|placed| placed.lowest);
        }
        if let Some(earlier) = newest.filter(|earlier| later.highest < earlier.lowest) {
            let what = format!("posting #{} was shown, and later only #{}", earlier.lowest, later.highest);
            object(found, Rule::WentBack, later.read, what, Some(earlier.read));
        }
    }
}

/// The first read that shows the account at another place than at the opening.
pub(super) fn moved<'a>(known: &Known<'a>) -> Option<&'a Read> {
    let tracks = Tracks::of(known);
    let place = |read: &Read| tracks.places(&read.account, &shown(read)?);
    let moved = |read: &&Read| place(read).is_some_and(|(lowest, _)| lowest > tracks.0[read.account.as_str()].first);
    known.evidence.history.reads.iter().filter(|read| read.positioned).find(moved)
}

/// Which read leaves out of `available` what had been promised.
pub(super) fn holding(known: &Known<'_>) -> Option<usize> {
    let tracks = Tracks::of(known);
    let holds = |read: &Read| {
        let shown = shown(read)?;
        let (_, place) = tracks.places(&read.account, &shown)?;
        let whole = matches!(shown.rest, Rest::Whole { .. });
        (whole && tracks.promised_beyond(&read.account, place, read.sent) > 0).then_some(())
    };
    known.evidence.history.reads.iter().position(|read| holds(read).is_some())
}

fn shown(read: &Read) -> Option<Shown> {
    match &read.end {
        End::Answered(answer) if answer.status == 200 => Shown::of(&answer.body),
        _ => None,
    }
}

fn show(minor: i64) -> String {
    show_minor(minor, "EUR")
}

fn object(found: &mut Vec<Violation>, rule: Rule, read: &Read, what: String, earlier: Option<&Read>) {
    let trail = earlier.into_iter().chain([read]).map(ToString::to_string).collect();
    found.push(Violation { rule, about: read.account.clone(), what, trail });
}
