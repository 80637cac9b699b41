//! What one seed plays: which core, how many hosts and requests, and which faults may happen.

use std::collections::BTreeSet;

use schemas::core::Capabilities;

use crate::chance::Chance;
use crate::fault::Fault;

/// Longest time after its sender ended that a request may take effect in the simulated core.
pub const LIFETIME_MS: u64 = 3_000;
/// The core remembers a reference for so long, in the class that forgets.
pub const SHORT_MEMORY_MS: u64 = 12_000;
const LONG_MEMORY_MS: u64 = 86_400_000;

/// What kind of core is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Posts a reference once, can be asked, and keeps refusals, too.
    Whole,
    /// Posts a reference once, and cannot be asked.
    Idempotent,
    /// Can be asked. A second request posts a second time.
    Enquiry,
    /// Can be asked, and forgets references after a while: then a second request posts a second time.
    Forgets,
    /// Forgets references, and cannot be asked.
    ForgetsAndSilent,
    /// Answers a known reference with nothing but "duplicate", and can be asked.
    Duplicate,
    /// Promises nothing.
    Nothing,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 7] = [
        Class::Whole,
        Class::Idempotent,
        Class::Enquiry,
        Class::Forgets,
        Class::ForgetsAndSilent,
        Class::Duplicate,
        Class::Nothing,
    ];

    /// What the core declares.
    pub fn capabilities(self) -> Capabilities {
        let reference_memory_ms = self.memory_ms();
        let enquiry = !matches!(self, Self::Idempotent | Self::ForgetsAndSilent | Self::Nothing);
        Capabilities { reference_memory_ms, enquiry, request_lifetime_ms_max: LIFETIME_MS }
    }

    /// For how long it remembers references.
    pub fn memory_ms(self) -> Option<u64> {
        match self {
            Self::Whole | Self::Idempotent | Self::Duplicate => Some(LONG_MEMORY_MS),
            Self::Forgets | Self::ForgetsAndSilent => Some(SHORT_MEMORY_MS),
            Self::Enquiry | Self::Nothing => None,
        }
    }
}

/// Whose clocks may be set back. Never both: nothing else tells a replayer that starts then how long ago a first attempt was
/// (`docs/faults.md`, "Known, and not tested").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetBack {
    /// The SQL server's.
    Sql,
    /// The hosts'.
    Hosts,
}

/// What one seed plays.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What kind of core.
    pub class: Class,
    /// How many hosts.
    pub hosts: usize,
    /// How many accounts.
    pub accounts: usize,
    /// How many transfers clients ask for.
    pub transfers: usize,
    /// For how long faults happen, in seconds of simulated time.
    pub stormy_s: u64,
    /// What may go wrong.
    pub faults: BTreeSet<Fault>,
    /// Does the core tell its posting numbers in its answers?
    pub tells_numbers: bool,
    /// Whose clocks may be set back.
    pub set_back: SetBack,
    /// Do credits take a place in the order of their accounts?
    pub credits_in_order: bool,
    /// Do all transfers stand in one order?
    pub global_order: bool,
    /// Does the core number its postings? Otherwise balances are ordered by source transaction (ADR 0041).
    pub numbers_postings: bool,
}

impl Plan {
    /// The plan of a seed. Each seed allows some kinds of fault only: otherwise the frequent ones would hide the rare ones.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let classes = Class::ALL.len() as u64;
        let class = Class::ALL[usize::try_from(seed % classes).unwrap_or(0)];
        let share = chance.between(15, 75);
        let faults = Fault::ALL.iter().copied().filter(|_| chance.below(100) < share).collect();
        Self {
            seed,
            class,
            hosts: usize::try_from(chance.between(1, 3)).unwrap_or(1),
            accounts: usize::try_from(chance.between(3, 6)).unwrap_or(3),
            transfers: usize::try_from(chance.between(30, 70)).unwrap_or(12),
            stormy_s: chance.between(15, 40),
            faults,
            tells_numbers: chance.one_in(2),
            credits_in_order: chance.one_in(3),
            set_back: if chance.one_in(2) { SetBack::Sql } else { SetBack::Hosts },
            global_order: chance.one_in(5),
            numbers_postings: !chance.one_in(3),
        }
    }

    /// A fault that is due once in `n` times happens once in so many in this plan. In some histories a kind of fault is frequent, so
    /// that several meet in one entry.
    pub fn one_in(&self, fault: Fault, n: u64) -> u64 {
        let mut chance = Chance::of(self.seed.wrapping_mul(1_000_003) ^ fault as u64);
        let times = match chance.below(10) {
            // What is asked at every statement is frequent enough.
            _ if n > 60 => 1,
            0..=5 => 1,
            6..=7 => 3,
            _ => 8,
        };
        (n / times).max(n.min(3))
    }

    /// The line that plays it again.
    pub fn line(&self) -> String {
        let whole = Self::of(self.seed);
        let mut line = format!("dev/sim --seed {}", self.seed);
        if whole.transfers != self.transfers {
            line += &format!(" --transfers {}", self.transfers);
        }
        let without: Vec<&str> = whole.faults.difference(&self.faults).map(|fault| fault.as_str()).collect();
        if !without.is_empty() {
            line += &format!(" --without {}", without.join(","));
        }
        line
    }
}
