//! Hand-made histories: the clean one passes, and each crime is objected to by the rule it breaks.

use serde_json::{Value as Json, json};

use super::mutation::{self, ALL};
use super::{Evidence, Rule, check};
use crate::history::{
    Account, Answer, Ask, Away, End, Exchange, Posting, Read, Side, Slow, Transfer, minor, show_minor,
};

const ACCOUNTS: [&str; 4] = ["A", "B", "C", "D"];
const MS: u64 = 1_000_000;

/// Three transfers, one of them refused; the second was asked for after the first was answered.
fn clean() -> Evidence {
    let mut scene = Evidence::default();
    for name in ACCOUNTS {
        let account = Account { currency: "EUR".into(), balance_minor: 100_00, last_posting: 7 };
        scene.opening.accounts.insert(name.into(), account);
    }
    scene.books = scene.opening.clone();
    posted(&mut scene, "k1", "A", "B", 10_00, 10);
    posted(&mut scene, "k2", "A", "C", 20_00, 30);
    ends(&mut scene, "k3", "B", "A", 900_00, 40, "FAILED");
    scene
}

fn transfer(from: &str, to: &str, amount_minor: i64) -> Transfer {
    Transfer { from: from.into(), to: to.into(), amount_minor, currency: "EUR".into(), remittance: None }
}

fn view(key: &str, transfer: &Transfer, status: &str) -> Json {
    let mut view = transfer.body();
    view["transfer_id"] = json!(format!("t-{key}"));
    view["core_reference"] = json!(format!("LC-{key}"));
    view["status"] = json!(status);
    if status == "FAILED" {
        view["reason"] = json!("insufficient-funds");
    }
    view
}

fn say(scene: &mut Evidence, key: &str, transfer: &Transfer, sent_ms: u64, end: End) {
    let (sent, ended) = (sent_ms * MS, (sent_ms + 5) * MS);
    let (key, transfer) = (key.to_owned(), transfer.clone());
    scene.history.exchanges.push(Exchange {
        client: 1,
        instance: 0,
        key,
        ask: Ask::Submit,
        transfer,
        sent,
        ended,
        end,
    });
}

fn answered(status: u16, body: Json) -> End {
    End::Answered(Answer { status, body })
}

/// Asked for once, answered 201, shown with the same status.
fn ends(scene: &mut Evidence, key: &str, from: &str, to: &str, minor: i64, sent_ms: u64, status: &str) {
    let transfer = transfer(from, to, minor);
    let body = view(key, &transfer, status);
    say(scene, key, &transfer, sent_ms, answered(201, body.clone()));
    scene.shown.insert(key.into(), Answer { status: 200, body });
}

fn posted(scene: &mut Evidence, key: &str, from: &str, to: &str, minor: i64, sent_ms: u64) {
    ends(scene, key, from, to, minor, sent_ms, "COMPLETED");
    for (account, side) in [(from, Side::Debit), (to, Side::Credit)] {
        let entry = scene.books.accounts.get_mut(account).unwrap();
        entry.last_posting += 1;
        let row = Posting {
            account: account.into(),
            number: entry.last_posting,
            core_ref: Some(format!("LC-{key}")),
            side,
            amount_minor: minor,
            currency: "EUR".into(),
            text: String::new(),
            value_date: "2026-02-28".into(),
        };
        entry.balance_minor += row.effect_minor();
        scene.books.postings.push(row);
    }
}

fn rules(evidence: &Evidence) -> Vec<Rule> {
    let mut rules: Vec<_> = check(evidence).into_iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_clean_history_has_no_violation() {
    assert_eq!(rules(&clean()), []);
}

/// The same, with reads of the debited account before, between and after.
fn watched() -> Evidence {
    let mut scene = clean();
    shows(&mut scene, 0, 1, "100.00", 7, "0.00");
    shows(&mut scene, 0, 20, "100.00", 7, "10.00");
    shows(&mut scene, 0, 25, "90.00", 8, "0.00");
    shows(&mut scene, 0, 60, "90.00", 8, "20.00");
    shows(&mut scene, 0, 70, "70.00", 9, "0.00");
    scene
}

/// A read of account A for a millisecond; the overdraft line makes up for what the core holds.
fn shows(scene: &mut Evidence, instance: usize, sent_ms: u64, booked: &str, as_of: i64, pending: &str) {
    let available = minor(booked, "EUR").unwrap() - minor(pending, "EUR").unwrap();
    let body = json!({
        "account_id": "A", "currency": "EUR", "booked": booked, "pending": pending, "overdraft_line": "5.00",
        "core_holds": "5.00", "available": show_minor(available, "EUR"), "as_of_posting": as_of,
    });
    let (sent, ended) = (sent_ms * MS, (sent_ms + 1) * MS);
    scene.history.reads.push(Read {
        instance,
        account: "A".into(),
        positioned: true,
        sent,
        ended,
        end: answered(200, body),
    });
}

#[test]
fn every_crime_is_objected_to_by_its_own_rule() {
    assert_eq!(rules(&watched()), []);
    assert_eq!(mutation::assert_caught(&watched()), ALL);
}

#[test]
fn the_crime_is_the_only_thing_that_is_objected_to() {
    for mutation in ALL.into_iter().filter(|mutation| *mutation != mutation::Mutation::Contradicted) {
        // Where the books change, reads that were right are wrong.
        let evidence = mutation.commit(&clean()).or_else(|| mutation.commit(&watched())).unwrap();
        assert_eq!(rules(&evidence), [mutation.rule()], "{mutation:?}");
    }
}

#[test]
fn a_later_read_with_a_position_shows_nothing_older() {
    let seen = |instance, sent_ms| {
        let mut scene = watched();
        shows(&mut scene, instance, sent_ms, "90.00", 8, "20.00");
        rules(&scene)
    };
    assert_eq!(seen(0, 80), [Rule::WentBack]);
    assert_eq!(seen(0, 71), [], "it was sent when the other was not answered yet");
    assert_eq!(seen(1, 80), [], "another instance may be behind");
    let mut plain = watched();
    shows(&mut plain, 0, 80, "90.00", 8, "20.00");
    plain.history.reads.last_mut().unwrap().positioned = false;
    assert_eq!(rules(&plain), [], "a plain read may come from a tier that is a moment behind");
}

#[test]
fn a_balance_that_came_back_is_at_any_of_its_places() {
    let seen = |as_of: Option<i64>| {
        let mut scene = watched();
        posted(&mut scene, "back", "D", "A", 30_00, 100);
        shows(&mut scene, 0, 120, "100.00", 10, "0.00");
        let read = scene.history.reads.last_mut().unwrap();
        let End::Answered(answer) = &mut read.end else { unreachable!() };
        answer.body["as_of_posting"] = json!(as_of);
        rules(&scene)
    };
    assert_eq!(seen(Some(10)), []);
    assert_eq!(seen(None), [], "100.00 was the balance after #7, and again after #10");
    assert_eq!(seen(Some(7)), [Rule::WentBack, Rule::Overstated]);
    assert_eq!(seen(Some(9)), [Rule::Read], "the balance after #9 was another one");
}

#[test]
fn what_is_available_is_the_sum_of_its_parts() {
    let seen = |change: fn(&mut Json)| {
        let mut scene = watched();
        let End::Answered(answer) = &mut scene.history.reads[0].end else { unreachable!() };
        change(&mut answer.body);
        rules(&scene)
    };
    assert_eq!(seen(|body| body["available"] = json!("99.99")), [Rule::Sum]);
    assert_eq!(seen(|body| body["core_holds"] = json!("5.01")), [Rule::Sum, Rule::Overstated]);
    assert_eq!(seen(|body| body["pending"] = json!(null)), [Rule::Sum]);
}

#[test]
fn a_promised_debit_is_available_to_nobody_until_the_balance_includes_it() {
    let seen = |sent_ms, booked: &str, as_of, pending: &str| {
        let mut scene = clean();
        shows(&mut scene, 1, sent_ms, booked, as_of, pending);
        rules(&scene)
    };
    assert_eq!(seen(14, "100.00", 7, "0.00"), [], "k1 was not promised yet");
    assert_eq!(seen(16, "100.00", 7, "0.00"), [Rule::Overstated]);
    assert_eq!(seen(16, "100.00", 7, "9.99"), [Rule::Overstated]);
    assert_eq!(seen(16, "100.00", 7, "10.00"), []);
    assert_eq!(seen(16, "90.00", 8, "10.00"), [], "counted twice: the declared gap");
    assert_eq!(seen(40, "90.00", 8, "0.00"), [Rule::Overstated], "k2 is missing");
    assert_eq!(seen(40, "100.00", 7, "30.00"), []);
}

#[test]
fn overlapping_transfers_may_be_posted_in_any_order() {
    let mut scene = clean();
    posted(&mut scene, "k5", "D", "B", 1_00, 200);
    posted(&mut scene, "k4", "D", "C", 1_00, 198);
    assert_eq!(rules(&scene), []);
}

#[test]
fn a_transfer_promised_and_not_yet_posted_holds_back_later_ones() {
    let mut scene = clean();
    posted(&mut scene, "later", "D", "B", 1_00, 300);
    posted(&mut scene, "first", "D", "C", 1_00, 100);
    let violations = check(&scene);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!((violations[0].rule, violations[0].about.as_str()), (Rule::Reordered, "later"));
    let trail = violations[0].trail.join("\n");
    assert!(trail.contains("LC-first") && trail.contains("LC-later"), "{trail}");
}

#[test]
fn a_retry_after_a_broken_connection_orders_by_its_first_request() {
    let mut scene = clean();
    let retried = transfer("D", "B", 1_00);
    say(&mut scene, "early", &retried, 90, End::Broken("reset".into()));
    posted(&mut scene, "early", "D", "B", 1_00, 300);
    posted(&mut scene, "first", "D", "C", 1_00, 100);
    scene.history.away.push(Away { instance: 0, from: 80 * MS, until: 99 * MS });
    assert_eq!(rules(&scene), []);
}

#[test]
fn a_key_that_is_processing_at_rest_has_not_ended() {
    let mut scene = clean();
    let open = transfer("C", "D", 1_00);
    let body = view("open", &open, "PROCESSING");
    say(&mut scene, "open", &open, 50, answered(202, body.clone()));
    scene.shown.insert("open".into(), Answer { status: 200, body });
    assert_eq!(rules(&scene), [Rule::NotEnded]);
}

#[test]
fn processing_may_become_anything_and_an_end_stays() {
    let k1 = transfer("A", "B", 10_00);
    for (sent_ms, expected) in [(2, vec![]), (90, vec![Rule::Contradiction])] {
        let mut scene = clean();
        say(&mut scene, "k1", &k1, sent_ms, answered(202, view("k1", &k1, "PROCESSING")));
        assert_eq!(rules(&scene), expected, "PROCESSING said at {sent_ms} ms");
    }
}

#[test]
fn the_same_key_keeps_its_transfer_and_its_reason() {
    let changed = |change: fn(&mut Json)| {
        let mut scene = clean();
        let k3 = transfer("B", "A", 900_00);
        let mut body = view("k3", &k3, "FAILED");
        change(&mut body);
        say(&mut scene, "k3", &k3, 90, answered(201, body));
        rules(&scene)
    };
    assert_eq!(changed(|_| {}), []);
    assert_eq!(changed(|body| body["transfer_id"] = json!("t-9")), [Rule::Contradiction]);
    assert_eq!(changed(|body| body["amount"] = json!("900.01")), [Rule::Contradiction]);
    assert_eq!(changed(|body| body["reason"] = json!("account-frozen")), [Rule::Contradiction]);
}

#[test]
fn a_decline_is_acknowledged_and_must_be_shown() {
    let mut scene = clean();
    let declined = transfer("C", "D", 500_00);
    let problem = json!({"code": "insufficient-funds", "transfer_id": "t-d", "status": 422});
    say(&mut scene, "d", &declined, 50, answered(422, problem));
    assert_eq!(rules(&scene), [Rule::Lost]);
    scene.shown.insert("d".into(), Answer { status: 200, body: view("d", &declined, "FAILED") });
    assert_eq!(rules(&scene), []);
    scene.shown.get_mut("d").unwrap().body["transfer_id"] = json!("t-other");
    assert_eq!(rules(&scene), [Rule::Contradiction]);
}

#[test]
fn a_living_locum_neither_breaks_nor_answers_5xx() {
    let k1 = transfer("A", "B", 10_00);
    for end in [End::Broken("reset".into()), answered(500, json!({"code": "internal"})), answered(502, json!(null))] {
        let mut scene = clean();
        say(&mut scene, "k1", &k1, 4, end);
        assert_eq!(rules(&scene), [Rule::ServerError]);
    }
    let mut scene = clean();
    say(&mut scene, "k1", &k1, 4, End::Broken("reset".into()));
    scene.history.away.push(Away { instance: 0, from: 6 * MS, until: 8 * MS });
    assert_eq!(rules(&scene), [], "it was killed meanwhile");
}

#[test]
fn a_store_is_called_away_only_while_it_keeps_everybody_waiting_and_never_with_a_wrong_promise() {
    let k1 = transfer("A", "B", 10_00);
    let unknown = |safe: bool| json!({"code": "acceptance-unknown", "retryable": true, "safe_to_use_new_key": safe});
    for (safe, slow_until, expected) in
        [(false, 5 * MS, vec![]), (true, 5 * MS, vec![Rule::ServerError]), (false, 3 * MS, vec![Rule::ServerError])]
    {
        let mut scene = clean();
        say(&mut scene, "k1", &k1, 4, answered(503, unknown(safe)));
        scene.history.slow.push(Slow { from: 0, until: slow_until });
        assert_eq!(rules(&scene), expected, "safe {safe}, slow until {slow_until}");
    }
}

#[test]
fn a_decision_is_pending_only_while_the_core_decides_others() {
    let (k1, k2) = (transfer("A", "B", 10_00), transfer("A", "C", 20_00));
    let pending = |safe: bool| json!({"code": "decision-pending", "retryable": true, "safe_to_use_new_key": safe});
    let direct = |by: &str| {
        let mut view = view("k2", &k2, "COMPLETED");
        view["accepted_by"] = json!(by);
        answered(201, view)
    };
    for (safe, by, expected) in
        [(false, "core", vec![]), (true, "core", vec![Rule::ServerError]), (false, "stand-in", vec![Rule::ServerError])]
    {
        let mut scene = clean();
        say(&mut scene, "k1", &k1, 4, answered(503, pending(safe)));
        say(&mut scene, "k2", &k2, 4, direct(by));
        assert_eq!(rules(&scene), expected, "safe {safe}, by {by}");
    }
    for (slow_until, expected) in [(25_000 * MS, vec![]), (20_000 * MS, vec![Rule::ServerError])] {
        let mut scene = clean();
        say(&mut scene, "k1", &k1, 40_000, answered(503, pending(false)));
        scene.history.slow.push(Slow { from: 0, until: slow_until });
        assert_eq!(rules(&scene), expected, "slow until {slow_until}");
    }
}

#[test]
fn answers_outside_the_vocabulary_are_wrong() {
    let k1 = transfer("A", "B", 10_00);
    let processing = view("k1", &k1, "PROCESSING");
    for end in
        [answered(404, json!({"code": "account-not-found"})), answered(201, processing), answered(200, json!({}))]
    {
        let mut scene = clean();
        say(&mut scene, "k1", &k1, 4, end);
        assert_eq!(rules(&scene), [Rule::WrongAnswer]);
    }
}

#[test]
fn branch_postings_need_no_key() {
    let mut scene = clean();
    posted(&mut scene, "branch", "C", "D", 1_00, 60);
    scene.history.exchanges.retain(|exchange| exchange.key != "branch");
    scene.shown.remove("branch");
    assert_eq!(rules(&scene), [Rule::Unexplained]);
    scene.branch_refs.insert("LC-branch".into());
    assert_eq!(rules(&scene), []);
}

#[test]
fn a_read_shows_a_balance_the_account_had_and_does_not_fail_on_a_living_locum() {
    let read = |end| {
        let mut scene = clean();
        scene.history.slow.push(Slow { from: 0, until: 1 });
        scene.history.reads.push(Read { instance: 0, account: "A".into(), positioned: true, sent: 1, ended: 2, end });
        rules(&scene)
    };
    let booked = |amount: &str| answered(200, json!({"booked": {"amount": amount, "currency": "EUR"}}));
    for had in ["100.00", "90.00", "70.00"] {
        assert_eq!(read(booked(had)), [], "{had}");
    }
    assert_eq!(read(booked("80.00")), [Rule::Read]);
    assert_eq!(read(answered(503, json!({}))), [Rule::Read]);
    assert_eq!(read(answered(503, json!({"code": "store-unavailable"}))), []);
    assert_eq!(read(End::Broken("reset".into())), [Rule::Read]);
}

#[test]
fn numbers_have_no_gaps_and_debits_equal_credits() {
    let mut scene = clean();
    scene.books.postings[0].number += 5;
    assert!(rules(&scene).contains(&Rule::Books));
    let mut scene = clean();
    scene.books.postings[1].amount_minor -= 1;
    scene.books.accounts.get_mut("B").unwrap().balance_minor -= 1;
    assert!(rules(&scene).contains(&Rule::Books));
}

#[test]
fn a_key_nobody_acknowledged_may_be_unknown_at_the_end() {
    let mut scene = clean();
    let gone = transfer("C", "D", 1_00);
    say(&mut scene, "gone", &gone, 50, End::Broken("reset".into()));
    scene.history.away.push(Away { instance: 0, from: 0, until: 90 * MS });
    scene.shown.insert("gone".into(), Answer { status: 404, body: Json::Null });
    assert_eq!(rules(&scene), []);
}
