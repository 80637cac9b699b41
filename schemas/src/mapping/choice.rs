//! Fields with few meanings, such as the state of an account: told by the codes of a column, by tests on several columns, or
//! the same for every row.

use super::code::{Code, one_boolean};
use super::field::{Field, Fields};
use super::filter::Where;
use super::node::{Members, Node, Value};
use super::view::View;
use super::{MapError, MapReason};
use crate::debezium::Row;

/// A column of codes and what each means.
#[derive(Debug, Clone)]
pub(super) struct Codes<T> {
    pub(super) column: String,
    pub(super) codes: Vec<(String, T)>,
    /// What NULL means; none = the field needs a value.
    pub(super) null: Option<T>,
}

/// How a row tells one of a field's meanings.
#[derive(Debug, Clone)]
pub(super) enum Choice<T> {
    /// By the codes of a column.
    Codes(Codes<T>),
    /// Every row has this one.
    Constant(T),
    /// By the first case whose tests hold.
    Cases {
        /// In the order of the mapping.
        cases: Vec<(T, Where)>,
        /// What a row is that fits none; none = it is refused.
        otherwise: Option<T>,
    },
}

impl<T> Choice<T> {
    /// Every column that tells it, as often as it is asked.
    pub(super) fn columns(&self) -> Vec<&String> {
        match self {
            Self::Codes(codes) => vec![&codes.column],
            Self::Constant(_) => Vec::new(),
            Self::Cases { cases, .. } => cases.iter().flat_map(|(_, tests)| tests.columns()).collect(),
        }
    }

    /// The column whose codes tell it, and all codes that it may have.
    pub(super) fn codes(&self) -> Option<(&str, Vec<Code>)> {
        let Self::Codes(Codes { column, codes, null }) = self else { return None };
        let listed = codes.iter().map(|(code, _)| Code::Text(code.clone()));
        Some((column.as_str(), listed.chain(null.is_some().then_some(Code::Null)).collect()))
    }
}

/// Instead of a meaning: rows that fit no case are parked.
const REFUSE: &str = "refuse";

/// The meanings that a field has.
pub(super) struct Meanings<'m, T> {
    pub(super) parse: fn(&str) -> Option<T>,
    /// Their names, for people.
    pub(super) names: &'m str,
}

impl Fields<'_> {
    /// Reads `{column, codes, null_is}`, `{constant: …}`, or a list of `{is, where}` that ends with `{else: …}`.
    pub(super) fn choice<T>(&mut self, node: &Node, at: &str, meanings: &Meanings<'_, T>) -> Option<Choice<T>> {
        if let Some(text) = self.constant(node, at) {
            let meaning = self.meaning_of(&text?, node.line, &format!("{at}.constant"), meanings);
            return meaning.map(Choice::Constant);
        }
        if let Value::List(cases) = &node.value {
            return self.cases(cases, node.line, at, meanings);
        }
        let (field, null) = match self.long(node, at) {
            None => (self.field(node, at)?, None),
            Some(mut members) => {
                let null = members.take("null_is");
                let null = null.map(|n| self.meaning(n, &members.path("null_is"), meanings));
                (self.rest(members)?, null)
            }
        };
        let codes = self.codes(field, at, meanings)?;
        let null = match null {
            None => None,
            Some(meaning) => Some(meaning?),
        };
        Some(Choice::Codes(Codes { null, ..codes }))
    }

    fn cases<T>(&mut self, nodes: &[Node], line: u64, at: &str, meanings: &Meanings<'_, T>) -> Option<Choice<T>> {
        let known = self.problems.0.len();
        let mut cases: Vec<(T, Where)> = Vec::with_capacity(nodes.len());
        let mut otherwise: Option<Option<T>> = None;
        for (i, node) in nodes.iter().enumerate() {
            let at = format!("{at}[{i}]");
            let Some(mut members) = Members::of(node, &at, self.problems) else { continue };
            if otherwise.is_some() {
                self.problems.add(node.line, &at, "stands behind `else` and is never met");
            }
            if let Some(n) = members.take("else") {
                otherwise = Some(self.otherwise(n, &members.path("else"), meanings));
            } else {
                cases.extend(self.case(&mut members, &cases, meanings));
            }
            members.finish(self.problems);
        }
        if otherwise.is_none() {
            let problem = format!(
                "needs `- else: …` at its end: what a row is that fits no case, one of: {}, or `{REFUSE}`, which parks it",
                meanings.names
            );
            self.problems.add(line, at, problem);
        } else if cases.is_empty() {
            self.problems.add(line, at, "has no case; for the same in every row write `{constant: …}`");
        }
        (self.problems.0.len() == known).then_some(Choice::Cases { cases, otherwise: otherwise.flatten() })
    }

    fn case<T>(
        &mut self,
        members: &mut Members<'_>,
        before: &[(T, Where)],
        meanings: &Meanings<'_, T>,
    ) -> Option<(T, Where)> {
        let meaning = members.need("is", self.problems).and_then(|n| self.meaning(n, &members.path("is"), meanings));
        let tests = members.need("where", self.problems).and_then(|n| self.filter(n, &members.path("where")))?;
        if before.iter().any(|(_, other)| *other == tests) {
            self.problems.add(members.line(), members.at(), "has the tests of an earlier case and is never met");
        }
        Some((meaning?, tests))
    }

    /// None where a row is refused, or where the meaning is wrong and was reported.
    fn otherwise<T>(&mut self, node: &Node, at: &str, meanings: &Meanings<'_, T>) -> Option<T> {
        match &node.value {
            Value::Text(text) if text == REFUSE => None,
            _ => self.meaning(node, at, meanings),
        }
    }

    fn meaning<T>(&mut self, node: &Node, at: &str, meanings: &Meanings<'_, T>) -> Option<T> {
        let text = self.problems.text(node, at)?;
        self.meaning_of(&text, node.line, at, meanings)
    }

    fn meaning_of<T>(&mut self, text: &str, line: u64, at: &str, meanings: &Meanings<'_, T>) -> Option<T> {
        let meaning = (meanings.parse)(text);
        if meaning.is_none() {
            self.problems.add(line, at, format!("expected one of: {}", meanings.names));
        }
        meaning
    }

    fn codes<T>(&mut self, mut field: Field<'_>, at: &str, meanings: &Meanings<'_, T>) -> Option<Codes<T>> {
        let Some(Node { value: Value::Map(codes), .. }) =
            field.codes.take().filter(|n| matches!(&n.value, Value::Map(m) if !m.is_empty()))
        else {
            self.problems.add(field.line, at, format!("expected codes, each with one of: {}", meanings.names));
            return None;
        };
        // Whatever the column is, its codes are written as texts here.
        field.kind = field.kind.take().filter(|(_, kind)| !matches!(kind.as_str(), "boolean" | "integer"));
        self.plain(&field, "text");
        let mut read: Vec<(String, T)> = Vec::with_capacity(codes.len());
        for (code, meaning) in codes {
            let at = format!("{at}.codes.{code}");
            if let Some((other, _)) = read.iter().find(|(other, _)| one_boolean(other, code)) {
                self.problems.add(meaning.line, &at, format!("the same boolean as `{other}`: it arrives as either"));
            }
            if let Some(value) = self.meaning(meaning, &at, meanings) {
                read.push((code.clone(), value));
            }
        }
        self.single(field).map(|column| Codes { column, codes: read, null: None })
    }
}

impl View<'_> {
    pub(super) fn choose<T: Copy>(&self, row: &Row<'_>, choice: &Choice<T>) -> Result<T, MapError> {
        match choice {
            Choice::Constant(meaning) => Ok(*meaning),
            Choice::Codes(codes) => self.meant(row, codes),
            Choice::Cases { cases, otherwise } => {
                for (meaning, tests) in cases {
                    if self.fits(row, tests)? {
                        return Ok(*meaning);
                    }
                }
                let column = cases.first().and_then(|(_, tests)| tests.0.first()).map_or("", |test| &test.column);
                otherwise.ok_or_else(|| self.error(column, MapReason::UnknownCode))
            }
        }
    }

    fn meant<T: Copy>(&self, row: &Row<'_>, codes: &Codes<T>) -> Result<T, MapError> {
        let Codes { column, codes, null } = codes;
        match (self.optional(row, Some(column), Self::seen)?, null) {
            (None, Some(meaning)) => Ok(*meaning),
            (None, None) => Err(self.error(column, MapReason::Null)),
            (Some(seen), _) => {
                let found = codes.iter().find(|(code, _)| seen.is(code));
                found.map(|(_, meaning)| *meaning).ok_or_else(|| self.error(column, MapReason::UnknownCode))
            }
        }
    }
}
