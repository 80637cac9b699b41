//! A model of the write protocol, checked exhaustively (`docs/invariants.md`; what it changed: ADR 0010).
//!
//! The model **calls** the decision functions that the journal, the gateway and the replayer call (`weigh`, `lane_place`, `delta`,
//! `may_go_direct`, `gives_back`, `may_replay`, `releases`, `serves`, `resolve`, `remembers`, `refusal_settles`, `not_sent`, `may_decline`, `mark`, `Ages`, `TransactionPlace::includes`,
//! `TransactionPlace::first_of`, `OpenDebits::let_pass`); what it adds is who calls them when, and
//! everything that can go wrong in between.
//!
//! **One action is one atomic step of one party**: an SQL transaction, the bytes leaving, the core taking a request up, a record, an
//! applied core transaction. Parties run in any order, so *pausing* a process (SIGSTOP, a full run queue, a slow network) needs no
//! action: it is a party that takes no step for a while and then goes on from where it was. A lease can therefore run out under any
//! holder at any time. *Crashing* is an action, bounded; the identity of an instance is taken over only after its process died.
//!
//! **Clocks.** Every host has its own (`Locum::clocks`), and the SQL server's may be set back. No step of the protocol as it is reads
//! the difference of two of them; the variants that do are caught.
//!
//! **Abstractions.** A write is its key and its id. Time is two facts per entry, *the lifetime has passed since every attempt ended* and
//! *the declared memory less the margin is over*, that become numbers only when handed to `resolve` and `remembers`. A message belongs to
//! its waiting sender, or is a stray of its entry when the sender ended; strays may be taken up at any time until the lifetime passed.
//! Admission and its retry on a lost COMMIT are one step unless the gateway gives up or dies. Recording an outcome and answering the client
//! are one step: what lies between can only order fewer requests. A retry that finds a terminal entry changes nothing and is left out.
//!
//! **Not modelled**: rules and limits (`proptest`), commutative accounts, the global lane, sagas, reversals, generations of the log where
//! postings have numbers, parked rows, absence by watermark, the expiry of keys, four eyes, a claim whose COMMIT lands late (its attempt row then stands like
//! that of a late admission, which is modelled), more than one unfinished task of one replayer on one entry. A run is
//! claimed entry by entry, which allows more than the one commit that claims it.
//!
//! **Production has and the model has not**: `despite_booked_leg` (`journal/workset.rs`), by which an entry with a leg in the core's books
//! is neither sent nor taken back. Stand-in's rules say yes or no as the composition likes.
//!
//! `LOCUM_MODEL=full` checks larger fault budgets (a soak: tens of minutes, several GB).

mod model {
    pub mod actions;
    pub mod compositions;
    pub mod journal;
    pub mod places;
    pub mod properties;
    pub mod state;
    pub mod steps;
    pub mod variants;
}

use std::collections::BTreeSet;
use std::time::Instant;

use model::compositions::{
    NO_FAULTS, abandoned, balance_first, by_transaction, chained_runs, credit_apart, one_write, retries, row_by_row,
    runs, takeover, three_writes, turns,
};
use model::properties::{AGREE, DAY, KEPT, M2, ONWARD, R1, R2, TURN, W1, W2, W3, W4, W5, W7};
use model::state::Budget;
use model::variants::Class::{self, Both, Enquiry, Memory, Neither};
use model::variants::{Locum, Unnumbered, Variant};
use stateright::{Checker, HasDiscoveries, Model};

/// Larger budgets, for a soak.
fn full() -> bool {
    std::env::var("LOCUM_MODEL").is_ok_and(|level| level == "full")
}

/// Explores every reachable state and demands every property.
fn holds(name: &str, locum: Locum) {
    let (class, started) = (locum.class, Instant::now());
    let checker = locum.checker().spawn_bfs().join();
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    println!(
        "{name}, {class:?}: {states} states, {steps} steps, depth {}, {:.1?}",
        checker.max_depth(),
        started.elapsed()
    );
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            stateright::Expectation::Sometimes => {
                assert!(found.is_some(), "{name}, {class:?}: never: {}", property.name)
            }
            _ => {
                if let Some(path) = found {
                    panic!("{name}, {class:?}: {} is violated by\n{}", property.name, told(&path));
                }
            }
        }
    }
}

/// An execution, one step a line.
fn told(path: &stateright::Path<model::state::State, model::actions::Action>) -> String {
    let steps = path.clone().into_actions().into_iter().map(|action| format!("    {action:?}\n"));
    steps.collect::<String>() + &format!("{:#?}", path.last_state())
}

/// A variant must violate each of these properties.
fn caught(variant: Variant, locum: Locum, properties: &[&'static str]) {
    for property in properties {
        let only = HasDiscoveries::AnyOf(BTreeSet::from([*property]));
        let checker = locum.clone().breaking(variant).checker().finish_when(only).spawn_bfs().join();
        let Some(path) = checker.discovery(property) else {
            panic!("{variant:?} does not violate {property} ({} states)", checker.unique_state_count());
        };
        println!("{variant:?} violates {property}:");
        for action in path.into_actions() {
            println!("    {action:?}");
        }
    }
}

fn classes() -> [Class; 4] {
    [Memory, Enquiry, Both, Neither]
}

const CRASH: Budget = Budget { crashes: 1, ..NO_FAULTS };
const LOSS: Budget = Budget { losses: 1, ..NO_FAULTS };

#[test]
fn one_write_survives_every_fault_at_once() {
    for class in classes() {
        holds("one write", one_write(class));
    }
}

#[test]
fn a_submission_given_up_for_abandoned_while_its_sender_lives_ends_as_the_core_says() {
    for class in classes() {
        holds("abandoned", abandoned(class));
        let more = Budget { abandons: 1, refusals: 2, ..LOSS };
        holds("abandoned, two refusals", abandoned(class).with(more));
    }
}

#[test]
fn what_was_not_sent_and_stand_in_would_decline_is_decided_by_the_core_or_while_it_is_away() {
    for class in classes() {
        let faults = Budget { declines: 2, refusals: 1, ..LOSS };
        holds("one write that does not fit", one_write(class).with(Budget { crashes: 1, takeovers: 1, ..faults }));
        holds("retries of what does not fit", retries(class, Budget { declines: 1, ..LOSS }));
    }
}

#[test]
fn what_waits_for_its_turn_uses_a_day_only_as_long_as_a_promise_of_stand_in_stands() {
    for class in classes() {
        holds("turns", turns(class, Budget { refusals: 1, ..LOSS }));
        holds("turns, cancelled and crashed", turns(class, Budget { cancels: 1, ..CRASH }));
    }
}

#[test]
fn what_waits_for_its_turn_and_is_charged_for_it_is_found() {
    caught(Variant::TurnIsPromised, turns(Memory, NO_FAULTS), &[TURN]);
}

#[test]
fn a_day_that_keeps_what_was_reserved_or_gives_it_back_twice_is_found() {
    caught(Variant::ReservedForGood, turns(Memory, NO_FAULTS), &[DAY]);
    caught(Variant::GivenBackTwice, turns(Memory, NO_FAULTS), &[DAY]);
}

#[test]
fn what_was_accepted_is_not_declined() {
    caught(Variant::DeclinesAccepted, retries(Memory, Budget { declines: 1, ..NO_FAULTS }), &[KEPT]);
}

#[test]
fn what_waits_for_the_core_and_is_answered_unmarked_loses_its_place() {
    caught(Variant::RetryLeavesDirect, retries(Memory, Budget { declines: 1, ..NO_FAULTS }), &[R1]);
}

#[test]
fn a_key_retried_through_another_gateway_is_one_write_in_order() {
    for class in classes() {
        let budget = Budget { crashes: 1, losses: 1, ..NO_FAULTS };
        holds("retries", retries(class, budget));
        holds("retries, lost commits", retries(class, Budget { commits: 1, cancels: 1, refusals: 1, ..CRASH }));
        if full() {
            holds("retries, full", retries(class, Budget { losses: 1, commits: 1, refusals: 1, ..CRASH }));
        }
    }
}

#[test]
fn three_writes_over_two_accounts_stay_in_order() {
    for class in classes() {
        holds("three writes, a loss", three_writes(class, LOSS));
        holds("three writes, a loss, a credit without a place", credit_apart(class, LOSS));
        holds("three writes, a crash", three_writes(class, CRASH));
        if !class.remembers() {
            holds("three writes, a crash and a loss", three_writes(class, Budget { losses: 1, ..CRASH }));
        }
        if full() {
            holds("three writes, full", three_writes(class, Budget { losses: 1, refusals: 1, ..CRASH }));
        }
    }
}

#[test]
fn a_replayer_that_lost_its_lease_harms_nothing() {
    for class in classes() {
        holds("takeover, a loss", takeover(class, Budget { takeovers: 1, ..LOSS }));
        holds("takeover, a crash", takeover(class, Budget { takeovers: 1, ..CRASH }));
        if !class.remembers() {
            let all = Budget { losses: 1, takeovers: 2, refusals: 1, cancels: 1, ..CRASH };
            holds("takeover, every fault", takeover(class, all));
        }
        if full() {
            holds("takeover, full", takeover(class, Budget { takeovers: 1, losses: 1, refusals: 1, ..CRASH }));
        }
    }
}

#[test]
fn what_is_claimed_behind_another_entry_stays_in_order() {
    for class in classes() {
        holds("runs, a loss and a refusal", runs(class, Budget { refusals: 1, ..LOSS }));
        holds("runs, a crash", runs(class, Budget { refusals: 1, ..CRASH }));
        holds("runs, a takeover", runs(class, Budget { takeovers: 1, ..LOSS }));
        holds("chained runs", chained_runs(class, LOSS));
        if full() {
            holds("runs, full", runs(class, Budget { takeovers: 1, losses: 1, refusals: 1, ..CRASH }));
        }
    }
}

#[test]
fn a_run_that_goes_on_past_what_is_not_decided_is_out_of_order() {
    caught(Variant::RunGoesOn, runs(Memory, NO_FAULTS), &[R1]);
    caught(Variant::ResendPastLower, runs(Memory, CRASH), &[R1]);
    // The core refuses, the sender dies before that is recorded, and the entry is sent once more.
    caught(Variant::RunPassesRefusals, runs(Memory, Budget { refusals: 1, ..CRASH }), &[R1]);
}

#[test]
fn a_hold_counts_until_the_served_balance_includes_it() {
    for class in classes() {
        holds("row by row", row_by_row(class, LOSS));
        holds("balance first", balance_first(class, LOSS));
    }
}

/// A core that writes the balance once in a transaction, behind the posting.
const ONCE: Unnumbered = Unnumbered { wal: false, balance_first: false, stepwise: false };

#[test]
fn without_numbers_a_hold_counts_until_a_balance_of_its_transaction_or_of_a_later_one_is_served() {
    for class in classes() {
        holds("by source transaction", by_transaction(class, ONCE, LOSS));
    }
    for balance_first in [true, false] {
        let stepwise = Unnumbered { balance_first, stepwise: true, ..ONCE };
        holds("by source transaction, stepwise", by_transaction(Memory, stepwise, LOSS));
        holds(
            "by source transaction of PostgreSQL",
            by_transaction(Enquiry, Unnumbered { wal: true, ..stepwise }, LOSS),
        );
    }
}

#[test]
fn without_numbers_a_hold_counts_once_across_a_new_snapshot() {
    let snapshot = Budget { snapshots: 1, ..LOSS };
    for wal in [false, true] {
        let shape = Unnumbered { wal, stepwise: true, ..ONCE };
        holds("by source transaction, a new snapshot", by_transaction(Neither, shape, snapshot));
    }
    if full() {
        let crash = Budget { crashes: 1, refusals: 1, ..snapshot };
        holds("by source transaction, full", by_transaction(Both, ONCE, crash));
    }
}

#[test]
fn without_numbers_the_place_in_the_log_does_not_tell_what_a_balance_includes() {
    let balance_first = Unnumbered { balance_first: true, ..ONCE };
    caught(Variant::PositionAlone, by_transaction(Memory, balance_first, NO_FAULTS), &[M2]);
}

#[test]
fn without_numbers_a_balance_that_does_not_wait_counts_a_debit_twice() {
    caught(Variant::BalanceRunsAhead, by_transaction(Memory, ONCE, NO_FAULTS), &[M2]);
}

#[test]
fn the_first_of_several_balances_of_one_transaction_shows_money_that_is_gone() {
    let stepwise = Unnumbered { stepwise: true, ..ONCE };
    caught(Variant::FirstOfTransaction, by_transaction(Memory, stepwise, NO_FAULTS), &[M2]);
}

#[test]
fn a_shadow_whose_balances_run_ahead_of_their_postings_counts_a_debit_twice_once_it_is_served() {
    let snapshot = Budget { snapshots: 1, ..NO_FAULTS };
    caught(Variant::ShadowDoesNotWait, by_transaction(Memory, ONCE, snapshot), &[M2]);
}

#[test]
fn a_posting_that_is_booked_where_its_row_changed_last_counts_twice() {
    caught(Variant::LatestPlace, by_transaction(Memory, ONCE, NO_FAULTS), &[M2]);
}

#[test]
fn without_an_intent_row_bytes_leave_for_nothing() {
    caught(Variant::NoIntentRow, retries(Neither, CRASH), &[W3, W2]);
}

#[test]
fn without_fencing_a_stale_replayer_marks() {
    caught(Variant::NoFencing, takeover(Memory, Budget { takeovers: 1, ..LOSS }), &[R2]);
}

#[test]
fn a_hold_that_ends_with_the_answer_shows_money_twice() {
    caught(Variant::EarlyRelease, retries(Memory, NO_FAULTS), &[M2]);
}

#[test]
fn a_balance_that_runs_ahead_of_its_postings_counts_a_debit_twice() {
    caught(Variant::BalanceRunsAhead, balance_first(Memory, NO_FAULTS), &[M2]);
}

#[test]
fn a_record_by_state_alone_overwrites_another_attempt() {
    let faults = Budget { crashes: 1, commits: 1, losses: 1, ..NO_FAULTS };
    caught(Variant::RecordByStateOnly, one_write(Enquiry).with(faults), &[W2, W5, AGREE]);
}

#[test]
fn a_direct_write_past_an_ordered_lane_is_out_of_order() {
    caught(Variant::DirectIgnoresOrdered, retries(Memory, NO_FAULTS), &[R1]);
}

#[test]
fn fencing_only_keeps_stale_senders_from_marking() {
    // What keeps a stale sender from posting twice is its open attempt row, not the token (ADR 0010).
    let locum = takeover(Both, Budget { takeovers: 1, ..LOSS }).breaking(Variant::NoFencing);
    let checker = locum.checker().spawn_bfs().join();
    assert_eq!(checker.discoveries().into_keys().collect::<Vec<_>>(), [R2]);
}

#[test]
fn order_would_survive_a_replay_that_does_not_wait_for_direct_writes() {
    // Not a broken variant: who was not answered yet has no place to lose. The rule is stricter than R1 needs (ADR 0010).
    holds("replay past direct", three_writes(Both, LOSS).breaking(Variant::ReplayIgnoresDirect));
}

#[test]
fn a_lease_that_ran_out_proves_nothing() {
    let takeover = one_write(Enquiry).with(Budget { takeovers: 1, ..NO_FAULTS });
    caught(Variant::LeaseAsProof, takeover, &[W2, W5, AGREE]);
}

#[test]
fn a_look_up_does_not_decide_who_was_first() {
    caught(Variant::LookUpInsteadOfIndex, retries(Memory, NO_FAULTS), &[W7]);
}

#[test]
fn not_found_proves_nothing_before_the_lifetime_has_passed() {
    caught(Variant::NotFoundAtOnce, one_write(Enquiry), &[W2, W5, W4, AGREE]);
}

#[test]
fn not_found_says_nothing_of_an_attempt_that_came_after_it() {
    caught(Variant::NotFoundOutlivesResend, one_write(Enquiry), &[W2, W5]);
}

#[test]
fn a_blind_resend_posts_twice_where_nothing_is_remembered() {
    caught(Variant::BlindResend, one_write(Neither), &[W2, W5]);
    caught(Variant::BlindResend, one_write(Enquiry), &[W2, W5]);
}

#[test]
fn a_resend_past_the_declared_memory_posts_twice() {
    caught(Variant::ResendPastMemory, one_write(Memory), &[W2, W5]);
}

#[test]
fn a_resend_decided_in_time_and_sent_too_late_posts_twice() {
    caught(Variant::MemoryNotCheckedAtSend, one_write(Memory).with(LOSS), &[W2, W5]);
}

#[test]
fn a_memory_margin_without_the_lifetime_posts_twice() {
    caught(Variant::MarginWithoutLifetime, one_write(Memory).with(LOSS), &[W2, W5]);
}

#[test]
fn a_time_out_is_not_a_proof_that_nothing_was_sent() {
    caught(Variant::TimeoutAsNotSent, one_write(Neither), &[W2, W5, W4, AGREE]);
}

#[test]
fn a_retry_answered_on_an_unmarked_submission_loses_its_place() {
    caught(Variant::RetryLeavesDirect, retries(Memory, NO_FAULTS), &[R1]);
}

#[test]
fn a_refusal_of_one_attempt_is_no_failure_while_another_may_post() {
    let faults = Budget { refusals: 1, ..LOSS };
    caught(Variant::AnyRefusalSettles, one_write(Memory).with(faults), &[W4, AGREE]);
    caught(Variant::AnyRefusalSettles, one_write(Both).with(faults), &[W4]);
}

#[test]
fn a_gateways_late_refusal_is_no_failure_while_a_resend_may_post() {
    let faults = Budget { abandons: 1, refusals: 1, ..NO_FAULTS };
    for class in [Memory, Both] {
        caught(Variant::GatewayRefusalSettles, abandoned(class).with(faults), &[W4, AGREE]);
    }
}

#[test]
fn the_stamp_of_another_host_says_nothing_on_ones_own_clock() {
    caught(Variant::StampsCompared, abandoned(Enquiry).with(LOSS), &[W2, W5]);
}

#[test]
fn one_clock_that_is_set_back_makes_an_attempt_younger_than_the_cores_memory() {
    let faults = Budget { set_backs: 1, ..LOSS };
    caught(Variant::AgeByOneClock, abandoned(Memory).with(faults), &[W2, W5]);
}

#[test]
fn an_identity_taken_over_once_forgets_commits_that_land_later() {
    caught(Variant::ProofOnce, one_write(Memory).with(Budget { commits: 1, ..CRASH }), &[W1, ONWARD]);
}

#[test]
fn a_stale_sender_that_records_nothing_leaves_its_entry_to_nobody() {
    caught(Variant::StaleEndsNothing, one_write(Memory).with(Budget { takeovers: 1, refusals: 1, ..NO_FAULTS }), &[W1]);
}

#[test]
fn a_gateway_that_forgets_an_unknown_commit_leaves_its_entry_to_nobody() {
    caught(Variant::UnsureForgets, one_write(Memory).with(Budget { commits: 1, ..NO_FAULTS }), &[W1, ONWARD]);
}
