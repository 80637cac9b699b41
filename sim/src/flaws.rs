//! The proof that the judge sees: each flaw in production code is caught.

use failpoints::Flaw;

use crate::plan::Plan;
use crate::run::{Report, play};

/// Seeds played for one flaw, at most.
pub const SEEDS_MAX: u64 = 1_000;

/// A seed that catches each flaw, so that few are played. When a history changes, the next seeds are tried.
const CATCHES: &[(Flaw, u64)] = &[
    (Flaw::RefusalAlwaysSettles, 432),
    (Flaw::ResendIsAlone, 432),
    (Flaw::AbsentAtOnce, 16),
    (Flaw::ResendPastLower, 33),
    (Flaw::MemoryIsForEver, 165),
    (Flaw::AcceptedWithoutPlace, 24),
    (Flaw::PromiseBroken, 28),
    (Flaw::KnownIsFresh, 11),
    (Flaw::OutcomeDropped, 69),
    (Flaw::WorkersAreOrphans, 263),
    (Flaw::UnrecordedIsUnsent, 156),
];

/// The first seed that catches the flaw, with its report, beginning where it was caught last.
pub fn catch(flaw: Flaw) -> Option<Report> {
    let first = CATCHES.iter().find(|(known, _)| *known == flaw).map(|(_, seed)| *seed);
    let seeds = first.into_iter().chain(0..SEEDS_MAX);
    seeds.map(|seed| play(Plan::of(seed), Some(flaw))).find(|report| report.failure.is_some())
}
