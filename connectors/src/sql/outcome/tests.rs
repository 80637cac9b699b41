//! Every kind of answer, in both kinds of transaction, on both servers.

use schemas::money::Currency;
use schemas::post_request::Field;
use serde_json::json;

use super::super::config::{AmountColumn, ColumnDirection, ColumnUnit, LegColumns, PostingColumns};
use super::super::posting::pointers;
use super::*;
use crate::json::Json;

use Next::{Commit, End, Keep, Rollback, RollbackAndEnd};
use TransactionOwner::{Connector, Procedure};

const BOTH: [TransactionOwner; 2] = [Connector, Procedure];

fn when(value: &str) -> SqlRule {
    SqlRule { when: BTreeMap::from([("outcome".to_owned(), json!(value))]), ..SqlRule::default() }
}

fn error_rule(codes: &[ErrorCode]) -> SqlRule {
    SqlRule { error: codes.to_vec(), ..SqlRule::default() }
}

fn leg(account: &str, direction: ColumnDirection) -> LegColumns {
    let amount = AmountColumn { column: "amount".into(), unit: ColumnUnit::Currency("EUR".into()), direction };
    LegColumns { each: None, account: account.to_owned(), number: None, amount: Some(amount) }
}

fn answers(owner: TransactionOwner) -> PostAnswers {
    let legs = vec![leg("debit", ColumnDirection::Debit), leg("credit", ColumnDirection::Credit)];
    let posting = PostingColumns { reference: Some("reference".into()), id: None, legs };
    let state = |state: &str| ErrorCode::State(state.to_owned());
    PostAnswers {
        server: Server::Postgresql,
        owner,
        accepted: vec![when("POSTED")],
        refused: vec![
            SqlRefusal { code: Some("reason".into()), when: when("REFUSED").when, error: Vec::new() },
            SqlRefusal { error: vec![state("LC001")], ..SqlRefusal::default() },
        ],
        duplicate: vec![when("DUPLICATE"), error_rule(&[state("23505")])],
        duplicate_means: DuplicateMeans::AskAgain,
        not_done: vec![when("BUSY"), error_rule(&[state("40001"), state("55P03"), state("57014")])],
        posting: pointers(&posting),
        refusals: [("NO_FUNDS", "insufficient-funds"), ("LC001", "account-closed")]
            .map(|(code, reason)| (code.to_owned(), reason.to_owned()))
            .into(),
    }
}

fn request() -> PostRequest {
    PostRequest {
        operation: "transfer".into(),
        core_ref: "LC1".into(),
        accepted_at: jiff::Timestamp::UNIX_EPOCH,
        value_date: jiff::civil::date(2026, 3, 2),
        fields: vec![
            ("from_account".into(), Field::Text("A".into())),
            ("to_account".into(), Field::Text("B".into())),
            ("amount".into(), Field::Money { minor: 1050, currency: Currency::parse("EUR").unwrap() }),
        ],
    }
}

fn row(cells: &[(&str, &str)]) -> Result<Table, Trouble> {
    let mut table = Table::default();
    table
        .push(cells.iter().map(|(name, text)| ((*name).to_owned(), Json::Text((*text).to_owned()))).collect())
        .unwrap();
    Ok(table)
}

fn posted(changed: (&str, &str)) -> Result<Table, Trouble> {
    let told = [("outcome", "POSTED"), ("reference", "LC1"), ("debit", "A"), ("credit", "B"), ("amount", "10.50")];
    row(&told.map(|(name, text)| if name == changed.0 { (name, changed.1) } else { (name, text) }))
}

fn failed(state: &str) -> Result<Table, Trouble> {
    Err(Trouble::Server(ServerError { state: state.to_owned(), number: None }))
}

fn lost() -> Result<Table, Trouble> {
    Err(Trouble::Lost("reset".into()))
}

fn unreadable() -> Result<Table, Trouble> {
    Err(Trouble::Unreadable { reason: "two columns".into(), in_transaction: None })
}

fn of(owner: TransactionOwner, called: &Result<Table, Trouble>) -> (Outcome, Next) {
    of_call(&answers(owner), &request(), called, true)
}

fn is_not_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent { why: Unsent::NotDone, .. })
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

#[test]
fn an_acceptance_is_posted_once_it_is_committed() {
    assert_eq!(of(Procedure, &posted(("", ""))), (Outcome::Posted(Posting::default()), Keep));
    assert_eq!(of(Connector, &posted(("", ""))), (Outcome::Posted(Posting::default()), Commit));
}

#[test]
fn an_acceptance_of_other_legs_is_to_be_looked_up_and_in_our_transaction_it_is_undone() {
    for changed in [("amount", "10.51"), ("debit", "C")] {
        assert_eq!(of(Procedure, &posted(changed)), (Outcome::Duplicate, Keep));
        let (outcome, next) = of(Connector, &posted(changed));
        assert!(is_not_done(&outcome) && next == Rollback, "{outcome:?}");
        assert!(format!("{outcome:?}").contains("other legs"), "{outcome:?}");
    }
}

#[test]
fn a_declared_code_refuses_by_row_and_by_error() {
    let by_row = row(&[("outcome", "REFUSED"), ("reason", "NO_FUNDS")]);
    assert_eq!(of(Procedure, &by_row), (Outcome::Refused { code: "NO_FUNDS".into() }, Keep));
    // What the core remembers of a refusal must not be rolled back.
    assert_eq!(of(Connector, &by_row), (Outcome::Refused { code: "NO_FUNDS".into() }, Commit));
    for owner in BOTH {
        assert_eq!(of(owner, &failed("LC001")), (Outcome::Refused { code: "LC001".into() }, Rollback));
    }
}

#[test]
fn a_known_reference_is_a_duplicate_by_row_and_by_error() {
    for owner in BOTH {
        assert_eq!(of(owner, &row(&[("outcome", "DUPLICATE")])).0, Outcome::Duplicate);
        assert_eq!(of(owner, &failed("23505")), (Outcome::Duplicate, Rollback));
        let means_posted = PostAnswers { duplicate_means: DuplicateMeans::Posted, ..answers(owner) };
        let (outcome, next) = of_call(&means_posted, &request(), &row(&[("outcome", "DUPLICATE")]), true);
        assert_eq!(outcome, Outcome::Posted(Posting::default()));
        assert_ne!(next, Commit);
    }
}

#[test]
fn a_declared_conflict_a_lock_and_a_statements_time_are_not_done() {
    for owner in BOTH {
        for state in ["40001", "55P03", "57014"] {
            let (outcome, next) = of(owner, &failed(state));
            assert!(is_not_done(&outcome), "{owner:?} {state}: {outcome:?}");
            assert_eq!(next, Rollback);
        }
        assert!(is_not_done(&of(owner, &row(&[("outcome", "BUSY")])).0));
    }
}

#[test]
fn in_the_procedures_own_transaction_nothing_else_is_known() {
    let undeclared = [
        failed("40P01"),
        failed("57P01"),
        failed("08006"),
        lost(),
        unreadable(),
        Ok(Table::default()),
        row(&[("outcome", "DIZZY")]),
        row(&[("outcome", "REFUSED"), ("reason", "BAD_MOOD")]),
        posted(("reference", "LC2")),
        posted(("amount", "1e1")),
        row(&[("outcome", "POSTED")]),
    ];
    for called in undeclared {
        let (outcome, next) = of(Procedure, &called);
        assert!(is_unknown(&outcome), "{called:?}: {outcome:?}");
        assert_eq!(next, End, "{called:?}");
    }
}

#[test]
fn in_our_transaction_nothing_is_done_before_our_commit() {
    let undeclared = [
        failed("40P01"),
        failed("57P01"),
        unreadable(),
        Ok(Table::default()),
        row(&[("outcome", "DIZZY")]),
        row(&[("outcome", "REFUSED"), ("reason", "BAD_MOOD")]),
        posted(("reference", "LC2")),
        row(&[("outcome", "POSTED")]),
    ];
    for called in undeclared {
        let (outcome, next) = of(Connector, &called);
        assert!(is_not_done(&outcome), "{called:?}: {outcome:?}");
        // An error that nobody declared may come from the session itself, and would come again.
        let expected = if matches!(called, Err(Trouble::Server(_))) { RollbackAndEnd } else { Rollback };
        assert_eq!(next, expected, "{called:?}");
    }
    let (outcome, next) = of(Connector, &lost());
    assert!(matches!(outcome, Outcome::NotSent { why: Unsent::ConnectionLost, .. }), "{outcome:?}");
    assert_eq!(next, End);
}

#[test]
fn a_call_that_is_answered_too_late_is_not_committed() {
    let (outcome, next) = of_call(&answers(Connector), &request(), &posted(("", "")), false);
    assert!(is_not_done(&outcome), "{outcome:?}");
    assert_eq!(next, Rollback);
}

#[test]
fn a_call_that_ended_our_transaction_by_itself_is_unknown() {
    let mut table = posted(("", "")).unwrap();
    table.in_transaction = Some(false);
    let (outcome, next) = of(Connector, &Ok(table.clone()));
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(next, End);
    assert_eq!(of(Procedure, &Ok(table)).1, Keep);
    let unreadable = Err(Trouble::Unreadable { reason: "two columns".into(), in_transaction: Some(false) });
    let (outcome, next) = of(Connector, &unreadable);
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(next, End);
}

#[test]
fn a_procedure_that_leaves_its_transaction_open_has_posted_nothing_for_certain_and_its_session_ends() {
    for outcome in ["POSTED", "REFUSED", "ANYTHING"] {
        let mut table = posted(("outcome", outcome)).unwrap();
        table.in_transaction = Some(true);
        let (outcome, next) = of(Procedure, &Ok(table));
        assert!(is_unknown(&outcome), "{outcome:?}");
        assert_eq!(next, End);
    }
}

/// It committed, and began another transaction: only the savepoint with which ours began is missed.
#[test]
fn a_transaction_that_is_not_ours_any_more_is_unknown_unless_a_declared_error_ended_it() {
    let error = |number| Trouble::Server(ServerError { state: "42000".into(), number: Some(number) });
    let (gone, other) = (Err(error(1305)), Err(error(1053)));
    let mariadb = PostAnswers { server: Server::Mariadb, ..answers(Connector) };
    let meant = || Outcome::Posted(Posting::default());
    let outcome = of_commit(&mariadb, meant(), &gone);
    assert!(format!("{outcome:?}").contains("ended our transaction"), "{outcome:?}");

    let after = |called: &Result<Table, Trouble>, rolled_back: &Result<(), Trouble>| {
        let (outcome, next) = of_call(&mariadb, &request(), called, true);
        assert!(matches!(next, Rollback | RollbackAndEnd), "{called:?}");
        of_rollback(&mariadb, called, outcome, rolled_back)
    };
    let unproven = [
        failed("HY000"),
        failed("LC001"),
        failed("23505"),
        unreadable(),
        row(&[("outcome", "DIZZY")]),
        row(&[("outcome", "BUSY")]),
        row(&[("outcome", "DUPLICATE")]),
    ];
    for called in &unproven {
        assert!(is_unknown(&after(called, &gone)), "{called:?}");
        for rolled_back in [&Ok(()), &other, &Err(Trouble::Lost("reset".into()))] {
            assert_eq!(after(called, rolled_back), of_call(&mariadb, &request(), called, true).0, "{called:?}");
        }
    }
    assert!(is_not_done(&after(&failed("40001"), &gone)));
}

#[test]
fn an_answer_that_fits_two_kinds_says_nothing() {
    let both = PostAnswers { duplicate: vec![when("POSTED")], ..answers(Procedure) };
    assert!(is_unknown(&of_call(&both, &request(), &posted(("", "")), true).0));
    let both = PostAnswers { duplicate: vec![when("POSTED")], ..answers(Connector) };
    let (outcome, next) = of_call(&both, &request(), &posted(("", "")), true);
    assert!(is_not_done(&outcome) && next == Rollback, "{outcome:?}");
}

#[test]
fn a_commit_without_an_answer_is_unknown_and_only_a_declared_conflict_undoes_it() {
    let answers = answers(Connector);
    let meant = || Outcome::Posted(Posting::default());
    let commit = |called: Result<Table, Trouble>| of_commit(&answers, meant(), &called.map(drop));
    assert_eq!(commit(Ok(Table::default())), meant());
    assert!(is_not_done(&commit(failed("40001"))));
    // Declared for the call, and no proof about a COMMIT; a proof, and not declared; no answer at all.
    for unknown in [failed("57014"), failed("55P03"), failed("40P01"), failed("57P01"), lost()] {
        assert!(is_unknown(&commit(unknown)));
    }
}

#[test]
fn an_enquiry_finds_a_posting_a_refusal_or_nothing() {
    let post = answers(Procedure);
    let asking = EnquiryAnswers {
        found: vec![when("POSTED")],
        refused: post.refused,
        not_found: vec![SqlRule { rows: Some(Rows::None), ..SqlRule::default() }],
        posting: post.posting,
        refusals: post.refusals,
    };
    let ask = |asked: Result<Table, Trouble>| of_enquiry(&asking, "LC1", &asked);
    assert_eq!(legs_match(&request(), &ask(posted(("", "")))), LegsMatch::Same);
    assert_eq!(legs_match(&request(), &ask(posted(("amount", "99.00")))), LegsMatch::Other);
    let refused = row(&[("outcome", "REFUSED"), ("reason", "NO_FUNDS")]);
    assert_eq!(ask(refused), Enquiry::Refused { code: "NO_FUNDS".into() });
    assert_eq!(ask(Ok(Table::default())), Enquiry::NotFound);
    assert!(matches!(ask(lost()), Enquiry::Unavailable { .. }));
    for other in [row(&[("outcome", "OPEN")]), failed("55P03"), unreadable(), posted(("reference", "LC2"))] {
        assert!(matches!(ask(other), Enquiry::NotUnderstood { .. }));
    }
}

#[test]
fn a_probe_tells_up_from_read_only_from_down() {
    let probe = |asked: Result<Table, Trouble>| of_probe(&[when("OPEN")], &[when("CLOSED")], &asked);
    assert_eq!(probe(row(&[("outcome", "OPEN")])), Probe::Up);
    assert_eq!(probe(row(&[("outcome", "CLOSED")])), Probe::ReadOnly);
    for down in [row(&[("outcome", "DIZZY")]), Ok(Table::default()), failed("57P03"), lost()] {
        assert!(matches!(probe(down), Probe::Down { .. }));
    }
}

#[test]
fn no_reason_shows_what_a_row_held() {
    for owner in BOTH {
        let shown = format!("{:?}", of(owner, &row(&[("outcome", "CANARY"), ("reason", "CANARY")])));
        assert!(!shown.contains("CANARY"), "{shown}");
    }
}
