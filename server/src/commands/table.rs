//! Results for people: aligned columns.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

use serde_json::Value;

/// Prints a line. A reader that has read enough, such as `head`, ends the command; any other failure to print is an error.
pub fn line(text: impl Display) {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(err) if err.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(err) => {
            eprintln!("locum: cannot write to standard output: {err}");
            std::process::exit(1);
        }
    }
}

/// A value as a cell.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// A text that somebody else wrote, as one line: what would steer the reader's terminal is shown as an escape.
pub fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Prints what the server answered: its JSON, or names and values.
pub fn show(json: bool, answer: &Value) {
    match json {
        true => line(format_args!("{answer:#}")),
        false => print_object(answer),
    }
}

/// Prints these members of each object of a list, a row each.
pub fn print_list(members: &[&str], objects: &[Value]) {
    let row = |object: &Value| members.iter().map(|member| cell(&object[*member])).collect();
    let rows: Vec<Vec<String>> = objects.iter().map(row).collect();
    print(members, &rows);
}

/// Prints rows under their titles, each column as wide as it needs.
pub fn print(titles: &[&str], rows: &[Vec<String>]) {
    line(render(titles, rows).trim_end());
}

fn render(titles: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let titles: Vec<String> = titles.iter().map(|title| title.to_uppercase()).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Prints an object as names and values.
pub fn print_object(object: &Value) {
    let rows: Vec<Vec<String>> = match object {
        Value::Object(map) => map.iter().map(|(name, value)| vec![name.clone(), cell(value)]).collect(),
        other => vec![vec!["".into(), cell(other)]],
    };
    print(&["name", "value"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_somebody_else_wrote_does_not_steer_the_terminal() {
        let text = Value::from("wrong\u{1b}[2K\nline \u{202e}two é");
        assert_eq!(cell(&text), "wrong\\u{1b}[2K\\nline \\u{202e}two é");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["é1".to_owned(), "x".to_owned()], vec!["12345".to_owned(), "-".to_owned()]];
        assert_eq!(render(&["id", "state"], &rows), "ID     STATE\né1     x\n12345  -\n");
    }
}
