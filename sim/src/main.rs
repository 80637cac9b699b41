//! Plays seeds and says which of them break a rule.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use clap::Parser;
use failpoints::Flaw;
use locum_sim::coverage::Coverage;
use locum_sim::fault::Fault;
use locum_sim::flaws::{SEEDS_MAX, catch};
use locum_sim::plan::Plan;
use locum_sim::run::{Report, play};
use locum_sim::shrink::{excerpt, shrink};

/// From so many seeds on, all faults and moves must have been met.
const COVERED_FROM: u64 = 300;

const MORE: &str = "\
Each seed is a history of one bank: gateways and replayers on up to three hosts, each with its own clock, one SQL server, one core of
one of seven kinds, clients, operators, and faults. Real code of the write side runs in it; only time, chance, the SQL server and the
core are simulated. When all is quiet the judge compares the core's books, the journal and what clients were told.

  dev/sim --seeds 300              seeds 0 to 299; from 300 seeds on, every fault and every move of an entry must be met
  dev/sim --seeds 300 --from 5000  other seeds
  dev/sim --seed 42                one seed, with its whole trace
  dev/sim --seed 42 --transfers 9 --without deadlock,core-slow   the same history with less in it
  dev/sim --seed 42 --flaw absent-at-once                        the same with a flaw in production code
  dev/sim --flaws                  every flaw must be caught within 1,000 seeds

The same seed gives the same trace. A failing seed prints the rule it breaks, a line that repeats it, and the trace of its smallest form.";

/// Plays seeded histories of the write side and checks how they end.
#[derive(Parser)]
#[command(name = "dev/sim", after_help = MORE)]
struct Args {
    /// How many seeds to play.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Play this seed alone, and print its trace.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With so many transfers.
    #[arg(long, requires = "seed")]
    transfers: Option<usize>,
    /// Without these kinds of fault.
    #[arg(long, requires = "seed", value_delimiter = ',', value_parser = fault)]
    without: Vec<Fault>,
    /// With this flaw in production code.
    #[arg(long, requires = "seed", value_parser = flaw)]
    flaw: Option<Flaw>,
    /// Put in every flaw, one after the other; each must be caught.
    #[arg(long, conflicts_with_all = ["seeds", "from", "seed"])]
    flaws: bool,
}

fn fault(word: &str) -> Result<Fault, String> {
    let words: Vec<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
    Fault::parse(word).ok_or_else(|| format!("one of {}", words.join(", ")))
}

fn flaw(word: &str) -> Result<Flaw, String> {
    let words: Vec<&str> = Flaw::ALL.iter().map(|flaw| flaw.as_str()).collect();
    Flaw::ALL.iter().copied().find(|flaw| flaw.as_str() == word).ok_or_else(|| format!("one of {}", words.join(", ")))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let fine = match args.seed {
        Some(seed) => one(seed, &args),
        None if args.flaws => flaws(),
        None => many(args.from, args.seeds),
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, args: &Args) -> bool {
    let mut plan = Plan::of(seed);
    plan.transfers = args.transfers.unwrap_or(plan.transfers);
    plan.faults.retain(|fault| !args.without.contains(fault));
    let report = play(plan, args.flaw);
    report.trace.iter().for_each(|line| println!("{line}"));
    println!("core {:?}, {} hosts, digest {}", report.plan.class, report.plan.hosts, report.digest);
    match &report.failure {
        Some((rule, what)) => println!("seed {seed} breaks {rule}: {what}"),
        None => println!("seed {seed} breaks no rule"),
    }
    report.failure.is_none()
}

fn many(from: u64, count: u64) -> bool {
    let begun = Instant::now();
    let (coverage, failed) = (Mutex::new((Coverage::default(), Duration::ZERO)), Mutex::new(BTreeMap::new()));
    on_all_cores(count, |n| {
        let report = play(Plan::of(from + n), None);
        let mut covered = coverage.lock().unwrap_or_else(PoisonError::into_inner);
        covered.0.add(&report);
        covered.1 += report.simulated;
        drop(covered);
        if report.failure.is_some() {
            failed.lock().unwrap_or_else(PoisonError::into_inner).insert(from + n, report);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (coverage, simulated) = coverage.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failures = failed.len();
    failed.into_values().take(3).for_each(|report| tell(report, None));
    let mut fine = failures == 0;
    if count >= COVERED_FROM {
        let missing = [
            ("a kind of fault never happened", coverage.faults_missing().join(", ")),
            ("a move of an entry was never made", coverage.moves_missing().join(", ")),
            ("a move was made that is said not to happen here", coverage.moves_unexpected().join(", ")),
        ];
        for (what, which) in missing.into_iter().filter(|(_, which)| !which.is_empty()) {
            println!("not covered: {what}: {which}");
            fine = false;
        }
    }
    println!(
        "{count} seeds, {failures} failed; {}; {} s of simulated time in {} s",
        coverage.summary(),
        simulated.as_secs(),
        begun.elapsed().as_secs()
    );
    fine
}

/// Says what a seed broke, how to repeat it, and its shortest story.
fn tell(report: Report, flaw: Option<Flaw>) {
    let seed = report.plan.seed;
    let told =
        |report: &Report| report.failure.as_ref().map_or(String::new(), |(rule, what)| format!("{rule}: {what}"));
    println!("seed {seed} breaks {}\n  repeat it: {}", told(&report), report.plan.line());
    let smallest = shrink(report, flaw);
    println!("  its smallest form: {}\n  breaks {}", smallest.plan.line(), told(&smallest));
    excerpt(&smallest).iter().for_each(|line| println!("    {line}"));
}

fn flaws() -> bool {
    let begun = Instant::now();
    let told = Mutex::new(BTreeMap::new());
    on_all_cores(Flaw::ALL.len() as u64, |n| {
        let Some(flaw) = usize::try_from(n).ok().and_then(|n| Flaw::ALL.get(n)) else { return };
        let caught = catch(*flaw).map(|report| (report.plan.seed, report.failure));
        match &caught {
            Some((seed, Some((rule, what)))) => println!("{:<24} caught by seed {seed}: {rule}: {what}", flaw.as_str()),
            _ => println!("{:<24} NOT CAUGHT by {SEEDS_MAX} seeds", flaw.as_str()),
        }
        told.lock().unwrap_or_else(PoisonError::into_inner).insert(*flaw, caught);
    });
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let caught = told.values().flatten().count();
    println!("{caught} of {} flaws caught in {} s", told.len(), begun.elapsed().as_secs());
    caught == told.len()
}

/// Does it for every number below `count`, on as many threads as there are cores. A history never leaves its thread.
fn on_all_cores(count: u64, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    work(n);
                }
            });
        }
    });
}
