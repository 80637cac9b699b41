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
    /// How often an outcome is recorded that the journal's store refuses; then it is given up.
    pub refused_tries_max: u32,
    /// Which of people's orders want a second person.
    pub four_eyes: FourEyes,
}

impl Default for Options {
    /// An answer within 2 s, of which 500 ms are the journal's.
    fn default() -> Self {
        let (write_deadline, journal_budget) = (Duration::from_secs(2), Duration::from_millis(500));
        // With their pauses about half a minute: a server that was switched over takes writes again by then.
        Self { write_deadline, journal_budget, refused_tries_max: 20, four_eyes: FourEyes::default() }
    }
}
