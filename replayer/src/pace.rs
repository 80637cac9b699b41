//! How many entries are sent at once: up by one while the core keeps up, halved when it does not. Pure.
//!
//! One entry that gets no answer says nothing of the core: only two in a row do, or the probe.

/// Additive increase, multiplicative decrease between one and `max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    now: usize,
    max: usize,
    good_in_a_row: usize,
    silent_in_a_row: usize,
}

impl Pace {
    /// Starts at one.
    pub fn new(max: usize) -> Self {
        Self { now: 1, max: max.max(1), good_in_a_row: 0, silent_in_a_row: 0 }
    }

    /// How many may be under way now.
    pub fn limit(&self) -> usize {
        self.now
    }

    /// The core answered; a whole round of answers allows one more.
    pub fn answered(&mut self) {
        self.silent_in_a_row = 0;
        self.good_in_a_row += 1;
        if self.good_in_a_row >= self.now {
            self.good_in_a_row = 0;
            self.now = (self.now + 1).min(self.max);
        }
    }

    /// An entry got no answer. The second one in a row halves the pace.
    pub fn silent(&mut self) {
        self.silent_in_a_row += 1;
        if self.silent_in_a_row >= 2 {
            self.fell();
        }
    }

    /// The core is away.
    pub fn fell(&mut self) {
        (self.good_in_a_row, self.silent_in_a_row) = (0, 0);
        self.now = (self.now / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_rounds_and_halves_on_failure() {
        let mut pace = Pace::new(8);
        for _ in 0..200 {
            pace.answered();
            assert!(pace.limit() <= 8);
        }
        assert_eq!(pace.limit(), 8);
        pace.fell();
        assert_eq!(pace.limit(), 4);
        (0..10).for_each(|_| pace.fell());
        assert_eq!(pace.limit(), 1);
    }

    #[test]
    fn one_entry_without_an_answer_among_others_moves_nothing_and_a_core_that_falls_silent_does() {
        let mut pace = Pace::new(8);
        for _ in 0..200 {
            pace.silent();
            pace.answered();
        }
        assert_eq!(pace.limit(), 8);
        pace.silent();
        pace.silent();
        assert_eq!(pace.limit(), 4);
    }
}
