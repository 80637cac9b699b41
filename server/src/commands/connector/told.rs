//! What a person reads of a trial.

use connectors::Heard;

use super::judge::Judged;
use crate::commands::table;

/// Prints one call: what the answer was read as, which rule matched, what came, what to change.
pub fn call(name: &str, judged: &Judged, heard: &[Heard]) {
    for text in lines(name, judged, heard) {
        table::line(table::plain(&text));
    }
}

fn lines(name: &str, judged: &Judged, heard: &[Heard]) -> Vec<String> {
    let mut lines = vec![format!("{name}: {}, read as {}", judged.grade.as_str(), judged.read_as)];
    for Heard { what, fits, misses, places } in heard {
        lines.push(format!("  answer: {what}"));
        match fits.is_empty() {
            true => lines.push("  no rule matched".to_owned()),
            false => lines.push(format!("  matched: {}", fits.join(", "))),
        }
        let is_plain = fits.len() == 1 && judged.advice.is_none();
        for (rule, why) in misses.iter().filter(|_| !is_plain) {
            lines.push(format!("  {rule} does not match: {}", why.join("; ")));
        }
        for (place, value) in places.iter().filter(|_| !is_plain) {
            lines.push(format!("    {place} = {value}"));
        }
    }
    lines.extend(judged.advice.map(|advice| format!("  → {advice}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::connector::judge::Grade;

    #[test]
    fn an_answer_that_is_understood_is_told_in_short_and_another_one_with_all_that_helps() {
        let heard = Heard {
            what: "status 200".into(),
            fits: vec!["probe.up[0]".into()],
            misses: vec![("probe.read-only[0]".into(), vec!["/s is missing".into()])],
            places: vec![("/s".into(), "\"UP\"".into())],
        };
        let good = Judged { grade: Grade::Right, read_as: "up".into(), advice: None };
        let expected = ["probe: right, read as up", "  answer: status 200", "  matched: probe.up[0]"];
        assert_eq!(lines("probe", &good, std::slice::from_ref(&heard)), expected);
        let bad = Judged { grade: Grade::Wrong, advice: Some("change it"), ..good };
        let none = Heard { fits: Vec::new(), ..heard };
        let told = lines("probe", &bad, &[none]);
        assert_eq!(
            told[2..],
            [
                "  no rule matched",
                "  probe.read-only[0] does not match: /s is missing",
                "    /s = \"UP\"",
                "  → change it"
            ]
        );
    }
}
