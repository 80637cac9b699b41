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
    /// What the ratio must reach, such as `>= 3`.
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
}

/// Prints the table.
pub fn print(rows: &[Row]) {
    println!(
        "\n{:<28} {:<22} {:>9} {:>9}  {:<34} {:>6} {:>15}  {:<8} met",
        "arm", "measure", "locum", "peer", "peer's name", "ratio", "spread", "goal"
    );
    for row in rows {
        let spread = format!("{:.2} to {:.2}", row.spread.0, row.spread.1);
        println!(
            "{:<28} {:<22} {:>9.2} {:>9.2}  {:<34} {:>6.2} {:>15}  {:<8} {}",
            row.arm,
            row.measure,
            row.locum,
            row.peer,
            row.peer_name,
            row.ratio,
            spread,
            row.goal,
            if row.met { "yes" } else { "NO" }
        );
    }
}

/// Writes the rows as JSON.
pub fn write(rows: &[Row], file: &Path) -> anyhow::Result<()> {
    std::fs::write(file, serde_json::to_string_pretty(rows)?)?;
    Ok(())
}
