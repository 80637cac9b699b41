//! One entry of the journal and the states it goes through (`docs/invariants.md`, "Words").

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an entry stands. Each variant says who sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Set by admission (direct) or by the replayer (replay) before a byte is sent.
    Submitting,
    /// Set by admission, by a gateway that provably sent nothing, or after absence was proven.
    Queued,
    /// Set by the sender that got no usable answer, or by the next holder of a dead sender's identity.
    OutcomeUnknown,
    /// Set by the replayer when nothing it may do resolves the entry; a person decides.
    Parked,
    /// Set by the sender from the core's answer, or by an enquiry.
    Posted,
    /// Set from a declared refusal of the core. Terminal.
    Refused,
    /// Set by ingest when every leg's own change event has been seen. Terminal.
    Confirmed,
    /// Set by admission when a rule said no. Terminal.
    Declined,
    /// Set by a client or an operator while queued. Terminal.
    Cancelled,
    /// Set by a person, with a reason. Terminal.
    WrittenOff,
}

use EntryState::*;

impl EntryState {
    /// Every state, in the order of the life of an entry.
    pub const ALL: [EntryState; 10] =
        [Submitting, Queued, OutcomeUnknown, Parked, Posted, Refused, Confirmed, Declined, Cancelled, WrittenOff];

    /// Nothing follows.
    pub fn is_terminal(self) -> bool {
        matches!(self, Refused | Confirmed | Declined | Cancelled | WrittenOff)
    }

    /// The journal does not know the outcome yet, so the entry keeps its place in its lanes.
    pub fn is_open(self) -> bool {
        matches!(self, Submitting | Queued | OutcomeUnknown | Parked)
    }

    /// The debit leg still counts against `available` until a balance that includes it is served.
    pub fn holds(self) -> bool {
        self.is_open() || matches!(self, Posted | Confirmed)
    }

    /// The name in SQL, logs and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Submitting => "submitting",
            Queued => "queued",
            OutcomeUnknown => "outcome_unknown",
            Parked => "parked",
            Posted => "posted",
            Refused => "refused",
            Confirmed => "confirmed",
            Declined => "declined",
            Cancelled => "cancelled",
            WrittenOff => "written_off",
        }
    }

    /// The reverse of [`EntryState::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for EntryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What somebody learned or decided about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The replayer is about to send; recorded before a byte leaves.
    ReplayAttempt,
    /// The sender knows that no byte left.
    NotSent,
    /// No byte left, nobody was told "accepted" yet, the core is away, and stand-in's rules say no.
    Decline,
    /// No byte left, and stand-in's rules say no, but the core is there: it waits for the core, and nobody was promised anything.
    Undecided,
    /// A byte may have left and no usable answer came, or the sender is gone.
    NoAnswer,
    /// The core answered, or was asked and said: posted.
    CorePosted,
    /// The core answered, or was asked and said: refused, with a declared code.
    CoreRefused,
    /// Proof that no attempt took or can still take effect.
    Absent,
    /// Every leg's change event has been seen.
    AllLegsSeen,
    /// Nothing the machine may do resolves it.
    Unresolvable,
    /// A client or operator cancels.
    Cancel,
    /// A person writes it off.
    WriteOff,
    /// A person found it in the core's books.
    Adopted,
    /// A person keyed it into the core by hand, under the core's own number.
    Linked,
    /// A person orders it sent again, although nothing proves that the core does not have it.
    Forced,
    /// A person vouches for a posting whose change events do not come.
    Vouched,
}

impl Evidence {
    /// All there is.
    pub const ALL: [Evidence; 16] = [
        Evidence::ReplayAttempt,
        Evidence::NotSent,
        Evidence::Decline,
        Evidence::Undecided,
        Evidence::NoAnswer,
        Evidence::CorePosted,
        Evidence::CoreRefused,
        Evidence::Absent,
        Evidence::AllLegsSeen,
        Evidence::Unresolvable,
        Evidence::Cancel,
        Evidence::WriteOff,
        Evidence::Adopted,
        Evidence::Linked,
        Evidence::Forced,
        Evidence::Vouched,
    ];
}

impl Evidence {
    /// The name in the journal's log of transitions.
    pub fn as_str(self) -> &'static str {
        match self {
            Evidence::ReplayAttempt => "replay_attempt",
            Evidence::NotSent => "not_sent",
            Evidence::Decline => "decline",
            Evidence::Undecided => "undecided",
            Evidence::NoAnswer => "no_answer",
            Evidence::CorePosted => "core_posted",
            Evidence::CoreRefused => "core_refused",
            Evidence::Absent => "absent",
            Evidence::AllLegsSeen => "all_legs_seen",
            Evidence::Unresolvable => "unresolvable",
            Evidence::Cancel => "cancel",
            Evidence::WriteOff => "write_off",
            Evidence::Adopted => "adopted",
            Evidence::Linked => "linked",
            Evidence::Forced => "forced",
            Evidence::Vouched => "vouched",
        }
    }
}

/// What evidence does to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Compare-and-set to this state.
    Moves(EntryState),
    /// Known already, or nothing new: no write.
    Nothing,
    /// Evidence against the state: flag `contradicted`, stop the lanes, alert.
    Contradicts,
    /// Not allowed in this state; answer the caller so.
    Forbidden,
}

/// The one transition table. Every writer of `entries.state` goes through it.
///
/// Evidence of what the core did is never dropped in silence. Where it cannot move the entry, it contradicts it.
pub fn weigh(state: EntryState, evidence: Evidence) -> Verdict {
    use Evidence::*;
    use Verdict::*;
    match (evidence, state) {
        (ReplayAttempt, Queued) => Moves(Submitting),
        (NotSent | Undecided, Submitting) => Moves(Queued),
        (Decline, Submitting | Queued) => Moves(Declined),
        (NoAnswer, Submitting) => Moves(OutcomeUnknown),
        (NoAnswer | NotSent | Undecided | Decline, _) => Nothing,

        (CorePosted, Submitting | OutcomeUnknown | Parked) => Moves(Posted),
        (CorePosted, Posted | Confirmed) => Nothing,
        (CorePosted, Queued | Refused | Declined | Cancelled | WrittenOff) => Contradicts,

        (CoreRefused, Submitting | OutcomeUnknown | Parked) => Moves(Refused),
        (CoreRefused, Refused) => Nothing,
        (CoreRefused, Posted | Confirmed | Queued | Declined | Cancelled | WrittenOff) => Contradicts,

        (AllLegsSeen, Submitting | OutcomeUnknown | Parked | Posted) => Moves(Confirmed),
        (AllLegsSeen, Confirmed) => Nothing,
        (AllLegsSeen, Queued | Refused | Declined | Cancelled | WrittenOff) => Contradicts,

        (Absent, OutcomeUnknown | Parked) => Moves(Queued),
        (Absent, _) => Nothing,

        (Unresolvable, Queued | OutcomeUnknown) => Moves(Parked),
        (Unresolvable, _) => Nothing,

        (Cancel, Queued) => Moves(Cancelled),
        (Cancel, Cancelled) => Nothing,
        (WriteOff, Parked) => Moves(WrittenOff),
        (WriteOff, WrittenOff) => Nothing,
        (Adopted, Queued | OutcomeUnknown | Parked) => Moves(Posted),
        (Adopted, Posted | Confirmed) => Nothing,
        (Linked, Queued | Parked) => Moves(Posted),
        (Forced, Parked) => Moves(Queued),
        (Vouched, Posted) => Moves(Confirmed),
        (Vouched, Confirmed) => Nothing,
        (ReplayAttempt | Cancel | WriteOff | Adopted | Linked | Forced | Vouched, _) => Forbidden,
    }
}

/// Which way a leg moves money on its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegKind {
    /// Takes money; holds it from admission.
    Debit,
    /// Brings money; raises nothing before its row arrives.
    Credit,
}

impl LegKind {
    /// The name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            LegKind::Debit => "debit",
            LegKind::Credit => "credit",
        }
    }

    /// The reverse of [`LegKind::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [LegKind::Debit, LegKind::Credit].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Who a channel is told took its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptedBy {
    /// The core answered within the request.
    Core,
    /// The journal took it; the core will be told.
    StandIn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_terminal_state() {
        for state in EntryState::ALL.into_iter().filter(|s| s.is_terminal()) {
            for evidence in Evidence::ALL {
                assert!(!matches!(weigh(state, evidence), Verdict::Moves(_)), "{state} {evidence:?}");
            }
        }
    }

    #[test]
    fn the_same_evidence_again_changes_nothing_more() {
        for state in EntryState::ALL {
            for evidence in Evidence::ALL {
                if let Verdict::Moves(next) = weigh(state, evidence) {
                    let again = weigh(next, evidence);
                    assert!(!matches!(again, Verdict::Moves(_) | Verdict::Contradicts), "{state} {evidence:?} {next}");
                }
            }
        }
    }

    #[test]
    fn what_the_core_did_is_never_dropped_in_silence() {
        use Evidence::*;
        for state in EntryState::ALL {
            for (evidence, agrees) in
                [(CorePosted, vec![Posted, Confirmed]), (CoreRefused, vec![Refused]), (AllLegsSeen, vec![Confirmed])]
            {
                match weigh(state, evidence) {
                    Verdict::Nothing => assert!(agrees.contains(&state), "{state} {evidence:?}"),
                    Verdict::Forbidden => panic!("{state} {evidence:?} must not be forbidden"),
                    Verdict::Moves(_) | Verdict::Contradicts => {}
                }
            }
        }
    }

    /// A person is told at once: what an order does not do, it refuses.
    #[test]
    fn a_persons_order_that_changes_nothing_was_done_already_or_is_refused() {
        use Evidence::*;
        for state in EntryState::ALL {
            for (order, done) in [
                (Cancel, vec![Cancelled]),
                (WriteOff, vec![WrittenOff]),
                (Adopted, vec![Posted, Confirmed]),
                (Linked, vec![]),
                (Forced, vec![]),
                (Vouched, vec![Confirmed]),
            ] {
                match weigh(state, order) {
                    Verdict::Nothing => assert!(done.contains(&state), "{state} {order:?}"),
                    Verdict::Contradicts => panic!("{state} {order:?} says nothing of the core"),
                    Verdict::Moves(_) | Verdict::Forbidden => {}
                }
            }
        }
    }

    /// While an attempt may be under way, only its sender or the books move an entry.
    #[test]
    fn nobody_decides_about_an_entry_while_it_is_being_sent() {
        use Evidence::*;
        for order in [Cancel, WriteOff, Adopted, Linked, Forced, Vouched] {
            assert_eq!(weigh(Submitting, order), Verdict::Forbidden, "{order:?}");
        }
    }

    #[test]
    fn names_round_trip() {
        for state in EntryState::ALL {
            assert_eq!(EntryState::parse(state.as_str()), Some(state));
        }
        assert_eq!(EntryState::parse("lost"), None);
    }
}
