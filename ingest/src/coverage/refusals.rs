//! Why records were refused: each reason once, with the first places it was met at.

use crate::feed::RawRecord;

/// Reasons that are told apart; those beyond are only counted.
pub const REASONS_MAX: usize = 50;
/// Places that are named for each.
const PLACES_MAX: usize = 3;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As the parked event or the halted source has it.
    pub reason: String,
    /// It halts the source at once; otherwise the event is parked.
    pub halts: bool,
    /// Records refused for it.
    pub records: u64,
    /// The first of them, TOPIC/PARTITION@OFFSET.
    pub places: Vec<String>,
}

/// All of them, in the order they were met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The first reasons.
    pub reasons: Vec<Refusal>,
    /// Records refused for further reasons.
    pub others: u64,
}

impl Refusals {
    pub(super) fn add(&mut self, record: &RawRecord, reason: String, halts: bool) {
        let place = format!("{}/{}@{}", record.partition.topic, record.partition.partition, record.offset);
        let same = |known: &&mut Refusal| known.reason == reason && known.halts == halts;
        match self.reasons.iter_mut().find(same) {
            Some(known) => {
                known.records += 1;
                if known.places.len() < PLACES_MAX {
                    known.places.push(place);
                }
            }
            None if self.reasons.len() < REASONS_MAX => {
                self.reasons.push(Refusal { reason, halts, records: 1, places: vec![place] });
            }
            None => self.others += 1,
        }
    }
}
