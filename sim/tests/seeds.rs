//! What the simulator promises about itself. `dev/sim` plays many seeds and every flaw.

use failpoints::Flaw;
use locum_sim::fault::Fault;
use locum_sim::flaws::catch;
use locum_sim::plan::Plan;
use locum_sim::run::play;
use locum_sim::shrink::shrink;

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..7 {
        let (one, other) = (play(Plan::of(seed), None), play(Plan::of(seed), None));
        assert!(one.trace.len() > 50, "nothing happens in seed {seed}");
        assert_eq!((&one.trace, &one.digest), (&other.trace, &other.digest), "seed {seed}");
        assert_eq!(one.failure, None, "seed {seed}");
        assert_ne!(one.digest, play(Plan::of(seed + 7), None).digest);
    }
}

#[test]
fn a_flaw_is_caught_and_its_history_shrinks_to_one_that_breaks_the_same_rule() {
    let caught = catch(Flaw::SilenceIsNotSent).expect("a time-out that counts as not sent posts twice");
    let (rule, before) = (caught.failure.clone().unwrap().0, caught.plan.clone());
    let smallest = shrink(caught, Some(Flaw::SilenceIsNotSent));
    assert_eq!(smallest.failure.unwrap().0, rule);
    assert!(smallest.plan.faults.len() < before.faults.len() && smallest.plan.transfers <= before.transfers);
    assert!(smallest.plan.line().contains("--without"), "{}", smallest.plan.line());
}

#[test]
fn faults_are_known_by_their_words() {
    for fault in Fault::ALL {
        assert_eq!(Fault::parse(fault.as_str()), Some(*fault));
    }
    assert_eq!(Fault::parse("rain"), None);
}
