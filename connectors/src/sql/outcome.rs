//! What the answer to a call, to a COMMIT or to a query means. Pure: rows and errors in, an outcome and the next step out.
//!
//! Two rules decide everything. Where the connector owns the transaction, nothing is done before its COMMIT was sent. Where the procedure
//! owns it, a call that was sent and has no declared answer is *outcome unknown*.

use std::collections::BTreeMap;

use schemas::core::{Enquiry, Outcome, Posting, Unsent};
use schemas::legs::{LegsMatch, legs_match};
use schemas::post_request::PostRequest;

use super::config::{ErrorCode, Rows, Server, SqlRefusal, SqlRule, TransactionOwner};
use super::errors::{ServerError, ended_before, undoes_commit};
use super::table::Table;
use crate::connector::Probe;
use crate::http::{DuplicateMeans, PostingConfig};
use crate::posting::{Told, told};

const ENDED_BEFORE: &str = "the call ended our transaction by itself; the procedure must neither commit nor roll back, or `transaction` must say \
                            `procedure`";

/// Why a statement has no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server answered with an error.
    Server(ServerError),
    /// No answer: the connection broke, or its time was over. The session is of no use any more.
    Lost(String),
    /// Somebody answers there, and no session came about: one of both sides did not prove who it is, or it speaks otherwise. Of a log-in only.
    NoSession(String),
    /// An answer that cannot be read. It was read to its end.
    Unreadable {
        /// What is wrong with it.
        reason: String,
        /// As [`Table::in_transaction`].
        in_transaction: Option<bool>,
    },
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Lost(reason) | Self::NoSession(reason) | Self::Unreadable { reason, .. } => f.write_str(reason),
        }
    }
}

/// The declared answers of a post.
pub(super) struct PostAnswers {
    pub(super) server: Server,
    pub(super) owner: TransactionOwner,
    pub(super) accepted: Vec<SqlRule>,
    pub(super) refused: Vec<SqlRefusal>,
    pub(super) duplicate: Vec<SqlRule>,
    pub(super) duplicate_means: DuplicateMeans,
    pub(super) not_done: Vec<SqlRule>,
    pub(super) posting: PostingConfig,
    pub(super) refusals: BTreeMap<String, String>,
}

/// What is to be done with the session after the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// COMMIT; only its answer makes the outcome true.
    Commit,
    /// ROLLBACK, so that the session may be used again. Of a transaction of ours its answer tells whether it was still ours.
    Rollback,
    /// The same, and the session is ended: it may be what is in the way, such as a prepared statement whose plan does not hold any more.
    RollbackAndEnd,
    /// Nothing; the session may be used again.
    Keep,
    /// Nothing; the session is ended.
    End,
}

/// What the answer to the call means, and what comes next. `in_time`: is there time for a COMMIT?
pub(super) fn of_call(
    answers: &PostAnswers,
    request: &PostRequest,
    called: &Result<Table, Trouble>,
    in_time: bool,
) -> (Outcome, Next) {
    match answers.owner {
        TransactionOwner::Procedure => own_transaction(answers, request, called),
        TransactionOwner::Connector => our_transaction(answers, request, called, in_time),
    }
}

/// What the answer to the COMMIT makes of the outcome that it was to make true.
pub(super) fn of_commit(answers: &PostAnswers, meant: Outcome, committed: &Result<(), Trouble>) -> Outcome {
    match committed {
        Ok(()) => meant,
        Err(Trouble::Server(error)) if ended_before(error, answers.server) => ended_by_the_call(),
        Err(Trouble::Server(error)) if answers.declares_undone(error) => {
            not_done(format!("{error} to the COMMIT: the transaction was rolled back"))
        }
        Err(trouble) => Outcome::Unknown { reason: format!("the COMMIT has no usable answer: {trouble}") },
    }
}

/// What the answer to the ROLLBACK makes of an outcome that rests on it. If the transaction was not ours any more, something may have been
/// committed before. An error that is declared as *not done* stands: a deadlock ends the transaction, too.
pub(super) fn of_rollback(
    answers: &PostAnswers,
    called: &Result<Table, Trouble>,
    outcome: Outcome,
    rolled_back: &Result<(), Trouble>,
) -> Outcome {
    let declared = matches!(called, Err(Trouble::Server(error)) if error_fits(error, &answers.not_done));
    match rolled_back {
        Err(Trouble::Server(error)) if ended_before(error, answers.server) && !declared => ended_by_the_call(),
        _ => outcome,
    }
}

fn ended_by_the_call() -> Outcome {
    Outcome::Unknown { reason: ENDED_BEFORE.to_owned() }
}

fn own_transaction(answers: &PostAnswers, request: &PostRequest, called: &Result<Table, Trouble>) -> (Outcome, Next) {
    match called {
        // Whatever it answered is undone when the session ends, or becomes true with what the session does next.
        Ok(Table { in_transaction: Some(true), .. }) => {
            let reason = "the call left a transaction open; the procedure must commit as the last thing that it does";
            (Outcome::Unknown { reason: reason.to_owned() }, Next::End)
        }
        Ok(table) => match answers.of_table(table, request) {
            Ok(outcome) => (outcome, Next::Keep),
            Err(reason) => (Outcome::Unknown { reason }, Next::End),
        },
        Err(Trouble::Server(error)) => match answers.of_error(error) {
            Ok(outcome) => (outcome, Next::Rollback),
            Err(reason) => (Outcome::Unknown { reason }, Next::End),
        },
        Err(trouble) => (Outcome::Unknown { reason: trouble.to_string() }, Next::End),
    }
}

/// Until COMMIT is sent, whatever happens ends in a rollback, by us or by the server that lost us.
fn our_transaction(
    answers: &PostAnswers,
    request: &PostRequest,
    called: &Result<Table, Trouble>,
    in_time: bool,
) -> (Outcome, Next) {
    match called {
        // It committed, or something in it did. What became of the rest nobody knows.
        Ok(Table { in_transaction: Some(false), .. })
        | Err(Trouble::Unreadable { in_transaction: Some(false), .. }) => (ended_by_the_call(), Next::End),
        Ok(table) => match answers.of_table(table, request) {
            Ok(outcome @ (Outcome::Posted(_) | Outcome::Refused { .. })) if !answers.is_duplicate(table) => {
                if in_time {
                    (outcome, Next::Commit)
                } else {
                    (not_done("the call was answered too late for a COMMIT".to_owned()), Next::Rollback)
                }
            }
            // An acceptance of other legs. It is undone, so that an enquiry would find nothing, and nothing would ever end the entry.
            Ok(Outcome::Duplicate) if !answers.is_duplicate(table) => {
                let reason = "the call's row accepts other legs than were asked for; it was not committed";
                (not_done(reason.to_owned()), Next::Rollback)
            }
            Ok(outcome) => (outcome, Next::Rollback),
            Err(reason) => (not_done(format!("{reason}; it was not committed")), Next::Rollback),
        },
        Err(Trouble::Server(error)) => match answers.of_error(error) {
            Ok(outcome) => (outcome, Next::Rollback),
            Err(reason) => (not_done(format!("{reason}; it was not committed")), Next::RollbackAndEnd),
        },
        Err(Trouble::Unreadable { reason, .. }) => {
            (not_done(format!("{reason}; it was not committed")), Next::Rollback)
        }
        Err(Trouble::Lost(reason) | Trouble::NoSession(reason)) => {
            let reason = format!("{reason}; no COMMIT was sent");
            (Outcome::NotSent { why: Unsent::ConnectionLost, reason }, Next::End)
        }
    }
}

fn not_done(reason: String) -> Outcome {
    Outcome::NotSent { why: Unsent::NotDone, reason }
}

enum AnswerKind {
    Done,
    Refused(String),
    Duplicate,
    NotDone,
}

impl PostAnswers {
    fn of_table(&self, table: &Table, request: &PostRequest) -> Result<Outcome, String> {
        let kinds = [
            rows_fit(table, &self.accepted).then_some(AnswerKind::Done),
            refusal_in_rows(table, &self.refused, &self.refusals).map(AnswerKind::Refused),
            rows_fit(table, &self.duplicate).then_some(AnswerKind::Duplicate),
            rows_fit(table, &self.not_done).then_some(AnswerKind::NotDone),
        ];
        Ok(match one_of(kinds, || "the call's row".to_owned())? {
            AnswerKind::Done => self.accepted(table, request)?,
            AnswerKind::Refused(code) => Outcome::Refused { code },
            AnswerKind::Duplicate => self.duplicate(),
            AnswerKind::NotDone => not_done("the core declared with its row that it did nothing".to_owned()),
        })
    }

    fn of_error(&self, error: &ServerError) -> Result<Outcome, String> {
        let kinds = [
            error_fits(error, &self.accepted).then_some(AnswerKind::Done),
            refusal_in_error(error, &self.refused, &self.refusals).map(AnswerKind::Refused),
            error_fits(error, &self.duplicate).then_some(AnswerKind::Duplicate),
            error_fits(error, &self.not_done).then_some(AnswerKind::NotDone),
        ];
        Ok(match one_of(kinds, || error.to_string())? {
            // The check of the configuration refuses such a rule: an error posts nothing.
            AnswerKind::Done => return Err(error.to_string()),
            AnswerKind::Refused(code) => Outcome::Refused { code },
            AnswerKind::Duplicate => self.duplicate(),
            AnswerKind::NotDone => not_done(format!("{error}: the call was rolled back")),
        })
    }

    /// A procedure that answers a remembered reference with what it posted then may have posted something else under it. That is the
    /// duplicate case: it is looked up, and compared by the caller.
    fn accepted(&self, table: &Table, request: &PostRequest) -> Result<Outcome, String> {
        let Told { posting, legs } = told(&table.document(), &self.posting, &request.core_ref)?;
        Ok(match legs_match(request, &Enquiry::Posted { posting: posting.clone(), legs }) {
            LegsMatch::Other => Outcome::Duplicate,
            LegsMatch::Same | LegsMatch::Untold => Outcome::Posted(posting),
        })
    }

    fn duplicate(&self) -> Outcome {
        match self.duplicate_means {
            DuplicateMeans::AskAgain => Outcome::Duplicate,
            DuplicateMeans::Posted => Outcome::Posted(Posting::default()),
        }
    }

    fn is_duplicate(&self, table: &Table) -> bool {
        rows_fit(table, &self.duplicate)
    }

    fn declares_undone(&self, error: &ServerError) -> bool {
        error_fits(error, &self.not_done) && undoes_commit(error, self.server)
    }
}

/// The declared answers of an enquiry.
pub(super) struct EnquiryAnswers {
    pub(super) found: Vec<SqlRule>,
    pub(super) refused: Vec<SqlRefusal>,
    pub(super) not_found: Vec<SqlRule>,
    pub(super) posting: PostingConfig,
    pub(super) refusals: BTreeMap<String, String>,
}

/// What the answer to an enquiry means.
pub(super) fn of_enquiry(answers: &EnquiryAnswers, core_ref: &str, asked: &Result<Table, Trouble>) -> Enquiry {
    let table = match asked {
        Ok(table) => table,
        Err(Trouble::Lost(reason) | Trouble::NoSession(reason)) => {
            return Enquiry::Unavailable { reason: reason.clone() };
        }
        Err(trouble) => return Enquiry::NotUnderstood { reason: trouble.to_string() },
    };
    let kinds = [
        rows_fit(table, &answers.found).then_some(AnswerKind::Done),
        refusal_in_rows(table, &answers.refused, &answers.refusals).map(AnswerKind::Refused),
        rows_fit(table, &answers.not_found).then_some(AnswerKind::NotDone),
    ];
    match one_of(kinds, || "the enquiry's row".to_owned()) {
        Ok(AnswerKind::Done) => match told(&table.document(), &answers.posting, core_ref) {
            Ok(Told { posting, legs }) => Enquiry::Posted { posting, legs },
            Err(reason) => Enquiry::NotUnderstood { reason },
        },
        Ok(AnswerKind::Refused(code)) => Enquiry::Refused { code },
        Ok(AnswerKind::NotDone | AnswerKind::Duplicate) => Enquiry::NotFound,
        Err(reason) => Enquiry::NotUnderstood { reason },
    }
}

/// What the answer to a probe means.
pub(super) fn of_probe(up: &[SqlRule], read_only: &[SqlRule], asked: &Result<Table, Trouble>) -> Probe {
    let table = match asked {
        Ok(table) => table,
        Err(trouble) => return Probe::Down { reason: trouble.to_string() },
    };
    let kinds = [rows_fit(table, up).then_some(Probe::Up), rows_fit(table, read_only).then_some(Probe::ReadOnly)];
    one_of(kinds, || "the probe's row".to_owned()).unwrap_or_else(|reason| Probe::Down { reason })
}

fn rows_fit(table: &Table, rules: &[SqlRule]) -> bool {
    rules.iter().any(|rule| match rule.rows {
        Some(Rows::None) => table.is_empty(),
        None => !rule.when.is_empty() && table.fits(&rule.when),
    })
}

fn error_fits(error: &ServerError, rules: &[SqlRule]) -> bool {
    rules.iter().any(|rule| rule.error.iter().any(|code| code.is(error)))
}

fn refusal_in_rows(table: &Table, rules: &[SqlRefusal], declared: &BTreeMap<String, String>) -> Option<String> {
    let fitting = rules.iter().filter(|rule| table.fits(&rule.when));
    let mut codes = fitting.filter_map(|rule| table.text(rule.code.as_deref()?));
    codes.find(|code| declared.contains_key(*code)).map(str::to_owned)
}

fn refusal_in_error(error: &ServerError, rules: &[SqlRefusal], declared: &BTreeMap<String, String>) -> Option<String> {
    let mut codes = rules.iter().flat_map(|rule| &rule.error).filter(|code| code.is(error)).map(ErrorCode::text);
    codes.find(|code| declared.contains_key(code))
}

/// Exactly one kind of declared answer; none or two say nothing.
fn one_of<T>(kinds: impl IntoIterator<Item = Option<T>>, what: impl Fn() -> String) -> Result<T, String> {
    let mut fitting = kinds.into_iter().flatten();
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!("{} is not a declared answer", what())),
        (Some(_), Some(_)) => Err(format!("{} fits declared answers of two kinds", what())),
    }
}

#[cfg(test)]
mod tests;
