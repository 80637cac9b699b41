//! What can happen next: every action is one atomic step of one party, or a fault, or time passing.

use locum_standin::admission::{CoreBelief, Decision, may_decline, not_sent};
use locum_standin::lane::LanePlace;
use locum_standin::rules::Reason;
use schemas::entry::{EntryState, Evidence};
use stateright::{Model, Property};

use super::journal::rows;
use super::state::{Attempt, Core, INSTANCES, Reply, SLOTS, State, Task, Told};
use super::variants::{Locum, Variant};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A gateway admits a request, or finds its key.
    Admit { slot: u8, believes: bool },
    /// The look-up finds nothing (variant without a unique index).
    LookUp { slot: u8 },
    /// Bytes leave before any row is written (variant without an intent row).
    SendFirst { slot: u8 },
    /// COMMIT of the admission was sent, its reply is lost.
    CommitUnknown { slot: u8 },
    /// The gateway answers 503 `acceptance-unknown`.
    GiveUp { slot: u8 },
    /// That COMMIT lands after all.
    LandLate { slot: u8 },
    /// The gateway that gave up finds the entry and takes its own attempt back.
    Disown { slot: u8 },
    /// Bytes leave.
    Send { slot: u8 },
    /// Refused connection, open breaker: provably nothing left; recorded.
    NotSent { slot: u8 },
    /// The same, and stand-in's rules say no. The sender found the core away, or there.
    NotSentUnfit { slot: u8, away: bool },
    /// A client asks about what waits for the core's decision; the core is away, and stand-in's rules say no.
    Decline { write: u8 },
    /// The core takes up a request whose sender waits.
    Take { slot: u8, refuse: bool },
    /// The core takes up a request whose sender is gone.
    TakeStray { write: u8, refuse: bool },
    /// The sender records the core's answer.
    Record { slot: u8 },
    /// The sender gives up waiting, closes the connection, records.
    TimeOut { slot: u8 },
    /// A replayer takes the lease that ran out.
    TakeLease { instance: u8 },
    /// A replayer claims a queued entry.
    Claim { slot: u8 },
    /// It claims one behind those that it is about to send.
    ClaimBehind { slot: u8 },
    /// What is before it in its run is posted, or recorded: it may go.
    Follow { slot: u8 },
    /// Its run has ended before it: it goes back to the queue.
    GiveBack { slot: u8 },
    /// A replayer takes the next step on an unknown outcome.
    Resolve { slot: u8, patient: bool },
    /// A replayer gives a submission up for abandoned. Its sender may be alive.
    Abandon { write: u8 },
    /// The SQL server's clock is set back, or another node's answers.
    SetBack,
    /// A replayer records that the core had nothing.
    RecordNotFound { slot: u8 },
    /// A gateway dies while the record that it sent nothing is on its way.
    DieRecording { slot: u8 },
    /// A process dies.
    Crash { instance: u8 },
    /// The next process takes its identity and ends its attempts.
    Restart { instance: u8 },
    /// … and those that land later.
    ProveGone { instance: u8 },
    /// The ingester applies what comes next.
    Ingest,
    /// The ingester gets an earlier row again.
    Redeliver { row: u8 },
    /// Without numbers: the core ends a transaction.
    Commit,
    /// Without numbers: the ingester applies the balance row that comes next, or lets it wait.
    IngestBalance,
    /// Without numbers: a later transaction changes the row of a posting.
    Touch { index: u8 },
    /// Without numbers: everything that was sent with a balance of this account is known to be applied.
    Attest { account: u8 },
    /// Without numbers: a new generation of the change data begins with a snapshot. The one that is served gets no rows any more.
    NewSnapshot,
    /// Without numbers: the new generation is served.
    Swap,
    /// The core's longest request lifetime passes after every attempt ended.
    LifetimePasses { write: u8 },
    /// The declared memory of the first attempt, less the margin, is over.
    MemoryOver { write: u8 },
    /// The core forgets a reference.
    Forget { write: u8 },
    /// A client cancels.
    Cancel { write: u8 },
    /// A person requeues a parked entry with proof of absence.
    Requeue { write: u8 },
    /// A person writes a parked entry off with proof of absence.
    WriteOff { write: u8 },
}

impl Model for Locum {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            journal: Default::default(),
            lanes: Default::default(),
            attempts: [Attempt::None; SLOTS],
            lease: self.replayers.clone().next(),
            served: Default::default(),
            offset: 0,
            balances: 0,
            snapshot: None,
            shadow: None,
            breach: false,
            tasks: [Task::Idle; SLOTS],
            stale: 0,
            alive: (1 << INSTANCES) - 1,
            core: Core::default(),
            strays: Default::default(),
            set_back: false,
            budget: self.budget,
            told: Told::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for slot in 0..self.slots.len() {
            self.task_actions(state, slot, actions);
        }
        for write in 0..self.writes.len() {
            self.write_actions(state, write, actions);
        }
        for instance in 0..self.replayers.end {
            self.instance_actions(state, instance, actions);
        }
        if state.budget.set_backs > 0 && self.class.remembers() {
            actions.push(Action::SetBack);
        }
        if self.unnumbered.is_some() {
            return self.row_actions(state, actions);
        }
        let rows = rows(self, state.core.postings());
        let applied = usize::from(state.offset);
        if applied < rows.len() {
            actions.push(Action::Ingest);
        }
        if !self.whole_transactions {
            actions.extend((0..applied.min(rows.len())).map(|row| Action::Redeliver { row: row as u8 }));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.act(&mut state, action);
        self.forget_what_nobody_reads(&mut state);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        super::properties::all(self)
    }
}

impl Locum {
    /// The declared capabilities as given to the real functions.
    pub fn capabilities(&self) -> schemas::core::Capabilities {
        let declared = self.class.capabilities();
        match self.variant {
            Variant::MarginWithoutLifetime => schemas::core::Capabilities { request_lifetime_ms_max: 0, ..declared },
            _ => declared,
        }
    }

    /// Clears history that no step reads any more, so that executions that differ only in it are one state.
    fn forget_what_nobody_reads(&self, state: &mut State) {
        let all = 0..self.writes.len();
        for write in all.clone() {
            let Some(entry) = state.journal[write].as_mut() else { continue };
            if entry.lane_place() != LanePlace::Gone || entry.contradicted {
                continue;
            }
            let ended_without = !matches!(entry.state, EntryState::Posted | EntryState::Confirmed);
            let idle =
                |s: usize| state.attempts[s] == Attempt::None && matches!(state.tasks[s], Task::Idle | Task::Done);
            if self.about(write).all(idle) && state.strays[write] == 0 {
                (entry.quiet, entry.may_post, entry.memory_over, entry.late_bytes) = (true, false, false, false);
                (entry.attempts, entry.stamped_by) = (0, None);
                state.core.refused &= !(1 << write);
                state.core.forgot &= !(1 << write);
            }
            for slot in self.about(write).filter(|s| !self.slots[*s].replayer) {
                if state.tasks[slot] == Task::Idle {
                    // A retry would only be told the end of the story.
                    state.tasks[slot] = Task::Done;
                }
            }
            if ended_without {
                state.told.before.iter_mut().for_each(|before| *before &= !(1 << write));
            }
        }
        let awaited = all.clone().filter(|x| all.clone().any(|y| self.share(*x, y) && state.journal[y].is_none()));
        state.told.waiting &= awaited.map(|x| 1 << x).sum::<u8>();
    }

    fn task_actions(&self, state: &State, slot: usize, actions: &mut Vec<Action>) {
        let (def, task) = (self.slots[slot], state.tasks[slot]);
        let (write, id) = (usize::from(def.write), slot as u8);
        let alive = state.alive & (1 << def.instance) != 0;
        match task {
            Task::Idle if def.replayer => self.replayer_actions(state, slot, actions),
            Task::Idle if alive && self.breaks(Variant::NoIntentRow) && state.journal[write].is_none() => {
                actions.push(Action::SendFirst { slot: id });
            }
            Task::Idle if alive && self.breaks(Variant::LookUpInsteadOfIndex) && state.journal[write].is_none() => {
                actions.push(Action::LookUp { slot: id });
            }
            Task::Idle | Task::Missed if alive => {
                actions.push(Action::Admit { slot: id, believes: true });
                if state.journal[write].is_none() || self.days {
                    actions.push(Action::Admit { slot: id, believes: false });
                }
                if state.journal[write].is_none() && state.budget.commits > 0 {
                    actions.push(Action::CommitUnknown { slot: id });
                }
            }
            Task::Unsure => {
                actions.push(Action::Admit { slot: id, believes: true });
                actions.push(Action::GiveUp { slot: id });
            }
            Task::Disowned if state.attempts[slot] == Attempt::Open => actions.push(Action::Disown { slot: id }),
            Task::Disowned | Task::Ghost | Task::GhostRecord => actions.push(Action::LandLate { slot: id }),
            Task::ToSend { .. } => {
                actions.extend([Action::Send { slot: id }, Action::NotSent { slot: id }]);
                if state.budget.declines > 0 {
                    actions.extend([true, false].map(|away| Action::NotSentUnfit { slot: id, away }));
                }
                if !def.replayer && state.budget.commits > 0 && state.budget.crashes > 0 {
                    actions.push(Action::DieRecording { slot: id });
                }
            }
            Task::Behind => {
                actions.push(Action::GiveBack { slot: id });
                if state.may_follow(self, slot) {
                    actions.push(Action::Follow { slot: id });
                }
            }
            Task::Sent(Reply::Pending) => {
                actions.push(Action::Take { slot: id, refuse: false });
                if state.budget.refusals > 0 {
                    actions.push(Action::Take { slot: id, refuse: true });
                }
            }
            Task::Sent(Reply::Posted | Reply::Refused) => actions.push(Action::Record { slot: id }),
            Task::Heard(_) => actions.push(Action::RecordNotFound { slot: id }),
            Task::Idle | Task::Missed | Task::Sent(Reply::Dead) | Task::Done => {}
        }
        if matches!(task, Task::Sent(Reply::Dead)) || (matches!(task, Task::Sent(_)) && state.budget.losses > 0) {
            actions.push(Action::TimeOut { slot: id });
        }
    }

    fn replayer_actions(&self, state: &State, slot: usize, actions: &mut Vec<Action>) {
        let def = self.slots[slot];
        let alive = state.alive & (1 << def.instance) != 0;
        let current = state.lease == Some(def.instance) || self.breaks(Variant::NoFencing);
        let Some(entry) = &state.journal[usize::from(def.write)] else { return };
        if !alive || !current || state.attempts[slot] != Attempt::None {
            return;
        }
        if state.sendable(self, usize::from(def.write)) {
            actions.push(Action::Claim { slot: slot as u8 });
        } else if self.runs && state.claimable_behind(self, slot) {
            actions.push(Action::ClaimBehind { slot: slot as u8 });
        }
        if entry.state == EntryState::OutcomeUnknown {
            actions.push(Action::Resolve { slot: slot as u8, patient: true });
            actions.push(Action::Resolve { slot: slot as u8, patient: false });
        }
    }

    fn write_actions(&self, state: &State, write: usize, actions: &mut Vec<Action>) {
        let id = write as u8;
        if state.strays[write] > 0 {
            actions.push(Action::TakeStray { write: id, refuse: false });
            if state.budget.refusals > 0 {
                actions.push(Action::TakeStray { write: id, refuse: true });
            }
        }
        let Some(entry) = &state.journal[write] else { return };
        let unsettled = matches!(entry.state, EntryState::OutcomeUnknown | EntryState::Parked);
        let at_work = self
            .about(write)
            .any(|s| matches!(state.tasks[s], Task::ToSend { .. } | Task::Behind | Task::Sent(Reply::Pending)));
        let all_ended = self.about(write).all(|s| state.attempts[s] == Attempt::None);
        let lifetime_matters = self.class.answers() || self.budget.refusals > 0 || entry.state == EntryState::Parked;
        if unsettled && all_ended && !entry.quiet && lifetime_matters {
            actions.push(Action::LifetimePasses { write: id });
        }
        let resending = self.about(write).any(|s| state.tasks[s] == Task::ToSend { within_memory: true });
        if self.class.remembers() && !entry.memory_over && (unsettled || resending) {
            actions.push(Action::MemoryOver { write: id });
        }
        let posted = state.core.count(write) > 0 && state.core.forgot & (1 << write) == 0;
        if entry.memory_over && posted && (at_work || state.strays[write] > 0) {
            actions.push(Action::Forget { write: id });
        }
        let observed = state.lease.is_some_and(|holder| state.alive & (1 << holder) != 0);
        if entry.state == EntryState::Submitting && observed && state.budget.abandons > 0 {
            actions.push(Action::Abandon { write: id });
        }
        let decline = may_decline(entry.state, entry.ordered) || self.breaks(Variant::DeclinesAccepted);
        if entry.state == EntryState::Queued && decline && self.budget.declines > 0 {
            actions.push(Action::Decline { write: id });
        }
        if entry.state == EntryState::Queued && state.budget.cancels > 0 {
            actions.push(Action::Cancel { write: id });
        }
        if entry.state == EntryState::Parked && state.nothing_comes(self, write) && state.core.count(write) == 0 {
            actions.extend([Action::Requeue { write: id }, Action::WriteOff { write: id }]);
        }
    }

    fn instance_actions(&self, state: &State, instance: u8, actions: &mut Vec<Action>) {
        let alive = state.alive & (1 << instance) != 0;
        let at_work = self.of(instance).any(|s| {
            matches!(
                state.tasks[s],
                Task::Unsure | Task::Disowned | Task::ToSend { .. } | Task::Behind | Task::Sent(_) | Task::Heard(_)
            )
        });
        if alive && at_work && state.budget.crashes > 0 {
            actions.push(Action::Crash { instance });
        }
        if !alive {
            actions.push(Action::Restart { instance });
        }
        let orphans = self.of(instance).any(|s| state.attempts[s] == Attempt::Orphaned);
        if alive && orphans && !self.breaks(Variant::ProofOnce) {
            actions.push(Action::ProveGone { instance });
        }
        let free = state.lease.is_none() || state.budget.takeovers > 0;
        if alive && self.replayers.contains(&instance) && state.lease != Some(instance) && free {
            actions.push(Action::TakeLease { instance });
        }
    }

    fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Admit { slot, believes } => state.admit(self, slot.into(), believes, Attempt::Open),
            Action::LookUp { slot } => state.tasks[usize::from(slot)] = Task::Missed,
            Action::SendFirst { slot } => {
                state.told.no_intent = true;
                state.tasks[usize::from(slot)] = Task::Sent(Reply::Pending);
            }
            Action::CommitUnknown { slot } => {
                state.budget.commits -= 1;
                state.tasks[usize::from(slot)] = Task::Unsure;
            }
            Action::GiveUp { slot } => state.tasks[usize::from(slot)] = Task::Disowned,
            Action::LandLate { slot } => self.land_late(state, slot.into()),
            Action::Disown { slot } => {
                state.end(self, slot.into(), false);
                state.evidence(self, self.slots[usize::from(slot)].write.into(), Evidence::NotSent);
                state.tasks[usize::from(slot)] = Task::Done;
            }
            Action::Send { slot } => self.send(state, slot.into()),
            Action::NotSent { slot } => self.settle(state, slot.into(), Evidence::NotSent, false),
            Action::NotSentUnfit { slot, away } => {
                state.budget.declines -= 1;
                let write = usize::from(self.slots[usize::from(slot)].write);
                let entry = state.entry(write);
                let belief = if away { CoreBelief::Away } else { CoreBelief::Available };
                let unfit = Decision::Decline(Reason::InsufficientFunds);
                let evidence = not_sent(entry.state, entry.ordered, belief, unfit);
                self.settle(state, slot.into(), evidence, false);
            }
            Action::Decline { write } => drop(state.evidence(self, write.into(), Evidence::Decline)),
            Action::Take { slot, refuse } => {
                let write = self.slots[usize::from(slot)].write.into();
                state.tasks[usize::from(slot)] = Task::Sent(self.take(state, write, refuse));
            }
            Action::TakeStray { write, refuse } => {
                state.strays[usize::from(write)] -= 1;
                self.take(state, write.into(), refuse);
            }
            Action::Record { slot } => self.record(state, slot.into()),
            Action::TimeOut { slot } => self.time_out(state, slot.into()),
            Action::TakeLease { instance } => self.take_lease(state, instance),
            Action::Claim { slot } => self.claim(state, slot.into(), Task::ToSend { within_memory: false }),
            Action::ClaimBehind { slot } => self.claim(state, slot.into(), Task::Behind),
            Action::Follow { slot } => state.tasks[usize::from(slot)] = Task::ToSend { within_memory: false },
            Action::GiveBack { slot } => self.settle(state, slot.into(), Evidence::NotSent, false),
            Action::Resolve { slot, patient } => self.resolve(state, slot.into(), patient),
            Action::RecordNotFound { slot } => self.record_not_found(state, slot.into()),
            Action::DieRecording { slot } => {
                state.budget.commits -= 1;
                self.crash(state, self.slots[usize::from(slot)].instance);
                state.tasks[usize::from(slot)] = Task::GhostRecord;
            }
            Action::Crash { instance } => self.crash(state, instance),
            Action::Restart { instance } => {
                state.alive |= 1 << instance;
                state.prove_gone(self, instance);
            }
            Action::ProveGone { instance } => state.prove_gone(self, instance),
            Action::Ingest if self.unnumbered.is_some() => state.ingest_posting(self),
            Action::Redeliver { row } if self.unnumbered.is_some() => state.hear_again(self, row),
            Action::Commit => state.commit(),
            Action::IngestBalance => state.ingest_balance(self),
            Action::Touch { index } => state.touch(self, index),
            Action::Attest { account } => state.settle(self, account.into(), true),
            Action::NewSnapshot => state.begin_anew(self),
            Action::Swap => state.swap(self),
            Action::Ingest => self.ingest(state),
            Action::Redeliver { row } => {
                let (_, row) = rows(self, state.core.postings())[usize::from(row)];
                state.apply(self, row);
            }
            Action::LifetimePasses { write } => {
                let write = usize::from(write);
                state.strays[write] = 0;
                state.journal[write].as_mut().expect("journalled").quiet = true;
            }
            Action::MemoryOver { write } => self.memory_over(state, write.into()),
            Action::Abandon { write } => {
                state.budget.abandons -= 1;
                state.evidence(self, write.into(), Evidence::NoAnswer);
            }
            Action::SetBack => {
                state.budget.set_backs -= 1;
                state.set_back = true;
            }
            Action::Forget { write } => self.forget(state, write.into()),
            Action::Cancel { write } => {
                state.budget.cancels -= 1;
                state.evidence(self, write.into(), Evidence::Cancel);
            }
            Action::Requeue { write } => drop(state.evidence(self, write.into(), Evidence::Absent)),
            Action::WriteOff { write } => drop(state.evidence(self, write.into(), Evidence::WriteOff)),
        }
    }
}
