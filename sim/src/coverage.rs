//! What many seeds together must have met: every kind of fault, and every move of an entry that this world can bring about.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{EntryState, Evidence, Verdict, weigh};

use crate::fault::Fault;
use crate::run::{Moved, Report};

/// Moves of the one transition table that this world does not bring about, and why.
const NOT_HERE: &[(Evidence, Option<EntryState>, &str)] = &[
    (Evidence::Linked, None, "nobody keys a posting into the simulated core by hand"),
    (Evidence::Vouched, None, "change events of the simulated core always come"),
    (Evidence::Forced, None, "operators here have proofs, so they retry"),
    (Evidence::Adopted, Some(EntryState::Queued), "a queued entry is in no books"),
    (Evidence::Adopted, Some(EntryState::OutcomeUnknown), "operators here decide about parked entries only"),
];

/// Moves that few seeds make. They are allowed and not asked for: an answer or an enquiry is still under way when another replayer, or the
/// same one whose commit went unanswered, parks the entry.
const RARE: &[(Evidence, EntryState)] =
    &[(Evidence::CorePosted, EntryState::Parked), (Evidence::CoreRefused, EntryState::Parked)];

/// What was met so far.
#[derive(Default)]
pub struct Coverage {
    faults: BTreeMap<Fault, u64>,
    moves: BTreeSet<Moved>,
}

impl Coverage {
    /// Takes in a report.
    pub fn add(&mut self, report: &Report) {
        for (fault, times) in &report.met {
            *self.faults.entry(*fault).or_default() += times;
        }
        self.moves.extend(report.moves.iter().cloned());
    }

    /// Kinds of fault that never happened.
    pub fn faults_missing(&self) -> Vec<&'static str> {
        Fault::ALL.iter().filter(|fault| !self.faults.contains_key(fault)).map(|fault| fault.as_str()).collect()
    }

    /// Moves that no entry made, of those that this world can bring about.
    pub fn moves_missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (from, evidence, to) in moves() {
            let moved = (from.as_str().to_owned(), evidence.as_str().to_owned(), to.as_str().to_owned());
            if is_expected(evidence, from) && !self.moves.contains(&moved) {
                missing.push(format!("{from} by {} to {to}", evidence.as_str()));
            }
        }
        missing
    }

    /// Moves that were said not to happen here, and did.
    pub fn moves_unexpected(&self) -> Vec<String> {
        let here = moves().filter(|(from, evidence, _)| is_not_here(*evidence, *from));
        let made = here.filter(|(from, evidence, to)| {
            self.moves.contains(&(from.as_str().to_owned(), evidence.as_str().to_owned(), to.as_str().to_owned()))
        });
        made.map(|(from, evidence, to)| format!("{from} by {} to {to}", evidence.as_str())).collect()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let all = moves().filter(|(from, evidence, _)| is_expected(*evidence, *from)).count();
        let (faults, moves) = (Fault::ALL.len() - self.faults_missing().len(), all - self.moves_missing().len());
        format!("{faults} of {} kinds of fault, {moves} of {all} moves of entries", Fault::ALL.len())
    }
}

fn moves() -> impl Iterator<Item = (EntryState, Evidence, EntryState)> {
    let pairs =
        EntryState::ALL.into_iter().flat_map(|state| Evidence::ALL.into_iter().map(move |evidence| (state, evidence)));
    pairs.filter_map(|(state, evidence)| match weigh(state, evidence) {
        Verdict::Moves(next) => Some((state, evidence, next)),
        _ => None,
    })
}

fn is_expected(evidence: Evidence, from: EntryState) -> bool {
    !is_not_here(evidence, from) && !RARE.contains(&(evidence, from))
}

fn is_not_here(evidence: Evidence, from: EntryState) -> bool {
    NOT_HERE.iter().any(|(other, state, _)| *other == evidence && state.is_none_or(|state| state == from))
}
