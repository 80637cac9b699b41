//! What a channel is promised about its reads.

mod bank;
#[path = "contract/pressure.rs"]
mod pressure;

use bank::*;
use schemas::data_position::DataPosition;

#[tokio::test]
async fn a_balance_names_every_number_and_its_place_and_age() {
    let bank = Bank::loaded().await;
    bank.hold("acc-1", 4, vec![hold(1_050, None), hold(7, Some(1)), hold(30, Some(2))]);
    let answer = bank.get("/v1/accounts/acc-1/balances", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let expected = serde_json::json!({
        "account_id": "acc-1", "currency": "EUR", "booked": "100.00", "pending": "10.80", "available": "138.20",
        "overdraft_line": "50.00", "core_holds": "1.00", "as_of_posting": 1,
    });
    assert_eq!(answer.json, expected);
    for (name, value) in [
        ("data-age", "2"),
        ("data-as-of", "2027-01-15T07:59:58.5Z"),
        ("data-quality", "ok"),
        ("service-mode", "stand-in"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let position: DataPosition = answer.header("data-position").parse().unwrap();
    assert_eq!(position.lanes["acc-1"], 4);
    assert_eq!(position.sources["core"], (1, 1i64.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_hold_ends_with_the_balance_that_includes_it() {
    let bank = Bank::loaded().await;
    bank.hold("acc-1", 4, vec![hold(1_000, Some(2))]);
    let before = bank.get("/v1/accounts/acc-1/balances", &[]).await;
    bank.apply(vec![balance("acc-1", 2, 9_000)], NOW_MS).await;
    let after = bank.get("/v1/accounts/acc-1/balances", &[]).await;
    assert_eq!((&before.json["pending"], &after.json["pending"]), (&"10.00".into(), &"0.00".into()));
    assert_eq!(before.json["available"], after.json["available"]);
}

#[tokio::test]
async fn without_the_journal_no_available_is_shown() {
    let bank = Bank::loaded().await;
    *bank.journal.0.lock().unwrap() = Err(());
    let answer = bank.get("/v1/accounts/acc-1/balances", &[]).await;
    answer.is_problem(503, "store-unavailable");
    assert!(!answer.json.to_string().contains("cut off"));
    assert_eq!(bank.get("/v1/accounts/acc-1", &[]).await.status, 200);
}

#[tokio::test]
async fn an_unchanged_balance_is_not_sent_again() {
    let bank = Bank::loaded().await;
    let first = bank.get("/v1/accounts/acc-1/balances", &[]).await;
    let tag = first.header("etag").to_owned();
    let again = bank.get("/v1/accounts/acc-1/balances", &[("if-none-match", &format!("\"x\", W/{tag}"))]).await;
    assert_eq!((again.status, again.header("etag")), (304, tag.as_str()));
    assert!(!again.header("data-position").is_empty() && again.json.is_null());
    bank.hold("acc-1", 1, vec![hold(5, None)]);
    let changed = bank.get("/v1/accounts/acc-1/balances", &[("if-none-match", &tag)]).await;
    assert_eq!((changed.status, &changed.json["pending"]), (200, &"0.05".into()));
    bank.apply(vec![balance("acc-1", 2, 1)], NOW_MS).await;
    let moved = bank.get("/v1/accounts/acc-1/balances", &[("if-none-match", changed.header("etag"))]).await;
    assert_eq!((moved.status, &moved.json["booked"]), (200, &"0.01".into()));
}

#[tokio::test]
async fn data_older_than_allowed_is_refused_also_when_nothing_changed() {
    let bank = Bank::loaded().await;
    let tag = bank.get("/v1/accounts/acc-1/balances", &[("max-staleness", "2")]).await.header("etag").to_owned();
    for path in ["/v1/accounts/acc-1", "/v1/accounts/acc-1/balances", "/v1/accounts/acc-1/transactions"] {
        let answer = bank.get(path, &[("max-staleness", "1"), ("if-none-match", &tag)]).await;
        answer.is_problem(503, "stale-data");
        assert_eq!(answer.header("retry-after"), "1");
    }
    for odd in ["", "-1", "1.5", "+1", "99999999", "x"] {
        bank.get("/v1/accounts/acc-1", &[("max-staleness", odd)]).await.is_problem(400, "invalid-request");
    }
    bank.now_ms.store(NOW_MS + 60_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(bank.get("/v1/accounts/acc-1", &[]).await.header("data-quality"), "stale");
}

/// A position that the source comes to with its next change, or never.
async fn beyond(bank: &Bank, sequence: i64) -> String {
    let mut position: DataPosition = bank.get("/v1/accounts/acc-1", &[]).await.header("data-position").parse().unwrap();
    position.sources.insert("core".into(), (1, sequence.to_be_bytes().to_vec()));
    position.to_string()
}

#[tokio::test]
async fn a_read_waits_for_its_position_and_goes_on_when_it_arrives() {
    for bank in [Bank::patient().await, Bank::watching_patiently().await] {
        let token = beyond(&bank, 2).await;
        let headers = [("min-position", token.as_str())];
        let waiting = bank.get("/v1/accounts/acc-1", &headers);
        let (answer, ()) = tokio::join!(waiting, bank.apply(vec![balance("acc-1", 2, 7)], NOW_MS));
        assert_eq!(answer.status, 200, "{}", answer.json);
        assert_eq!(bank.get("/v1/accounts/acc-1/balances", &headers).await.json["booked"], "0.07");
    }
}

#[tokio::test]
async fn a_position_that_does_not_come_is_waited_for_within_bounds() {
    for bank in [Bank::loaded().await, Bank::watching().await] {
        let token = beyond(&bank, i64::MAX).await;
        bank.get("/v1/accounts/acc-1", &[("min-position", &token)]).await.is_problem(503, "position-not-reached");
    }
}

#[tokio::test]
async fn a_rebuilt_source_is_served_as_it_was_until_it_is_swapped_and_then_positions_are_superseded() {
    let bank = Bank::loaded().await;
    let path = "/v1/accounts/acc-1/balances";
    let before = bank.get(path, &[]).await;
    let token = before.header("data-position").to_owned();
    let fresh = [account("acc-1", "c-1"), balance("acc-1", 1, 70_00)].map(|change| in_generation(2, change));
    bank.rebuild(fresh.to_vec()).await;
    let meanwhile = bank.get(path, &[("min-position", &token)]).await;
    assert_eq!((meanwhile.status, meanwhile.header("data-quality")), (200, "rebuilding"));
    assert_eq!((&meanwhile.json["booked"], &before.json["booked"]), (&"100.00".into(), &"100.00".into()));
    bank.swap().await;
    let after = bank.get(path, &[]).await;
    assert_eq!((after.header("data-quality"), &after.json["booked"]), ("ok", &"70.00".into()));
    for path in [path, "/v1/accounts/acc-1/transactions", "/v1/customers/c-1/accounts", "/v1/accounts/acc-9"] {
        bank.get(path, &[("min-position", &token)]).await.is_problem(410, "position-superseded");
    }
    let token = after.header("data-position").to_owned();
    assert_eq!(bank.get(path, &[("min-position", &token)]).await.status, 200);
    // An account that only the old generation had.
    assert_eq!(bank.get_as(BRANCH, "/v1/accounts/acc-2", &[]).await.status, 404);
}

#[tokio::test]
async fn a_lane_that_is_behind_the_position_is_not_shown() {
    let bank = Bank::loaded().await;
    let lanes = [("acc-1".to_owned(), 3)].into();
    let token = DataPosition { lanes, ..DataPosition::default() }.to_string();
    bank.hold("acc-1", 2, vec![]);
    let path = "/v1/accounts/acc-1/balances";
    bank.get(path, &[("min-position", &token)]).await.is_problem(503, "position-not-reached");
    bank.hold("acc-1", 3, vec![]);
    assert_eq!(bank.get(path, &[("min-position", &token)]).await.status, 200);
    bank.get(path, &[("min-position", "nonsense")]).await.is_problem(400, "invalid-request");
}

#[tokio::test]
async fn a_lane_that_the_store_does_not_show_is_behind_any_position_of_it() {
    let bank = Bank::loaded().await;
    let lanes = [("acc-1".to_owned(), 1)].into();
    let token = DataPosition { lanes, ..DataPosition::default() }.to_string();
    let headers = [("min-position", token.as_str())];
    bank.get("/v1/accounts/acc-1/balances", &headers).await.is_problem(503, "position-not-reached");
    let bearer = format!("Bearer {MOBILE}");
    let batch = [("authorization", bearer.as_str()), ("content-type", "application/json"), headers[0]];
    let answer = bank.send("POST", "/v1/accounts:batchGet", &batch, r#"{"account_ids":["acc-1"]}"#).await;
    answer.is_problem(503, "position-not-reached");
    assert_eq!(bank.get("/v1/accounts/acc-1", &headers).await.status, 200, "this answer holds nothing of the lane");
}

#[tokio::test]
async fn absence_means_nothing_before_the_first_load() {
    let bank = Bank::open().await;
    for path in ["/v1/accounts/acc-1", "/v1/accounts/acc-1/transactions", "/v1/customers/c-1/accounts"] {
        bank.get(path, &[]).await.is_problem(503, "not-loaded");
    }
    let status = bank.get("/v1/service-status", &[]).await;
    assert_eq!(
        (status.status, &status.json["loaded"], &status.json["service_mode"]),
        (200, &false.into(), &"stand-in".into())
    );
    bank.apply(vec![account("acc-1", "c-1")], NOW_MS).await;
    bank.get("/v1/accounts/acc-9", &[]).await.is_problem(404, "not-found");
    bank.get("/v1/accounts/acc-1/balances", &[]).await.is_problem(503, "not-loaded");
}

#[tokio::test]
async fn what_belongs_to_others_looks_like_what_does_not_exist() {
    let bank = Bank::loaded().await;
    for kind in ["", "/balances", "/transactions?cursor=x", "/transactions?min_amount=1.234"] {
        let foreign = bank.get(&format!("/v1/accounts/acc-2{kind}"), &[]).await;
        let missing = bank.get(&format!("/v1/accounts/acc-9{kind}"), &[]).await;
        assert_eq!((foreign.status, &foreign.json), (missing.status, &missing.json), "{kind}");
        assert_ne!(foreign.status, 200);
    }
    bank.get("/v1/customers/c-2", &[]).await.is_problem(404, "not-found");
    bank.get("/v1/customers/c-2/accounts", &[]).await.is_problem(404, "not-found");
    assert_eq!(bank.get_as(BRANCH, "/v1/accounts/acc-2", &[]).await.status, 200);
    bank.get_as(WRITER, "/v1/accounts/acc-1", &[]).await.is_problem(403, "insufficient-scope");
    bank.send("GET", "/v1/accounts/acc-1", &[], "").await.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn customers_and_their_accounts_are_listed() {
    let bank = Bank::loaded().await;
    assert_eq!(bank.get("/v1/customers/c-1", &[]).await.json["name"], "Ada");
    let list = bank.get("/v1/customers/c-1/accounts", &[]).await;
    assert_eq!(list.json["accounts"][0]["account_id"], "acc-1");
    let empty = bank.get_as(BRANCH, "/v1/customers/c-9/accounts", &[]).await;
    assert_eq!((empty.status, empty.header("data-quality")), (200, "ok"), "{}", empty.json);
    assert_eq!(empty.header("data-age"), "2");
}

#[tokio::test]
async fn a_batch_shows_what_may_be_seen_and_names_the_rest() {
    let bank = Bank::loaded().await;
    let bearer = format!("Bearer {MOBILE}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let batch = r#"{"account_ids":["acc-1","acc-2","acc-9"]}"#;
    let answer = bank.send("POST", "/v1/accounts:batchGet", &headers, batch).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert_eq!(answer.json["accounts"][0]["balances"]["booked"], "100.00");
    assert_eq!(answer.json["not_found"], serde_json::json!(["acc-2", "acc-9"]));
    let empty = bank.send("POST", "/v1/accounts:batchGet", &headers, r#"{"account_ids":[]}"#).await;
    empty.is_problem(400, "invalid-request");
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_there_has_an_age_too() {
    let bank = Bank::loaded().await;
    let bearer = format!("Bearer {MOBILE}");
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    headers.push(("max-staleness", "2"));
    let answer = bank.send("POST", "/v1/accounts:batchGet", &headers, r#"{"account_ids":["acc-9"]}"#).await;
    assert_eq!((answer.status, &answer.json["not_found"]), (200, &serde_json::json!(["acc-9"])), "{}", answer.json);
    assert_eq!((answer.header("data-age"), answer.header("data-quality")), ("2", "ok"));
    assert!(!answer.header("data-as-of").is_empty());
    let position: DataPosition = answer.header("data-position").parse().unwrap();
    assert_eq!(position.sources["core"], (1, 1i64.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn more_accounts_than_a_list_holds_are_refused_not_cut_off() {
    let bank = Bank::loaded().await;
    let max = read_model::ACCOUNTS_PER_CUSTOMER_MAX;
    bank.apply((1..max).map(|n| account(&format!("more-{n}"), "c-1")).collect(), NOW_MS).await;
    let full = bank.get("/v1/customers/c-1/accounts", &[]).await;
    assert_eq!(full.json["accounts"].as_array().map(Vec::len), Some(max as usize), "{}", full.status);
    bank.apply(vec![account("one-more", "c-1")], NOW_MS).await;
    bank.get("/v1/customers/c-1/accounts", &[]).await.is_problem(422, "too-many-accounts");
}

#[tokio::test]
async fn pages_follow_their_cursors_to_the_end() {
    let bank = Bank::loaded().await;
    let rows = (0..5).map(|n| transaction(&format!("t-{n}"), "acc-1", -100 * (n + 1), n)).collect();
    bank.apply(rows, NOW_MS).await;
    let mut path = "/v1/accounts/acc-1/transactions?limit=2&text=RENT%20t".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = bank.get(&path, &[]).await;
        assert_eq!(page.status, 200, "{}", page.json);
        let ids = page.json["transactions"].as_array().unwrap().iter();
        seen.extend(ids.map(|t| t["transaction_id"].as_str().unwrap().to_owned()));
        match page.json["links"]["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["t-4", "t-3", "t-2", "t-1", "t-0"]);
    let one = bank.get("/v1/accounts/acc-1/transactions?min_amount=2.50&max_amount=3", &[]).await;
    let expected = serde_json::json!({
        "transaction_id": "t-2", "account_id": "acc-1", "amount": "-3.00", "currency": "EUR", "state": "booked",
        "booked_at": "2027-01-15T07:43:22Z", "value_date": "2027-01-15", "posting_number": 2, "remittance": "Rent t-2",
    });
    assert_eq!(one.json["transactions"], serde_json::json!([expected]));
}

#[tokio::test]
async fn a_cursor_serves_its_own_list_and_principal_only() {
    let bank = Bank::loaded().await;
    bank.apply((0..3).map(|n| transaction(&format!("t-{n}"), "acc-1", 1, n)).collect(), NOW_MS).await;
    let page = bank.get("/v1/accounts/acc-1/transactions?limit=1", &[]).await;
    let next = page.json["links"]["next"].as_str().unwrap();
    assert_eq!(bank.get(next, &[]).await.status, 200);
    for other in [format!("{next}A"), format!("{next}&text=a"), format!("{next}&from=2020-01-01T00:00:00Z")] {
        bank.get(&other, &[]).await.is_problem(400, "invalid-request");
    }
    bank.get_as(BRANCH, next, &[]).await.is_problem(400, "invalid-request");
}

#[tokio::test]
async fn every_wrong_parameter_is_named() {
    let bank = Bank::loaded().await;
    let path = "/v1/accounts/acc-1/transactions?from=yesterday&min_amount=1.005&limit=201&state=pending&text=";
    let answer = bank.get(path, &[]).await;
    answer.is_problem(400, "invalid-request");
    let named: Vec<_> =
        answer.json["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(named, ["from", "min_amount", "text", "limit", "state"]);
    let unknown = bank.get("/v1/accounts/acc-1/transactions?limit=1&limit=2&sort=x", &[]).await;
    assert_eq!(unknown.json["errors"].as_array().map(Vec::len), Some(2), "{}", unknown.json);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let bank = Bank::loaded().await;
    bank.get("/v1/nothing", &[]).await.is_problem(404, "not-found");
    bank.get("/v1/accounts/%FF", &[]).await.is_problem(404, "not-found");
    bank.get(&format!("/v1/accounts/{}", "a".repeat(65)), &[]).await.is_problem(404, "not-found");
    let bearer = format!("Bearer {MOBILE}");
    let answer = bank.send("DELETE", "/v1/accounts/acc-1", &[("authorization", &bearer)], "").await;
    answer.is_problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
}
