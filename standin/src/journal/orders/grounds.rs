//! What an order rests on: always a reason; where money may be lost, also a proof or the name of the person who bears the
//! risk.

use serde::{Deserialize, Serialize};

use super::Act;
use crate::journal::objection::Objection;

/// Characters of one text at most; the audit keeps it whole.
const TEXT_CHARS_MAX: usize = 500;
/// Characters of a posting's number at most, as the read model keeps it.
const POSTING_CHARS_MAX: usize = 128;

/// Why something is ordered, and how the person knows.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grounds {
    /// Why.
    #[serde(rename = "why")]
    pub reason: String,
    /// What shows that the core has it: a statement, a screen, who looked and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted_proof: Option<String>,
    /// What shows that the core does not have it, that a row is not this entry's, or that a sender is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence_proof: Option<String>,
    /// Who bears the loss if it turns out otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_accepted_by: Option<String>,
}

impl Grounds {
    /// A reason and nothing else.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    /// Do they bear this order?
    pub(super) fn bear(&self, act: &Act) -> Result<(), Objection> {
        let texts = [Some(&self.reason), self.posted_proof.as_ref(), self.absence_proof.as_ref()];
        let texts = texts.into_iter().chain([self.risk_accepted_by.as_ref()]).flatten();
        if texts.into_iter().any(|text| text.trim().is_empty() || text.chars().count() > TEXT_CHARS_MAX) {
            return Err(Objection::GroundsMissing("a reason, a proof or a name has 1 to 500 characters"));
        }
        let (absence, posted) = (self.absence_proof.is_some(), self.posted_proof.is_some());
        let risk = self.risk_accepted_by.is_some();
        let needs = |met: bool, what| if met { Ok(()) } else { Err(Objection::GroundsMissing(what)) };
        match act {
            Act::Force { .. } => needs(
                absence || risk,
                "give a proof that the core does not have it, or name who bears the risk that it does",
            ),
            Act::WriteOff { .. } => needs(
                absence || posted || risk,
                "give a proof that it will not be posted or was settled otherwise, or name who bears the risk",
            ),
            Act::Free { .. } => needs(absence, "give the proof that the row in the books is not this entry's"),
            Act::DeclareGone { .. } => needs(absence, "give the proof that the instance can send nothing any more"),
            Act::Link { postings, .. } => {
                let clean = |text: &str| text.trim() == text && !text.chars().any(char::is_control);
                let fits = |text: &String| (1..=POSTING_CHARS_MAX).contains(&text.chars().count()) && clean(text);
                let distinct = postings.first() != postings.get(1);
                let well = (1..=2).contains(&postings.len()) && distinct && postings.iter().all(fits);
                needs(well, "name one posting of the core, or one for each leg, without blanks around it")
            }
            Act::Adopt { debit_posting_no, .. } => {
                needs(debit_posting_no.is_none_or(|number| number >= 1), "a posting's number is 1 or more")
            }
            Act::Cancel { .. } | Act::Retry { .. } | Act::ClearLane { .. } | Act::ResetDay { .. } => Ok(()),
        }
    }
}
