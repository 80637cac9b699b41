//! Our reference in a row of the core: alone in its column, with something behind it, or inside a text.

use super::MapError;
use super::field::Fields;
use super::node::{Members, Node, Problems, Value};
use super::table::Table;
use super::view::View;
use super::words::Words;
use crate::core::{Alphabet, ReferenceFormat};
use crate::debezium::Row;

/// Where our reference stands in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    column: String,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// The column holds nothing else.
    Alone,
    /// One of these may stand behind it.
    Suffixed(Vec<String>),
    /// The text begins with it.
    Start,
    /// It stands anywhere in the text; the first one counts.
    Anywhere,
}

/// Reads `reference`: how the connector of the core writes references, in its own words.
pub(super) fn written(node: &Node, problems: &mut Problems) -> Option<ReferenceFormat> {
    let mut members = Members::of(node, "reference", problems)?;
    let alphabet = members.take("alphabet").map(|n| alphabet(n, &members.path("alphabet"), problems));
    let length = members.take("length").map(|n| length(n, &members.path("length"), problems));
    let prefix = members.take("prefix").map(|n| problems.text(n, &members.path("prefix")));
    members.finish(problems);
    let format = ReferenceFormat {
        alphabet: alphabet.unwrap_or(Some(Alphabet::default()))?,
        length: transposed(length)?,
        prefix: transposed(prefix)?,
    };
    let wrong = format.problems();
    for problem in &wrong {
        problems.add(node.line, "reference", problem);
    }
    wrong.is_empty().then_some(format)
}

/// What is absent is right; what is there and wrong is not.
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn alphabet(node: &Node, at: &str, problems: &mut Problems) -> Option<Alphabet> {
    let known = [
        ("digits", Alphabet::Digits),
        ("upper-alphanumeric", Alphabet::UpperAlphanumeric),
        ("lower-hex", Alphabet::LowerHex),
        ("uuid", Alphabet::Uuid),
    ];
    let name = problems.text(node, at)?;
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, alphabet)| *alphabet);
    if found.is_none() {
        problems.add(node.line, at, "expected digits, upper-alphanumeric, lower-hex or uuid");
    }
    found
}

fn length(node: &Node, at: &str, problems: &mut Problems) -> Option<usize> {
    let length = match node.value {
        Value::Integer(length) => usize::try_from(length).ok(),
        _ => None,
    };
    if length.is_none() {
        problems.add(node.line, at, "expected a number of characters");
    }
    length
}

impl Fields<'_> {
    /// Reads a column's name, `{column, strip}` or `{column, find}`.
    pub(super) fn reference(&mut self, node: &Node, at: &str) -> Option<Reference> {
        let Some(mut members) = self.long(node, at) else {
            let field = self.field(node, at)?;
            return self.column_of(field, "text").map(|column| Reference { column, form: Form::Alone });
        };
        let strip = members.take("strip").map(|n| self.problems.texts(n, &members.path("strip")));
        let find = members.take("find").map(|n| self.word(n, &members.path("find"), ["start", "anywhere"]));
        let form = match (strip, find) {
            (None, None) => Some(Form::Alone),
            (Some(suffixes), None) => suffixes.map(Form::Suffixed),
            (None, Some(anywhere)) => anywhere.map(|anywhere| if anywhere { Form::Anywhere } else { Form::Start }),
            (Some(_), Some(_)) => {
                let problem = "`find` takes the reference alone, whatever stands around it: drop `strip`";
                self.problems.add(node.line, at, problem);
                None
            }
        };
        let field = self.rest(members)?;
        let column = self.column_of(field, "text")?;
        Some(Reference { column, form: form? })
    }
}

impl Reference {
    /// The column that it stands in.
    pub(super) fn column(&self) -> &String {
        &self.column
    }

    fn is_looked_for(&self) -> bool {
        matches!(self.form, Form::Start | Form::Anywhere)
    }

    /// A suffix that a reference itself may end with.
    fn ambiguous(&self, format: &ReferenceFormat) -> Option<&String> {
        let Form::Suffixed(suffixes) = &self.form else { return None };
        let may_hold =
            |byte: u8| format.alphabet.chars().contains(&byte) || (format.alphabet == Alphabet::Uuid && byte == b'-');
        suffixes.iter().find(|suffix| suffix.bytes().next().is_some_and(may_hold))
    }
}

impl Table {
    /// True when a reference must be told from what stands around it.
    pub(super) fn looks_for_references(&self) -> bool {
        self.references().any(Reference::is_looked_for) || self.texts().any(Words::is_without_reference)
    }
}

/// What is looked for must be told from other texts, and what is cut off must be no part of a reference.
pub(super) fn check_use(tables: &[Table], format: &ReferenceFormat, line: u64, problems: &mut Problems) {
    for table in tables {
        let at = format!("tables.{}", table.name);
        if table.looks_for_references() && !format.stands_out() {
            let problem = "a reference without a prefix cannot be told from the text around it: give `prefix` in `reference`, here and in \
                the connector of the core";
            problems.add(line, &at, problem);
        }
        for suffix in table.references().filter_map(|reference| reference.ambiguous(format)) {
            let problem =
                format!("`strip: {suffix}` begins with a character of our references, and would cut off a part of one");
            problems.add(line, &at, problem);
        }
    }
}

impl View<'_> {
    /// Our reference, or what another system wrote in its place; none where the row has none.
    pub(super) fn reference(&self, row: &Row<'_>, reference: &Reference) -> Result<Option<String>, MapError> {
        let Some(text) = self.optional(row, Some(&reference.column), Self::text)? else { return Ok(None) };
        let found = match &reference.form {
            Form::Alone => Some(&*text),
            Form::Suffixed(suffixes) => {
                let bare = suffixes.iter().find_map(|suffix| text.strip_suffix(suffix.as_str()));
                Some(bare.unwrap_or(&*text))
            }
            Form::Start => {
                let begun = text.trim_start();
                self.mapping.reference.first_in(begun).filter(|(at, _)| *at == 0).map(|(_, found)| found)
            }
            Form::Anywhere => self.mapping.reference.first_in(&text).map(|(_, found)| found),
        };
        Ok(found.map(str::to_owned))
    }

    /// A text without the reference in it.
    pub(super) fn without_reference(&self, text: &str) -> String {
        let Some((at, found)) = self.mapping.reference.first_in(text) else { return text.to_owned() };
        let (before, rest) = text.split_at(at);
        let (before, after) = (before.trim(), rest[found.len()..].trim());
        if before.is_empty() || after.is_empty() { format!("{before}{after}") } else { format!("{before} {after}") }
    }
}
