//! The SQL side: each method is the body of one transaction of the protocol, deciding by the real functions.

use locum_standin::clock::Ages;
use locum_standin::lane::{
    LanePlace, PlacedLeg, delta, gives_back, is_promised, mark, may_go_direct, may_replay, releases, serves,
};
use locum_standin::resolution::{
    Attempt as Sending, AttemptEnd, Patience, Refused, Step, UnknownOutcome, refusal_settles, remembers, resolve,
};
use schemas::entry::{EntryState, Evidence, LegKind, Verdict, weigh};

use super::state::{ACCOUNTS, Asked, Attempt, Charge, Entry, INSTANCES, Reply, State, Task};
use super::variants::{LIFETIME_MS, Locum, MARGIN_MS, Variant};

/// A moment well within the core's memory.
const EARLY_MS: u64 = 500;
/// A moment at which a request could still be in the core's hands when its memory ends.
const OVER_MS: u64 = 895;

impl State {
    /// The entry of a write that is journalled.
    pub fn entry(&self, write: usize) -> &Entry {
        self.journal[write].as_ref().expect("journalled")
    }

    fn entry_mut(&mut self, write: usize) -> &mut Entry {
        self.journal[write].as_mut().expect("journalled")
    }

    /// Admits a write or finds its key; `owner` is how its attempt row stands afterwards.
    pub fn admit(&mut self, locum: &Locum, slot: usize, believes: bool, owner: Attempt) {
        let write = usize::from(locum.slots[slot].write);
        if self.journal[write].is_some() {
            if !locum.breaks(Variant::LookUpInsteadOfIndex) || self.tasks[slot] != Task::Missed {
                return self.answer_again(locum, slot, believes);
            }
            self.told.twice |= 1 << write;
        }
        let legs: Vec<(usize, bool)> =
            locum.legs(write).map(|(account, kind)| (account, locum.in_order(kind))).collect();
        let free = may_go_direct(legs.iter().map(|(account, in_order)| (&self.lanes[*account], *in_order)))
            || locum.breaks(Variant::DirectIgnoresOrdered);
        let direct = believes && free;
        let mut seq = [-1; ACCOUNTS];
        for (account, in_order) in legs {
            if in_order {
                seq[account] = self.lanes[account].next_seq as i8;
            }
            self.lanes[account].next_seq += 1;
        }
        self.told.before[write] =
            (0..locum.writes.len()).filter(|x| *x != write && locum.share(*x, write)).map(|x| 1 << x).sum::<u8>()
                & self.told.waiting;
        let waits = believes && !locum.breaks(Variant::TurnIsPromised);
        let (state, ordered) = match direct {
            true => (EntryState::Submitting, false),
            false => (EntryState::Queued, !waits),
        };
        self.journal[write] = Some(Entry {
            state,
            ordered,
            charge: None,
            seq,
            absorbed: false,
            rows: [None; 2],
            booked: None,
            not_found: None,
            quiet: true,
            attempts: 0,
            may_post: false,
            stamped_by: None,
            memory_over: false,
            late_bytes: false,
            contradicted: false,
        });
        self.count(locum, write, None, (state, ordered));
        if ordered {
            self.charge(locum, write, Charge::Kept);
        }
        if direct {
            self.attempt(locum, slot, owner);
            self.tasks[slot] = Task::ToSend { within_memory: false };
        } else if believes {
            // Its turn may come within the deadline. Then the request asks as one that finds its key.
            self.tasks[slot] = Task::Idle;
        } else {
            self.answer(locum, slot);
        }
    }

    /// The same key again, or the deadline of a request that waited: the client is told where its write stands.
    fn answer_again(&mut self, locum: &Locum, slot: usize, believes: bool) {
        let write = usize::from(locum.slots[slot].write);
        let entry = *self.entry(write);
        if !is_promised(entry.state, entry.ordered) && !locum.breaks(Variant::RetryLeavesDirect) {
            let charge = if believes { Charge::Reserved } else { Charge::Kept };
            self.move_to(locum, write, entry.state, true, charge);
        }
        self.answer(locum, slot);
    }

    /// The request's client gets the state of its entry.
    pub fn answer(&mut self, locum: &Locum, slot: usize) {
        let write = usize::from(locum.slots[slot].write);
        let open = self.journal[write].is_some_and(|entry| entry.state.is_open());
        if open && self.core.count(write) == 0 {
            self.told.waiting |= 1 << write;
        }
        if locum.budget.declines > 0 || locum.days {
            self.told.accepted |= 1 << write;
        }
        self.tasks[slot] = Task::Done;
    }

    /// Writes an attempt row; the bytes have not left.
    pub fn attempt(&mut self, locum: &Locum, slot: usize, owner: Attempt) {
        let write = usize::from(locum.slots[slot].write);
        let alone = locum.about(write).all(|s| self.attempts[s] == Attempt::None);
        let outlives = locum.breaks(Variant::NotFoundOutlivesResend);
        for other in locum.about(write) {
            if self.tasks[other] == Task::Heard(Asked::Late) && !outlives {
                self.tasks[other] = Task::Heard(Asked::Early);
            }
        }
        let entry = self.entry_mut(write);
        entry.may_post &= !(alone && entry.quiet);
        entry.attempts = (entry.attempts + 1).min(2);
        if !outlives {
            entry.not_found = entry.not_found.map(|_| Asked::Early);
        }
        self.attempts[slot] = owner;
    }

    /// Ends an attempt; `silent` = its bytes may still be on their way.
    pub fn end(&mut self, locum: &Locum, slot: usize, silent: bool) {
        self.attempts[slot] = Attempt::None;
        if silent {
            let instance = locum.slots[slot].instance;
            let entry = self.entry_mut(usize::from(locum.slots[slot].write));
            (entry.quiet, entry.may_post) = (false, true);
            entry.stamped_by = (locum.clocks != [0; INSTANCES]).then_some(instance);
        }
    }

    /// Weighs evidence and does what the verdict says, lanes included.
    pub fn evidence(&mut self, locum: &Locum, write: usize, evidence: Evidence) -> Verdict {
        let entry = *self.entry(write);
        let verdict = weigh(entry.state, evidence);
        match verdict {
            Verdict::Moves(to) => {
                self.told.taken_back |= to == EntryState::Declined && self.told.accepted & (1 << write) != 0;
                self.move_to(locum, write, to, mark(entry.ordered, to, evidence), Charge::Kept);
                if to == EntryState::Posted && locum.breaks(Variant::EarlyRelease) {
                    self.release(locum, write);
                }
            }
            Verdict::Contradicts => {
                self.entry_mut(write).contradicted = true;
                for (account, _) in locum.legs(write) {
                    self.lanes[account].stopped = true;
                }
            }
            Verdict::Nothing | Verdict::Forbidden => {}
        }
        verdict
    }

    /// `charge`: how the promise counts, if this is one.
    fn move_to(&mut self, locum: &Locum, write: usize, to: EntryState, ordered: bool, charge: Charge) {
        let from = *self.entry(write);
        self.count(locum, write, Some((from.state, from.ordered)), (to, ordered));
        let twice =
            locum.breaks(Variant::GivenBackTwice) && (from.state, to) == (EntryState::Posted, EntryState::Confirmed);
        if from.charge.is_none() && !from.ordered && ordered {
            self.charge(locum, write, charge);
        } else if from.charge == Some(Charge::Reserved)
            && (gives_back(from.state, to) || twice)
            && !locum.breaks(Variant::ReservedForGood)
        {
            let usage = &mut self.lanes[usize::from(locum.writes[write].debit)].usage;
            *usage = usage.minus(usage.business_day, locum.writes[write].amount);
        }
        let entry = self.entry_mut(write);
        (entry.state, entry.ordered) = (to, ordered);
        if entry.lane_place() == LanePlace::Gone {
            // Nothing reads these any more.
            (entry.ordered, entry.not_found) = (false, None);
            if to != EntryState::Posted && to != EntryState::Confirmed {
                self.told.waiting &= !(1 << write);
            }
        }
    }

    /// Counts a promise on the day, where days are looked at.
    fn charge(&mut self, locum: &Locum, write: usize, charge: Charge) {
        if locum.days {
            let usage = &mut self.lanes[usize::from(locum.writes[write].debit)].usage;
            *usage = usage.plus(locum.writes[write].amount).expect("small amounts");
            self.entry_mut(write).charge = Some(charge);
        }
    }

    fn count(&mut self, locum: &Locum, write: usize, from: Option<(EntryState, bool)>, to: (EntryState, bool)) {
        let absorbed = self.entry(write).absorbed;
        for (account, kind) in locum.legs(write) {
            let amount_minor = locum.writes[write].amount;
            let change = delta(from, to, &PlacedLeg { kind, amount_minor, in_order: locum.in_order(kind), absorbed });
            let lane = &mut self.lanes[account];
            lane.ordered += change.ordered;
            lane.direct += change.direct;
            lane.held_minor += change.held_minor;
        }
    }

    /// May a replayer send this entry now?
    pub fn sendable(&self, locum: &Locum, write: usize) -> bool {
        self.may_replay(locum, write, |_| false)
    }

    /// May a replayer claim this entry, if it sends it behind those of its own that are still unsent?
    pub fn claimable_behind(&self, locum: &Locum, slot: usize) -> bool {
        let unsent = |task| matches!(task, Task::ToSend { within_memory: false } | Task::Behind);
        let of_run = |other| self.of_replayer(locum, slot, other).is_some_and(unsent);
        self.may_replay(locum, locum.slots[slot].write.into(), of_run)
    }

    fn may_replay(&self, locum: &Locum, write: usize, of_run: impl Fn(usize) -> bool) -> bool {
        let lower = self.lower(locum, write).filter(|(other, _)| !of_run(*other)).map(|(_, other)| other);
        let lower = lower.map(Entry::lane_place).map(|place| match place {
            LanePlace::Direct if locum.breaks(Variant::ReplayIgnoresDirect) => LanePlace::Gone,
            place => place,
        });
        let stopped = locum.legs(write).any(|(account, _)| self.lanes[account].stopped);
        self.entry(write).state == EntryState::Queued && may_replay(lower, stopped)
    }

    /// Is nothing open before this write in its lanes?
    pub fn is_first(&self, locum: &Locum, write: usize) -> bool {
        self.lower(locum, write).all(|(_, entry)| entry.lane_place() == LanePlace::Gone)
    }

    /// What has a lower number in a lane of this write.
    fn lower(&self, locum: &Locum, write: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let seq = self.entry(write).seq;
        let entries = (0..locum.writes.len()).filter_map(|other| Some((other, self.journal[other].as_ref()?)));
        entries
            .filter(move |(_, other)| (0..ACCOUNTS).any(|a| seq[a] >= 0 && other.seq[a] >= 0 && other.seq[a] < seq[a]))
    }

    /// What the replayer of this task is doing about another write.
    fn of_replayer(&self, locum: &Locum, slot: usize, write: usize) -> Option<Task> {
        let of_it = |s: &usize| locum.slots[*s].replayer && locum.slots[*s].instance == locum.slots[slot].instance;
        locum.about(write).find(of_it).map(|slot| self.tasks[slot])
    }

    /// Does its sender know that all before it in its run has been decided for good? A posting counts when it is heard, anything else when
    /// it is recorded.
    pub fn may_follow(&self, locum: &Locum, slot: usize) -> bool {
        let decided = |other, entry: &Entry| match self.of_replayer(locum, slot, other) {
            Some(Task::Sent(Reply::Posted)) => true,
            Some(Task::Sent(Reply::Refused)) => locum.breaks(Variant::RunPassesRefusals),
            _ => entry.lane_place() == LanePlace::Gone,
        };
        let write = locum.slots[slot].write.into();
        locum.breaks(Variant::RunGoesOn) || self.lower(locum, write).all(|(other, entry)| decided(other, entry))
    }

    /// What the real function says of an unknown outcome. The model's marks become moments on one scale.
    pub fn step(&self, locum: &Locum, observer: u8, write: usize, patient: bool) -> Step {
        let entry = self.entry(write);
        if locum.breaks(Variant::BlindResend) {
            return Step::Resend;
        }
        const LIFETIME: i64 = LIFETIME_MS.cast_signed();
        let now = self.now(locum, write);
        let all_ended = locum.about(write).all(|slot| self.attempts[slot] == Attempt::None);
        let quiet = entry.quiet || self.by_stamps(locum, observer, write);
        let lifetime_from_ms = all_ended.then_some(if quiet { now - LIFETIME } else { now - LIFETIME / 2 });
        let absent_from = if quiet { now } else { now + LIFETIME / 2 };
        let not_found_asked_ms = entry.not_found.map(|asked| match asked {
            Asked::Early if locum.breaks(Variant::NotFoundAtOnce) => absent_from,
            Asked::Early => absent_from.min(now) - 1,
            Asked::Late => absent_from,
        });
        let outcome =
            UnknownOutcome { first_attempt_ms: 0, lifetime_from_ms, not_found_asked_ms, in_vain: false, since_ms: 0 };
        let patience = Patience { park_after_ms: if patient { u64::MAX } else { 0 }, ..self.patience() };
        resolve(&locum.capabilities(), &outcome, &patience, now)
    }

    /// Would the observer take the lifetime for over if it compared the stamp of the end with its own clock?
    pub fn by_stamps(&self, locum: &Locum, observer: u8, write: usize) -> bool {
        let clock = |instance: u8| locum.clocks[usize::from(instance)];
        let ahead = self.entry(write).stamped_by.is_some_and(|by| clock(observer) > clock(by));
        let all_ended = locum.about(write).all(|slot| self.attempts[slot] == Attempt::None);
        ahead && all_ended && locum.breaks(Variant::StampsCompared)
    }

    fn patience(&self) -> Patience {
        Patience { park_after_ms: 0, memory_margin_ms: MARGIN_MS }
    }

    fn now(&self, locum: &Locum, write: usize) -> i64 {
        let age_ms = match self.entry(write).memory_over && !locum.breaks(Variant::ResendPastMemory) {
            true => OVER_MS,
            false => EARLY_MS,
        };
        let by_sql_ms = if self.set_back { EARLY_MS } else { age_ms };
        let by_host_ms = if locum.breaks(Variant::AgeByOneClock) { 0 } else { age_ms };
        Ages { by_sql_ms, by_host_ms }.longest().cast_signed()
    }

    /// Does a resend still reach a core that remembers the first attempt? Asked again when its bytes are about to leave.
    pub fn remembered(&self, locum: &Locum, write: usize) -> bool {
        locum.breaks(Variant::MemoryNotCheckedAtSend)
            || locum.breaks(Variant::BlindResend)
            || remembers(&locum.capabilities(), 0, &self.patience(), self.now(locum, write))
    }

    /// May the refusal of this task's attempt end the entry?
    pub fn settles(&self, locum: &Locum, slot: usize) -> bool {
        let write = usize::from(locum.slots[slot].write);
        let own = Sending { n: 1, alone: true, end: AttemptEnd::Harmless };
        let open = locum.about(write).filter(|s| *s != slot && self.attempts[*s] != Attempt::None);
        let others = open.map(|_| AttemptEnd::Open).chain(self.entry(write).may_post.then_some(AttemptEnd::MayPost));
        let others = (2..).zip(others).map(|(n, end)| Sending { n, alone: false, end });
        let attempts: Vec<Sending> = std::iter::once(own).chain(others).collect();
        locum.breaks(Variant::AnyRefusalSettles)
            || (locum.breaks(Variant::GatewayRefusalSettles) && !locum.slots[slot].replayer)
            || refusal_settles(Refused::Attempt(1), &attempts)
    }

    /// May a refusal that the core keeps under the reference end the entry? That every attempt is known to be harmless is left out.
    pub fn enquired_refusal_settles(&self, locum: &Locum, write: usize) -> bool {
        let count = i64::from(self.entry(write).attempts);
        let attempts: Vec<Sending> =
            (1..=count).map(|n| Sending { n, alone: n == 1, end: AttemptEnd::MayPost }).collect();
        let quiet_up_to = if self.nothing_comes(locum, write) { count } else { 0 };
        locum.breaks(Variant::AnyRefusalSettles) || refusal_settles(Refused::Reference { quiet_up_to }, &attempts)
    }

    /// No attempt of this write can take effect any more, by what the journal knows.
    pub fn nothing_comes(&self, locum: &Locum, write: usize) -> bool {
        self.entry(write).quiet && locum.about(write).all(|slot| self.attempts[slot] == Attempt::None)
    }

    /// The next holder of an identity ends what its predecessor left open.
    pub fn prove_gone(&mut self, locum: &Locum, instance: u8) {
        for slot in locum.of(instance) {
            if self.attempts[slot] == Attempt::Orphaned {
                self.end(locum, slot, true);
                self.evidence(locum, usize::from(locum.slots[slot].write), Evidence::NoAnswer);
            }
        }
    }

    /// Ends the hold of a write's debit, once.
    pub fn release(&mut self, locum: &Locum, write: usize) {
        let leg = locum.writes[write];
        let entry = self.entry_mut(write);
        if !entry.absorbed {
            entry.absorbed = true;
            if entry.state.holds() {
                self.lanes[usize::from(leg.debit)].held_minor -= leg.amount;
            }
        }
    }

    /// The number the core gave a posting on one account.
    pub fn posting_no(&self, locum: &Locum, index: u8, account: usize) -> i64 {
        let earlier = &self.core.postings()[..=usize::from(index)];
        earlier.iter().filter(|w| locum.legs(usize::from(**w)).any(|(a, _)| a == account)).count() as i64
    }

    /// Applies one row of the core's log.
    pub fn apply(&mut self, locum: &Locum, row: Row) {
        match row {
            Row::Posting { index, leg } => self.confirm(locum, index, leg),
            Row::Balance { index, account } => self.balance(locum, index, account),
        }
    }

    fn confirm(&mut self, locum: &Locum, index: u8, leg: usize) {
        let write = usize::from(self.core.log[usize::from(index)]);
        let Some(entry) = self.journal[write].as_mut() else { return };
        match entry.rows[leg] {
            Some(row) => self.breach |= row != index,
            None => {
                entry.rows[leg] = Some(index);
                let account = locum.legs(write).nth(leg).expect("a leg").0;
                let legs = locum.legs(write).count();
                if entry.rows[..legs].iter().all(Option::is_some) {
                    self.evidence(locum, write, Evidence::AllLegsSeen);
                }
                self.served[account].seen = self.served[account].seen.max(self.posting_no(locum, index, account));
                self.absorb(locum, write);
                if let Some(ahead) = self.served[account].ahead.take() {
                    self.balance(locum, ahead, account);
                }
            }
        }
    }

    fn balance(&mut self, locum: &Locum, index: u8, account: usize) {
        let last_posting = self.posting_no(locum, index, account);
        if last_posting <= self.served[account].last_posting {
            return;
        }
        if !serves(last_posting, self.served[account].seen) && !locum.breaks(Variant::BalanceRunsAhead) {
            self.served[account].ahead = Some(index);
            return;
        }
        self.served[account].last_posting = last_posting;
        let write = usize::from(self.core.log[usize::from(index)]);
        self.served[account].booked += effect(locum, write, account);
        for write in 0..locum.writes.len() {
            if self.journal[write].is_some() {
                self.absorb(locum, write);
            }
        }
    }

    /// Releases the debit's hold when the served balance includes the row that booked it.
    fn absorb(&mut self, locum: &Locum, write: usize) {
        let account = usize::from(locum.writes[write].debit);
        if let Some(index) = self.entry(write).rows[0]
            && releases(self.served[account].last_posting, self.posting_no(locum, index, account))
        {
            self.release(locum, write);
        }
    }
}

/// What one posting of a write does to an account.
pub fn effect(locum: &Locum, write: usize, account: usize) -> i64 {
    let amount = locum.writes[write].amount;
    let signed = |kind| if kind == LegKind::Debit { -amount } else { amount };
    locum.legs(write).filter(|(a, _)| *a == account).map(|(_, kind)| signed(kind)).sum()
}

/// A row of the core's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    /// A posting of one leg, carrying `core_ref`.
    Posting {
        /// Which posting of the core.
        index: u8,
        /// Which leg.
        leg: usize,
    },
    /// The account's balance after it, carrying the number of its last posting.
    Balance {
        /// After which posting.
        index: u8,
        /// Whose.
        account: usize,
    },
}

/// The core's log as change data: per posting its leg rows and the balances.
pub fn rows(locum: &Locum, postings: &[u8]) -> Vec<(u8, Row)> {
    let mut rows = Vec::new();
    for (index, write) in postings.iter().enumerate() {
        let (index, write) = (index as u8, usize::from(*write));
        let legs = (0..locum.legs(write).count()).map(|leg| (index, Row::Posting { index, leg }));
        let balances = locum.legs(write).map(|(account, _)| (index, Row::Balance { index, account }));
        match locum.balance_first {
            true => rows.extend(balances.chain(legs)),
            false => rows.extend(legs.chain(balances)),
        }
    }
    rows
}
