//! Two measurements that alternate, and what their rounds say together.

use locum_tests::world::{Engine, Plan};

/// The world of a measurement: one Locum, and nobody who asks the journal's database how slow it is.
pub fn measured(engine: Engine, accounts: u64) -> Plan {
    Plan { engine, accounts, opening_balance: "5000.00", witness: false, ..Plan::default() }
}

/// The figures of each round: Locum's and the peer's.
#[derive(Debug, Clone, Default)]
pub struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    /// Adds a round.
    pub fn push(&mut self, locum: f64, peer: f64) {
        self.0.push((locum, peer));
    }

    /// How many rounds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Median of the rounds' ratios: a machine that is slower in one round is slower for both.
    pub fn ratio(&self) -> f64 {
        median(self.ratios())
    }

    /// Least and greatest ratio.
    pub fn spread(&self) -> (f64, f64) {
        let ratios = self.ratios();
        (ratios.first().copied().unwrap_or(f64::NAN), ratios.last().copied().unwrap_or(f64::NAN))
    }

    /// Locum's median.
    pub fn locum(&self) -> f64 {
        median(sorted(self.0.iter().map(|pair| pair.0)))
    }

    /// The peer's median.
    pub fn peer(&self) -> f64 {
        median(sorted(self.0.iter().map(|pair| pair.1)))
    }

    /// Locum's figures of all rounds together, and the peer's.
    pub fn sums(&self) -> (f64, f64) {
        self.0.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1))
    }

    fn ratios(&self) -> Vec<f64> {
        sorted(self.0.iter().map(|(locum, peer)| locum / peer))
    }
}

/// Which of the two is measured first in a round: they take turns, so that neither always follows the other.
pub fn locum_first(round: usize) -> bool {
    round.is_multiple_of(2)
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: Vec<f64>) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_rounds_ratios_and_not_a_ratio_of_medians() {
        let mut pairs = Pairs::default();
        for (locum, peer) in [(30.0, 10.0), (200.0, 100.0), (8.0, 1.0)] {
            pairs.push(locum, peer);
        }
        assert_eq!((pairs.ratio(), pairs.spread()), (3.0, (2.0, 8.0)));
        assert_eq!((pairs.locum(), pairs.peer()), (30.0, 10.0));
        assert_eq!(pairs.sums(), (238.0, 111.0));
    }

    #[test]
    fn they_take_turns() {
        assert_eq!([0, 1, 2, 3].map(locum_first), [true, false, true, false]);
    }
}
