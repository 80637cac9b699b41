//! The invariants of `docs/invariants.md`, by their names, and what must be reachable lest they hold of nothing.

use locum_standin::lane::{Lane, LanePlace, PlacedLeg, delta};
use schemas::entry::{EntryState, LegKind};
use stateright::{Model, Property};

use super::state::{ACCOUNTS, Asked, Attempt, Charge, Reply, State, Task};
use super::variants::{Class, Locum, Variant};

/// Somebody alive, or the proof of a death to come, answers for every submission.
pub const W1: &str = "W1 somebody answers for every attempt";
/// Every entry that has not ended has a next step.
pub const ONWARD: &str = "W1 no entry is left without a next step";
/// At most one posting per reference and leg.
pub const W2: &str = "W2 at most one posting per reference";
/// Intent before bytes.
pub const W3: &str = "W3 intent is durable before a byte is sent";
/// What ended without a posting was not posted.
pub const W4: &str = "W4 nothing that was posted is reported as failed";
/// What is reported as done is done.
pub const DONE: &str = "W4 nothing is reported as posted that was not";
/// No second request while one may still take effect.
pub const W5: &str = "W5 an unknown outcome is not resent without proof";
/// One entry per key.
pub const W7: &str = "W6 W7 one entry per key";
/// What was accepted is the core's to decide.
pub const KEPT: &str = "W1 what was accepted is not declined";
/// Order of the core's postings.
pub const R1: &str = "R1 what was answered before a request is posted before it";
/// Stale senders write no outcome.
pub const R2: &str = "R2 a stale sender does not mark";
/// Each debit once.
pub const M2: &str = "M2 a debit counts exactly once";
/// What a promise uses of a day.
pub const DAY: &str = "M1 each promise counts once, and until the core decides where it was there";
/// Order alone uses nothing.
pub const TURN: &str = "M1 what only waits for its turn is not charged unless it is promised";
/// Lane columns.
pub const LANES: &str = "lanes equal what their entries imply";
/// No contradiction.
pub const AGREE: &str = "core and journal never contradict each other";

type Condition = fn(&Locum, &State) -> bool;

fn always(name: &'static str, condition: Condition) -> Property<Locum> {
    Property::always(name, condition)
}

fn sometimes(name: &'static str, condition: Condition) -> Property<Locum> {
    Property::sometimes(name, condition)
}

/// All properties that make sense for a configuration.
pub fn all(locum: &Locum) -> Vec<Property<Locum>> {
    let mut all = vec![
        always(W1, answered_for),
        always(W2, |locum, s| (0..locum.writes.len()).all(|w| s.core.count(w) <= 1) && !s.breach),
        always(W3, |_, s| !s.told.no_intent),
        always(W4, |_, s| entries(s).all(|(w, e)| !failed(e.state) || s.core.count(w) == 0)),
        always(DONE, |_, s| {
            entries(s)
                .all(|(w, e)| !matches!(e.state, EntryState::Posted | EntryState::Confirmed) || s.core.count(w) > 0)
        }),
        always(W5, one_request_at_a_time),
        always(W7, |_, s| s.told.twice == 0),
        always(KEPT, |_, s| !s.told.taken_back),
        always(R1, in_order),
        always(R2, |_, s| !s.told.stale_mark),
        always(M2, each_debit_once),
        always(DAY, days_agree),
        always(TURN, |_, s| entries(s).all(|(w, e)| !waits_for_its_turn(e) || s.told.accepted & (1 << w) != 0)),
        always(LANES, lanes_agree),
        always(AGREE, |_, s| entries(s).all(|(_, e)| !e.contradicted)),
    ];
    if locum.writes.len() == 1 {
        // Asks for every successor, so only where states are few.
        all.push(always(ONWARD, |locum, s| {
            entries(s).all(|(_, e)| e.state.is_terminal()) || locum.next_steps(s).next().is_some()
        }));
    }
    if locum.variant == Variant::Correct {
        all.extend(reachable(locum));
    }
    all
}

fn reachable(locum: &Locum) -> Vec<Property<Locum>> {
    let mut some = vec![
        sometimes("everything ends confirmed", |locum, s| {
            (0..locum.writes.len())
                .all(|w| s.journal[w].is_some_and(|e| e.state == EntryState::Confirmed && e.absorbed))
        }),
        sometimes("a late request of an unknown outcome is posted", |_, s| {
            entries(s).any(|(w, e)| e.state == EntryState::OutcomeUnknown && s.core.count(w) > 0)
        }),
        sometimes("change data confirms what no answer had told", |locum, s| {
            entries(s).any(|(w, e)| {
                e.state == EntryState::Confirmed && locum.about(w).any(|slot| matches!(s.tasks[slot], Task::Sent(_)))
            })
        }),
    ];
    if locum.writes.len() > 1 {
        some.push(sometimes("an unknown outcome closes its lanes", |_, s| {
            entries(s).any(|(_, e)| e.state == EntryState::OutcomeUnknown)
                && entries(s).any(|(_, e)| e.state == EntryState::Queued)
        }));
        some.push(sometimes("two direct writes of one account are in flight", |_, s| {
            s.lanes.iter().any(|lane| lane.direct > 1)
        }));
    }
    if (0..locum.writes.len()).any(|w| locum.about(w).filter(|s| !locum.slots[*s].replayer).count() > 1) {
        some.push(sometimes("a retry marks a submission ordered", |locum, s| {
            entries(s).any(|(w, e)| {
                e.state == EntryState::Submitting
                    && e.ordered
                    && locum.about(w).all(|slot| !locum.slots[slot].replayer || s.attempts[slot] == Attempt::None)
            })
        }));
    }
    if locum.days {
        some.push(sometimes("a promise with the core there is given back", |_, s| {
            entries(s).any(|(_, e)| e.charge == Some(Charge::Reserved) && e.state == EntryState::Confirmed)
        }));
        some.push(sometimes("what waits for its turn stands behind a promise", |_, s| {
            entries(s).any(|(_, e)| e.charge == Some(Charge::Kept) && e.attempts == 0)
                && entries(s).any(|(_, e)| e.charge.is_none() && e.state == EntryState::Queued)
        }));
    }
    if locum.balance_first {
        some.push(sometimes("a balance waits for its posting", |_, s| s.served.iter().any(|b| b.ahead.is_some())));
    }
    if locum.unnumbered.is_some() {
        some.push(sometimes("a balance waits for the rest of its transaction", |locum, s| {
            (0..ACCOUNTS).any(|account| s.waits_for_the_rest(locum, account))
        }));
        some.push(sometimes("one transaction books two requests", |_, s| s.core.has_coalesced()));
    }
    if locum.budget.snapshots > 0 {
        some.push(sometimes("a new generation is served beside a hold", |_, s| {
            let is_swapped = s.snapshot.is_some() && s.shadow.is_none();
            is_swapped && entries(s).any(|(_, e)| e.state.holds() && !e.absorbed)
        }));
        some.push(sometimes("a balance waits in a shadow", |locum, s| {
            s.shadow.is_some() && (0..ACCOUNTS).any(|account| s.waits(locum, account))
        }));
    }
    if locum.budget.commits > 0 {
        some.push(sometimes("an admission lands after its gateway died", |_, s| {
            s.attempts.contains(&Attempt::Orphaned) && s.budget.commits == 0 && s.told.waiting == 0
        }));
    }
    if locum.runs {
        some.push(sometimes("an entry is under way before the one before it is recorded", |locum, s| {
            let of =
                |instance, task: &dyn Fn(Task) -> bool| locum.of(instance).filter(|slot| task(s.tasks[*slot])).count();
            let under_way = |task| matches!(task, Task::Sent(_));
            let heard = |task| task == Task::Sent(Reply::Posted);
            locum.replayers.clone().any(|instance| of(instance, &under_way) > 1 && of(instance, &heard) > 0)
        }));
    }
    if locum.class != Class::Memory {
        some.push(sometimes("an outcome is parked", parked));
    }
    if locum.class.remembers() {
        some.push(sometimes("an outcome is sent again", |locum, s| {
            entries(s).any(|(w, e)| {
                let to_send = |slot: usize| matches!(s.tasks[slot], Task::ToSend { .. }) && locum.slots[slot].replayer;
                e.state == EntryState::OutcomeUnknown && locum.about(w).any(to_send)
            })
        }));
        some.push(sometimes("the core answers a second request with the first posting", |locum, s| {
            (0..locum.writes.len()).any(|w| {
                locum.about(w).filter(|slot| s.tasks[*slot] == Task::Sent(Reply::Posted)).count() > 0
                    && entries(s).any(|(x, e)| x == w && e.attempts > 1)
            })
        }));
    }
    if locum.class.answers() {
        some.push(sometimes("absence is proven", |_, s| {
            entries(s).any(|(_, e)| e.state == EntryState::Queued && e.not_found == Some(Asked::Late))
        }));
        some.push(sometimes("a late request is posted after not found", |_, s| {
            entries(s).any(|(w, e)| e.not_found == Some(Asked::Early) && s.core.count(w) > 0)
        }));
    }
    if locum.budget.crashes > 0 {
        some.push(sometimes("a restart proves attempts ended", |_, s| {
            s.budget.crashes == 0 && entries(s).any(|(_, e)| !e.quiet && e.state == EntryState::OutcomeUnknown)
        }));
    }
    if locum.budget.takeovers > 0 {
        some.push(sometimes("a stale sender still sends", |_, s| {
            (0..s.tasks.len()).any(|slot| s.stale & (1 << slot) != 0 && matches!(s.tasks[slot], Task::Sent(_)))
        }));
    }
    if locum.budget.refusals > 0 {
        some.push(sometimes("a write is refused", |_, s| entries(s).any(|(_, e)| e.state == EntryState::Refused)));
    }
    if locum.budget.abandons > 0 {
        some.push(sometimes("a sender is at work on what was given up for abandoned", |locum, s| {
            entries(s).any(|(w, e)| {
                e.state == EntryState::OutcomeUnknown
                    && locum.about(w).any(|slot| {
                        !locum.slots[slot].replayer && s.attempts[slot] == Attempt::Open && s.alive & 1 != 0
                    })
            })
        }));
    }
    if locum.budget.declines > 0 {
        some.push(sometimes("what waits for the core alone is posted", |locum, s| {
            entries(s).any(|(w, e)| {
                let replayed = |slot: usize| locum.slots[slot].replayer && s.tasks[slot] == Task::Sent(Reply::Posted);
                e.state == EntryState::Submitting && !e.ordered && locum.about(w).any(replayed)
            })
        }));
        some.push(sometimes("what waits for the core alone is declined", |_, s| {
            entries(s).any(|(_, e)| e.state == EntryState::Declined)
        }));
    }
    if locum.budget.cancels > 0 {
        some.push(sometimes("a write is cancelled", |_, s| entries(s).any(|(_, e)| e.state == EntryState::Cancelled)));
    }
    some
}

impl Locum {
    /// What can happen and changes something.
    fn next_steps<'a>(&'a self, state: &'a State) -> impl Iterator<Item = State> + 'a {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.into_iter().filter_map(|action| self.next_state(state, action))
    }
}

fn parked(_: &Locum, state: &State) -> bool {
    entries(state).any(|(_, e)| e.state == EntryState::Parked)
}

fn entries(state: &State) -> impl Iterator<Item = (usize, &super::state::Entry)> {
    state.journal.iter().enumerate().filter_map(|(write, entry)| Some((write, entry.as_ref()?)))
}

/// States that a channel sees as FAILED or CANCELLED.
fn failed(state: EntryState) -> bool {
    state.is_terminal() && state != EntryState::Confirmed
}

/// An open attempt has a living owner at work on it or a death that can be proven; a submission has an open attempt.
fn answered_for(locum: &Locum, state: &State) -> bool {
    let owned = |slot: usize| match state.attempts[slot] {
        Attempt::None => true,
        Attempt::Open => {
            matches!(state.tasks[slot], Task::ToSend { .. } | Task::Behind | Task::Sent(_) | Task::Disowned)
        }
        Attempt::Orphaned => {
            let dead = state.alive & (1 << locum.slots[slot].instance) == 0;
            dead || !locum.breaks(Variant::ProofOnce)
        }
    };
    (0..locum.slots.len()).all(owned)
        && entries(state).all(|(write, entry)| {
            entry.state != EntryState::Submitting || locum.about(write).any(|s| state.attempts[s] != Attempt::None)
        })
}

/// Where the core does not (any more) recognise a reference, at most one request or posting of it exists.
fn one_request_at_a_time(locum: &Locum, state: &State) -> bool {
    (0..locum.writes.len()).all(|write| {
        let recognised = locum.class.remembers() && state.core.forgot & (1 << write) == 0;
        let waiting = locum.about(write).filter(|s| state.tasks[*s] == Task::Sent(Reply::Pending)).count();
        recognised || waiting + usize::from(state.strays[write]) + state.core.count(write) <= 1
    })
}

/// `before` forgets a pair as soon as the core posts it in order, so a pair of two postings was posted out of order.
fn in_order(_: &Locum, state: &State) -> bool {
    let posted = |w: usize| state.core.count(w) > 0;
    (0..state.told.before.len())
        .all(|y| !posted(y) || (0..state.told.before.len()).all(|x| state.told.before[y] & (1 << x) == 0 || !posted(x)))
}

/// Served booked balance less holds counts each accepted debit once, and credits when they are served.
fn each_debit_once(locum: &Locum, state: &State) -> bool {
    (0..ACCOUNTS).all(|account| {
        let debits: i64 = entries(state)
            .filter(|(w, e)| usize::from(locum.writes[*w].debit) == account && e.state.holds())
            .map(|(w, _)| locum.writes[w].amount)
            .sum();
        let credits: i64 = (state.core.postings().iter().map(|w| usize::from(*w)).enumerate())
            .filter(|(index, w)| {
                locum.writes[*w].credit == Some(account as u8)
                    && state.posting_no(locum, *index as u8, account) <= state.served[account].last_posting
            })
            .map(|(_, w)| locum.writes[w].amount)
            .sum();
        state.served[account].booked - state.lanes[account].held_minor == credits - debits
    })
}

/// Charged although no attempt was made and nothing is known but that it waits.
fn waits_for_its_turn(entry: &super::state::Entry) -> bool {
    entry.state == EntryState::Queued && entry.attempts == 0 && entry.charge.is_some()
}

/// The day of each account has used what its promises say.
fn days_agree(locum: &Locum, state: &State) -> bool {
    let decided = |s: EntryState| matches!(s, EntryState::Posted | EntryState::Confirmed | EntryState::Refused);
    let counts = |e: &super::state::Entry| match e.charge {
        Some(Charge::Reserved) => !decided(e.state),
        charge => charge.is_some(),
    };
    (0..ACCOUNTS).all(|account| {
        let debits = |w: usize| usize::from(locum.writes[w].debit) == account;
        let of_account = || entries(state).filter(|(w, e)| debits(*w) && counts(e));
        let usage = state.lanes[account].usage;
        usage.amount_minor == of_account().map(|(w, _)| locum.writes[w].amount).sum::<i64>()
            && usage.count == of_account().count() as i64
    })
}

/// The counters are what `delta` gives for every entry's whole life.
fn lanes_agree(locum: &Locum, state: &State) -> bool {
    (0..ACCOUNTS).all(|account| {
        let Lane { stopped, usage, .. } = state.lanes[account].clone();
        let mut lane = Lane { stopped, usage, ..Lane::default() };
        for (write, entry) in entries(state) {
            for (_, kind) in locum.legs(write).filter(|(a, _)| *a == account) {
                let absorbed = entry.absorbed && kind == LegKind::Debit;
                let (amount_minor, in_order) = (locum.writes[write].amount, locum.in_order(kind));
                let leg = PlacedLeg { kind, amount_minor, in_order, absorbed };
                let whole = delta(None, (entry.state, entry.ordered), &leg);
                lane.ordered += whole.ordered;
                lane.direct += whole.direct;
                lane.held_minor += whole.held_minor;
                lane.next_seq += 1;
            }
        }
        debug_assert!(entries(state).all(|(_, e)| e.lane_place() != LanePlace::Gone || !e.ordered));
        lane == state.lanes[account]
    })
}
