//! What somebody learned or decided about an entry.

use schemas::core::Posting;
use schemas::entry::Evidence;

use crate::admission::CoreBelief;
use crate::entry::EntryId;

/// Evidence about one entry.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which entry.
    pub id: EntryId,
    /// What was learned or decided.
    pub evidence: Evidence,
    /// Code of a refusal, or why it was parked.
    pub reason: Option<String>,
    /// What the core said of its posting.
    pub posting: Option<Posting>,
    /// The attempt that ended with this, its connection closed.
    pub ends_attempt: Option<i64>,
    /// The evidence is a proof about this many attempts. After another attempt it proves nothing.
    pub of_attempts: Option<i64>,
    /// For a refusal that an enquiry found: attempts up to this number could take no effect any more when the core was
    /// asked.
    pub quiet_up_to: i64,
    /// For [`Evidence::NotSent`]: was the core found to be away? Only then may stand-in decline the entry.
    pub belief: CoreBelief,
}

impl Change {
    /// Bare evidence.
    pub fn new(id: EntryId, evidence: Evidence) -> Self {
        Self {
            id,
            evidence,
            reason: None,
            posting: None,
            ends_attempt: None,
            of_attempts: None,
            quiet_up_to: 0,
            belief: CoreBelief::Available,
        }
    }

    /// With a code.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// With the core's posting.
    pub fn with_posting(self, posting: Posting) -> Self {
        Self { posting: Some(posting), ..self }
    }

    /// Taken only while the entry has had exactly `n` attempts.
    pub fn of_attempts(self, n: i64) -> Self {
        Self { of_attempts: Some(n), ..self }
    }

    /// Ends attempt number `n`.
    pub fn ending(self, n: i64) -> Self {
        Self { ends_attempt: Some(n), ..self }
    }

    /// Learned by somebody who believes this of the core.
    pub fn believing(self, belief: CoreBelief) -> Self {
        Self { belief, ..self }
    }

    /// The core was asked when attempts up to number `n` could take no effect any more.
    pub fn asked_when_quiet(self, n: i64) -> Self {
        Self { quiet_up_to: n, ..self }
    }
}
