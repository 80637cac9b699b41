//! Lists in statements, filled up to few lengths: each length is a text of its own, which every connection prepares and keeps.

use crate::dialect::{placeholders, rows};
use crate::value::Value;

/// The length that a list of `n` members is filled up to: 1, 4, 16, 64, and from there twice as much each time.
///
/// Small lists have few texts and waste little. A large one is at most doubled.
pub fn filled(n: usize) -> usize {
    match n {
        0..=1 => n,
        2..=4 => 4,
        5..=16 => 16,
        17..=64 => 64,
        _ => n.next_power_of_two(),
    }
}

/// Text and values of the list in `… IN (…)`, filled up by its last member; an empty one matches nothing.
pub fn listed<V: Into<Value>>(members: impl IntoIterator<Item = V>) -> (String, Vec<Value>) {
    let values: Vec<Value> = members.into_iter().map(Into::into).collect();
    let count = filled(values.len());
    let values = repeating_last(values, count);
    (placeholders(values.len()), values)
}

/// The same of `(a, b) IN (…)`, as groups of `columns` values. SQLite wants the word `VALUES` before them.
pub fn listed_rows(members: impl IntoIterator<Item = Vec<Value>>, columns: usize) -> (String, Vec<Value>) {
    let groups: Vec<Vec<Value>> = members.into_iter().collect();
    let count = filled(groups.len());
    let groups = repeating_last(groups, count);
    (rows(groups.len(), columns), groups.into_iter().flatten().collect())
}

/// Whole lists of 128, 64, 32 … 1 members, for statements that nothing can fill up.
pub(crate) fn parts<T>(mut members: Vec<T>) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    while !members.is_empty() {
        let size = 1 << members.len().min(128).ilog2();
        let rest = members.split_off(size);
        parts.push(std::mem::replace(&mut members, rest));
    }
    parts
}

/// Filled up to `count` by the last member, for lists in which a member may stand twice. An empty list stays empty.
pub(crate) fn repeating_last<T: Clone>(mut members: Vec<T>, count: usize) -> Vec<T> {
    if let Some(last) = members.last().cloned() {
        members.resize(count, last);
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_any_length_have_few_texts_and_keep_their_members() {
        let texts: std::collections::BTreeSet<String> = (0..=512).map(|n| listed(0..n).0).collect();
        assert_eq!(texts.len(), 8, "none, 1, 4, 16, 64, 128, 256, 512");
        assert_eq!(listed([7, 8]), ("?, ?, ?, ?".to_owned(), crate::params![7, 8, 8, 8]));
        assert_eq!(listed([7]).1, crate::params![7]);
        assert_eq!(listed(Vec::<i64>::new()), ("NULL".to_owned(), Vec::new()));
        for n in 0..5_000 {
            assert!(filled(n) >= n && filled(filled(n)) == filled(n), "{n}");
        }
    }

    #[test]
    fn parts_have_few_sizes_and_keep_all_in_order() {
        let sizes = |n: usize| parts((0..n).collect()).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((sizes(0), sizes(1), sizes(150)), (vec![], vec![1], vec![128, 16, 4, 2]));
        assert_eq!(parts((0..87).collect::<Vec<_>>()).concat(), (0..87).collect::<Vec<_>>());
    }

    #[test]
    fn groups_are_filled_up_whole() {
        let (text, values) = listed_rows([crate::params![1, "a"], crate::params![2, "b"]], 2);
        assert_eq!(text, "(?, ?), (?, ?), (?, ?), (?, ?)");
        assert_eq!(values, crate::params![1, "a", 2, "b", 2, "b", 2, "b"]);
    }
}
