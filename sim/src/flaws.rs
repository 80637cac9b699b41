//! The proof that the judge sees: each flaw in production code is caught.

use failpoints::Flaw;

use crate::plan::Plan;
use crate::run::{Report, play};

/// Seeds played for one flaw, at most.
pub const SEEDS_MAX: u64 = 200;

/// A seed that catches each flaw, so that few are played. When a history changes, the next seeds are tried.
const CATCHES: &[(Flaw, u64)] = &[
    (Flaw::RefusalAlwaysSettles, 10),
    (Flaw::ResendIsAlone, 10),
    (Flaw::AbsentAtOnce, 5),
    (Flaw::MemoryIsForEver, 179),
    (Flaw::AcceptedWithoutPlace, 22),
    (Flaw::KnownIsFresh, 6),
    (Flaw::OrphansForgotten, 41),
    (Flaw::OutcomeDropped, 76),
    (Flaw::WorkersAreOrphans, 192),
    (Flaw::UnrecordedIsUnsent, 155),
];

/// The first seed that catches the flaw, with its report, beginning where it was caught last.
pub fn catch(flaw: Flaw) -> Option<Report> {
    let first = CATCHES.iter().find(|(known, _)| *known == flaw).map(|(_, seed)| *seed);
    let seeds = first.into_iter().chain(0..SEEDS_MAX);
    seeds.map(|seed| play(Plan::of(seed), Some(flaw))).find(|report| report.failure.is_some())
}
