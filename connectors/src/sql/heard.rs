//! An answer of a SQL core beside its declared rules.

use std::collections::BTreeMap;

use super::config::{ProbeQuery, Rows, SqlRefusal, SqlRule};
use super::errors::ServerError;
use super::outcome::{EnquiryAnswers, PostAnswers, Trouble};
use super::table::Table;
use crate::heard::Heard;

/// What a statement came to.
type Answered = Result<Table, Trouble>;

/// The answer to a call.
pub(super) fn post(answered: &Answered, answers: &PostAnswers) -> Heard {
    let mut heard = begin(answered);
    rules(answered, "post.accepted", &answers.accepted, &mut heard);
    refused(answered, "post.refused", &answers.refused, &answers.refusals, &mut heard);
    rules(answered, "post.duplicate", &answers.duplicate, &mut heard);
    rules(answered, "post.not-done", &answers.not_done, &mut heard);
    heard.done()
}

/// The answer to an enquiry.
pub(super) fn enquiry(answered: &Answered, answers: &EnquiryAnswers) -> Heard {
    let mut heard = begin(answered);
    rules(answered, "enquiry.found", &answers.found, &mut heard);
    refused(answered, "enquiry.refused", &answers.refused, &answers.refusals, &mut heard);
    rules(answered, "enquiry.not-found", &answers.not_found, &mut heard);
    heard.done()
}

/// The answer to a probe.
pub(super) fn probe(answered: &Answered, config: &ProbeQuery) -> Heard {
    let mut heard = begin(answered);
    rules(answered, "probe.up", &config.up, &mut heard);
    rules(answered, "probe.read-only", &config.read_only, &mut heard);
    heard.done()
}

fn begin(answered: &Answered) -> Heard {
    match answered {
        Ok(table) if table.is_empty() => Heard::new("no row"),
        Ok(table) => {
            let mut heard = Heard::new("rows");
            heard.body(&table.document(), &[]);
            heard
        }
        Err(trouble) => Heard::new(trouble.to_string()),
    }
}

fn rules(answered: &Answered, name: &str, rules: &[SqlRule], heard: &mut Heard) {
    for (index, rule) in rules.iter().enumerate() {
        let misses = match answered {
            Ok(table) => match (rule.rows, rule.error.is_empty()) {
                (Some(Rows::None), _) if table.is_empty() => Vec::new(),
                (Some(Rows::None), _) => vec!["there is a row".to_owned()],
                (None, true) if rule.when.is_empty() => vec!["it is not about a row".to_owned()],
                (None, true) => table.misses(&rule.when),
                (None, false) => vec!["the statement ended without an error".to_owned()],
            },
            Err(Trouble::Server(error)) => not_this(error, rule.error.iter().any(|code| code.is(error))),
            Err(_) => vec!["there is no answer".to_owned()],
        };
        heard.rule(name, index, misses);
    }
}

fn refused(
    answered: &Answered,
    name: &str,
    rules: &[SqlRefusal],
    declared: &BTreeMap<String, String>,
    heard: &mut Heard,
) {
    for (index, rule) in rules.iter().enumerate() {
        let misses = match (answered, &rule.code) {
            (Ok(table), Some(column)) => {
                let mut misses = table.misses(&rule.when);
                match table.text(column) {
                    None => misses.push(format!("no code in {column}")),
                    Some(code) if !declared.contains_key(code) => {
                        misses.push(format!("the code in {column} is not one that `refusals` lists"));
                    }
                    Some(_) => {}
                }
                misses
            }
            (Ok(_), None) => vec!["the statement ended without an error".to_owned()],
            (Err(Trouble::Server(error)), _) => not_this(error, rule.error.iter().any(|code| code.is(error))),
            (Err(_), _) => vec!["there is no answer".to_owned()],
        };
        heard.rule(name, index, misses);
    }
}

fn not_this(error: &ServerError, is_named: bool) -> Vec<String> {
    if is_named { Vec::new() } else { vec![format!("{error} is not one of its errors")] }
}
