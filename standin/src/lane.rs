//! Lanes: the order of one account's entries, and what they hold.
//!
//! Mode is advice, lanes are law: admission and replay decide by the locked lane rows and these functions.

use failpoints::{Flaw, flawed};
use schemas::entry::{EntryState, Evidence, LegKind};

/// The lane of all accounts together. A write of an operation with [`Order::Global`](crate::rules::Order::Global) takes a place in it, too.
/// No account has this name, and it sorts before the accounts, so it is locked first.
pub const GLOBAL_LANE: &str = "*";

/// The place of an entry in the order of its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LanePlace {
    /// First attempt of a request that was not answered yet.
    Direct,
    /// Queued, or answered 202, and neither posted nor ended. Later writes join behind it.
    Ordered,
    /// Posted or ended: nothing waits for it.
    Gone,
}

/// Where an entry in `state` stands; `ordered` is its sticky mark ([`mark`]).
pub fn lane_place(state: EntryState, ordered: bool) -> LanePlace {
    match state {
        EntryState::Submitting if !ordered => LanePlace::Direct,
        state if state.is_open() => LanePlace::Ordered,
        _ => LanePlace::Gone,
    }
}

/// The sticky mark of an entry that `evidence` moves to `next`: it was queued, or may be answered 202. What only waits for the core's
/// own decision has a place in its lanes and no mark, because nobody was promised anything.
pub fn mark(ordered: bool, next: EntryState, evidence: Evidence) -> bool {
    ordered || (evidence != Evidence::Undecided && lane_place(next, false) == LanePlace::Ordered)
}

/// Does the day get back what a promise had only reserved on it? A promise made with the core there rests on the core's decision; once the
/// core has decided, stand-in has accepted nothing.
pub fn gives_back(from: EntryState, to: EntryState) -> bool {
    from.is_open() && matches!(to, EntryState::Posted | EntryState::Confirmed | EntryState::Refused)
}

/// May anybody have been told "accepted, processing"? If not, no answer that says so may be given before the entry is marked.
pub fn is_promised(state: EntryState, ordered: bool) -> bool {
    ordered || !state.is_open() || flawed(Flaw::AcceptedWithoutPlace)
}

/// One account's lane, as locked in the admitting transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Lane {
    /// Raised by every write to the lane; part of `Data-Position`.
    pub version: i64,
    /// The sequence number the next entry takes, for good.
    pub next_seq: i64,
    /// Legs in the order whose entries have [`LanePlace::Ordered`].
    pub ordered: i64,
    /// Legs in the order whose entries have [`LanePlace::Direct`].
    pub direct: i64,
    /// Minor units of debit legs that the served balance does not include yet.
    pub held_minor: i64,
    /// Evidence contradicted an entry here; nothing is sent until a person clears it.
    pub stopped: bool,
    /// What stand-in accepted on this account on one business date.
    pub usage: Usage,
}

/// Debits accepted in stand-in on one business date of the core. Cancelled and refused ones stay counted: giving them back
/// would allow more attempts than M1 permits. Given back is what was promised with the core there, once it has decided ([`gives_back`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Usage {
    /// Days since 1970-01-01.
    pub business_day: i64,
    /// Sum in minor units.
    pub amount_minor: i64,
    /// How many.
    pub count: i64,
}

impl Usage {
    /// The usage that counts on `business_day`: an earlier day's is over.
    ///
    /// A lane's day never goes back. A debit of an earlier day counts on the lane's day: otherwise one late entry of yesterday, or
    /// one gateway whose business date lags, would free today's limit.
    pub fn on(self, business_day: i64) -> Usage {
        if business_day <= self.business_day { self } else { Usage { business_day, ..Usage::default() } }
    }

    /// With one more debit; `None` when the sum leaves 64 bits.
    pub fn plus(self, amount_minor: i64) -> Option<Usage> {
        Some(Usage { amount_minor: self.amount_minor.checked_add(amount_minor)?, count: self.count + 1, ..self })
    }

    /// Without one debit that was reserved on `business_day`. Once the lane has another day there is nothing to give back.
    pub fn minus(self, business_day: i64, amount_minor: i64) -> Usage {
        if business_day != self.business_day {
            return self;
        }
        Usage { amount_minor: self.amount_minor - amount_minor, count: self.count - 1, ..self }
    }
}

/// May a new request go to the core at once? Only if none of its lanes is stopped, and nothing is ordered in those in which it takes a
/// place (`in_order`, [`OperationRules::in_order`](crate::rules::OperationRules::in_order)).
pub fn may_go_direct<'a>(legs: impl IntoIterator<Item = (&'a Lane, bool)>) -> bool {
    legs.into_iter()
        .all(|(lane, in_order)| (!in_order || lane.ordered == 0 || flawed(Flaw::DirectPastTheQueue)) && !lane.stopped)
}

/// May a queued entry be sent? `lower` are the places of every entry with a lower sequence number in the lanes in whose order it stands.
pub fn may_replay(lower: impl IntoIterator<Item = LanePlace>, any_lane_stopped: bool) -> bool {
    !any_lane_stopped && lower.into_iter().all(|place| place == LanePlace::Gone)
}

/// A leg as far as its lane counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedLeg {
    /// Debit or credit.
    pub kind: LegKind,
    /// Minor units.
    pub amount_minor: i64,
    /// It has a place in the lane's order.
    pub in_order: bool,
    /// Its hold has ended.
    pub absorbed: bool,
}

impl PlacedLeg {
    /// A place in an order that holds no money: that in the [`GLOBAL_LANE`].
    pub const PLACE_ONLY: Self = Self { kind: LegKind::Credit, amount_minor: 0, in_order: true, absorbed: true };
}

/// What a change of an entry does to one of its lanes: add these to the lane's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneDelta {
    /// Change of [`Lane::ordered`].
    pub ordered: i64,
    /// Change of [`Lane::direct`].
    pub direct: i64,
    /// Change of [`Lane::held_minor`].
    pub held_minor: i64,
}

/// The lane's change when an entry with this leg moves from one (state, ordered mark) to another.
///
/// A leg that is not `in_order` counts in no order. A debit's hold starts with the first state that holds and ends here only when the
/// entry ends without a posting; the end of a posted debit's hold is [`releases`]'s business. `absorbed` says whether that has happened
/// already.
pub fn delta(from: Option<(EntryState, bool)>, to: (EntryState, bool), leg: &PlacedLeg) -> LaneDelta {
    let PlacedLeg { kind, amount_minor, in_order, absorbed } = *leg;
    let count = |place: Option<LanePlace>, which| i64::from(in_order && place == Some(which));
    let before = from.map(|(state, ordered)| lane_place(state, ordered));
    let after = Some(lane_place(to.0, to.1));
    let held = |state: Option<EntryState>| match state {
        Some(state) if state.holds() && kind == LegKind::Debit && !absorbed => amount_minor,
        _ => 0,
    };
    LaneDelta {
        ordered: count(after, LanePlace::Ordered) - count(before, LanePlace::Ordered),
        direct: count(after, LanePlace::Direct) - count(before, LanePlace::Direct),
        held_minor: held(Some(to.0)) - held(from.map(|(state, _)| state)),
    }
}

/// Does a balance that has absorbed postings up to `last_posting` include the leg booked as `posting_no`?
///
/// The balance row carries the number of the account's last posting, written in the posting's own transaction.
pub fn releases(last_posting: i64, posting_no: i64) -> bool {
    last_posting >= posting_no
}

/// May a balance that includes postings up to `last_posting` be served when the account's posting rows up to `seen` were applied?
///
/// A balance ahead of its postings would count a debit twice: in the balance, and by a hold that nobody knows to release yet. It
/// waits for the row, and is applied in that row's transaction.
pub fn serves(last_posting: i64, seen: i64) -> bool {
    seen >= last_posting
}

#[cfg(test)]
mod tests {
    use super::*;
    use EntryState::*;

    const DEBIT: PlacedLeg = PlacedLeg { kind: LegKind::Debit, amount_minor: 100, in_order: true, absorbed: false };

    #[test]
    fn an_ordered_entry_closes_its_lanes_to_direct_requests() {
        let free = Lane::default();
        let busy = Lane { ordered: 1, ..Lane::default() };
        let in_flight = Lane { direct: 3, ..Lane::default() };
        let stopped = Lane { stopped: true, ..Lane::default() };
        assert!(may_go_direct([(&free, true), (&in_flight, true)]));
        assert!(!may_go_direct([(&free, true), (&busy, true)]));
        assert!(may_go_direct([(&free, true), (&busy, false)]), "it joins no order there");
        assert!(!may_go_direct([(&free, true), (&stopped, false)]), "nothing goes past a contradiction");
    }

    #[test]
    fn a_replay_waits_for_everything_before_it() {
        assert!(may_replay([LanePlace::Gone, LanePlace::Gone], false));
        assert!(!may_replay([LanePlace::Gone, LanePlace::Direct], false));
        assert!(!may_replay([LanePlace::Ordered], false));
        assert!(!may_replay([], true));
    }

    #[test]
    fn every_life_of_an_entry_leaves_its_lane_as_it_found_it() {
        use schemas::entry::{Verdict, weigh};
        // Walk every reachable (state, ordered mark) and keep the lane's columns equal to what the state alone implies.
        let mut seen = Vec::new();
        let mut open = vec![(Submitting, false), (Queued, true), (Declined, false)];
        while let Some(at) = open.pop() {
            if seen.contains(&at) {
                continue;
            }
            seen.push(at);
            let whole = delta(None, at, &DEBIT);
            for evidence in Evidence::ALL {
                if let Verdict::Moves(next) = weigh(at.0, evidence) {
                    let to = (next, mark(at.1, next, evidence));
                    let step = delta(Some(at), to, &DEBIT);
                    let total = delta(None, to, &DEBIT);
                    assert_eq!(whole.ordered + step.ordered, total.ordered, "{at:?} {evidence:?}");
                    assert_eq!(whole.direct + step.direct, total.direct, "{at:?} {evidence:?}");
                    assert_eq!(whole.held_minor + step.held_minor, total.held_minor, "{at:?} {evidence:?}");
                    open.push(to);
                }
            }
        }
        assert!([(Confirmed, true), (Confirmed, false), (Queued, false)].iter().all(|at| seen.contains(at)));
    }

    #[test]
    fn what_was_reserved_is_given_back_once_and_on_its_own_day_only() {
        let used = Usage::default().on(7).plus(5).and_then(|usage| usage.plus(3));
        let used = used.unwrap();
        assert_eq!(used.minus(7, 5), Usage { business_day: 7, amount_minor: 3, count: 1 });
        assert_eq!(used.minus(6, 5), used);
        for from in EntryState::ALL {
            for to in [Posted, Confirmed, Refused] {
                assert_eq!(gives_back(from, to), from.is_open(), "{from} {to}");
            }
            for to in [Submitting, Queued, OutcomeUnknown, Parked, Declined, Cancelled, WrittenOff] {
                assert!(!gives_back(from, to), "{from} {to}");
            }
        }
    }

    #[test]
    fn a_balance_never_runs_ahead_of_its_postings() {
        assert!(serves(4, 4) && serves(4, 5));
        assert!(!serves(5, 4));
    }

    #[test]
    fn a_credit_never_holds_and_counts_only_where_it_is_in_the_order() {
        for in_order in [true, false] {
            let credit = PlacedLeg { kind: LegKind::Credit, in_order, ..DEBIT };
            let queued = LaneDelta { ordered: i64::from(in_order), ..LaneDelta::default() };
            assert_eq!(delta(None, (Queued, true), &credit), queued);
            let sent = LaneDelta { direct: i64::from(in_order), ..LaneDelta::default() };
            assert_eq!(delta(None, (Submitting, false), &credit), sent);
        }
    }
}
