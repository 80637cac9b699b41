//! The rows of a run: one table for people, the same rows as JSON.

use std::path::Path;

use serde::Serialize;

use crate::rounds::Pairs;

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The ratio must reach the goal.
    Higher,
    /// The ratio must not pass the goal.
    Lower,
    /// No round's ratio may pass the goal: a claim about the worst is not one about a median.
    LowerInEachRound,
}

/// One measure of one arm: Locum beside one peer.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The arm, with its engine and its shape of load.
    pub arm: String,
    /// What was measured, with its unit.
    pub measure: &'static str,
    /// Locum's median.
    pub locum: f64,
    /// The peer's median.
    pub peer: f64,
    /// Which peer.
    pub peer_name: &'static str,
    /// Median of the rounds' ratios, Locum's figure by the peer's.
    pub ratio: f64,
    /// What the ratio must reach, such as `>= 3`; `= 0` is about Locum's figure.
    pub goal: String,
    /// Whether it does.
    pub met: bool,
    /// How many rounds.
    pub rounds: usize,
    /// Least and greatest ratio.
    pub spread: (f64, f64),
}

impl Row {
    /// The row of these pairs.
    pub fn new(
        arm: impl Into<String>,
        measure: &'static str,
        peer_name: &'static str,
        pairs: &Pairs,
        (better, goal): (Better, f64),
    ) -> Self {
        let ratio = pairs.ratio();
        let (sign, met) = match better {
            Better::Higher => (">=", ratio >= goal),
            Better::Lower => ("<=", ratio <= goal),
            Better::LowerInEachRound => ("<=", pairs.spread().1 <= goal),
        };
        Self {
            arm: arm.into(),
            measure,
            locum: pairs.locum(),
            peer: pairs.peer(),
            peer_name,
            ratio,
            goal: format!("{sign} {goal}"),
            met,
            rounds: pairs.len(),
            spread: pairs.spread(),
        }
    }

    /// The row of what must not happen in any round, with sums in place of medians. There is no ratio.
    pub fn none(arm: impl Into<String>, measure: &'static str, peer_name: &'static str, pairs: &Pairs) -> Self {
        let (locum, peer) = pairs.sums();
        Self {
            arm: arm.into(),
            measure,
            locum,
            peer,
            peer_name,
            ratio: f64::NAN,
            goal: "= 0".to_owned(),
            met: locum == 0.0,
            rounds: pairs.len(),
            spread: (f64::NAN, f64::NAN),
        }
    }
}

/// Prints the table.
pub fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.arm.len()).max().unwrap_or(0);
    println!(
        "\n{:<width$} {:<22} {:>9} {:>9}  {:<34} {:>6} {:>15}  {:<8} met",
        "arm", "measure", "locum", "peer", "peer's name", "ratio", "spread", "goal"
    );
    for row in rows {
        let spread = format!("{} to {}", shown(row.spread.0), shown(row.spread.1));
        println!(
            "{:<width$} {:<22} {:>9} {:>9}  {:<34} {:>6} {:>15}  {:<8} {}",
            row.arm,
            row.measure,
            shown(row.locum),
            shown(row.peer),
            row.peer_name,
            shown(row.ratio),
            spread,
            row.goal,
            if row.met { "yes" } else { "NO" }
        );
    }
}

/// Two decimals; a dash where there is no figure. JSON has null there.
fn shown(figure: f64) -> String {
    if figure.is_nan() { "-".to_owned() } else { format!("{figure:.2}") }
}

/// Writes the rows as JSON.
pub fn write(rows: &[Row], file: &Path) -> anyhow::Result<()> {
    std::fs::write(file, serde_json::to_string_pretty(rows)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Pairs {
        let mut pairs = Pairs::default();
        for (locum, peer) in [(1.0, 1.0), (1.0, 2.0), (9.0, 2.0)] {
            pairs.push(locum, peer);
        }
        pairs
    }

    #[test]
    fn a_goal_about_the_worst_is_missed_by_one_round_and_another_by_the_median() {
        let row = |better| Row::new("arm", "ms", "peer", &pairs(), (better, 3.0));
        assert!(row(Better::Lower).met && !row(Better::LowerInEachRound).met);
        assert_eq!((row(Better::Lower).ratio, row(Better::LowerInEachRound).ratio), (1.0, 1.0));
    }

    #[test]
    fn what_must_not_happen_is_summed_and_has_no_ratio() {
        let row = Row::none("arm", "errors", "peer", &pairs());
        assert_eq!((row.locum, row.peer, row.met, shown(row.ratio).as_str()), (11.0, 5.0, false, "-"));
        assert!(serde_json::to_value(&row).unwrap()["ratio"].is_null());
    }
}
