//! How the longer steps change the state: the core, the senders, the lease, the ingester.

use locum_standin::lane::is_promised;
use locum_standin::resolution::Step;
use schemas::entry::{EntryState, Evidence, Verdict};

use super::journal::rows;
use super::state::{Asked, Attempt, LOG, Reply, State, Task};
use super::variants::{Locum, Variant};

impl Locum {
    pub(super) fn land_late(&self, state: &mut State, slot: usize) {
        let (task, write) = (state.tasks[slot], usize::from(self.slots[slot].write));
        if task == Task::GhostRecord {
            let owned = state.attempts[slot] != Attempt::None;
            if owned || self.breaks(Variant::RecordByStateOnly) {
                state.end(self, slot, false);
                state.evidence(self, write, Evidence::NotSent);
            }
            state.tasks[slot] = Task::Done;
            return;
        }
        if state.journal[write].is_some() {
            // The unique index rolls it back.
            state.tasks[slot] = Task::Done;
            return;
        }
        let owner = if task == Task::Ghost { Attempt::Orphaned } else { Attempt::Open };
        state.admit(self, slot, true, owner);
        let direct = state.attempts[slot] != Attempt::None;
        // 503 is no answer that orders anything.
        state.told.waiting &= !(1 << write);
        state.tasks[slot] = match task {
            Task::Disowned if direct && !self.breaks(Variant::UnsureForgets) => Task::Disowned,
            _ => Task::Done,
        };
    }

    pub(super) fn claim(&self, state: &mut State, slot: usize, task: Task) {
        state.evidence(self, self.slots[slot].write.into(), Evidence::ReplayAttempt);
        state.attempt(self, slot, Attempt::Open);
        state.tasks[slot] = task;
    }

    pub(super) fn send(&self, state: &mut State, slot: usize) {
        let write = usize::from(self.slots[slot].write);
        if matches!(state.tasks[slot], Task::ToSend { within_memory: true }) && !state.remembered(self, write) {
            return self.settle(state, slot, Evidence::NotSent, false);
        }
        state.told.no_intent |= state.attempts[slot] == Attempt::None;
        let entry = state.journal[write].as_mut().expect("journalled");
        entry.late_bytes |= entry.memory_over;
        state.tasks[slot] = Task::Sent(Reply::Pending);
    }

    /// The core takes a request up and answers.
    pub(super) fn take(&self, state: &mut State, write: usize, refuse: bool) -> Reply {
        let bit = 1 << write;
        if self.class.remembers() && state.core.count(write) > 0 && state.core.forgot & bit == 0 {
            return Reply::Posted;
        }
        if refuse {
            state.budget.refusals -= 1;
            state.core.refused |= bit;
            return Reply::Refused;
        }
        if usize::from(state.core.len) < LOG {
            state.core.log[usize::from(state.core.len)] = write as u8;
            state.core.len += 1;
        }
        state.told.waiting &= !bit;
        for other in (0..self.writes.len()).filter(|other| state.core.count(*other) == 0) {
            state.told.before[other] &= !bit;
        }
        Reply::Posted
    }

    pub(super) fn record(&self, state: &mut State, slot: usize) {
        let write = usize::from(self.slots[slot].write);
        let evidence = match state.tasks[slot] {
            Task::Sent(Reply::Posted) => Evidence::CorePosted,
            Task::Sent(Reply::Refused) if state.journal[write].is_none() || state.settles(self, slot) => {
                Evidence::CoreRefused
            }
            _ => Evidence::NoAnswer,
        };
        self.settle(state, slot, evidence, false);
    }

    pub(super) fn time_out(&self, state: &mut State, slot: usize) {
        let write = usize::from(self.slots[slot].write);
        match state.tasks[slot] {
            Task::Sent(Reply::Dead) => {}
            Task::Sent(Reply::Pending) => {
                state.budget.losses -= 1;
                state.strays[write] += 1;
            }
            _ => state.budget.losses -= 1,
        }
        match self.breaks(Variant::TimeoutAsNotSent) {
            true => self.settle(state, slot, Evidence::NotSent, false),
            false => self.settle(state, slot, Evidence::NoAnswer, true),
        }
    }

    /// The transaction that records what a sender learned and ends its attempt; a request's client is then answered.
    pub(super) fn settle(&self, state: &mut State, slot: usize, evidence: Evidence, silent: bool) {
        let (def, write) = (self.slots[slot], usize::from(self.slots[slot].write));
        let stale = state.stale & (1 << slot) != 0;
        state.stale &= !(1 << slot);
        state.tasks[slot] = Task::Idle;
        if state.journal[write].is_none() {
            // Only without an intent row: now it is written.
            state.admit(self, slot, true, Attempt::Open);
        }
        if stale && self.breaks(Variant::StaleEndsNothing) {
            return;
        }
        let fenced = stale && !self.breaks(Variant::NoFencing);
        let (evidence, silent) = match evidence {
            Evidence::CorePosted | Evidence::CoreRefused if fenced => (Evidence::NoAnswer, true),
            evidence => (evidence, silent),
        };
        let owned = state.attempts[slot] == Attempt::Open;
        state.end(self, slot, silent);
        state.journal[write].as_mut().expect("journalled").may_post |= evidence == Evidence::CorePosted;
        // The compare-and-set includes the attempt: a sender whose attempt was ended by proof has nothing to say.
        if owned || self.breaks(Variant::NoFencing) {
            let verdict = state.evidence(self, write, evidence);
            let marks = matches!(evidence, Evidence::CorePosted | Evidence::CoreRefused);
            state.told.stale_mark |= stale && marks && matches!(verdict, Verdict::Moves(_));
        }
        let promised = state.journal[write].is_some_and(|entry| is_promised(entry.state, entry.ordered));
        if !def.replayer {
            match promised {
                true => state.answer(self, slot),
                // 503: it waits for the core, and nothing is promised.
                false => state.tasks[slot] = Task::Done,
            }
        }
    }

    pub(super) fn take_lease(&self, state: &mut State, instance: u8) {
        if let Some(holder) = state.lease.replace(instance) {
            state.budget.takeovers -= 1;
            for slot in self.of(holder).filter(|s| state.tasks[*s] != Task::Idle).collect::<Vec<_>>() {
                state.stale |= 1 << slot;
                if self.breaks(Variant::LeaseAsProof) && state.attempts[slot] == Attempt::Open {
                    state.end(self, slot, true);
                    state.evidence(self, self.slots[slot].write.into(), Evidence::NoAnswer);
                }
            }
        }
    }

    pub(super) fn resolve(&self, state: &mut State, slot: usize, patient: bool) {
        let write = usize::from(self.slots[slot].write);
        match state.step(self, self.slots[slot].instance, write, patient) {
            Step::Enquire => self.enquire(state, slot, write),
            Step::Resend if !state.is_first(self, write) && !self.breaks(Variant::ResendPastLower) => {}
            Step::Resend => {
                state.attempt(self, slot, Attempt::Open);
                state.tasks[slot] = Task::ToSend { within_memory: true };
            }
            Step::Requeue => drop(state.evidence(self, write, Evidence::Absent)),
            Step::Park => drop(state.evidence(self, write, Evidence::Unresolvable)),
            Step::WaitUntil(_) => {}
        }
    }

    /// The core is asked; *posted* never changes again, so only *nothing* can be recorded too late to be true.
    pub(super) fn enquire(&self, state: &mut State, slot: usize, write: usize) {
        let over = state.nothing_comes(self, write) || state.by_stamps(self, self.slots[slot].instance, write);
        if state.core.count(write) > 0 {
            state.evidence(self, write, Evidence::CorePosted);
        } else if state.core.refused & (1 << write) != 0 && state.enquired_refusal_settles(self, write) {
            state.evidence(self, write, Evidence::CoreRefused);
        } else {
            state.tasks[slot] = Task::Heard(if over { Asked::Late } else { Asked::Early });
            if self.budget.takeovers == 0 {
                // Nobody else can do anything in between.
                self.record_not_found(state, slot);
            }
        }
    }

    pub(super) fn record_not_found(&self, state: &mut State, slot: usize) {
        let stale = state.stale & (1 << slot) != 0;
        state.stale &= !(1 << slot);
        let Task::Heard(asked) = std::mem::replace(&mut state.tasks[slot], Task::Idle) else { return };
        let entry = state.journal[usize::from(self.slots[slot].write)].as_mut().expect("journalled");
        if !stale && entry.state == EntryState::OutcomeUnknown {
            entry.not_found = entry.not_found.max(Some(asked));
        }
    }

    pub(super) fn crash(&self, state: &mut State, instance: u8) {
        state.budget.crashes -= 1;
        state.alive &= !(1 << instance);
        if state.lease == Some(instance) {
            state.lease = None;
        }
        for slot in self.of(instance).collect::<Vec<_>>() {
            state.stale &= !(1 << slot);
            if state.tasks[slot] == Task::Sent(Reply::Pending) {
                state.strays[usize::from(self.slots[slot].write)] += 1;
            }
            state.tasks[slot] = match state.tasks[slot] {
                Task::Unsure => Task::Ghost,
                Task::Disowned if state.attempts[slot] == Attempt::None => Task::Ghost,
                kept @ (Task::Idle | Task::Ghost | Task::GhostRecord) => kept,
                _ if self.slots[slot].replayer => Task::Idle,
                _ => Task::Done,
            };
            if state.attempts[slot] == Attempt::Open {
                state.attempts[slot] = Attempt::Orphaned;
            }
        }
    }

    pub(super) fn ingest(&self, state: &mut State) {
        let all = rows(self, state.core.postings());
        let (transaction, _) = all[usize::from(state.offset)];
        while let Some((index, row)) = all.get(usize::from(state.offset)) {
            if *index != transaction {
                break;
            }
            state.apply(self, *row);
            state.offset += 1;
            if !self.whole_transactions {
                break;
            }
        }
    }

    /// The time of every attempt recorded before is over too: its sender, should it wake, sends nothing any more.
    pub(super) fn memory_over(&self, state: &mut State, write: usize) {
        state.journal[write].as_mut().expect("journalled").memory_over = true;
        for slot in self.about(write) {
            if let task @ (Task::ToSend { .. } | Task::Behind) = &mut state.tasks[slot] {
                *task = Task::ToSend { within_memory: true };
            }
        }
    }

    pub(super) fn forget(&self, state: &mut State, write: usize) {
        state.core.forgot |= 1 << write;
        if state.entry(write).late_bytes {
            return;
        }
        // Sent before the margin began, so taken up by now or never.
        state.strays[write] = 0;
        for slot in self.about(write).collect::<Vec<_>>() {
            if state.tasks[slot] == Task::Sent(Reply::Pending) {
                state.tasks[slot] = Task::Sent(Reply::Dead);
            }
        }
    }
}
