//! How the gateway is told to work.

use std::time::Duration;

use crate::four_eyes::FourEyes;

/// How long things may take, and what wants two people.
#[derive(Debug, Clone)]
pub struct Options {
    /// A channel has its answer by then.
    pub write_deadline: Duration,
    /// Part of it kept for the journal; the core gets the rest.
    pub journal_budget: Duration,
    /// Which of people's orders want a second person.
    pub four_eyes: FourEyes,
}

impl Default for Options {
    /// An answer within 2 s, of which 500 ms are the journal's.
    fn default() -> Self {
        let (write_deadline, journal_budget) = (Duration::from_secs(2), Duration::from_millis(500));
        Self { write_deadline, journal_budget, four_eyes: FourEyes::default() }
    }
}
