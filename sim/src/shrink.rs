//! A failing seed in its smallest form: fewer transfers and fewer kinds of fault, and still the same rule is broken.

use failpoints::Flaw;

use crate::plan::Plan;
use crate::run::{Report, play};

/// Plays at most so many times.
const TRIES_MAX: u32 = 60;

/// Leaves out what the failure does not need. Each step must break the same rule.
pub fn shrink(failed: Report, flaw: Option<Flaw>) -> Report {
    let Some((rule, _)) = failed.failure.clone() else { return failed };
    let (mut smallest, mut tries) = (failed, 0);
    let mut attempt = |plan: Plan, smallest: &mut Report| {
        tries += 1;
        let report = if tries <= TRIES_MAX { Some(play(plan, flaw)) } else { None };
        let fails = |report: &Report| report.failure.as_ref().is_some_and(|(broken, _)| *broken == rule);
        match report.filter(fails) {
            Some(report) => {
                *smallest = report;
                true
            }
            None => false,
        }
    };
    for fault in smallest.plan.faults.clone() {
        let mut plan = smallest.plan.clone();
        plan.faults.remove(&fault);
        attempt(plan, &mut smallest);
    }
    let mut fewer = smallest.plan.transfers / 2;
    while fewer > 0 && fewer < smallest.plan.transfers {
        let transfers = smallest.plan.transfers - fewer;
        if !attempt(Plan { transfers, ..smallest.plan.clone() }, &mut smallest) {
            fewer /= 2;
        }
    }
    smallest
}

/// The lines of a trace that are about what was broken: those that name the same entries, and whatever went wrong.
pub fn excerpt(report: &Report) -> Vec<&str> {
    const LINES_MAX: usize = 120;
    let Some((_, what)) = &report.failure else { return Vec::new() };
    let is_id = |word: &&str| word.len() == 4 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let ids: Vec<&str> = what.split_whitespace().filter(is_id).collect();
    let lines = report.trace.iter().map(String::as_str);
    let fault =
        |line: &str| ["! ", "dies", "starts", "stops for", "BROKEN", "calm"].iter().any(|mark| line.contains(mark));
    let told: Vec<&str> =
        lines.filter(|line| fault(line) || ids.is_empty() || ids.iter().any(|id| line.contains(id))).collect();
    let from = told.len().saturating_sub(LINES_MAX);
    told[from..].to_vec()
}
