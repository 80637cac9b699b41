//! Configurations, the core's capability classes, and the protocol's deliberately broken variants.

use locum_standin::rules::OperationRules;
use schemas::core::Capabilities;

use super::compositions::NO_FAULTS;
use super::state::{Budget, INSTANCES, SLOTS};

/// What the core promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// References are idempotent for a while.
    Memory,
    /// References can be asked for.
    Enquiry,
    /// Both.
    Both,
    /// Nothing.
    Neither,
}

/// The core's longest request lifetime, as fed into the real functions.
pub const LIFETIME_MS: u64 = 10;
/// Its declared memory.
pub const MEMORY_MS: u64 = 1_000;
/// The margin taken off.
pub const MARGIN_MS: u64 = 100;

impl Class {
    /// In the words of the real functions.
    pub fn capabilities(self) -> Capabilities {
        Capabilities {
            reference_memory_ms: matches!(self, Class::Memory | Class::Both).then_some(MEMORY_MS),
            enquiry: matches!(self, Class::Enquiry | Class::Both),
            request_lifetime_ms_max: LIFETIME_MS,
        }
    }

    /// Does the core remember references?
    pub fn remembers(self) -> bool {
        matches!(self, Class::Memory | Class::Both)
    }

    /// Can it be asked?
    pub fn answers(self) -> bool {
        matches!(self, Class::Enquiry | Class::Both)
    }
}

/// One rule of the protocol, left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The protocol as it is.
    Correct,
    /// Bytes leave before the admission commits.
    NoIntentRow,
    /// A replayer's writes are not conditional on its token.
    NoFencing,
    /// A hold ends with the core's answer, not with the served balance.
    EarlyRelease,
    /// A direct request does not look whether its lanes are ordered.
    DirectIgnoresOrdered,
    /// A new holder of the lease takes the former holder's attempts for ended.
    LeaseAsProof,
    /// The look-up alone decides whether a key is new.
    LookUpInsteadOfIndex,
    /// *Not found* counts although the lifetime has not passed.
    NotFoundAtOnce,
    /// *Not found* still counts when the entry was sent again after it.
    NotFoundOutlivesResend,
    /// An unknown outcome is sent again whatever the core remembers.
    BlindResend,
    /// A resend does not look at the core's memory when it is decided.
    ResendPastMemory,
    /// The core's memory is looked at when a resend is decided, not when its bytes leave.
    MemoryNotCheckedAtSend,
    /// A time-out is taken for *not sent*.
    TimeoutAsNotSent,
    /// A retry is answered 202 on a submitting entry that is left unmarked.
    RetryLeavesDirect,
    /// Stand-in declines what waits, whatever its client was told.
    DeclinesAccepted,
    /// A refusal ends the entry although another attempt may still post.
    AnyRefusalSettles,
    /// The same, by a gateway only: it does not ask for other attempts, since it has made the first.
    GatewayRefusalSettles,
    /// An observer takes the stamp of an attempt's end for a moment of its own clock.
    StampsCompared,
    /// The age of the first attempt is read from the SQL server's clock alone.
    AgeByOneClock,
    /// The next holder of an identity ends its predecessor's attempts once, at its start.
    ProofOnce,
    /// A sender with a lost lease records nothing, not even the end of its own attempt.
    StaleEndsNothing,
    /// A gateway that answered `acceptance-unknown` forgets the request.
    UnsureForgets,
    /// The memory is trusted to its margin, without room for a request that is already in the core's hands.
    MarginWithoutLifetime,
    /// An outcome is recorded by a compare-and-set on the state alone, without the attempt.
    RecordByStateOnly,
    /// A balance is served although it includes postings whose rows were not applied.
    BalanceRunsAhead,
    /// Without numbers: what a balance includes is told by the place in the log alone, not by its transaction.
    PositionAlone,
    /// Without numbers: of several balances of one transaction the first is served.
    FirstOfTransaction,
    /// Without numbers: in a shadow no balance waits.
    ShadowDoesNotWait,
    /// Without numbers: a later change of a posting's row moves the place at which it counts as booked.
    LatestPlace,
    /// The next entry of a run is sent whatever became of the one before it.
    RunGoesOn,
    /// What is unknown is sent again although others are before it in its lanes.
    ResendPastLower,
    /// The next entry of a run is sent once the core has refused the one before it, before that is recorded.
    RunPassesRefusals,
    /// Replay does not wait for direct entries before it.
    ReplayIgnoresDirect,
    /// What only waits for its turn, with the core there, is promised and charged at once.
    TurnIsPromised,
    /// What the core decided stays reserved.
    ReservedForGood,
    /// What was reserved is given back with the answer and with the change events.
    GivenBackTwice,
}

/// How a core that numbers no postings writes its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unnumbered {
    /// Its log is PostgreSQL's, not a binary log.
    pub wal: bool,
    /// The balance is written before the posting.
    pub balance_first: bool,
    /// An account's balance is written with each posting of a transaction, not once.
    pub stepwise: bool,
}

/// Who owns a task and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The process.
    pub instance: u8,
    /// The write.
    pub write: u8,
    /// A replayer's, not a request's.
    pub replayer: bool,
}

/// The legs of a write: the account debited and, within the model's accounts, the one credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Debited account.
    pub debit: u8,
    /// Credited account; `None` = outside.
    pub credit: Option<u8>,
    /// Minor units; a power of two each, so that sums tell writes apart.
    pub amount: i64,
}

/// A checked composition.
#[derive(Debug, Clone)]
pub struct Locum {
    /// The core.
    pub class: Class,
    /// Which rule is left out.
    pub variant: Variant,
    /// Clients' writes.
    pub writes: Vec<Write>,
    /// Everyone who can send.
    pub slots: Vec<Slot>,
    /// First replayer's instance number.
    pub replayers: std::ops::Range<u8>,
    /// All rows of one core transaction are applied together.
    pub whole_transactions: bool,
    /// The core writes balances before the postings they include.
    pub balance_first: bool,
    /// The core numbers no postings, and writes its rows so. The two fields above say nothing then.
    pub unnumbered: Option<Unnumbered>,
    /// What is promised is counted on the day of the account.
    pub days: bool,
    /// Credits take a place in the order of their account.
    pub credits_in_order: bool,
    /// A replayer claims entries behind the one that it is about to send.
    pub runs: bool,
    /// How far each host's clock is ahead, in request lifetimes.
    pub clocks: [i8; INSTANCES],
    /// Faults.
    pub budget: Budget,
}

impl Locum {
    /// `requests` = (gateway, write) pairs; gateways are numbered from 0, replayers follow.
    pub fn new(class: Class, writes: &[Write], gateways: u8, requests: &[(u8, u8)], replayers: u8) -> Self {
        let mut slots: Vec<Slot> =
            requests.iter().map(|&(instance, write)| Slot { instance, write, replayer: false }).collect();
        let replayers = gateways..gateways + replayers;
        for instance in replayers.clone() {
            slots.extend((0..writes.len()).map(|w| Slot { instance, write: w as u8, replayer: true }));
        }
        assert!(slots.len() <= SLOTS);
        let budget = Budget { crashes: 1, losses: 1, ..NO_FAULTS };
        Locum {
            class,
            variant: Variant::Correct,
            writes: writes.to_vec(),
            slots,
            replayers,
            whole_transactions: true,
            balance_first: false,
            unnumbered: None,
            days: false,
            credits_in_order: false,
            runs: false,
            clocks: [0; INSTANCES],
            budget,
        }
    }

    /// With one rule left out.
    pub fn breaking(self, variant: Variant) -> Self {
        Locum { variant, ..self }
    }

    /// With these faults.
    pub fn with(self, budget: Budget) -> Self {
        Locum { budget, ..self }
    }

    /// With hosts whose clocks differ.
    pub fn with_clocks(self, clocks: [i8; INSTANCES]) -> Self {
        Locum { clocks, ..self }
    }

    /// Is this rule left out?
    pub fn breaks(&self, variant: Variant) -> bool {
        self.variant == variant
    }

    /// Tasks of one process.
    pub fn of(&self, instance: u8) -> impl Iterator<Item = usize> + '_ {
        (0..self.slots.len()).filter(move |s| self.slots[*s].instance == instance)
    }

    /// Tasks about one write.
    pub fn about(&self, write: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.slots.len()).filter(move |s| usize::from(self.slots[*s].write) == write)
    }

    /// Accounts a write touches, with the kind of its leg.
    pub fn legs(&self, write: usize) -> impl Iterator<Item = (usize, schemas::entry::LegKind)> + use<> {
        use schemas::entry::LegKind::{Credit, Debit};
        let Write { debit, credit, .. } = self.writes[write];
        std::iter::once((usize::from(debit), Debit)).chain(credit.map(|c| (usize::from(c), Credit)))
    }

    /// Does a leg of this kind take a place in the order of its account?
    pub fn in_order(&self, kind: schemas::entry::LegKind) -> bool {
        OperationRules { credits_in_order: self.credits_in_order, ..OperationRules::default() }.in_order(kind)
    }

    /// Do two writes stand in the order of one account?
    pub fn share(&self, x: usize, y: usize) -> bool {
        let lanes = |w| self.legs(w).filter(|(_, kind)| self.in_order(*kind)).map(|(account, _)| account);
        lanes(x).any(|a| lanes(y).any(|b| a == b))
    }
}
