//! A declared statement: its text, which never changes, and the parameters that are bound to it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::config::Server;
use crate::http::FieldKind;
use crate::template::{Scope, Template, Unsendable, Values};

/// Longest text of a statement.
const TEXT_BYTES_MAX: usize = 10_000;
/// Most parameters of a statement.
const PARAMETERS_MAX: usize = 64;

/// The only placeholder whose form SQL servers do not read as it is written elsewhere.
const ACCEPTED_AT: &str = "{accepted_at}";
/// How a placeholder for minor units ends.
const MINOR: &str = ".minor}";

/// A value that is bound. It has no `Debug`: accounts and texts are personal.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Bound {
    Text(String),
    Integer(i64),
}

/// A checked statement.
pub(super) struct Statement {
    pub(super) text: String,
    parameters: Vec<Parameter>,
}

enum Parameter {
    AcceptedAt,
    /// Minor units alone: a whole number.
    Minor(Template),
    Text(Template),
}

/// What a statement is for decides what it may begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Post,
    Ask,
}

impl Statement {
    /// Reads a statement without parameters.
    pub(super) fn fixed(text: &str, server: Server) -> Result<Self, Vec<String>> {
        let faults = faults_of_text(text, server, Use::Ask, 0);
        if faults.is_empty() { Ok(Self { text: text.to_owned(), parameters: Vec::new() }) } else { Err(faults) }
    }

    /// What is wrong with a text that binds so many parameters.
    pub(super) fn faults(text: &str, server: Server, purpose: Use, parameters: usize) -> Vec<String> {
        faults_of_text(text, server, purpose, parameters)
    }

    /// Puts a text without faults and its parameters together.
    pub(super) fn of(text: &str, parameters: Vec<BoundTemplate>) -> Self {
        Self { text: text.to_owned(), parameters: parameters.into_iter().map(|bound| bound.0).collect() }
    }

    /// The fields it uses, and `core_ref` where it carries the reference.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for parameter in &self.parameters {
            match parameter {
                Parameter::AcceptedAt => {}
                Parameter::Minor(template) | Parameter::Text(template) => template.names(&mut names),
            }
        }
        names
    }

    /// What is to be bound, in order.
    pub(super) fn bind(&self, values: Values<'_>) -> Result<Vec<Bound>, Unsendable> {
        self.parameters.iter().map(|parameter| parameter.bind(values)).collect()
    }
}

/// A parameter that was read.
pub(super) struct BoundTemplate(Parameter);

impl BoundTemplate {
    /// Reads one; the error says what is wrong with it.
    pub(super) fn read(text: &str, fields: Option<&BTreeMap<String, FieldKind>>) -> Result<Self, String> {
        let scope = fields.map_or(Scope::Reference, Scope::Request);
        if fields.is_some() && text == ACCEPTED_AT {
            return Ok(Self(Parameter::AcceptedAt));
        }
        let is_minor = text.starts_with('{') && text.ends_with(MINOR) && text.matches('{').count() == 1;
        Template::read(text, scope).map(if is_minor { Parameter::Minor } else { Parameter::Text }).map(Self)
    }
}

impl Parameter {
    fn bind(&self, values: Values<'_>) -> Result<Bound, Unsendable> {
        match (self, values) {
            (Self::AcceptedAt, Values::Request(request)) => Ok(Bound::Text(sql_time(request.accepted_at))),
            (Self::AcceptedAt, Values::Reference(_) | Values::Only(_)) => Err(Unsendable::Line),
            (Self::Minor(template), _) => {
                template.plain(values)?.parse().map(Bound::Integer).map_err(|_| Unsendable::Line)
            }
            (Self::Text(template), _) => template.plain(values).map(Bound::Text),
        }
    }
}

/// A time as both servers read it for a column with and without a zone: sessions are in UTC.
fn sql_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

fn faults_of_text(text: &str, server: Server, purpose: Use, parameters: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let verb = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
    let (allowed, told): (&[&str], _) = match purpose {
        Use::Post => (&["CALL", "SELECT"], "must begin with CALL or SELECT"),
        Use::Ask => (&["SELECT", "WITH"], "must begin with SELECT or WITH"),
    };
    if !allowed.contains(&verb.as_str()) {
        faults.push(told.to_owned());
    }
    if text.len() > TEXT_BYTES_MAX || parameters > PARAMETERS_MAX {
        faults.push(format!("is longer than {TEXT_BYTES_MAX} bytes, or has more than {PARAMETERS_MAX} parameters"));
    }
    if text.contains(['{', '}']) {
        faults.push("holds a brace; values are bound: mark their places and name them in `parameters`".to_owned());
    }
    let comment = text.contains("--") || text.contains("/*") || (server == Server::Mariadb && text.contains('#'));
    if comment || text.contains(['\'', ';', '\\']) {
        let text = "holds a quoted text, a comment, a backslash or a semicolon; it is one statement, and a constant is a \
                    parameter without placeholders";
        faults.push(text.to_owned());
    }
    let marks = match server {
        Server::Mariadb => question_marks(text, parameters),
        Server::Postgresql => numbered(text, parameters),
    };
    faults.extend(marks.err());
    faults
}

fn question_marks(text: &str, parameters: usize) -> Result<(), String> {
    match text.matches('?').count() {
        marks if marks == parameters => Ok(()),
        marks => Err(format!("has {marks} marks `?`, and {parameters} parameters are given")),
    }
}

/// Each of `$1` to the last one must be there; a `$` that is no such mark begins a quoted text.
fn numbered(text: &str, parameters: usize) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for rest in text.split('$').skip(1) {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match rest[..digits].parse::<usize>() {
            Ok(number) if !rest.starts_with('0') => seen.insert(number),
            _ => return Err("has a `$` without a number; parameters are $1, $2 and so on".to_owned()),
        };
    }
    let wanted: BTreeSet<usize> = (1..=parameters).collect();
    if seen == wanted {
        return Ok(());
    }
    let last = seen.last().copied().unwrap_or(0);
    Err(format!(
        "has marks up to ${last}, and {parameters} parameters are given; each of $1 to ${parameters} must be used"
    ))
}

#[cfg(test)]
mod tests {
    use schemas::post_request::Field;

    use super::*;

    fn faults(text: &str, server: Server, parameters: usize) -> Vec<String> {
        faults_of_text(text, server, Use::Post, parameters)
    }

    #[test]
    fn marks_and_parameters_must_be_as_many() {
        assert!(faults("CALL post_transfer(?, ?)", Server::Mariadb, 2).is_empty());
        assert!(faults("CALL post_transfer(?, ?)", Server::Mariadb, 3)[0].starts_with("has 2 marks `?`, and 3"));
        let call = "SELECT * FROM post_transfer($1, $2::numeric, $1)";
        assert!(faults(call, Server::Postgresql, 2).is_empty());
        for (text, parameters) in [(call, 3), (call, 1), ("SELECT f($2)", 1), ("SELECT f($0)", 0), ("SELECT $$a$$", 0)]
        {
            assert_eq!(faults(text, Server::Postgresql, parameters).len(), 1, "{text} {parameters}");
        }
    }

    #[test]
    fn values_and_further_statements_cannot_be_pasted_into_a_text() {
        for text in [
            "CALL p('{core_ref}')",
            "CALL p({core_ref})",
            "CALL p('x')",
            "CALL p(1); DROP TABLE accounts",
            "CALL p(1) -- and more",
            "CALL p(1) /* and more */",
            "CALL p(1) # and more",
            "DELETE FROM accounts",
            "",
        ] {
            assert!(!faults(text, Server::Mariadb, 0).is_empty(), "{text}");
        }
        assert!(!faults_of_text("CALL p(1)", Server::Mariadb, Use::Ask, 0).is_empty());
        assert!(faults_of_text("WITH a AS (SELECT 1) SELECT 1 FROM a", Server::Mariadb, Use::Ask, 0).is_empty());
    }

    #[test]
    fn minor_units_alone_are_a_whole_number_and_everything_else_is_a_text() {
        let fields =
            BTreeMap::from([("from_account".to_owned(), FieldKind::Text), ("amount".to_owned(), FieldKind::Money)]);
        let currency = schemas::money::Currency::parse("EUR").unwrap();
        let request = schemas::post_request::PostRequest {
            operation: "transfer".into(),
            core_ref: "LC1".into(),
            accepted_at: Timestamp::UNIX_EPOCH,
            value_date: jiff::civil::date(2026, 3, 2),
            fields: vec![
                ("from_account".into(), Field::Text("A'1".into())),
                ("amount".into(), Field::Money { minor: 1050, currency }),
            ],
        };
        let bind = |text: &str| {
            let parameter = BoundTemplate::read(text, Some(&fields)).unwrap().0;
            parameter.bind(Values::Request(&request)).ok().unwrap()
        };
        for (text, expected) in [
            ("{core_ref}", "LC1"),
            ("{from_account}", "A'1"),
            ("{amount}", "10.50"),
            ("{value_date}", "2026-03-02"),
            ("{accepted_at}", "1970-01-01 00:00:00.000000"),
            ("{amount.minor} {currency}", "1050 EUR"),
            ("{currency}{amount.minor}", "EUR1050"),
            ("fixed", "fixed"),
        ] {
            assert!(bind(text) == Bound::Text(expected.to_owned()), "{text}");
        }
        assert!(bind("{amount.minor}") == Bound::Integer(1050));
    }

    #[test]
    fn a_time_is_written_as_servers_read_it() {
        let at: Timestamp = "2026-03-01T10:20:30.5Z".parse().unwrap();
        assert_eq!(sql_time(at), "2026-03-01 10:20:30.500000");
    }
}
