use super::*;

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn account(booked_minor: i64) -> AccountFacts {
    AccountFacts {
        currency: eur(),
        status: AccountStatus::Active,
        booked_minor,
        overdraft_line_minor: 0,
        core_holds_minor: 0,
    }
}

fn limits() -> Limits {
    Limits::default().with(eur(), 1_000_000, 2_000_000)
}

/// Decides a transfer of this amount between these accounts, the payee's a stranger's.
fn decided(
    (from, to): (Option<&AccountFacts>, Option<&AccountFacts>),
    lane: &Lane,
    amount_minor: i64,
    belief: CoreBelief,
) -> Decision {
    let to_lane = Lane::default();
    let proposal = Proposal {
        amount_minor,
        currency: eur(),
        legs: vec![
            ProposedLeg { kind: LegKind::Debit, lane, account: from, visible: true },
            ProposedLeg { kind: LegKind::Credit, lane: &to_lane, account: to, visible: false },
        ],
        global: None,
        business_day: 20_000,
        data_age_s: Some(1),
    };
    let rules = OperationRules::default();
    decide(&proposal, &limits(), &rules, path(&proposal, belief, &rules))
}

fn decide_with(from: &AccountFacts, lane: &Lane, amount_minor: i64, belief: CoreBelief) -> Decision {
    decided((Some(from), Some(&account(0))), lane, amount_minor, belief)
}

#[test]
fn the_core_decides_about_funds_when_it_is_there() {
    let poor = account(10);
    assert_eq!(decide_with(&poor, &Lane::default(), 50, CoreBelief::Available), Decision::Direct);
    assert_eq!(
        decide_with(&poor, &Lane::default(), 50, CoreBelief::Away),
        Decision::Decline(Reason::InsufficientFunds)
    );
}

#[test]
fn with_the_core_there_our_data_decide_about_no_account_and_in_stand_in_about_all() {
    let rich = account(100);
    let of = |status| AccountFacts { status, ..account(100) };
    let dollars = AccountFacts { currency: Currency::parse("USD").unwrap(), ..account(100) };
    let payee = Reason::PayeeNotAvailable;
    for (from, to, reason) in [
        (Some(&rich), None, payee),
        (Some(&rich), Some(&of(AccountStatus::Frozen)), payee),
        (Some(&rich), Some(&of(AccountStatus::Closed)), payee),
        (Some(&rich), Some(&dollars), payee),
        (Some(&of(AccountStatus::Frozen)), Some(&rich), Reason::AccountFrozen),
        (Some(&of(AccountStatus::Closed)), Some(&rich), Reason::AccountClosed),
        (Some(&dollars), Some(&rich), Reason::CurrencyMismatch),
    ] {
        let lane = Lane::default();
        assert_eq!(decided((from, to), &lane, 1, CoreBelief::Available), Decision::Direct, "{from:?} {to:?}");
        let declined = Decision::Decline(reason);
        assert_eq!(decided((from, to), &lane, 1, CoreBelief::Away), declined, "{from:?} {to:?}");
    }
}

#[test]
fn states_are_touched_as_the_operation_declares_on_each_path() {
    let (from, frozen) = (account(100), AccountFacts { status: AccountStatus::Frozen, ..account(0) });
    let lane = Lane::default();
    let leg = |kind, account, visible| ProposedLeg { kind, lane: &lane, account: Some(account), visible };
    let proposal = Proposal {
        amount_minor: 1,
        currency: eur(),
        legs: vec![leg(LegKind::Debit, &from, true), leg(LegKind::Credit, &frozen, false)],
        global: None,
        business_day: 20_000,
        data_age_s: Some(1),
    };
    let decide = |rules: &OperationRules, path| decide(&proposal, &limits(), rules, path);
    let mut rules = OperationRules::default();
    rules.stand_in.credit.push(AccountStatus::Frozen);
    assert_eq!(decide(&rules, Path::StandIn), Decision::Queue);
    rules.direct.credit = vec![AccountStatus::Active];
    assert_eq!(decide(&rules, Path::Direct), Decision::Decline(Reason::PayeeNotAvailable));
    rules.payee_reasons = PayeeReasons::Exact;
    assert_eq!(decide(&rules, Path::Direct), Decision::Decline(Reason::AccountFrozen));
}

#[test]
fn a_currency_without_a_limit_is_refused_on_every_path() {
    let rich = AccountFacts { currency: Currency::parse("JPY").unwrap(), ..account(100) };
    let lane = Lane::default();
    let leg = |kind| ProposedLeg { kind, lane: &lane, account: Some(&rich), visible: true };
    let proposal = Proposal {
        amount_minor: 1,
        currency: rich.currency,
        legs: vec![leg(LegKind::Debit), leg(LegKind::Credit)],
        global: None,
        business_day: 20_000,
        data_age_s: Some(1),
    };
    for path in [Path::Direct, Path::InTurn, Path::StandIn] {
        let decision = decide(&proposal, &limits(), &OperationRules::default(), path);
        assert_eq!(decision, Decision::Decline(Reason::NoLimitForCurrency));
    }
}

#[test]
fn a_write_behind_a_queue_waits_for_its_turn_and_with_the_core_there_the_core_decides() {
    let lane = Lane { ordered: 1, held_minor: 100, usage: used_up(20_000), ..Lane::default() };
    let dollars = AccountFacts { currency: Currency::parse("USD").unwrap(), ..account(0) };
    assert_eq!(decide_with(&account(100), &lane, 50, CoreBelief::Available), Decision::Wait);
    assert_eq!(decided((Some(&dollars), None), &lane, 50, CoreBelief::Available), Decision::Wait);
    let beyond = decide_with(&account(100), &lane, 1_000_001, CoreBelief::Available);
    assert_eq!(beyond, Decision::Decline(Reason::LimitExceeded), "the limit of one transfer is the bank's own");
    let in_stand_in = decide_with(&account(1_000), &lane, 50, CoreBelief::Away);
    assert_eq!(in_stand_in, Decision::Decline(Reason::DailyLimitExceeded));
}

/// The limit of a day, used.
fn used_up(business_day: i64) -> crate::lane::Usage {
    crate::lane::Usage { business_day, amount_minor: 2_000_000, count: 1 }
}

#[test]
fn holds_lower_what_stand_in_may_promise() {
    let lane = Lane { held_minor: 60, ..Lane::default() };
    assert_eq!(decide_with(&account(100), &lane, 40, CoreBelief::Away), Decision::Queue);
    assert_eq!(decide_with(&account(100), &lane, 41, CoreBelief::Away), Decision::Decline(Reason::InsufficientFunds));
}

#[test]
fn a_day_that_is_over_frees_its_usage() {
    let rich = account(100_000_000);
    let spent = |business_day| Lane { usage: used_up(business_day), ..Lane::default() };
    assert_eq!(decide_with(&rich, &spent(20_000), 1, CoreBelief::Away), Decision::Decline(Reason::DailyLimitExceeded));
    assert_eq!(decide_with(&rich, &spent(19_999), 1, CoreBelief::Away), Decision::Queue);
}

#[test]
fn a_decision_keeps_what_it_rested_on_and_names_no_account() {
    let (from, lane) = (account(100), Lane { version: 7, held_minor: 60, ..Lane::default() });
    let leg = |kind, account, visible| ProposedLeg { kind, lane: &lane, account, visible };
    let proposal = Proposal {
        amount_minor: 50,
        currency: eur(),
        legs: vec![leg(LegKind::Debit, Some(&from), true), leg(LegKind::Credit, None, false)],
        global: None,
        business_day: 20_000,
        data_age_s: Some(1),
    };
    let place = BalancePlace { last_posting: Some(12), balance_version: "0a".into() };
    let decision = Decision::Decline(Reason::PayeeNotAvailable);
    let kept = record(&proposal, vec![Some(place), None], 3, Path::StandIn, decision).unwrap();
    let lane = serde_json::json!({
        "version": 7, "ordered": 0, "direct": 0, "held_minor": 60, "stopped": false, "used_minor": 0, "used_count": 0,
    });
    let expected = serde_json::json!({
        "v": 1, "path": "stand-in", "outcome": "payee-not-available", "limits_version": 3, "data_age_s": 1, "business_day": 20_000,
        "legs": [
            {"side": "debit", "lane": lane, "account": {
                "status": "active", "currency": "EUR", "booked_minor": 100, "overdraft_line_minor": 0, "core_holds_minor": 0,
                "last_posting": 12, "balance_version": "0a",
            }},
            {"side": "credit", "lane": lane},
        ],
    });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&kept).unwrap(), expected);
}

#[test]
fn with_one_order_of_all_a_write_is_direct_only_where_that_lane_is_known_and_nothing_is_queued_in_it() {
    let (free, rich) = (Lane::default(), account(100));
    let leg = |kind| ProposedLeg { kind, lane: &free, account: Some(&rich), visible: true };
    let rules = OperationRules { order: Order::Global, ..OperationRules::default() };
    let path_with = |global, rules: &OperationRules| {
        let proposal = Proposal {
            amount_minor: 1,
            currency: eur(),
            legs: vec![leg(LegKind::Debit), leg(LegKind::Credit)],
            global,
            business_day: 20_000,
            data_age_s: Some(1),
        };
        path(&proposal, CoreBelief::Available, rules)
    };
    let (under_way, queued) = (Lane { direct: 1, ..Lane::default() }, Lane { ordered: 1, ..Lane::default() });
    assert_eq!(path_with(Some(&under_way), &rules), Path::Direct);
    assert_eq!(path_with(Some(&queued), &rules), Path::InTurn);
    assert_eq!(path_with(None, &rules), Path::InTurn, "it was not locked, so nothing may be concluded");
    assert_eq!(path_with(Some(&queued), &OperationRules::default()), Path::Direct);
}
